"""Quick approximate fits of the Chinchilla law to one language, for screenings that need hundreds of them.

The density is that of the model ``chinchilla`` for a table of one language, written in NumPy: its priors, its noise and
its effects of model sizes, over which it integrates by quadrature. `laplace` finds the mode and takes a Student-t
distribution with the curvature there. `Laplace.draws` weighs draws from it by the exact density (Pareto-smoothed
importance sampling, Vehtari et al. 2024, arXiv 1507.02646). Where k-hat is too large, the approximation is not to be
used, and `Weighted.reliable` says so.

This is not a posterior to report: `bayes_atlas.fit` samples that.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from scipy.special import expit, gammaln, logsumexp

from bayes_atlas.arrays import Floats, Integers
from bayes_atlas.data.outliers import NU
from bayes_atlas.data.runs import CLOSEST
from bayes_atlas.data.size_groups import SizeGroups, size_weight
from bayes_atlas.errors import InputError
from bayes_atlas.laws import chinchilla
from bayes_atlas.validation.importance import largest_reliable_k, smoothed

# Means and standard deviations of normal priors on the unconstrained scale, as in `models/chinchilla.py`,
# `bayes_atlas.modelling.loss_terms` and `bayes_atlas.modelling.curve_noise`; a test compares the densities.
PRIORS = {
    "level": (1.0, 2.0),
    "size_share": (-1.5, 1.0),
    "irreducible_share": (1.2, 1.0),
    "alpha": (float(np.log(0.35)), 0.4),
    "beta": (float(np.log(0.35)), 0.4),
    "sigma": (float(np.log(0.01)), 1.0),
    "kappa_stage": (0.0, 0.5),
}
MEMORY = 2.0  # both parameters of its beta prior
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)  # over the effect of a size, in units of the spread
SIZE_EFFECT = 0.5, 0.7  # median of the spread over sizes, in units of the noise, and its log standard deviation
PROPOSAL = 7.0  # degrees of freedom of the distribution that draws come from
DRAWS = 2000
PART = 50_000  # rows times draws whose densities are computed at once
STEP = 1e-4  # of numerical derivatives
ROUNDS, CONVERGED, STUCK = 100, 1e-6, 1e8


@dataclass(frozen=True)
class Problem:
    """The runs of one language, curve by curve and in order of tokens within each."""

    log_params: Floats  # (row,) in units of `references`
    log_tokens: Floats  # (row,)
    log_loss: Floats  # (row,)
    stage: Floats  # (row,) log ratio of the run's last tokens to the row's
    curve: Integers  # (row,) counted from 0
    names: list[str]  # of the curves' runs
    size: Integers  # (row,) group that shares a size effect; -1 for none
    weight: float  # of size effects
    references: dict[str, float]

    @classmethod
    def of(cls, runs: xr.Dataset) -> "Problem":
        """Arrange the runs of a table of one language; their repeats are not looked at.

        Raises:
            InputError: the table has several languages.
        """
        languages = np.unique(runs["language"].to_numpy().astype(str))
        if len(languages) != 1:
            raise InputError(
                f"{runs.attrs['name']} has {len(languages)} languages, and quick fits are of one; select one language"
            )
        names, curve = np.unique(runs["run"].to_numpy().astype(str), return_inverse=True)
        tokens, params = runs["tokens"].to_numpy(), runs["params"].to_numpy()
        order = np.lexsort([tokens, curve])
        curve, tokens, params = curve[order], tokens[order], params[order]
        last = np.flatnonzero(np.append(np.diff(curve) > 0, True))
        weight, unique = size_weight(params[last]), runs["unique"].to_numpy()[order][last]
        language = runs["language"].to_numpy()[order][last]
        groups = SizeGroups.of(params[last], unique, language).find(params[last], unique, language)
        references = {"params": float(np.exp(np.log(params).mean())), "tokens": float(np.exp(np.log(tokens).mean()))}
        return cls(
            log_params=np.log(params / references["params"]),
            log_tokens=np.log(tokens / references["tokens"]),
            log_loss=np.log(runs["loss"].to_numpy()[order]),
            stage=np.log(tokens[last][curve] / tokens),
            curve=curve,
            names=names.tolist(),
            size=(groups if weight else np.full(len(last), -1))[curve],
            weight=weight,
            references=references,
        )

    @cached_property
    def sizes(self) -> int:
        """Number of groups that share a size effect."""
        return int(self.size.max()) + 1

    @cached_property
    def repeated(self) -> bool:
        """True if any curve has several rows."""
        return len(self.names) < len(self.curve)

    @cached_property
    def coordinates(self) -> list[str]:
        """Names of the coordinates, which are logs, and logits of shares and of `memory`."""
        of_checkpoints = ["kappa_stage", "memory"] if self.repeated else []
        plain = [name for name in PRIORS if name != "kappa_stage"]
        return plain + of_checkpoints + (["size_effect_scale"] if self.sizes else [])

    @cached_property
    def start(self) -> Floats:
        """Where the search for the mode begins, ``(coordinate,)``: the level at the losses, the rest at its prior."""
        values = {name: mean for name, (mean, _) in PRIORS.items()} | {"level": float(self.log_loss.mean())}
        if self.sizes:
            values["size_effect_scale"] = values["sigma"] + float(np.log(SIZE_EFFECT[0] * self.weight))
        return np.array([values.get(name, 0.0) for name in self.coordinates])

    def log_density(self, states: Floats, kept: Floats | None = None) -> Floats:
        """Return the log density, up to a constant, of each of `states` ``(state, coordinate)``.

        Args:
            states: the coordinates of the parameters.
            kept: ``(curve,)`` 1 for curves that count and 0 for those left out; all count by default.
        """
        at = dict(zip(self.coordinates, states.T, strict=True))
        density = sum(-(((at[name] - mean) / sd) ** 2) / 2 for name, (mean, sd) in PRIORS.items() if name in at)
        log_sigma = at["sigma"][:, None]
        location = np.log(chinchilla.loss(np.exp(self.log_params), np.exp(self.log_tokens), **_law(at)))
        persistence = np.zeros((1, len(self.curve)))
        if self.repeated:
            memory = expit(at["memory"])
            density += MEMORY * (np.log(memory) + np.log1p(-memory))
            log_sigma = log_sigma + at["kappa_stage"][:, None] * self.stage
            first = np.append(True, np.diff(self.curve) > 0)
            apart = np.append(np.inf, np.maximum(-np.diff(self.stage), CLOSEST))
            persistence = np.where(first, 0.0, np.exp(-apart / memory[:, None]))
        scale = np.exp(log_sigma) + np.zeros_like(persistence)
        fresh = np.sqrt(1 - persistence**2)
        residual = _white((self.log_loss - location) / scale, persistence) / fresh
        starts = np.searchsorted(self.curve, np.arange(len(self.names)))
        squares = np.add.reduceat(residual**2, starts, axis=1)[..., None]
        volume = np.add.reduceat(np.log(scale * fresh), starts, axis=1)
        if self.sizes:
            median, sd = np.log(SIZE_EFFECT[0] * self.weight) + at["sigma"], SIZE_EFFECT[1]
            density += -(((at["size_effect_scale"] - median) / sd) ** 2) / 2
            unit = _white(1 / scale, persistence) / fresh  # of an effect of 1
            along, length = (np.add.reduceat(unit * each, starts, axis=1)[..., None] for each in (residual, unit))
            effect = np.exp(at["size_effect_scale"])[:, None, None] * NODES
            squares = squares - 2 * effect * along + effect**2 * length
        half = (NU + np.bincount(self.curve)) / 2
        curves = (gammaln(half) - volume)[..., None] - half[:, None] * np.log1p(squares / NU)
        if kept is not None:
            curves = curves * kept[:, None]
        if not self.sizes:
            return np.asarray(density + curves.sum(axis=(1, 2)))
        of_size = np.eye(self.sizes)[self.size[starts]]
        sizes = np.einsum("acn,cs->asn", curves, of_size)
        return np.asarray(density + logsumexp(sizes, axis=2, b=WEIGHTS).sum(axis=1))


def _white(values: Floats, persistence: Floats) -> Floats:
    """Return `values` ``(state, row)`` less what is expected from the row before."""
    return np.asarray(values - persistence * np.pad(values[:, :-1], ((0, 0), (1, 0))))


def _law(at: dict[str, Floats]) -> dict[str, Floats]:
    """Return the law's parameters, ``(state, 1)``."""
    level, size, irreducible = np.exp(at["level"]), expit(at["size_share"]), expit(at["irreducible_share"])
    rest = level * (1 - size)
    found = {"E": rest * irreducible, "A": level * size, "B": rest * (1 - irreducible)}
    found |= {name: np.exp(at[name]) for name in ("alpha", "beta")}
    return {name: values[:, None] for name, values in found.items()}


