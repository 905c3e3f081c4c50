"""How wrong a law may be within the range of its runs, and what that does to a decision.

The interval of an optimum holds if the law does. Runs tell how well it does where they lie: what they miss the law by
is noise, which differs from run to run, and error of the law, which runs of like size and tokens share. `Misfit` takes
that error for a Gaussian process over log params and log tokens. Its size and smoothness, and how much of what the fit
took for noise is noise, have the probabilities that the runs give them; what the law's own parameters could have taken
up is left out of these (restricted likelihood). Given the runs, each draw of the posterior is then moved to what it
would be had the fit known that the law errs, a draw of the error is added, and the optimum sought anew (`with_misfit`).

Far from all runs errors are as large as the process is, which with errors that change slowly is far more than where
runs are. How wrong a law is beyond its largest runs is not for it to say: see
`bayes_atlas.validation.law_error_beyond`. Mixtures differ in more than a language's own tokens; how wrong the law is
about the rest counts as noise.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, null_space, svd
from scipy.spatial.distance import cdist

from bayes_atlas.arrays import Floats
from bayes_atlas.data.names import source_of
from bayes_atlas.data.outliers import NU
from bayes_atlas.data.runs import last_rows
from bayes_atlas.data.size_groups import SAME_SIZE
from bayes_atlas.decisions.optimum import BEYOND, Optimum
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.law_error_beyond import LOG_ERRORS, PRIOR
from bayes_atlas.validation.predict import expected, noise_scale
from bayes_atlas.validation.rows import from_scratch

SHARED = (0.0, 0.5, 0.9)  # parts of the errors' variance that all languages share
LENGTHS = (0.5, 1.0, 2.0, 4.0)  # in e-folds of params and tokens, over which an error changes
SIZES = np.exp(LOG_ERRORS[::2])  # relative errors that are told apart, as probable beforehand as those beyond the runs
NOISES = (0.25, 0.35, 0.5, 0.7, 1.0)  # of the noise that the fit found, which took errors of the law for noise
UNLIKELY = 0.01  # of the most probable of these: what is less so is left out
MOST = 600  # runs from which it is learned
VARIES = 0.01  # of the noise: directions that the posterior's draws of the law vary less in are known
REACH = 2.5  # e-folds of tokens around the law's optimum where the loss is looked at
STEPS = 101  # at how many places
JITTER = 1e-8
LEAST = 1e-3  # precision of what a prior knows of a direction, in units of the runs' own


class Setting(NamedTuple):
    """A Gaussian process of errors, and how much of the noise that the fit found is noise."""

    shared: float
    length: float
    size: float
    noise: float


@dataclass(frozen=True)
class Misfit:
    """The error of a posterior's law as some runs show it."""

    posterior: Posterior
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
                tokens counted in another way than for the fit; no more runs than parameters.
        """
        fitted, notes = _fitted(posterior, runs)
        last = fitted.isel(row=np.unique(last_rows(fitted)))
        if (count := last.sizes["row"]) > MOST:
            notes.append(f"the law's error is learned from {MOST} of {count} runs, of all languages and sizes")
            order = np.lexsort([last[name].to_numpy() for name in ("tokens", "params", "language")])
            last = last.isel(row=np.sort(order[np.linspace(0, count - 1, MOST).round().astype(int)]))
        if (last["source_tokens"].sum("source") > last["tokens"] * (1 + SAME_SIZE)).any():
            notes.append("what mixtures do beside a language's own tokens counts as noise in the law's error")
        missed = np.log(last["loss"].to_numpy())[:, None] - np.log(expected(posterior, last, fitted))
        variance = (noise_scale(posterior, last, fitted) ** 2).mean(axis=1)
        if "size_effect_scale" in posterior.draws["posterior"]:
            variance = variance + (posterior.drawn("size_effect_scale")["size_effect_scale"] ** 2).mean()
        weight = (NU + 1) / (NU + np.median(missed, axis=1) ** 2 / variance)
        place = np.log([last["params"].to_numpy(), last["tokens"].to_numpy()]).T
        found = cls(posterior, place, last["language"].to_numpy().astype(str), missed, variance / weight, notes)
        if not found.untaken.size:
            raise InputError(
                f"{len(place)} runs are too few to tell errors of the law from its parameters, which are as many; add "
                f"runs, or decide without the law's error"
            )
        return found

    @cached_property
    def taken(self) -> Floats:
        """Directions of what runs miss by that the law's parameters can take up, ``(run, direction)``.

        Orthonormal where each run is in units of its noise; directions that the draws hardly vary in are left out.
        """
        directions, spread, _ = svd(self._away, full_matrices=False)
        return np.asarray(directions[:, spread > VARIES * np.sqrt(self.missed.shape[1])])

    @cached_property
    def untaken(self) -> Floats:
        """The directions that are orthogonal to `taken`, ``(run, direction)``."""
        return np.asarray(null_space(self.taken.T) if self.taken.size else np.eye(len(self.taken)))

    @cached_property
    def probability(self) -> dict[Setting, float]:
        """Of settings: those that are not out of the question."""
        noise, rest = np.sqrt(self.variance), self.untaken
        missed = rest.T @ self._middle
        parts = SHARED if len(np.unique(self.language)) > 1 else SHARED[:1]
        log_likelihood = {}
        for shared, length in product(parts, LENGTHS):
            kernel = self._kernel(shared, length) / noise / noise[:, None]
            values, vectors = np.linalg.eigh(rest.T @ kernel @ rest)
            square = (vectors.T @ missed) ** 2
            for (size, prior), noise_part in product(zip(SIZES.tolist(), PRIOR[0, ::2].tolist(), strict=True), NOISES):
                total = size**2 * np.maximum(values, 0) + noise_part**2
                logs = prior - 0.5 * float((square / total + np.log(total)).sum())
                log_likelihood[Setting(shared, length, size, noise_part)] = logs
        highest = max(log_likelihood.values())
        found = {each: float(np.exp(value - highest)) for each, value in log_likelihood.items()}
        kept = {each: value for each, value in found.items() if value > UNLIKELY}
        return {each: value / sum(kept.values()) for each, value in kept.items()}

    @property
    def size(self) -> float:
        """Root mean square of the errors where no runs are, relative to the loss."""
        return float(np.sqrt(sum(each.size**2 * value for each, value in self.probability.items())))

    @cached_property
    def typical(self) -> float:
        """Root mean square of the errors at the runs whatever the law's parameters, relative to the loss."""
        noise = np.sqrt(self.variance)
        project = noise[:, None] * (self.untaken @ self.untaken.T) / noise
        middle, square = noise * self._middle, 0.0
        for each, value in self.probability.items():
            covariance = each.size**2 * self._kernel(each.shared, each.length)
            gain = np.linalg.solve(covariance + np.diag(self._noise(each)), covariance).T
            error, left = project @ (gain @ middle), covariance - gain @ covariance
            square += value * float(error @ error + np.trace(project @ left @ project.T)) / len(middle)
        return float(np.sqrt(square))

    def corrected(
        self, language: NDArray[np.str_], place: Floats, law: Floats, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """What the law is and what it errs by, given the runs and that it errs, for every draw.

        A law that may err is less sure of its parameters, and has others where it was fitted to its own errors:
        draws of the law are moved to what generalised least squares make of them, as far as the law is linear in what
        they differ by (universal kriging, with what the prior knew of the parameters).

        Args:
            language: ``(place,)``.
            place: ``(place, 2)`` log params and log tokens of that language.
            law: ``(place, draw)`` draws of log loss by the law.
            rng: of the errors.

        Returns:
            Log loss of the law and its error, ``(place, draw)`` each.
        """
        law, errors = law.copy(), np.empty_like(law)
        draws, settings = law.shape[1], list(self.probability)
        chosen = rng.choice(len(settings), draws, p=list(self.probability.values()))
        varies = self.taken.T @ self._away  # (direction, draw)
        spread = varies.std(axis=1, keepdims=True)
        follows = (law - law.mean(axis=1, keepdims=True)) @ (varies / spread**2).T / draws  # (place, direction)
        for number, each in enumerate(settings):
            if not len(at := np.flatnonzero(chosen == number)):
                continue
            known = cho_factor(each.size**2 * self._kernel(each.shared, each.length) + np.diag(self._noise(each)))
            moved = self._refitted(known, varies[:, at], spread) - varies[:, at]
            law[:, at] += follows @ moved
            missed = self.missed[:, at] + np.sqrt(self.variance)[:, None] * (self.taken @ moved)
            here, runs = (language, place), (self.language, self.place)
            across = each.size**2 * _correlation(each.shared, each.length, here, runs)
            left = each.size**2 * _correlation(each.shared, each.length, here, here)
            values, vectors = np.linalg.eigh(left - across @ cho_solve(known, across.T))
            luck = rng.standard_normal((len(place), len(at)))
            errors[:, at] = across @ cho_solve(known, missed)
            errors[:, at] += vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * luck)
        return law, errors

    def _refitted(self, known: tuple[Floats, Any], varies: Floats, spread: Floats) -> Floats:
        """Where draws ``(direction, draw)`` of what the law takes up are, if its errors have a covariance."""
        noise = np.sqrt(self.variance)
        solved = noise[:, None] * cho_solve(known, noise[:, None] * self.taken)
        prior = np.diag(np.maximum(1 / spread[:, 0] ** 2 - 1, LEAST))  # beside the runs, whose own precision is 1
        precision = prior + self.taken.T @ solved
        centre = np.linalg.solve(precision, (self.taken - solved).T @ self._middle)
        root = np.linalg.cholesky(precision)
        return np.asarray(centre[:, None] + np.linalg.solve(root.T, varies / spread))

    @cached_property
    def _middle(self) -> Floats:
        """What runs miss by in the mean of the draws, in units of their noise, ``(run,)``."""
        return np.asarray(self.missed.mean(axis=1) / np.sqrt(self.variance))

    @cached_property
    def _away(self) -> Floats:
        """How far each draw is from that, ``(run, draw)``."""
        return self.missed / np.sqrt(self.variance)[:, None] - self._middle[:, None]

    def _noise(self, setting: Setting) -> Floats:
        return setting.noise**2 * self.variance

    def _kernel(self, shared: float, length: float) -> Floats:
        """Covariance of errors of size 1 between the runs."""
        runs = self.language, self.place
        return _correlation(shared, length, runs, runs) + JITTER * np.eye(len(self.place))


