"""Baselines that a posterior has to beat: point fits of Chinchilla with bootstrap intervals.

Each language is fitted alone, as is usual: E + A / N^alpha + B / D^beta on its own tokens. Intervals combine refits to
resampled runs with Student-t residuals, as in the models. The scale of the residuals is that of the point fit,
corrected for the number of fitted parameters. A baseline thus predicts a distribution and gets the scores of a model.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize, nnls
from scipy.stats import t as student_t
from threadpoolctl import threadpool_limits

from bayes_atlas.arrays import Floats
from bayes_atlas.data.outliers import NU
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError
from bayes_atlas.laws import chinchilla
from bayes_atlas.validation.predict import Prediction, Together

HUBER = 1e-3
GRID = {"a": (0, 8, 16, 24), "b": (0, 8, 16, 24), "e": (-1, 0, 1), "alpha": (0.0, 0.5, 1.0), "beta": (0.0, 0.5, 1.0)}
CLOSENESS: Any = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-10}
TRIED = 60  # starts taken from the grid, those with the lowest objective
EXPONENTS = np.geomspace(0.05, 2.0, 12)
EXPONENT_RANGE = (0.01, 5.0)  # outside it a term is constant or vanishes
FEWEST = len(chinchilla.PARAMETERS) + 1  # runs of a language; with fewer, the law passes through all of them
BOOTSTRAPS = 200
LEAST_SCALE = 1e-6  # least residual scale, so that losses without noise have a density


class BaselineError(InputError):
    """A table to which a baseline cannot be fitted."""


class Constants(NamedTuple):
    """Parameters of the Chinchilla law, with sizes in plain counts."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def log_loss(self, params: Floats, tokens: Floats) -> Floats:
        """Return the log of the law's loss at `params` and `tokens`, ``(row,)``."""
        return np.log(chinchilla.loss(params, tokens, **self._asdict()))


type Fit = Callable[[Floats, Floats, Floats, Constants | None], Constants]


def huber(params: Floats, tokens: Floats, loss: Floats, start: Constants | None = None) -> Constants:
    """Minimise the summed Huber loss on log loss (Hoffmann et al. 2022; Besiroglu et al. 2024 on why summed).

    The search starts from `start` or, without one, from the best points of a grid. Sizes are centred during the search,
    which changes neither the objective nor the starts and saves most steps. Arrays are ``(row,)``.
    """
    log_params, log_tokens, log_loss = np.log(params), np.log(tokens), np.log(loss)
    centres = log_params.mean(), log_tokens.mean()
    log_params -= centres[0]
    log_tokens -= centres[1]

    def objective(theta: Floats) -> tuple[float, Floats]:
        a, b, e, alpha, beta = theta
        terms = np.stack([a - alpha * log_params, b - beta * log_tokens, np.full_like(log_loss, e)])
        fitted = np.logaddexp.reduce(terms, axis=0)
        error = fitted - log_loss
        small = np.abs(error) <= HUBER
        value = np.where(small, 0.5 * error**2, HUBER * (np.abs(error) - 0.5 * HUBER)).sum()
        weight = np.exp(terms - fitted) * np.clip(error, -HUBER, HUBER)
        gradient = [weight[0].sum(), weight[1].sum(), weight[2].sum()]
        return value, np.array([*gradient, -(weight[0] @ log_params), -(weight[1] @ log_tokens)])

    if start is None:
        starts = np.array(np.meshgrid(*GRID.values())).reshape(len(GRID), -1).T
    else:
        logs = np.log(np.maximum([start.A, start.B, start.E], np.finfo(float).tiny))
        starts = np.array([[*logs, start.alpha, start.beta]])
    starts[:, :2] -= starts[:, 3:] * centres
    starts = starts[np.argsort([objective(each)[0] for each in starts])[:TRIED]]
    lower, upper = EXPONENT_RANGE
    bounds = Bounds([-np.inf] * 3 + [lower] * 2, [np.inf] * 3 + [upper] * 2)
    starts[:, 3:] = np.clip(starts[:, 3:], lower, upper)
    fits = [minimize(objective, each, jac=True, method="L-BFGS-B", bounds=bounds, options=CLOSENESS) for each in starts]
    a, b, e, alpha, beta = min(fits, key=lambda found: float(found.fun)).x
    constant, of_size, of_data = np.exp([e, a + alpha * centres[0], b + beta * centres[1]]).tolist()
    return Constants(constant, of_size, of_data, float(alpha), float(beta))


