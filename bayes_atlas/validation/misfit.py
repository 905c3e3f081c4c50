"""How wrong a law may be within the range of its runs, and what that does to a decision.

The interval of an optimum holds if the law does. Runs tell how well it does where they lie: what they miss the law by
is noise, which differs from run to run, and error of the law, which runs of like size and tokens share. `Misfit` takes
that error for a Gaussian process over log params and log tokens. Its size and smoothness, and how much of what the fit
took for noise is noise, have the probabilities that the runs give them; what the law's own parameters could have taken
up is left out of these (restricted likelihood). Given the runs, each draw of the posterior is then corrected by a draw
of the error, and the optimum sought anew (`with_misfit`).

Far from all runs the process falls back to errors of its typical size. How much more wrong a law is beyond its largest
runs is not for it to say: see `bayes_atlas.validation.discrepancy`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh, null_space, svd
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from bayes_atlas.decisions.optimum import BEYOND, Optimum
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior, source_of
from bayes_atlas.residuals import NU
from bayes_atlas.runs import last_rows
from bayes_atlas.validation.held_out import from_scratch
from bayes_atlas.validation.predict import expected, predict

type Floats = NDArray[np.float64]

KINDS = ("own", "common")  # an error of each language, or one of all
LENGTHS = (0.5, 1.0, 2.0, 4.0)  # in e-folds of params and tokens, over which an error changes
SIZES = np.geomspace(1e-4, 0.1, 25)  # relative errors that are told apart, equally probable beforehand
NOISES = (0.25, 0.35, 0.5, 0.7, 1.0)  # of the noise that the fit found, which took errors of the law for noise
MOST = 600  # runs from which it is learned
TAKEN_UP = 1e-3  # of what the posterior's draws of the law vary most by: what varies less is not taken for variation
REACH, STEPS = (
    2.5,
    101,
)  # e-folds of tokens around the law's optimum where the loss is looked at, and at how many places
JITTER = 1e-8


@dataclass(frozen=True)
class Misfit:
    """The error of a posterior's law as some runs show it."""

    place: Floats  # (run, 2) log params and log tokens of the language
    language: NDArray[np.str_]  # (run,)
    missed: Floats  # (run, draw) log loss less the law's
    variance: Floats  # (run,) of the noise as the fit found it; of runs far off the law, as if there were more
    notes: list[str]

    @classmethod
    def of(cls, posterior: Posterior, runs: xr.Dataset) -> "Misfit":
        """Learn the error of the law of `posterior` from `runs`, the run table that it was fitted to.

        Of runs with checkpoints, the last counts.

        Raises:
            InputError: no run of a language that the posterior knows; a law that asks for more than a run table has;
                no more runs than parameters.
        """
        left_out: dict[str, int] = {}
        runs = from_scratch(runs, left_out)
        known = np.isin(runs["language"].to_numpy().astype(str), posterior.info.languages)
        if not known.any():
            raise InputError(
                f"no run of {runs.attrs['name']} is of a language that {posterior.name} knows "
                f"({', '.join(posterior.info.languages)}); give the run table that was fitted"
            )
        fitted = runs.isel(row=known)
        last = fitted.isel(row=np.unique(last_rows(fitted)))
        if not known.all():
            left_out["are of other languages"] = int((~known).sum())
        notes = [f"{rows} rows {reason} and say nothing of the law's error" for reason, rows in left_out.items()]
        if runs.attrs["sha256"] != posterior.info.runs.sha256:
            notes.append(f"{runs.attrs['name']} is not the run table that {posterior.name} was fitted to")
        if last.sizes["row"] > MOST:
            notes.append(f"the law's error is learned from the {MOST} runs of most compute, of {last.sizes['row']}")
            last = last.isel(row=np.argsort(last["compute"].to_numpy())[-MOST:])
        law = np.log(expected(posterior, last, fitted))
        missed = np.log(last["loss"].to_numpy())[:, None] - law
        scale = np.broadcast_to(predict(posterior, last, fitted).scale, law.shape)
        variance = (scale**2).mean(axis=1)
        weight = (NU + 1) / (NU + np.median(missed, axis=1) ** 2 / variance)
        place = np.log([last["params"].to_numpy(), last["tokens"].to_numpy()]).T
        found = cls(place, last["language"].to_numpy().astype(str), missed, variance / weight, notes)
        if not found.free.size:
            raise InputError(
                f"{len(place)} runs are too few to tell errors of the law from its parameters, which are as many; add "
                f"runs, or decide without the law's error"
            )
        return found

    @cached_property
    def free(self) -> Floats:
        """Directions of what runs may miss by, ``(run, direction)``, that the law's parameters cannot take up."""
        varying, spread, _ = svd(self.missed - self.missed.mean(axis=1, keepdims=True), full_matrices=False)
        taken = varying[:, spread > TAKEN_UP * spread[0]]
        return np.asarray(null_space(taken.T) if taken.size else np.eye(len(varying)))

    @cached_property
    def probability(self) -> dict[tuple[str, float, float, float], float]:
        """Of kind, length, size and share of the noise: those that are not out of the question."""
        middle, rest = np.median(self.missed, axis=1), self.free
        noise = rest.T @ (self.variance[:, None] * rest)
        log_likelihood = {}
        for kind, length in product(KINDS, LENGTHS):
            values, vectors = eigh(rest.T @ self._kernel(kind, length) @ rest, noise)
            square = (vectors.T @ (rest.T @ middle)) ** 2
            for size, share in product(SIZES.tolist(), NOISES):
                total = size**2 * np.maximum(values, 0) + share**2
                log_likelihood[kind, length, size, share] = -0.5 * float((square / total + np.log(total)).sum())
        whole = logsumexp(list(log_likelihood.values()))
        found = {each: float(np.exp(value - whole)) for each, value in log_likelihood.items()}
        kept = {each: value for each, value in found.items() if value > 1e-3 * max(found.values())}
        return {each: value / sum(kept.values()) for each, value in kept.items()}

    @cached_property
    def typical(self) -> float:
        """How wrong the law is at the runs whatever its parameters: root mean square of the errors to expect there."""
        middle, square = np.median(self.missed, axis=1), 0.0
        for (kind, length, size, share), value in self.probability.items():
            covariance = size**2 * self._kernel(kind, length)
            noisy = covariance + np.diag(share**2 * self.variance)
            error = self.free.T @ (covariance @ np.linalg.solve(noisy, middle))
            square += value * float(error @ error) / len(middle)
        return float(np.sqrt(square))

    def errors(self, language: NDArray[np.str_], place: Floats, rng: np.random.Generator) -> Floats:
        """Errors of log loss ``(place, draw)``, one a draw, of languages ``(place,)`` at `place` ``(place, 2)``."""
        draws = self.missed.shape[1]
        errors = np.empty((len(place), draws))
        settings = list(self.probability)
        chosen = rng.choice(len(settings), draws, p=list(self.probability.values()))
        for number, (kind, length, size, share) in enumerate(settings):
            if not len(at := np.flatnonzero(chosen == number)):
                continue
            known = cho_factor(size**2 * self._kernel(kind, length) + np.diag(share**2 * self.variance))
            across = size**2 * _correlation(kind, length, (language, place), (self.language, self.place))
            left = size**2 * _correlation(kind, length, (language, place), (language, place))
            values, vectors = np.linalg.eigh(left - across @ cho_solve(known, across.T))
            luck = rng.standard_normal((len(place), len(at)))
            errors[:, at] = across @ cho_solve(known, self.missed[:, at])
            errors[:, at] += vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * luck)
        return errors

    def _kernel(self, kind: str, length: float) -> Floats:
        """Covariance of errors of size 1 between the runs."""
        runs = self.language, self.place
        return _correlation(kind, length, runs, runs) + JITTER * np.eye(len(self.place))


