"""Profile likelihood of the repetition parameters R_D* and R_N*, without sampling."""

from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import least_squares

from bayes_atlas.arrays import Floats
from bayes_atlas.data.runs import SCRATCH
from bayes_atlas.data.text import plural
from bayes_atlas.laws import data_constrained

SAME_EPOCHS = 1.01  # epoch counts within this factor are equal; up to this many epochs no data are repeated
R_GRID = np.geomspace(1.0, 1000.0, 16)  # values of R_D* and R_N* in the profile
LIKELIHOOD_DROP = 2.7055 / 2  # half the 90 % quantile of chi-squared with one degree of freedom
PROFILE_ROWS = 400
PRECISION = 1e-5  # relative tolerance of the profile's objective
PROFILE_LANGUAGES = 4
FAR = 4.0  # the profile ends once the log likelihood has fallen by this many times LIKELIHOOD_DROP
STEPS = 5  # alternations between the unknowns and the noise scale
LEAST_SCALE = 1e-5  # least noise scale, so that losses without noise can be profiled
TAIL = 4.0  # degrees of freedom of the profile's Student-t noise on log loss


def profile_rows(runs: xr.Dataset) -> tuple[xr.Dataset, str]:
    """Select rows for the profile and describe them in a phrase. The selection is small and deterministic."""
    scratch = runs.isel(row=runs["init"].to_numpy() == SCRATCH)
    runs = scratch if scratch.sizes["row"] else runs
    frame = runs[["tokens", "unique", "run", "language"]].to_dataframe().reset_index(drop=True)
    frame["epochs"] = np.maximum(frame["tokens"] / frame["unique"], 1.0)
    final = frame.loc[frame.groupby(["run", "language"], sort=False)["tokens"].idxmax()]
    by_language = final.groupby("language")["epochs"].agg(variety=lambda epochs: np.ptp(np.log(epochs)), rows="size")
    varied = by_language[by_language["variety"] > np.log(SAME_EPOCHS)]
    ranked = varied.assign(name=varied.index).sort_values(["rows", "variety", "name"], ascending=[False, False, True])
    used = final[final["language"].isin(ranked.index[:PROFILE_LANGUAGES])]
    used = used.sort_values(["language", "epochs", "tokens"], kind="stable")
    used = used.iloc[np.unique(np.linspace(0, len(used) - 1, min(PROFILE_ROWS, len(used))).astype(int))]
    kind = "final checkpoints" + (" of runs from scratch" if scratch.sizes["row"] else "")
    return runs.isel(row=used.index.to_numpy()), (
        f"profile on {len(used)} of {len(final)} {kind}, own tokens only, "
        f"{used['language'].nunique()} of {plural(len(by_language), 'language')}"
    )