@dataclass(frozen=True)
class Laplace:
    """An approximate fit."""

    problem: Problem
    mode: Floats  # (coordinate,)
    root: Floats  # (coordinate, coordinate) square root of the covariance at the mode
    kept: Floats | None  # (curve,) see `Problem.log_density`

    def draws(self, number: int = DRAWS, seed: int = 0) -> "Weighted":
        """Return `number` draws with weights that make them follow the exact density."""
        rng = np.random.default_rng(seed)
        size = len(self.mode)
        normal = rng.standard_normal((number, size))
        mixing = np.sqrt(PROPOSAL / rng.chisquare(PROPOSAL, (number, 1)))
        states = self.mode + mixing * normal @ self.root.T
        squares = (mixing[:, 0] ** 2) * (normal**2).sum(axis=1)
        proposed = -(PROPOSAL + size) / 2 * np.log1p(squares / PROPOSAL)
        parts = np.array_split(states, max(number * len(self.problem.curve) // PART, 1))
        density = np.concatenate([self.problem.log_density(part, self.kept) for part in parts])
        ratios = xr.DataArray((density - proposed)[None], dims=["chain", "draw"])
        at = dict(zip(self.problem.coordinates, states.T, strict=True))
        parameters = {name: values[:, 0] for name, values in _law(at).items()} | {"sigma": np.exp(at["sigma"])}
        return Weighted(parameters, *smoothed(ratios, r_eff=1.0))


@dataclass(frozen=True)
class Weighted:
    """Weighted draws of the law's parameters, with A and B at the references of the problem, and of sigma."""

    parameters: dict[str, Floats]  # name -> (draw,)
    weights: Floats  # (draw,) summing to 1
    pareto_k: float

    @property
    def reliable(self) -> bool:
        """True if Pareto k is below the limit for this number of draws; otherwise sample the posterior instead."""
        return self.pareto_k <= largest_reliable_k(len(self.weights))

    def quantile(self, values: Floats, probabilities: tuple[float, ...] = (0.05, 0.5, 0.95)) -> Floats:
        """Return quantiles of `values` ``(draw,)`` at `probabilities`."""
        return np.asarray(np.quantile(values, probabilities, weights=self.weights, method="inverted_cdf"))


def laplace(runs: xr.Dataset | Problem, *, kept: Floats | None = None, start: Floats | None = None) -> Laplace:
    """Fit the Chinchilla law to the runs of one language at the mode of its density.

    Args:
        runs: a run table of one language, from `read_runs`, or what `Problem.of` made of it. All rows count as fresh
            data from scratch.
        kept: ``(curve,)`` 1 for curves that count and 0 for those left out, in the order of ``Problem.names``.
        start: ``(coordinate,)`` where the search begins, such as the mode for all curves.

    Raises:
        InputError: the table has several languages, or no mode is found.
    """
    problem = runs if isinstance(runs, Problem) else Problem.of(runs)
    state, value = _mode(problem, problem.start if start is None else start, kept)
    _, curvature = _derivatives(problem, state, kept)
    values, vectors = np.linalg.eigh(-curvature)
    if not np.isfinite(value) or values.min() <= 0:
        raise InputError(
            "the runs have no mode at which a quick fit could stand, often because they are few; sample them by fit"
        )
    return Laplace(problem, state, vectors / np.sqrt(values), kept)


def _mode(problem: Problem, state: Floats, kept: Floats | None) -> tuple[Floats, float]:
    """Climb from `state` by damped Newton steps; return the mode and its log density."""
    value, damping = float(problem.log_density(state[None], kept)[0]), 1.0
    for _ in range(ROUNDS):
        slope, curvature = _derivatives(problem, state, kept)
        curvature = _positive(-curvature)
        while damping < STUCK:
            there = state + np.linalg.solve(curvature + damping * np.eye(len(state)), slope)
            density = float(problem.log_density(there[None], kept)[0])
            if density >= value:
                break
            damping *= 10
        else:
            break
        gained, state, value = density - value, there, density
        if gained < CONVERGED and damping < 1e-3:
            break
        damping = max(damping / 10, 1e-9)
    return state, value


def _derivatives(problem: Problem, state: Floats, kept: Floats | None) -> tuple[Floats, Floats]:
    """Return the gradient and the matrix of second derivatives, by central differences."""
    size = len(state)
    shift = STEP * np.eye(size)
    one, two = np.triu_indices(size, 1)
    around = np.concatenate([shift, -shift, shift[one] + shift[two], -shift[one] - shift[two], np.zeros((1, size))])
    values = problem.log_density(state + around, kept)
    up, down, middle = values[:size], values[size : 2 * size], values[-1]
    slope = (up - down) / (2 * STEP)
    curvature = np.diag((up + down - 2 * middle) / STEP**2)
    both = values[2 * size : -1].reshape(2, -1).sum(axis=0)
    alone = up + down
    curvature[one, two] = (both + 2 * middle - alone[one] - alone[two]) / (2 * STEP**2)
    curvature[two, one] = curvature[one, two]
    return slope, curvature


def _positive(matrix: Floats) -> Floats:
    """Return `matrix` with the sizes of its eigenvalues in place of these, so that a step along it climbs."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(np.abs(values), 1e-6)) @ vectors.T)