def varpro(params: Floats, tokens: Floats, loss: Floats, start: Constants | None = None) -> Constants:
    """Minimise the squared relative error, by variable projection (Golub and Pereyra 1973).

    Given the exponents, E, A and B solve a non-negative linear least-squares problem. An outer Nelder-Mead search finds
    the logs of the exponents, from `start` or else from the best point of a grid. Arrays are ``(row,)``.
    """
    units = np.exp(np.log(params).mean()), np.exp(np.log(tokens).mean())
    size, data = np.log(params / units[0]), np.log(tokens / units[1])

    def inner(log_exponents: Floats) -> tuple[Floats, float]:
        alpha, beta = np.exp(log_exponents)
        terms = np.stack([np.ones_like(loss), np.exp(-alpha * size), np.exp(-beta * data)], axis=1)
        return nnls(terms / loss[:, None], np.ones_like(loss))

    def objective(log_exponents: Floats) -> float:
        return inner(log_exponents)[1]

    if start is None:
        grid = np.log(np.stack(np.meshgrid(EXPONENTS, EXPONENTS), axis=-1).reshape(-1, 2))
        best = min(grid, key=objective)
    else:
        best = np.log([start.alpha, start.beta])
    lower, upper = np.log(EXPONENT_RANGE)
    bounds = Bounds(np.full(2, lower), np.full(2, upper))
    found = minimize(objective, best, method="Nelder-Mead", bounds=bounds)
    alpha, beta = np.exp(found.x).tolist()
    constant, of_size, of_data = inner(found.x)[0].tolist()
    return Constants(constant, float(of_size * units[0] ** alpha), float(of_data * units[1] ** beta), alpha, beta)


BASELINES: dict[str, Fit] = {"huber": huber, "varpro": varpro}


def predict_baseline(
    name: str, rows: xr.Dataset, fitted: xr.Dataset, *, seed: int = 0, bootstraps: int = BOOTSTRAPS
) -> Prediction:
    """Predict the losses of `rows` with the baseline `name` of `BASELINES`, fitted to `fitted`; both are run tables.

    The bootstrap resamples runs within a language, each with all its rows. Every refit starts from the point fit.

    Raises:
        BaselineError: a language of `rows` has fewer than `FEWEST` runs in `fitted`.
    """
    languages, known = rows["language"].to_numpy(), fitted["language"].to_numpy()
    location, scale = np.empty((len(languages), bootstraps)), np.empty((len(languages), 1))
    rng = np.random.default_rng(seed)
    for language in np.unique(languages):
        at, own = languages == language, fitted.isel(row=known == language)
        by_run = _rows_by_run(own)
        if len(by_run) < FEWEST:
            raise BaselineError(
                f"{name} fits five parameters to each language, but {fitted.attrs['name']} has "
                f"{plural(len(by_run), 'run')} of {language} (needed: {FEWEST}); add runs, or leave {name} out"
            )
        with threadpool_limits(1, "blas"):  # on five parameters threads wait for each other: up to nine times slower
            point, fits = _bootstrap(BASELINES[name], _columns(own), by_run, bootstraps, rng)
        sizes = _columns(rows.isel(row=at))[:2]
        location[at] = np.stack([each.log_loss(*sizes) for each in fits], axis=1)
        scale[at] = _residual_scale(point, *_columns(own))
    return Prediction(location, scale, Together.of(rows, alone=True))


def _bootstrap(
    fit: Fit,
    columns: tuple[Floats, Floats, Floats],
    by_run: list[NDArray[np.int64]],
    count: int,
    rng: np.random.Generator,
) -> tuple[Constants, list[Constants]]:
    """Return the fit to all rows, and the fits to `count` resamples of the runs."""
    point = fit(*columns, None)
    chosen = rng.integers(len(by_run), size=(count, len(by_run)))
    resamples = (np.concatenate([by_run[run] for run in runs]) for runs in chosen)
    params, tokens, loss = columns
    return point, [fit(params[again], tokens[again], loss[again], point) for again in resamples]


def _rows_by_run(rows: xr.Dataset) -> list[NDArray[np.int64]]:
    run = np.unique(rows["run"].to_numpy(), return_inverse=True)[1]
    return [np.flatnonzero(run == number) for number in range(run.max() + 1)]


def _columns(rows: xr.Dataset) -> tuple[Floats, Floats, Floats]:
    params, tokens, loss = (rows[name].to_numpy() for name in ("params", "tokens", "loss"))
    return params, tokens, loss


def _residual_scale(point: Constants, params: Floats, tokens: Floats, loss: Floats) -> float:
    """Scale of Student-t residuals on log loss, corrected for the degrees of freedom that the fit used."""
    residuals = np.log(loss) - point.log_loss(params, tokens)
    _, _, scale = student_t.fit(residuals, fdf=NU, floc=0.0, scale=float(np.std(residuals)) + LEAST_SCALE)
    free = max(len(residuals) - len(point), 1)
    return max(float(scale) * float(np.sqrt(len(residuals) / free)), LEAST_SCALE)
