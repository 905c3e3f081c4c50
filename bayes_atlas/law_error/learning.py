"""What the runs of one language say about the errors of its law.

The law with its errors is fitted anew, by penalised least squares with the Student-t noise of the fit, once for each
size `KAPPAS` of the walks. Each fit gives a mode, a covariance and the evidence for that size (Laplace). The prior of
the law's parameters is that of the model; where languages were fitted together, what they lent each other counts as
prior information too. The noise may be smaller than the fit found, as the fit took errors of the law for noise.

From the mode and the covariance follows an affine map that carries draws of the law alone to draws of the law with its
errors (`Learned.transport`), so that what is known of the posterior's shape is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from bayes_atlas.arrays import Floats, Integers
from bayes_atlas.data.outliers import NU
from bayes_atlas.law_error.coordinates import Coordinates
from bayes_atlas.law_error.walks import STEP, Walk, knot
from bayes_atlas.law_error.wrong_law import Bend

KAPPAS = np.array([0.01, 0.05, 0.1, 0.16, 0.25, 0.4, 0.64, 1.0])  # sd of a walk per square root of an e-fold
MIDDLING = 0.25  # size where the search begins
PLAUSIBLE = 12.0  # log evidence below the largest, beyond which a size does not count
LENT = 0.15  # least share of the posterior's information that other languages must have lent to count

DRIFT = 0.07  # prior sd of the slope of log q in log size; chosen in view of public tables (benchmarks/README.md)
ALIKE = 0.1  # standard deviation of log q between languages of one table
EFFECTS = 5  # rounds of fitting size effects robustly
ROUNDS = 8  # of moving what languages lent
FURTHEST = 1.0  # largest movement of a round, in logs or logits
SETTLED = 0.01  # largest further movement that ends this
ITERATIONS = 60
DIFFERENCE = 1e-6  # step of numerical derivatives
CONVERGED = 1e-4  # gain of log density that ends a fit
STUCK = 1e8  # damping that ends a search
SCALES = (0.2, 2.0)  # least and largest factor on the noise and on the size effects of the fit
KNOWN = 5.0  # rows, or sizes, that the scales of the fit count for


@dataclass(frozen=True)
class Rows:
    """The rows of one language, curve by curve and in order of tokens within each."""

    covariates: dict[str, Any]  # in units of the parameters, ``(row, 1[, source])`` or None
    log_loss: Floats  # (row,)
    scale: Floats  # (row,) noise of log loss
    curve: Integers  # (row,) counted from 0
    persistence: Floats  # (row,) correlation with the row before; 0 for the first of a curve
    size: Integers  # (row,) group that shares a size effect, counted from 0
    size_effect: float  # its standard deviation; 0 if there is none

    @cached_property
    def counts(self) -> Floats:
        """``(curve,)`` the number of rows."""
        return np.bincount(self.curve).astype(float)

    def white(self, columns: Floats) -> Floats:
        """Return ``(row, column)`` in units of the noise, without the correlation within curves."""
        scaled = columns / self.scale[:, None]
        before = np.vstack([np.zeros((1, columns.shape[1])), scaled[:-1]])
        persistence = self.persistence[:, None]
        return np.asarray((scaled - persistence * before) / np.sqrt(1 - persistence**2))

    def squares(self, white: Floats) -> Floats:
        """Return the squared length of each curve's residuals, ``(curve,)``."""
        return np.bincount(self.curve, white**2)


class Axis(NamedTuple):
    """The knots of one exponent's walk."""

    first: int
    origin: int
    last: int

    @property
    def steps(self) -> int:
        """The number of increments."""
        return self.last - self.first


@dataclass(frozen=True)
class Learned:
    """What one language shows, given one `kappa`."""

    log_evidence: float
    noise: float  # factor on the noise of the fit
    size_effect: float  # factor on the size effects of the fit
    centre: Floats  # (coordinate,) mode of the law's parameters
    transport: Floats  # (coordinate, coordinate) carries deviations of the law alone to those with its errors
    mean: Floats  # (bend,) of log q and the increments of all walks
    slope: Floats  # (bend, coordinate) on deviations from `centre`
    root: Floats  # (bend, bend) square root of the remaining covariance
    log_q_sd: float  # posterior standard deviation of log q
    covariance: Floats  # (coordinate, coordinate) of the law's parameters
    decrement: float  # squared length of the Newton step that is left, in posterior sds; near 0 at a mode