class Profile:
    """Profile likelihood of the data-constrained law, with shared exponents, R_D* and R_N*, and E, A and B by language.

    Noise on log loss is Student-t, with its scale fixed at the best fit. The unknowns are logarithms of alpha, beta,
    R_D* and R_N*, then of E, A and B of each language. Sizes are divided by their geometric means.
    """

    R_D, R_N, SHARED = 2, 3, 4

    def __init__(self, runs: xr.Dataset) -> None:
        names, self._language = np.unique(runs["language"].to_numpy(), return_inverse=True)
        params, tokens = runs["params"].to_numpy(), runs["tokens"].to_numpy()
        self._log_loss = np.log(runs["loss"].to_numpy())
        reference = np.exp(np.log(tokens).mean())
        self._params = params / np.exp(np.log(params).mean())
        self._tokens, self._unique = tokens / reference, runs["unique"].to_numpy() / reference
        self.rows, self.unknowns = len(tokens), self.SHARED + 3 * len(names)

        level = np.bincount(self._language, self._log_loss) / np.bincount(self._language)
        constants = np.stack([level - 0.5, level - 1.5, level - 1.5])
        ratios = (np.log([0.02, 0.02, R_GRID[0], R_GRID[0]]), np.log([3.0, 3.0, R_GRID[-1], R_GRID[-1]]))
        self._lower = np.concatenate([ratios[0], (constants - 10).ravel()])
        self._upper = np.concatenate([ratios[1], (constants + 6).ravel()])
        self._start = np.concatenate([np.log([0.35, 0.35, 10.0, 10.0]), constants.ravel()])

    def drop(self, held: int) -> tuple[Floats, Floats]:
        """Profile the log likelihood over the unknown `held`.

        Returns:
            Values of the unknown (R_GRID and the best fit), and the drop of the log likelihood below its maximum at
            each of them. The drop is inf at values far from the maximum.
        """
        best, scale, least = self._best
        grid = np.log(R_GRID)
        middle = int(np.searchsorted(grid, best[held]))
        fall = np.full(len(grid), np.inf)
        for outward in (range(middle, len(grid)), range(middle - 1, -1, -1)):
            unknowns, lowest = best, least
            for i in outward:
                unknowns, fall[i] = self._fit(unknowns, scale, held=held, value=float(grid[i]))
                lowest = min(lowest, fall[i])
                if fall[i] > lowest + FAR * LIKELIHOOD_DROP:
                    break
        values, fall = np.insert(grid, middle, best[held]), np.insert(fall, middle, least)
        return np.exp(values), fall - fall.min()

    @cached_property
    def _best(self) -> tuple[Floats, float, float]:
        """Unknowns, noise scale and negative log likelihood at the maximum of the likelihood."""
        unknowns, scale = self._start, 0.05
        for _ in range(STEPS):
            unknowns, _ = self._fit(unknowns, scale)
            scale = self._scale(unknowns, scale)
        unknowns, least = self._fit(unknowns, scale)
        return unknowns, scale, least

    def _scale(self, unknowns: Floats, scale: float) -> float:
        """Noise scale from residuals with the likelihood's weights, divided by the remaining degrees of freedom."""
        residuals = self._residuals(unknowns)
        for _ in range(STEPS):
            weights = (TAIL + 1) / (TAIL + (residuals / scale) ** 2)
            scale = float(np.sqrt(np.sum(weights * residuals**2) / (self.rows - self.unknowns)))
            scale = max(scale, LEAST_SCALE)
        return scale

    def _fit(self, start: Floats, scale: float, held: int | None = None, value: float = 0.0) -> tuple[Floats, float]:
        """Maximum-likelihood unknowns with `held` fixed at `value`, and their negative log likelihood."""
        free = np.arange(self.unknowns) != (-1 if held is None else held)
        unknowns = np.where(free, start, value)

        def residuals(values: Floats) -> Floats:
            unknowns[free] = values
            return self._residuals(unknowns)

        bounds = self._lower[free], self._upper[free]
        options: Any = {"loss": _student, "f_scale": scale, "ftol": PRECISION, "xtol": PRECISION}
        result = least_squares(residuals, unknowns[free], bounds=bounds, **options)
        unknowns[free] = result.x
        return unknowns, float(result.cost / scale**2)

    def _residuals(self, unknowns: Floats) -> Floats:
        alpha, beta, R_D, R_N = np.exp(unknowns[: self.SHARED])
        E, A, B = np.exp(unknowns[self.SHARED :]).reshape(3, -1)[:, self._language]
        loss = data_constrained.loss(
            self._params, self._tokens, self._unique, E=E, A=A, B=B, alpha=alpha, beta=beta, R_D=R_D, R_N=R_N
        )
        return np.log(loss) - self._log_loss


def _student(
    squares: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Twice the negative log density of Student's t and its two derivatives, at squared standardised residuals."""
    weight = (TAIL + 1) / (TAIL + squares)
    return np.stack([(TAIL + 1) * np.log1p(squares / TAIL), weight, -weight / (TAIL + squares)])


def allowed(values: Floats, drop: Floats) -> tuple[float | None, float | None]:
    """Return the least and the greatest value with a drop of at most LIKELIHOOD_DROP.

    A limit is None if the first or the last of `values` is itself within the drop. Between values the square root of
    the drop is interpolated, since near a maximum it is linear in the log of the value.
    """
    within = np.flatnonzero(drop <= LIKELIHOOD_DROP)
    root, log_values = np.sqrt(drop), np.log(values)

    def crossing(inside: int, outside: int) -> float | None:
        if not 0 <= outside < len(values):
            return None
        fraction = (np.sqrt(LIKELIHOOD_DROP) - root[inside]) / (root[outside] - root[inside])
        return float(np.exp(log_values[inside] + fraction * (log_values[outside] - log_values[inside])))

    return crossing(within[0], within[0] - 1), crossing(within[-1], within[-1] + 1)