def _correlation(
    kind: str, length: float, left: tuple[NDArray[np.str_], Floats], right: tuple[NDArray[np.str_], Floats]
) -> Floats:
    """Of errors between languages at places: ``(left, right)``."""
    smooth = np.exp(-0.5 * cdist(left[1], right[1], "sqeuclidean") / length**2)
    return smooth * ((left[0][:, None] == right[0]) | (kind == "common"))


def with_misfit(decision: Optimum, misfit: Misfit, seed: int = 0) -> Optimum:
    """The optimum of a law that is wrong as `misfit` says: draws of size, data and loss with errors of the law.

    The loss is looked at along the budget line, as far as `REACH` e-folds of tokens from the median optimum and no
    farther than limits let.

    Raises:
        InputError: `misfit` is of another posterior.
    """
    asked, compute = decision.training, decision.compute
    if misfit.missed.shape[1] != asked.outlook.draws:
        raise InputError(
            f"the error of the law was learned with {misfit.missed.shape[1]} draws, and "
            f"{asked.outlook.posterior.name} has {asked.outlook.draws}; learn it with the posterior that decides"
        )
    reach = np.median(np.log(decision.tokens)) + np.linspace(-REACH, REACH, STEPS)
    line = np.unique(np.log(np.asarray(asked.within_limits(np.exp(reach), compute))))
    tokens = np.exp(line)[:, None]
    params = asked.size(tokens, compute)
    by_source, losses = asked.divided(tokens), asked.losses(params, tokens)
    weights = asked.outlook.weights
    place = np.concatenate([np.log(np.hstack([params, by_source[source_of(name)]])) for name in weights])
    errors = misfit.errors(np.repeat(list(weights), len(line)), place, np.random.default_rng(seed))
    each = zip(weights.items(), np.split(errors, len(weights)), strict=True)
    loss = np.asarray(sum(weight * losses[name] * np.exp(error) for (name, weight), error in each))
    best = _least(line, loss)
    chosen = np.exp(best)
    return replace(
        decision,
        params=asked.size(chosen, compute),
        tokens=chosen,
        loss=loss.min(axis=0),
        epochs=asked.epochs(chosen),
        notes=[*decision.notes, *misfit.notes, *_notes(decision, misfit, best, reach)],
    )