class _Known(NamedTuple):
    """What is known of the law's parameters before a language's own runs."""

    precision: Floats  # (coordinate, coordinate) of the model's prior
    pull: Floats  # (coordinate,) this times its mean
    lent: Floats  # (coordinate, coordinate) precision that other languages lent
    of_lent: Floats  # (coordinate,) this times its mean


class Company(NamedTuple):
    """What the other languages of a table say about one."""

    moved: Floats  # (coordinate,) how far errors of the law have moved the parameters that it borrows from
    log_q: tuple[float, float]  # mean and sd of log q


def learn_together(languages: Sequence["Language"], kappas: Floats) -> list[list[Learned]]:
    """Fit the laws of languages that were fitted together, for each of `kappas`; by language.

    What languages lent each other moves with them, as far as makes all of them together most probable. Their log q vary
    little around one value for the table, about which each learns from the others.

    The search begins at a middling size and goes on to larger and to smaller ones, as long as these are plausible; the
    others count as the last. Each size starts from the modes for the one before, and once more from those for the one
    after. The more probable of the two counts.
    """
    ordered = np.sort(kappas)
    middle = int(np.abs(np.log(ordered / MIDDLING)).argmin())
    first = _together(languages, ordered[middle], [None] * len(languages))
    above = _along(languages, ordered[middle + 1 :], first)
    below = _along(languages, ordered[:middle][::-1], first)
    for each in (*above[:1], *below[:1]):
        first = _again(languages, ordered[middle], first, each)
    rounds = [*reversed(below), first, *above]
    return [[each.fits[row][0] for each in rounds] for row in range(len(languages))]


class _Round(NamedTuple):
    """Fits of all languages for one size, with what each knew from the others."""

    fits: list[tuple[Learned, Floats]]
    companies: list[Company]

    @property
    def log_evidence(self) -> float:
        """Of all languages."""
        return sum(learned.log_evidence for learned, _ in self.fits)

    @property
    def states(self) -> list[Floats]:
        """The modes."""
        return [state for _, state in self.fits]


def _along(languages: Sequence["Language"], kappas: Floats, first: _Round) -> list[_Round]:
    """Fit all languages for each of `kappas` in turn, next to those of the size before them."""
    found = [first]
    for kappa in kappas:
        if found[-1].log_evidence < max(each.log_evidence for each in found) - PLAUSIBLE:
            break
        found.append(_together(languages, kappa, found[-1].states))
    for number in range(len(found) - 2, 0, -1):
        found[number] = _again(languages, kappas[number - 1], found[number], found[number + 1])
    return [*found[1:], *[found[-1]] * (len(kappas) + 1 - len(found))]


def _again(languages: Sequence["Language"], kappa: float, known: _Round, start: _Round) -> _Round:
    """Fit all languages once more from other modes, and keep what is more probable."""
    fits = []
    for language, company, fit, state in zip(languages, known.companies, known.fits, start.states, strict=True):
        fits.append(max(fit, language.learn(kappa, state, company), key=lambda each: each[0].log_evidence))
    return known._replace(fits=fits)


def _together(languages: Sequence["Language"], kappa: float, states: Sequence[Floats | None]) -> _Round:
    """Fit all languages for one size, and move what they lent each other to where the evidence is largest."""
    best: _Round | None = None
    moved = step = np.zeros(len(languages[0].middle))
    log_q = [each.log_q for each in languages]
    for _ in range(ROUNDS):
        companies = [Company(moved + step, each) for each in log_q]
        asked = zip(languages, states, companies, strict=True)
        fits = [language.learn(kappa, state, company) for language, state, company in asked]
        learned, now = [each for each, _ in fits], _Round(fits, companies)
        if best is not None and now.log_evidence < best.log_evidence:
            step = step / 2
            if np.abs(step).max() < SETTLED:
                break
            continue
        best, moved, states = now, moved + step, now.states
        step = _further(learned, languages, moved)
        last, log_q = log_q, _log_q(learned, log_q, languages[0].log_q)
        if max(np.abs(step).max(), np.abs(np.subtract(log_q, last)).max()) < SETTLED:
            break
    assert best is not None
    return best


