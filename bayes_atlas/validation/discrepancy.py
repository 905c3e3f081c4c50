"""How wrong a law may be beyond what was fitted.

Posterior intervals hold if the law does, and beyond the largest runs that is not known. What can be known is how wrong
the same model was when it had to predict the largest of the *fitted* runs from the others: `learned` takes from that
the relative error of loss at one e-fold beyond, and `widened` adds errors of that size to a prediction, which grow with
the distance as one of `FORMS` does. The error is one for all rows of a language, and as heavy-tailed as the noise: its
size is learned from one extrapolation, which is little. Which form is the default was chosen by held-out log densities
(`benchmarks/README.md`).
"""

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import t as student_t

from bayes_atlas.residuals import NU
from bayes_atlas.validation.predict import Prediction

type Floats = NDArray[np.float64]

FORMS: dict[str, Callable[[Floats], Floats]] = {
    "constant": lambda beyond: (beyond > 0).astype(float),
    "rising": lambda beyond: np.where(beyond > 0, np.sqrt(1 + beyond), 0.0),
    "root": np.sqrt,
    "linear": lambda beyond: beyond,
}
SIZES = ("params", "tokens", "compute")
TYPICAL, SPREAD = 0.01, 1.0  # prior of the size: log-normal around a hundredth, one e-fold
RANGE = (np.log(1e-4), np.log(1.0))


def distance(rows: xr.Dataset, fitted: xr.Dataset) -> Floats:
    """How far each of `rows` is beyond the fitted runs of its language, ``(row,)``.

    In e-folds of parameters, tokens or compute, whichever is farthest; 0 for rows that are no larger than those fitted.
    """
    names, of_fitted = rows["language"].to_numpy(), fitted["language"].to_numpy()
    beyond = np.zeros(len(names))
    for name in np.unique(names):
        at, own = names == name, of_fitted == name
        for size in SIZES:
            largest = fitted[size].to_numpy()[own].max()
            beyond[at] = np.maximum(beyond[at], np.log(rows[size].to_numpy()[at] / largest))
    return beyond


def learned(prediction: Prediction, loss: Floats, beyond: Floats, form: str) -> float:
    """The relative error of loss at one e-fold beyond that a prediction of `loss` ``(row,)`` suggests."""
    scale = np.broadcast_to(prediction.scale, prediction.location.shape)
    residual = np.log(loss) - np.median(prediction.location, axis=1)
    known = prediction.location.var(axis=1) + (scale**2).mean(axis=1)
    growth = FORMS[form](beyond)

    def surprise(log_size: float) -> float:
        spread = np.sqrt(known + (np.exp(log_size) * growth) ** 2)
        prior = 0.5 * ((log_size - np.log(TYPICAL)) / SPREAD) ** 2
        return float(prior - student_t.logpdf(residual / spread, NU).sum() + np.log(spread).sum())

    return float(np.exp(minimize_scalar(surprise, bounds=RANGE, method="bounded").x))


def widened(prediction: Prediction, rows: xr.Dataset, beyond: Floats, form: str, size: float, seed: int) -> Prediction:
    """`prediction` of `rows` with errors of the law, `size` at one e-fold beyond what was fitted."""
    names, language = np.unique(rows["language"].to_numpy(), return_inverse=True)
    errors = np.random.default_rng(seed).standard_t(NU, (len(names), prediction.location.shape[1]))
    growth = size * FORMS[form](beyond)
    return Prediction(prediction.location + growth[:, None] * errors[language], prediction.scale)
