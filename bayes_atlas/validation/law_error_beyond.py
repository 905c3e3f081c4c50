"""Model error in extrapolation, beyond the sizes that were fitted.

Posterior intervals hold if the law does, and nobody knows whether it does beyond the largest runs. The fitted runs
show how wrong the same model was when it predicted the largest of them from the others. Model error may differ beyond
the largest parameters, tokens and compute, so each of `SIZES` is held out and learned separately.

All rows of a language share one model error or, if the law is wrong for all languages alike, all rows do. The error has
the heavy tails of the noise, and grows with the distance of extrapolation as one of `FORMS`. A single extrapolation
therefore says little about the scale of such errors. `learned` gives the probabilities of scales and of both kinds, by
Bayes' rule. `widened` adds errors drawn from these to a prediction.

Each size in which rows extrapolate is charged with their full residuals, and the errors of all sizes add up. Intervals
are deliberately wide where larger models also took more compute. Held-out scores decided the default form
(`benchmarks/README.md`).
"""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import norm
from scipy.stats import t as student_t

from bayes_atlas.arrays import Floats
from bayes_atlas.data.outliers import NU
from bayes_atlas.data.size_groups import SAME_SIZE
from bayes_atlas.validation.predict import Prediction

FORMS: dict[str, Callable[[Floats], Floats]] = {
    "constant": lambda beyond: (beyond > 0).astype(float),
    "rising": lambda beyond: np.where(beyond > 0, np.sqrt(1 + beyond), 0.0),
    "root": np.sqrt,
    "linear": lambda beyond: beyond,
}
SIZES = ("params", "tokens", "compute")
TYPICAL, SPREAD = 0.01, 1.0  # prior of an error's scale: log-normal around a hundredth, sd one e-fold
LOG_ERRORS = np.linspace(np.log(1e-4), np.log(1.0), 61)  # grid of log scales
KINDS = ("own", "common")  # one error per language, or one for all languages: equally probable a priori
PRIOR = np.tile(norm.logpdf(LOG_ERRORS, np.log(TYPICAL), SPREAD), (len(KINDS), 1))
STEPS = np.sinh(np.linspace(-16, 16, 321))  # grid to integrate over an error, dense around 0 and wide
MIDDLES = (np.arange(11) + 0.5) / 11  # quantiles that represent a distribution


def distance(rows: xr.Dataset, fitted: xr.Dataset, size: str) -> Floats:
    """Return how far each of `rows` extrapolates beyond the fitted runs of its language, in e-folds, ``(row,)``.

    Args:
        rows, fitted: run tables.
        size: one of `SIZES`. The distance is 0 for rows no larger than the fitted runs, up to `SAME_SIZE`.
    """
    names, of_fitted = rows["language"].to_numpy(), fitted["language"].to_numpy()
    beyond = np.zeros(len(names))
    for name in np.unique(names):
        at, own = names == name, of_fitted == name
        beyond[at] = np.log(rows[size].to_numpy()[at] / fitted[size].to_numpy()[own].max())
    return np.where(beyond < SAME_SIZE, 0.0, beyond)


def learned(prediction: Prediction, rows: xr.Dataset, beyond: Floats, form: str) -> Floats:
    """Return posterior probabilities ``(kind, error)`` of `KINDS` and `LOG_ERRORS`, given held-out rows.

    Args:
        prediction: predictive distribution of `rows`, from a fit without them.
        rows: run table of the held-out rows.
        beyond: ``(row,)`` distance of extrapolation, in e-folds.
        form: one of `FORMS`.
    """
    middle = np.median(prediction.location, axis=1)
    missed = np.log(rows["loss"].to_numpy()) - middle
    unsure = prediction.location - middle[:, None]
    scale = np.broadcast_to(prediction.scale, prediction.location.shape)
    growth, language = FORMS[form](beyond), rows["language"].to_numpy()
    away = growth > 0
    log_probability = PRIOR.copy()
    for kind, name in enumerate(KINDS):
        groups = [away & (language == each) for each in np.unique(language[away])] if name == "own" else [away]
        for at in groups if away.any() else []:
            log_probability[kind] += _log_marginal(missed[at], growth[at], unsure[at], scale[at])
    return _normalised(log_probability)


def _log_marginal(missed: Floats, growth: Floats, unsure: Floats, scale: Floats) -> Floats:
    """Log density of the residuals `missed` ``(row,)`` of rows with one common error, for each of `LOG_ERRORS`.

    All rows share a part of the posterior uncertainty `unsure` ``(row, draw)``. This part is not model error.
    """
    shared = growth @ unsure / (growth @ growth)  # (draw,) in units of the error
    known = np.sqrt((unsure - growth[:, None] * shared).var(axis=1) + (scale**2).mean(axis=1)) / growth
    error = missed / growth
    given = [_log_integral(error - part, known) for part in np.quantile(shared, MIDDLES)]
    return np.asarray(logsumexp(given, axis=0) - np.log(len(MIDDLES)))


def _log_integral(error: Floats, known: Floats) -> Floats:
    """Log density of observations ``(row,)`` of one error, with standard errors `known`, for each of `LOG_ERRORS`."""

    def log_density(at: Floats) -> Floats:
        return np.asarray((student_t.logpdf((error - at[:, None]) / known, NU) - np.log(known)).sum(axis=1))

    likely = np.quantile(error, np.linspace(0, 1, 51))
    best = likely[log_density(likely).argmax()]
    finest = known.min() / np.sqrt(len(known))
    grid = np.unique(np.concatenate([best + finest * STEPS, np.exp(LOG_ERRORS[0]) * STEPS]))
    grid = grid[np.abs(grid) < 10 + 2 * np.abs(best)]
    sizes = np.exp(LOG_ERRORS)[:, None]
    log_integrand = log_density(grid) + student_t.logpdf(grid / sizes, NU) - LOG_ERRORS[:, None]
    return np.asarray(logsumexp(log_integrand + np.log(np.gradient(grid)), axis=1))


def unlearned() -> Floats:
    """Return the prior probabilities ``(kind, error)`` of `KINDS` and `LOG_ERRORS`, if nothing can be held out."""
    return _normalised(PRIOR)


def _normalised(log_probability: Floats) -> Floats:
    return np.asarray(np.exp(log_probability - logsumexp(log_probability)))


def typical(probability: Floats, form: str) -> float:
    """Return the median absolute error at an extrapolation of one e-fold."""
    of_scale = probability.sum(axis=0)
    scale = np.exp(np.interp(0.5, np.cumsum(of_scale) - of_scale / 2, LOG_ERRORS))
    return float(scale * FORMS[form](np.array(1.0)) * student_t.ppf(0.75, NU))


def widened(
    prediction: Prediction,
    rows: xr.Dataset,
    beyond: Mapping[str, Floats],
    form: str,
    probability: Mapping[str, Floats],
    seed: int,
) -> Prediction:
    """Add model errors to the `prediction` of `rows`, one for each size in `beyond` and `probability`."""
    rng = np.random.default_rng(seed)
    names, language = np.unique(rows["language"].to_numpy(), return_inverse=True)
    location, draws = prediction.location, prediction.location.shape[1]
    for size, away in beyond.items():
        kind, error = np.divmod(rng.choice(PRIOR.size, draws, p=probability[size].ravel()), len(LOG_ERRORS))
        luck = rng.standard_t(NU, (len(names), draws))
        errors = np.exp(LOG_ERRORS[error]) * np.where(kind == KINDS.index("common"), luck[0], luck)
        location = location + FORMS[form](away)[:, None] * errors[language]
    return Prediction(location, prediction.scale)