def _notes(decision: Optimum, misfit: Misfit, best: Floats, reach: Floats) -> list[str]:
    notes = [f"the law is wrong by about {misfit.typical:.2%} where runs are"]
    if decision.compute > BEYOND * decision.training.outlook.posterior.info.runs.ranges["compute"][1]:
        notes.append("beyond the runs its intervals hold if the law errs there by as much as where runs are")
    if at_end := float(((best <= reach[0]) | (best >= reach[-1])).mean()):
        ends = np.exp(reach[[0, -1]])
        notes.append(
            f"with errors of the law, {at_end:.1%} of the draws are best at an end of what was looked at "
            f"({ends[0]:.3g} to {ends[1]:.3g} tokens)"
        )
    return notes


def _least(line: Floats, loss: Floats) -> Floats:
    """Where each column of `loss` is least: a parabola through the least value and its neighbours, ``(draw,)``."""
    at = loss.argmin(axis=0)
    if len(line) < 3:
        return line[at]
    middle = np.clip(at, 1, len(line) - 2)
    left, here, right = (np.take_along_axis(loss, (middle + by)[None], axis=0)[0] for by in (-1, 0, 1))
    steps = (line[middle] - line[middle - 1], line[middle + 1] - line[middle])
    slopes = (here - left) / steps[0], (right - here) / steps[1]
    curvature = (slopes[1] - slopes[0]) / (steps[0] + steps[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = -(slopes[0] * steps[1] + slopes[1] * steps[0]) / (steps[0] + steps[1]) / (2 * curvature)
    inside = (at == middle) & (curvature > 0)
    return np.asarray(np.where(inside, line[middle] + np.clip(shift, -steps[0], steps[1]), line[at]))