def _log_q(
    fits: Sequence[Learned], before: Sequence[tuple[float, float]], of_table: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return what each language knows about its log q from all others, mean and sd.

    Args:
        fits: what was learned of each language with the knowledge `before`.
        before: mean and sd, by language.
        of_table: mean and sd for a table of one language.
    """
    if len(fits) == 1:
        return [of_table]
    knew, sd = np.array(before).T
    found = np.array([each.mean[0] for each in fits]), np.array([each.log_q_sd for each in fits])
    told = np.maximum(found[1] ** -2.0 - sd**-2.0, 1e-6)  # precision of what a language's own runs say
    estimate = (found[0] * found[1] ** -2.0 - knew * sd**-2.0) / told
    weight = 1 / (1 / told + ALIKE**2)
    first = max(of_table[1] ** 2 - ALIKE**2, ALIKE**2)
    precision = 1 / first + weight.sum() - weight
    mean = (of_table[0] / first + (weight * estimate).sum() - weight * estimate) / precision
    return list(zip(mean.tolist(), np.sqrt(1 / precision + ALIKE**2).tolist(), strict=True))


def _further(fits: Sequence[Learned], languages: Sequence["Language"], moved: Floats) -> Floats:
    """Return how much farther to move what languages lent: the Newton step of their joint density."""
    pull, stiffness = np.zeros(len(moved)), np.zeros((len(moved),) * 2)
    for learned, language in zip(fits, languages, strict=True):
        lent = language.lent
        pull += lent @ (learned.centre - language.middle - moved)
        stiffness += lent - lent @ learned.covariance @ lent
    if not stiffness.any():
        return np.zeros(len(moved))
    scale = 1 / np.sqrt(np.maximum(np.diag(stiffness), 1e-12 * np.abs(stiffness).max()))
    step = np.linalg.lstsq(stiffness * scale * scale[:, None], pull * scale, rcond=1e-6)[0] * scale
    return np.asarray(step * min(1.0, FURTHEST / max(np.abs(step).max(), FURTHEST)))


@dataclass(frozen=True)
class Language:
    """One language: its rows, and draws of its parameters under the law alone."""

    law: ModuleType
    rows: Rows
    drawn: Mapping[str, Floats]
    prior: Mapping[str, Floats]  # draws from the prior of the same parameters; may be empty
    coordinates: Coordinates  # the layout of the law's parameters, the same for all languages of a table
    log_units: dict[str, float]  # of the exponents' axes
    log_q: tuple[float, float]  # prior mean and sd
    borrows: bool = False  # whether it was fitted together with other languages

    @cached_property
    def vectors(self) -> Floats:
        """``(draw, coordinate)`` of the law alone."""
        return self.coordinates.pack(self.drawn)

    @cached_property
    def middle(self) -> Floats:
        """``(coordinate,)`` mean of the law alone."""
        return self.vectors.mean(axis=0)

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """The knots among the runs, by exponent."""
        mean = self.coordinates.unpack(self.middle[None])
        reached = self.law.axes(**self.rows.covariates, **mean)
        found = {}
        for name in self.law.RUNNING:
            logs = np.broadcast_to(np.log(reached[name])[..., 0], self.rows.log_loss.shape) + self.log_units[name]
            ends = int(np.floor(logs.min() / STEP)), int(np.ceil(logs.max() / STEP))
            found[name] = Axis(ends[0], knot(float(logs.mean())), max(ends[1], ends[0] + 1))
        return found

    @cached_property
    def contraction(self) -> Floats:
        """``(coordinate,)`` share of the prior variance that the runs take away; 1 where the prior is not known."""
        if not self.prior:
            return np.ones(len(self.middle))
        known = np.quantile(self.coordinates.pack(self.prior), [0.16, 0.84], axis=0)
        before = np.maximum((known[1] - known[0]) / 2, 1e-6) ** 2
        return np.asarray(1 - np.diag(self._spread) / before)

    @cached_property
    def _spread(self) -> Floats:
        """Covariance of the law alone."""
        spread = np.atleast_2d(np.cov(self.vectors.T))
        return np.asarray(spread + 1e-10 * np.eye(len(spread)))

    def learn(
        self, kappa: float, start: Floats | None = None, company: Company | None = None
    ) -> tuple[Learned, Floats]:
        """Fit the law with its errors for one size of the walks.

        Args:
            kappa: the size.
            start: the state to start from, as returned for another size.
            company: what the other languages say; by default what is known before the runs.

        Returns:
            What was learned, and the state at the mode.
        """
        return self._fit(kappa, start, company or Company(np.zeros(len(self.middle)), self.log_q))

    def _expected(self, states: Floats) -> Floats:
        """Return expected log loss ``(row, state)`` of states (parameters, log q, increments)."""
        count = len(self.middle)
        drawn = self.coordinates.unpack(states[:, :count])
        walks, start = {}, count + 2
        for name, axis in self.axes.items():
            walks[name] = Walk(axis.first, axis.origin, states[:, start : start + axis.steps])
            start += axis.steps
        bend = Bend(walks, states[:, count], states[:, count + 1], self.log_units)
        return np.log(bend.loss(self.law, self.rows.covariates, drawn))

    def _slopes(self, state: Floats) -> Floats:
        """Return slopes of expected log loss, ``(row, coordinate of the state)``."""
        values = self._expected(np.vstack([state + DIFFERENCE * np.eye(len(state)), state]))
        return np.asarray((values[:, :-1] - values[:, -1:]) / DIFFERENCE)

    @cached_property
    def _size_columns(self) -> Floats:
        """``(row, size)`` 1 where a row is of a size; no columns without size effects."""
        if not self.rows.size_effect:
            return np.empty((len(self.rows.size), 0))
        names, index = np.unique(self.rows.size, return_inverse=True)
        return np.eye(len(names))[index]

    def _prior(self, kappa: float, company: Company) -> tuple[Floats, Floats]:
        """Return mean and precision of the whole state, with size effects last."""
        mean, precision = self._prior_of_law(company.moved)
        steps = sum(axis.steps for axis in self.axes.values())
        sizes = self._size_columns.shape[1]
        of_sizes = 1 / (self.rows.size_effect or 1.0) ** 2
        rest = [1 / company.log_q[1] ** 2, 1 / DRIFT**2, *[1 / (kappa**2 * STEP)] * steps, *[of_sizes] * sizes]
        whole = np.zeros((len(mean) + len(rest),) * 2)
        whole[: len(mean), : len(mean)] = precision
        np.fill_diagonal(whole[len(mean) :, len(mean) :], rest)
        return np.concatenate([mean, [company.log_q[0]], np.zeros(1 + steps + sizes)]), whole

    @property
    def lent(self) -> Floats:
        """``(coordinate, coordinate)`` precision that other languages lent."""
        return self._known.lent

    def _prior_of_law(self, moved: Floats) -> tuple[Floats, Floats]:
        """Return mean and precision of the law's parameters, before the language's own runs."""
        known = self._known
        whole = known.precision + known.lent
        whole = (whole + whole.T) / 2 + 1e-8 * np.eye(len(whole))
        pull = known.pull + known.of_lent + known.lent @ moved + 1e-8 * self.middle
        return np.linalg.solve(whole, pull), whole

    @cached_property
    def _known(self) -> "_Known":
        """What is known of the law's parameters before the language's own runs.

        The language's own runs are taken out again of what the fit of all languages says about it: what is left of its
        information is what others lent, and lent is centred where both together give the fit's mean.
        """
        size = len(self.middle)
        precision, pull = np.zeros((size, size)), np.zeros(size)
        if self.prior:
            drawn = self.coordinates.pack(self.prior)
            ends = np.quantile(drawn, [0.16, 0.5, 0.84], axis=0)
            spread = np.maximum((ends[2] - ends[0]) / 2, 1e-6)
            likeness = np.atleast_2d(np.corrcoef(drawn.T)) + 1e-6 * np.eye(size)
            precision = np.linalg.inv(likeness * spread * spread[:, None])
            pull = precision @ ends[1]
        if self.prior and not self.borrows:
            return _Known(precision, pull, np.zeros((size, size)), np.zeros(size))
        information, gradient = self._own()
        root = _square_root(self._spread)
        values, vectors = np.linalg.eigh(np.eye(size) - root @ (information + precision) @ root)
        back = np.linalg.solve(root, vectors)
        kept = values > LENT
        lent = (back * np.where(kept, values, 0.0)) @ back.T
        without = precision @ self.middle - pull - gradient
        return _Known(precision, pull, lent, lent @ self.middle + (back * kept) @ vectors.T @ root @ without)

    def _own(self) -> tuple[Floats, Floats]:
        """Return the information of the language's own runs at the law alone, and the slope of their log density.

        The information is at its upper end (`_weights` instead of `_certain`), so that nothing counts as lent that is
        not: errors in it are some tenths, as large as a weak loan.
        """
        size, sizes = len(self.middle), self.rows.white(self._size_columns)
        law_alone = np.concatenate([self.middle, np.zeros(2 + sum(axis.steps for axis in self.axes.values()))])
        white = self.rows.white(self._slopes(law_alone)[:, :size])
        missed = self.rows.white((self.rows.log_loss - self._expected(law_alone[None])[:, 0])[:, None])[:, 0]
        of_sizes = np.eye(sizes.shape[1]) / (self.rows.size_effect or 1.0) ** 2
        residuals = missed
        for _ in range(EFFECTS):
            weighted = sizes.T * self._weights(residuals, 1.0)[self.rows.curve]
            residuals = missed - sizes @ np.linalg.solve(weighted @ sizes + of_sizes, weighted @ missed)
        weight = self._weights(residuals, 1.0)[self.rows.curve]
        gradient = white.T @ (weight * residuals)
        both = sizes.T * weight @ white
        explained = both.T @ np.linalg.solve(sizes.T * weight @ sizes + of_sizes, both)
        return white.T * weight @ white - explained, gradient

    def _weights(self, white: Floats, noise: float) -> Floats:
        """Return the weight of each curve, ``(curve,)``, in units of the noise of the fit."""
        counts = self.rows.counts
        return np.asarray((NU + counts) / (NU + self.rows.squares(white) / noise**2) / noise**2)

    def _certain(self, white: Floats, noise: float) -> Floats:
        """Return the weight of each curve in the information of the runs: that expected, and less for an outlier."""
        counts = self.rows.counts
        return np.minimum(self._weights(white, noise), (NU + counts) / (NU + counts + 2) / noise**2)

    def _fit(self, kappa: float, start: Floats | None, company: Company) -> tuple[Learned, Floats]:
        search = _Search(self, *self._prior(kappa, company), start)
        search.run()
        count, inner = len(self.middle), search.inner
        curvature, gradient = search.shape()
        known = np.linalg.slogdet(search.precision)[1] - np.linalg.slogdet(curvature)[1]
        whole = np.linalg.inv(curvature)
        covariance = whole[:inner, :inner]
        own, across, bends = covariance[:count, :count], covariance[count:, :count], covariance[count:, count:]
        slope = np.linalg.solve(own, across.T).T
        learned = Learned(
            log_evidence=search.log_density() + 0.5 * known,
            noise=search.noise,
            size_effect=search.size_effect,
            centre=search.state[:count],
            transport=_transport(self._spread, own),
            mean=search.state[count:inner],
            slope=slope,
            root=_square_root(bends - slope @ across.T),
            log_q_sd=float(np.sqrt(bends[0, 0])),
            covariance=own,
            decrement=float(gradient @ whole @ gradient),
        )
        return learned, search.state


class _Search:
    """The search for a mode, by damped Gauss-Newton steps; scales of noise and size effects follow (EM)."""

    def __init__(self, language: Language, mean: Floats, precision: Floats, start: Floats | None) -> None:
        self.language, self.rows = language, language.rows
        self.mean, self.precision = mean, precision
        self.columns = self.rows.white(language._size_columns)
        self.sizes = self.columns.shape[1]
        self.inner = len(mean) - self.sizes
        alone = np.concatenate([language.middle, mean[len(language.middle) :]])
        self.state = alone if start is None else start
        self.noise, self.size_effect, self.damping = 1.0, 1.0, 1e-3  # scales are factors on those of the fit
        self.white = self.residuals(self.state)
        self.curvature = precision

    def residuals(self, state: Floats) -> Floats:
        """Return white residuals ``(row,)``."""
        missed = self.rows.log_loss - self.language._expected(state[None, : self.inner])[:, 0]
        return self.rows.white(missed[:, None])[:, 0] - self.columns @ state[self.inner :]

    def log_density(self, white: Floats | None = None, state: Floats | None = None) -> float:
        """Return the log posterior density, up to the norm of the prior; by default here."""
        white, state = (self.white, self.state) if white is None or state is None else (white, state)
        squares, counts = self.rows.squares(white) / self.noise**2, self.rows.counts
        away = state - self.mean
        fit = -float(((NU + counts) / 2 * np.log1p(squares / NU)).sum()) - counts.sum() * np.log(self.noise)
        return fit - 0.5 * float(away @ self.precision @ away)

    def run(self) -> None:
        """Go to the mode."""
        for _ in range(ITERATIONS):
            gain, information = self._step()
            last = self.noise, self.size_effect
            self._rescale(information)
            changed = max(
                abs(np.log(now / then)) for now, then in zip((self.noise, self.size_effect), last, strict=True)
            )
            if self.damping >= STUCK or (gain < CONVERGED and changed < 1e-3):
                break

    def shape(self) -> tuple[Floats, Floats]:
        """Return the curvature of the log posterior density here, and its gradient."""
        slopes, curve = self._slopes(), self.rows.curve
        gradient = slopes.T @ (self.language._weights(self.white, self.noise)[curve] * self.white)
        information = slopes.T * self.language._certain(self.white, self.noise)[curve] @ slopes
        return information + self.precision, gradient - self.precision @ (self.state - self.mean)

    def _slopes(self) -> Floats:
        """Return slopes of white expectations, ``(row, coordinate of the state)``."""
        return np.hstack([self.rows.white(self.language._slopes(self.state[: self.inner])), self.columns])

    def _step(self) -> tuple[float, Floats]:
        """Take one step; return its gain of log density, and the information of the rows."""
        slopes = self._slopes()
        weighted = slopes.T * self.language._weights(self.white, self.noise)[self.rows.curve]
        information = weighted @ slopes
        self.curvature = information + self.precision
        gradient = weighted @ self.white - self.precision @ (self.state - self.mean)
        before, gain = self.log_density(), 0.0
        while self.damping < STUCK:
            damped = self.curvature + self.damping * np.diag(np.diag(self.curvature))
            ahead = self.state + np.linalg.solve(damped, gradient)
            with np.errstate(over="ignore", invalid="ignore"):  # a step may be far too large
                white = self.residuals(ahead)
                gain = self.log_density(white, ahead) - before
            if gain > 0:
                self.state, self.white, self.damping = ahead, white, max(self.damping / 5, 1e-9)
                break
            self.damping *= 5
        return gain, information

    def _rescale(self, information: Floats) -> None:
        """Set the scales of noise and of size effects to what residuals and effects show, beside the fit's."""
        covariance = np.linalg.inv(self.curvature)
        taken, total = float((covariance * information).sum()), float(self.rows.counts.sum())
        weights = self.language._weights(self.white, self.noise) * self.noise**2
        squares = float((weights * self.rows.squares(self.white)).sum())
        self.noise = float(np.clip(np.sqrt((squares + KNOWN) / (max(total - taken, 0.0) + KNOWN)), *SCALES))
        if self.sizes:
            effects = self.state[self.inner :]
            spread = float(effects @ effects + np.diag(covariance)[self.inner :].sum()) / self.rows.size_effect**2
            self.size_effect = float(np.clip(np.sqrt((spread + KNOWN) / (self.sizes + KNOWN)), *SCALES))
            diagonal = np.arange(self.inner, len(self.mean))
            self.precision[diagonal, diagonal] = (self.size_effect * self.rows.size_effect) ** -2.0


def _square_root(matrix: Floats) -> Floats:
    """Return the symmetric square root of a symmetric matrix; negative eigenvalues count as zero."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def _transport(start: Floats, end: Floats) -> Floats:
    """Return the linear map that carries one normal distribution to another with the least movement."""
    scale = np.sqrt(np.diag(start))
    start, end = start / scale / scale[:, None], end / scale / scale[:, None]
    root = _square_root(start)
    inverse = np.linalg.inv(root + 1e-9 * np.eye(len(root)))
    return np.asarray((inverse @ _square_root(root @ end @ root) @ inverse) * scale[:, None] / scale)