def _correlation(
    shared: float, length: float, left: tuple[NDArray[np.str_], Floats], right: tuple[NDArray[np.str_], Floats]
) -> Floats:
    """Of errors between languages at places: ``(left, right)``."""
    smooth = np.exp(-0.5 * cdist(left[1], right[1], "sqeuclidean") / length**2)
    return smooth * np.where(left[0][:, None] == right[0], 1.0, shared)


def _fitted(posterior: Posterior, runs: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """The rows that a fit took, and notes of what it did not or of what is not the same."""
    left_out: dict[str, int] = {}
    given, runs = runs, from_scratch(runs, left_out)
    known = np.isin(runs["language"].to_numpy().astype(str), posterior.info.languages)
    if not known.any():
        raise InputError(
            f"no run of {runs.attrs['name']} is of a language that {posterior.name} knows "
            f"({', '.join(posterior.info.languages)}); give the run table that was fitted and, if it was fitted by "
            f"labels, group it the same way (--by)"
        )
    if not known.all():
        left_out["are of other languages"] = int((~known).sum())
    fitted = runs.isel(row=known)
    notes = [f"{rows} rows {reason} and say nothing of the law's error" for reason, rows in left_out.items()]
    if given.attrs["sha256"] != posterior.info.runs.sha256:
        notes.append(f"{given.attrs['name']} is not the run table that {posterior.name} was fitted to")
    elif (most := float(fitted["tokens"].max())) < (1 - SAME_SIZE) * posterior.info.runs.ranges["tokens"][1]:
        raise InputError(
            f"{given.attrs['name']} has up to {most:.3g} tokens of a language in a run, and {posterior.name} was "
            f"fitted to up to {posterior.info.runs.ranges['tokens'][1]:.3g}; decide without the law's error if all "
            f"tokens were counted as a language's own (--all-tokens)"
        )
    return fitted, notes


def with_misfit(decision: Optimum, misfit: Misfit, seed: int = 0) -> Optimum:
    """The optimum of a law that is wrong as `misfit` says: draws of size, data and loss with errors of the law.

    The loss is looked at along the budget line, as far as `REACH` e-folds of tokens from the median optimum and no
    farther than limits let.

    Raises:
        InputError: `misfit` is of another posterior.
    """
    asked, compute = decision.problem, decision.compute
    posterior, learned = asked.objective.posterior, misfit.posterior
    if (posterior.info, asked.objective.count) != (learned.info, misfit.missed.shape[1]):
        raise InputError(
            f"the error of the law is that of {learned.name} ({misfit.missed.shape[1]} draws), and "
            f"{posterior.name} ({asked.objective.count} draws) decides; learn it with the posterior that decides"
        )
    reach = np.median(np.log(decision.tokens)) + np.linspace(-REACH, REACH, STEPS)
    line = np.unique(np.log(np.asarray(asked.within_limits(np.exp(reach), compute))))
    tokens = np.exp(line)[:, None]
    params = asked.size(tokens, compute)
    by_source, losses = asked.divided(tokens), asked.losses(params, tokens)
    weights = asked.objective.weights
    place = np.concatenate([np.log(np.hstack([params, by_source[source_of(name)]])) for name in weights])
    of_law = np.log(np.concatenate([losses[name] for name in weights]))
    languages, rng = np.repeat(list(weights), len(line)), np.random.default_rng(seed)
    each = np.split(np.exp(sum(misfit.corrected(languages, place, of_law, rng))), len(weights))
    loss = np.asarray(sum(weight * own for weight, own in zip(weights.values(), each, strict=True)))
    best = _least(line, loss)
    chosen = np.exp(best)
    return replace(
        decision,
        params=asked.size(chosen, compute),
        tokens=chosen,
        loss=loss.min(axis=0),
        epochs=asked.epochs(chosen),
        corrected=True,
        with_law_error=None,
        notes=[*decision.notes, *misfit.notes, *_notes(decision, misfit, best, reach)],
    )


def add_law_error(decision: Optimum, misfit: Misfit, seed: int = 0) -> Optimum:
    """`decision`, with the optimum of `with_misfit` beside it and its notes.

    Raises:
        InputError: of `with_misfit`.
    """
    wider = with_misfit(decision, misfit, seed)
    return replace(decision, with_law_error=wider, notes=[*wider.notes, "the plans to act on take the law to hold"])


def _notes(decision: Optimum, misfit: Misfit, best: Floats, reach: Floats) -> list[str]:
    notes = [f"the law is wrong by about {misfit.typical:.2%} where runs are"]
    if decision.compute > BEYOND * decision.problem.objective.posterior.info.runs.ranges["compute"][1]:
        notes.append(f"beyond the runs errors of about {misfit.size:.1%} are taken to be possible")
    if at_end := float(((best <= reach[0]) | (best >= reach[-1])).mean()):
        ends = np.exp(reach[[0, -1]])
        notes.append(
            f"with errors of the law, {at_end:.2%} of the draws are best at an end of what was looked at "
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
