"""How wrong a law may be beyond what was fitted.

Posterior intervals hold if the law does, and beyond the largest runs that is not known. What can be known is how wrong
the same model was when it had to predict the largest of the *fitted* runs from the others. Beyond the largest
parameters, tokens and compute a law may be wrong by different amounts, so each of `SIZES` is held out and learned of by
itself.

An error of the law is one for all rows of a language or, where the law is wrong for all languages alike, one for all;
it is as heavy-tailed as the noise, and grows with the distance beyond what was fitted as one of `FORMS` does. One
extrapolation therefore says little of how large such errors are: `learned` gives the probabilities of sizes and of
either kind, by Bayes' rule, and `widened` adds to a prediction errors drawn from these. What rows miss by is put down
to each size that they are beyond, and such errors add up: where larger models also took more compute, intervals are
deliberately wide.
Which form is the default was chosen by held-out scores (`benchmarks/README.md`).
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
TYPICAL, SPREAD = 0.01, 1.0  # prior of an error's scale: log-normal around a hundredth, one e-fold
LOG_ERRORS = np.linspace(np.log(1e-4), np.log(1.0), 61)  # scales that are told apart
KINDS = ("own", "common")  # of each language, or of all: equally probable beforehand
PRIOR = np.tile(norm.logpdf(LOG_ERRORS, np.log(TYPICAL), SPREAD), (len(KINDS), 1))
STEPS = np.sinh(np.linspace(-16, 16, 321))  # dense around 0 and wide, to integrate over an error
MIDDLES = (np.arange(11) + 0.5) / 11  # quantiles that stand for a distribution


def distance(rows: xr.Dataset, fitted: xr.Dataset, size: str) -> Floats:
    """How far each of `rows` is beyond the fitted runs of its language in one of `SIZES`, in e-folds, ``(row,)``.

    0 for rows that are no larger than those fitted, or of the same size to `SAME_SIZE`.
    """
    names, of_fitted = rows["language"].to_numpy(), fitted["language"].to_numpy()
    beyond = np.zeros(len(names))
    for name in np.unique(names):
        at, own = names == name, of_fitted == name
        beyond[at] = np.log(rows[size].to_numpy()[at] / fitted[size].to_numpy()[own].max())
    return np.where(beyond < SAME_SIZE, 0.0, beyond)


def learned(prediction: Prediction, rows: xr.Dataset, beyond: Floats, form: str) -> Floats:
    """Probabilities ``(kind, error)`` of `KINDS` and `LOG_ERRORS` given how rows were predicted that were held out."""
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
    """Log density of what rows with one error miss by, ``(row,)``, for each of `LOG_ERRORS`.

    Of what the posterior is `unsure` ``(row, draw)`` all rows share a part, which is no error of the law.
    """
    shared = growth @ unsure / (growth @ growth)  # (draw,) in units of the error
    known = np.sqrt((unsure - growth[:, None] * shared).var(axis=1) + (scale**2).mean(axis=1)) / growth
    error = missed / growth
    given = [_log_integral(error - part, known) for part in np.quantile(shared, MIDDLES)]
    return np.asarray(logsumexp(given, axis=0) - np.log(len(MIDDLES)))


def _log_integral(error: Floats, known: Floats) -> Floats:
    """Log density of observations of one error ``(row,)``, each `known` so well, for each of `LOG_ERRORS`."""

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
    """Probabilities of `KINDS` and `LOG_ERRORS` where nothing can be held out: the prior's, ``(kind, error)``."""
    return _normalised(PRIOR)


def _normalised(log_probability: Floats) -> Floats:
    return np.asarray(np.exp(log_probability - logsumexp(log_probability)))


def typical(probability: Floats, form: str) -> float:
    """The median error, whatever its sign, at one e-fold beyond."""
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
    """`prediction` of `rows` with errors of the law beyond each of the sizes that `beyond` and `probability` name."""
    rng = np.random.default_rng(seed)
    names, language = np.unique(rows["language"].to_numpy(), return_inverse=True)
    location, draws = prediction.location, prediction.location.shape[1]
    for size, away in beyond.items():
        kind, error = np.divmod(rng.choice(PRIOR.size, draws, p=probability[size].ravel()), len(LOG_ERRORS))
        luck = rng.standard_t(NU, (len(names), draws))
        errors = np.exp(LOG_ERRORS[error]) * np.where(kind == KINDS.index("common"), luck[0], luck)
        location = location + FORMS[form](away)[:, None] * errors[language]
    return Prediction(location, prediction.scale)
