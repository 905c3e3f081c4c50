"""The sampling mixture, size and data with the least expected loss for a budget.

The search runs over the logs of the shares and of the tokens. In these the loss is convex, except for transfer between
languages. The search starts from every baseline and from random mixtures. Its result is never worse than a baseline
that keeps the bounds. Each baseline gets its own best size and data.

Baselines: *uniform*; *proportional* to the unique tokens; *temperature*, proportional to the unique tokens to the power
.3 (Conneau et al. 2020, Xue et al. 2021); *unimax*, as uniform as a maximum number of epochs allows (Chung et al. 2023,
arXiv 2304.09151).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, NonlinearConstraint, brentq, minimize

from bayes_atlas.arrays import Floats
from bayes_atlas.data.names import source_of
from bayes_atlas.data.text import cells, number
from bayes_atlas.decisions.base import BUDGETS, LIMITS, RATIOS, Decision, dataset, in_range
from bayes_atlas.decisions.cost import Cost, Flops, cost
from bayes_atlas.decisions.monte_carlo import mean_errors, numerics, numerics_notes
from bayes_atlas.decisions.objective import EVERY, LEARNED, Draws, Objective, listed, objective
from bayes_atlas.decisions.optimum import objective_notes, posterior_notes
from bayes_atlas.decisions.problem import LOOK, least_between
from bayes_atlas.decisions.shares import check_known, mixed
from bayes_atlas.decisions.summary import Summary, summarise, summarise_all
from bayes_atlas.errors import InputError
from bayes_atlas.laws import TRAINING_FLOPS
from bayes_atlas.posterior import Posterior

if TYPE_CHECKING:
    import xarray as xr

LEAST_SHARE = 1e-6  # replaces a share of 0, which has no logarithm
POWER = 0.3  # of the temperature baseline
UNIMAX_EPOCHS = 4.0  # repeated data are nearly as good as new up to here (Muennighoff et al. 2023)
RANDOM_STARTS = 3
SEARCHED = 200  # evenly spaced draws for all starts; the best end is then refined on all draws
ROUGH, FINE = 1e-8, 1e-12  # relative change of the loss that ends the search, from every start and from the best
RARELY = 0.001  # no probability from draws is stated as smaller
AGREEMENT = 1e-5  # relative; ends with losses this close count as the same mixture
UNITS = {  # of quantities that only mixtures have
    "language_loss": ("expected loss of a language", "unit of the run table's loss"),
    "share": ("share of the training tokens", "1"),
    "baseline_share": ("share of the training tokens in a baseline", "1"),
    "baseline_loss": ("expected loss of a baseline", "unit of the run table's loss"),
    "gain": ("loss that the plan saves over a baseline", "unit of the run table's loss"),
}


class MixtureRequest(TypedDict, total=False):
    """Options of a mixture besides its budget, weights and unique tokens; all optional.

    bounds: least and largest share of a source; by default 0 and 1.
    compare: further mixtures to compare with: name -> source -> share.
    max_epochs: largest number of passes over the unique tokens of a source. One if the law does not include repetition.
    max_params, max_tokens, served, flops: as in `decisions.problem.Request`.
    """

    bounds: Mapping[str, tuple[float, float]] | None
    compare: Mapping[str, Mapping[str, float]] | None
    max_epochs: float | None
    max_params: float | None
    max_tokens: float | None
    served: float | None
    flops: Flops | None


@dataclass(frozen=True)
class Plan:
    """One mixture, with its size and data."""

    shares: dict[str, float]
    params: float
    tokens: float
    loss: Floats  # (draw,) weighted mean over languages
    losses: dict[str, Floats]  # by language, (draw,)


@dataclass(frozen=True, repr=False)
class Mixture(Decision):
    """The plan with the least expected loss, and the baselines."""

    objective: Objective
    cost: Cost
    compute: float  # FLOPs
    plan: Plan
    baselines: dict[str, Plan]
    notes: list[str]

    @property
    def gains(self) -> dict[str, Floats]:
        """``(draw,)`` loss that the plan saves over each baseline."""
        return {name: baseline.loss - self.plan.loss for name, baseline in self.baselines.items()}

    @property
    def question(self) -> str:
        """The weighted languages and the budget."""
        counted = f"{self.compute:.3g} FLOPs ({self.cost.convention})"
        return f"{self.objective.posterior.name}: mixture for {listed(self.objective.weights)} with {counted}"

    @property
    def draws(self) -> "xr.Dataset":
        """Losses of the plan by ``draw`` and ``language``, gains by ``draw`` and ``baseline``, shares by ``source``."""
        plan, baselines = self.plan, list(self.baselines.values())
        return dataset(
            {
                "loss": (("draw",), plan.loss),
                "language_loss": (("draw", "language"), np.stack(list(plan.losses.values()), axis=-1)),
                "baseline_loss": (("draw", "baseline"), np.stack([each.loss for each in baselines], axis=-1)),
                "gain": (("draw", "baseline"), np.stack(list(self.gains.values()), axis=-1)),
                "share": (("source",), np.array(list(plan.shares.values()))),
                "baseline_share": (
                    ("baseline", "source"),
                    np.array([[each.shares[name] for name in plan.shares] for each in baselines]),
                ),
                "params": ((), np.asarray(plan.params)),
                "tokens": ((), np.asarray(plan.tokens)),
            },
            {"language": list(plan.losses), "baseline": list(self.baselines), "source": list(plan.shares)},
            UNITS,
        )

    def summary(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the plan, and for each baseline its plan, the gain over it and the probability that it is worse."""
        unique, chains = self.objective.unique, self.objective.posterior.chains
        tokens = {name: share * self.plan.tokens for name, share in self.plan.shares.items()}
        epochs = {name: max(1.0, tokens[name] / unique[name]) for name in tokens if name in unique}
        compared = {
            name: _shown(baseline, probability, chains) | self.compared(name, probability)
            for name, baseline in self.baselines.items()
        }
        return _shown(self.plan, probability, chains) | {"epochs": epochs, "baselines": compared}

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document: the question, the plan, the baselines, and the notes."""
        return {
            "posterior": self.objective.posterior.name,
            "compute": self.compute,
            "weights": self.objective.weights,
            "flops": self.cost.convention,
            **self.summary(probability),
            "law_error": self.objective.law_error,
            "numerics": numerics({"loss": self.plan.loss} | self.gains, self.objective.posterior.chains),
            "notes": self.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return the plans side by side, with the gain over each baseline and the probability that it is worse."""
        found = {name: self.compared(name, probability) for name in self.baselines}
        saved = {name: number(each["gain"]["median"]) for name, each in found.items()}
        worse = {name: _chance(each) for name, each in found.items()}
        return [
            *self.plan_rows(),
            {"share": "loss saved", "chosen": ""} | saved,
            {"share": "chance it loses", "chosen": ""} | worse,
        ]

    def plan_rows(self) -> list[dict[str, str]]:
        """Return the chosen plan beside the baselines: shares, size, tokens and mean loss."""
        plans = {"chosen": self.plan} | self.baselines
        sizes = {"params N": lambda plan: plan.params, "tokens D": lambda plan: plan.tokens}
        numbers: dict[str, Callable[[Plan], float]] = sizes | {"loss": lambda plan: float(plan.loss.mean())}
        return [
            {"share": source} | {name: f"{plan.shares[source]:.2%}" for name, plan in plans.items()}
            for source in self.plan.shares
        ] + [
            {"share": label} | {name: number(value(plan)) for name, plan in plans.items()}
            for label, value in numbers.items()
        ]

    def gain_rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return the gain of the chosen plan over each baseline, and the probability that the baseline is worse."""
        found = {name: self.compared(name, probability) for name in self.baselines}
        return [
            {"loss saved over": name} | cells(each["gain"], probability) | {"chance that it loses": _chance(each)}
            for name, each in found.items()
        ]

    def compared(self, baseline: str, probability: float = 0.9) -> dict[str, Any]:
        """Return the gain over a baseline, and the probability that the baseline is worse.

        Where errors of the law are included, both are also there as they are if the law holds.
        """
        chains = self.objective.posterior.chains
        found = _compared(self.gains[baseline], probability, chains)
        if self.objective.error is None:
            return found
        alone = self.objective.if_law_holds
        plans = [self.plan, self.baselines[baseline]]
        chosen, other = (
            alone.loss(each.params, {name: share * each.tokens for name, share in each.shares.items() if share > 0})
            for each in plans
        )
        return found | {"if_law_holds": _compared(other - chosen, probability, chains)}


def _chance(compared: Mapping[str, Any]) -> str:
    """Return the probability that a baseline is worse, in words that do not claim more than draws can show."""
    chance = f"{min(max(compared['probability_worse'], RARELY), 1 - RARELY):.3g}"
    if compared["probability_worse"] in (0, 1):
        chance = ("over " if compared["probability_worse"] else "under ") + chance
    return chance if "if_law_holds" in compared else f"{chance} if the law holds"


def _compared(gain: Floats, probability: float, chains: int) -> dict[str, Any]:
    return {
        "gain": summarise(gain, probability, chains=chains),
        "probability_worse": float((gain > 0).mean()),
        "probability_worse_mcse": mean_errors(gain > 0, chains)[0],
    }


def _shown(plan: Plan, probability: float, chains: int) -> dict[str, Any]:
    losses: dict[str, Summary] = summarise_all(plan.losses, probability, chains=chains)
    known = {"shares": plan.shares, "params": plan.params, "tokens": plan.tokens}
    return known | {"loss": summarise(plan.loss, probability, chains=chains), "losses": losses}


def mixture(
    posterior: Posterior,
    *,
    compute: float,
    weights: Mapping[str, float] | None = None,
    unique: Mapping[str, float] | None = None,
    law_error: str = LEARNED,
    **request: Unpack[MixtureRequest],
) -> Mixture:
    """Find the shares of the training tokens, the size and the data with the least expected loss.

    The search samples the weighted languages and every source named in `unique`, `bounds` or `compare`.

    Args:
        posterior: a posterior whose law includes size and tokens. Only ``atlas`` includes transfer between languages.
        compute: budget in FLOPs.
        weights: language -> weight of its loss; by default all languages of the posterior, equally.
        unique: source -> unique tokens; a source that is absent is unlimited.
        law_error: ``learned`` or ``none``; see `decisions.objective.objective`.
        request: bounds, limits and further mixtures; see `MixtureRequest`.

    Raises:
        InputError: a number is out of range, the bounds cannot be met, or `objective` raises it.
    """
    in_range("compute", compute, BUDGETS)
    ahead = objective(
        posterior,
        weights=weights or dict.fromkeys(posterior.info.languages, 1.0),
        unique=unique,
        law_error=law_error,
    )
    search = _search(ahead, compute, **request)
    compare = request.get("compare") or {}
    rules = _rules(search) | {name: _fixed(name, shares, search) for name, shares in compare.items()}
    baselines = {name: search.with_rule(rule) for name, rule in rules.items()}
    plan, found = search.best(list(baselines.values()))
    return Mixture(ahead, search.cost, compute, plan, baselines, _notes(search, plan, baselines, found))


def _search(
    ahead: Objective,
    compute: float,
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    compare: Mapping[str, Mapping[str, float]] | None = None,
    max_epochs: float | None = None,
    max_params: float | None = None,
    max_tokens: float | None = None,
    served: float | None = None,
    flops: Flops | None = None,
) -> "_Search":
    """Set up the search; the arguments are those of `MixtureRequest`."""
    named = [source_of(name) for name in ahead.weights]
    for mentioned in (ahead.unique, bounds or {}, *(compare or {}).values()):
        named += mentioned
    sources = list(dict.fromkeys(named))
    check_known(ahead.posterior, sources)
    epochs = np.inf if max_epochs is None else in_range("max_epochs", max_epochs, RATIOS, such_as="4")
    return _Search(
        objective=ahead,
        cost=cost(served, flops),
        compute=compute,
        sources=sources,
        bounds=_bounds(sources, bounds or {}),
        max_epochs=epochs if ahead.knows_repetition else min(epochs, 1.0),
        max_params=np.inf if max_params is None else in_range("max_params", max_params, LIMITS, such_as="8e9"),
        max_tokens=np.inf if max_tokens is None else in_range("max_tokens", max_tokens, LIMITS, such_as="1e12"),
    )


type Rule = Callable[[float], Floats]  # tokens -> shares of the sources


def _rules(search: "_Search") -> dict[str, Rule]:
    """Return the rules of the baselines. Without unique tokens for every source, only *uniform* is possible."""
    count = len(search.sources)
    uniform: dict[str, Rule] = {"uniform": lambda tokens: np.full(count, 1 / count)}
    if not np.isfinite(search.unique).all():
        return uniform
    unique, epochs = search.unique, min(search.max_epochs, UNIMAX_EPOCHS)
    return uniform | {
        "proportional": lambda tokens: unique / unique.sum(),
        "temperature": lambda tokens: unique**POWER / (unique**POWER).sum(),
        "unimax": lambda tokens: unimax(unique, tokens, epochs),
    }


def _fixed(name: str, shares: Mapping[str, float], search: "_Search") -> Rule:
    fixed = mixed(search.objective.posterior, shares, name)
    own = [source_of(language) for language in search.objective.weights]
    if absent := [source for source in own if source not in shares]:
        raise InputError(f"the mixture {name} has no share of {absent[0]}, whose loss counts; give it one")
    values = np.array([fixed.get(source, 0.0) for source in search.sources])
    return lambda tokens: values


def unimax(unique: Floats, tokens: float, epochs: float) -> Floats:
    """Return shares ``(source,)``, as even as at most `epochs` passes over `unique` tokens allow (Chung et al. 2023).

    If `tokens` exceed all passes together, the shares are proportional to the unique tokens.
    """
    left, shares = tokens, np.zeros(len(unique))
    for position, source in enumerate(np.argsort(unique, kind="stable")):
        shares[source] = min(left / (len(unique) - position), epochs * unique[source])
        left -= shares[source]
    return shares / shares.sum()


def _bounds(sources: list[str], given: Mapping[str, tuple[float, float]]) -> NDArray[np.float64]:
    """Return the least and largest shares ``(source, 2)``."""
    for name, (least, most) in given.items():
        if not 0 <= least <= most <= 1:
            raise InputError(f"bounds of {name} are {least} and {most}; they must lie between 0 and 1, least first")
    bounds = np.array([given.get(name, (0.0, 1.0)) for name in sources])
    least, most = bounds.sum(axis=0)
    if least > 1 or most < 1:
        raise InputError(
            f"the bounds cannot be met: least shares sum to {least:.4g} and largest to {most:.4g}; they must leave room"
            f" for 1"
        )
    return bounds.clip(LEAST_SHARE)


@dataclass(frozen=True)
class _Search:
    objective: Objective
    cost: Cost
    compute: float
    sources: list[str]
    bounds: NDArray[np.float64]
    max_epochs: float
    max_params: float
    max_tokens: float

    @cached_property
    def unique(self) -> Floats:
        return np.array([self.objective.unique.get(name, np.inf) for name in self.sources])

    @cached_property
    def most(self) -> Floats:
        """``(source,)`` the largest number of tokens of each."""
        return self.unique * self.max_epochs

    def size(self, tokens: float) -> float:
        return float(np.minimum(self.cost.params(tokens, self.compute), self.max_params))

    def loss(self, shares: Floats, tokens: float, draws: Draws = EVERY) -> Floats:
        return self.objective.loss(self.size(tokens), self.divided(shares, tokens), draws)

    def divided(self, shares: Floats, tokens: float) -> dict[str, float]:
        return {name: float(share * tokens) for name, share in zip(self.sources, shares, strict=True) if share > 0}

    def plan(self, shares: Floats, tokens: float) -> Plan:
        losses = self.objective.losses(self.size(tokens), self.divided(shares, tokens))
        weighted = sum(weight * losses[name] for name, weight in self.objective.weights.items())
        return Plan(
            shares=dict(zip(self.sources, shares.tolist(), strict=True)),
            params=self.size(tokens),
            tokens=tokens,
            loss=np.asarray(weighted),
            losses=losses,
        )

    def with_rule(self, rule: Rule) -> Plan:
        """Find the best size and data of a mixture that follows `rule`."""

        def most_tokens(shares: Floats) -> float:
            sampled = shares > 0
            return min(self.max_tokens, float((self.most[sampled] / shares[sampled]).min()))

        def loss(log_tokens: float) -> float:
            tokens = np.exp(log_tokens)
            shares = rule(tokens)
            return float(self.loss(shares, min(tokens, most_tokens(shares))).mean())

        middle = 0.5 * np.log(self.compute / TRAINING_FLOPS)
        tokens = float(np.exp(least_between(loss, middle - LOOK, middle + LOOK)))
        shares = rule(tokens)
        return self.plan(shares, min(tokens, most_tokens(shares)))

    def best(self, baselines: list[Plan]) -> tuple[Plan, Floats]:
        """Find the best plan within the bounds; also return the expected losses at all ends, ``(start,)``."""
        few = np.linspace(0, self.objective.count - 1, min(SEARCHED, self.objective.count)).round().astype(np.int64)
        starts = [self.start(np.array(list(plan.shares.values())), plan.tokens) for plan in baselines]
        typical = float(np.exp(np.mean([np.log(plan.tokens) for plan in baselines])))
        drawn = np.random.default_rng(0).dirichlet(np.ones(len(self.sources)), RANDOM_STARTS)
        ends = [
            self.descend(start, few, ROUGH) for start in [*starts, *(self.start(shares, typical) for shares in drawn)]
        ]
        losses = np.array([self.expected(end, few)[0] for end in ends])
        refined = self.descend(ends[int(losses.argmin())], EVERY, FINE)
        # A baseline within the bounds may still be better by a rounding error.
        kept = [start for start, plan in zip(starts, baselines, strict=True) if self.keeps(plan)]
        final = min([refined, *kept], key=lambda point: self.expected(point, EVERY)[0])
        return self.plan(np.exp(final[:-1]), float(np.exp(final[-1]))), losses

    def start(self, shares: Floats, tokens: float) -> Floats:
        """Return a starting point: logs of the shares, cut to their bounds, and of the tokens."""
        return np.append(np.log(_between(shares, self.bounds)), np.log(tokens))

    def keeps(self, plan: Plan) -> bool:
        """True if a baseline keeps the bounds on shares. All baselines keep the limit on epochs."""
        shares = np.array(list(plan.shares.values()))
        return bool(((shares >= self.bounds[:, 0]) & (shares <= self.bounds[:, 1])).all())

    def expected(self, point: Floats, draws: Draws) -> tuple[float, Floats]:
        """Return the mean loss at a point, and its gradient."""
        tokens = float(np.exp(point[-1]))
        divided = dict(zip(self.sources, (np.exp(point[:-1]) * tokens).tolist(), strict=True))
        loss = self.objective.loss(self.size(tokens), divided, draws).mean()
        of_params, of_tokens = self.objective.slopes(self.size(tokens), divided, draws)
        by_source = np.array([np.mean(of_tokens[name]) for name in self.sources])
        line = self.cost.slope(tokens, self.compute) if self.size(tokens) < self.max_params else 0.0
        return float(loss), np.append(by_source, by_source.sum() + line * np.mean(of_params))

    def descend(self, start: Floats, draws: Draws, closeness: float) -> Floats:
        """Minimise the mean loss from a starting point, within all limits."""
        limited = np.flatnonzero(np.isfinite(self.most))
        summing = NonlinearConstraint(
            lambda point: np.exp(point[:-1]).sum(), 1.0, 1.0, jac=lambda point: np.append(np.exp(point[:-1]), 0.0)
        )
        within = LinearConstraint(np.eye(len(start))[limited] + np.eye(len(start))[-1], ub=np.log(self.most[limited]))
        found = minimize(
            self.expected,
            start,
            args=(draws,),
            jac=True,
            method="SLSQP",
            bounds=[*np.log(self.bounds).tolist(), self._log_tokens],
            constraints=[summing, within] if len(limited) else [summing],
            options={"maxiter": 300, "ftol": closeness},
        )
        return self._mended(np.asarray(found.x))

    @cached_property
    def _log_tokens(self) -> tuple[float, float]:
        """Least and largest tokens of any mixture, in logs."""
        most = min(self.max_tokens, self._most_in_all())
        least = float(self.cost.tokens(self.max_params, self.compute)) if np.isfinite(self.max_params) else 0.0
        middle = 0.5 * np.log(self.compute / TRAINING_FLOPS)
        lower = np.log(least) if 0 < least <= most else middle - LOOK
        upper = min(np.log(most), middle + LOOK)
        return float(min(lower, upper)), float(upper)

    def _most_in_all(self) -> float:
        """Return the most tokens for which some shares keep the bounds and the epochs."""

        def room(log_tokens: float) -> float:
            return float(np.minimum(self.bounds[:, 1], self.most / np.exp(log_tokens)).sum() - 1)

        least = min(
            np.inf, *(self.most / self.bounds[:, 0])
        )  # beyond this, a source at its least share exceeds its epochs
        if np.isinf(self.most).any() and self.bounds[np.isinf(self.most), 1].sum() >= 1:
            return float(least)
        low = 0.0
        high = float(np.log(self.most[np.isfinite(self.most)].sum() / 1e-9))
        return float(min(least, np.exp(brentq(room, low, high)))) if room(low) > 0 > room(high) else float(least)

    def _mended(self, point: Floats) -> Floats:
        """Return the nearest point that keeps sum and limits exactly; the optimiser keeps them to a tolerance."""
        tokens = float(np.exp(np.clip(point[-1], *self._log_tokens)))
        caps = np.column_stack([self.bounds[:, 0], np.minimum(self.bounds[:, 1], self.most / tokens)])
        return np.append(np.log(_between(np.exp(point[:-1]), caps)), np.log(tokens))


def _between(shares: Floats, bounds: NDArray[np.float64]) -> Floats:
    """Scale `shares` by one factor and cut them to their bounds, such that they sum to 1."""
    least, most = bounds[:, 0], np.maximum(bounds[:, 1], bounds[:, 0])

    def excess(log_scale: float) -> float:
        return float(np.clip(np.exp(log_scale) * shares, least, most).sum() - 1)

    if excess(50.0) <= 0:
        return most / most.sum()
    if excess(-50.0) >= 0:
        return least / least.sum()
    cut = np.clip(np.exp(brentq(excess, -50.0, 50.0, xtol=1e-15)) * shares, least, most)
    return cut / cut.sum()


def _notes(search: _Search, plan: Plan, baselines: Mapping[str, Plan], ended: Floats) -> list[str]:
    own = {name: plan.shares[source_of(name)] * plan.tokens for name in search.objective.weights}
    notes = posterior_notes(search.objective.posterior)
    notes += objective_notes(search.objective, plan.params, own, plan.tokens)
    if unlimited := [name for name in search.sources if name not in search.objective.unique]:
        notes.append(
            f"the unique tokens of {', '.join(unlimited)} are not given: these sources never repeat, and baselines"
            f" based on unique tokens are left out"
        )
    elif not search.objective.knows_repetition:
        notes.append(
            f"the law {search.objective.posterior.info.law} does not include repetition: no mixture exceeds one epoch"
        )
    if unknown := search.objective.unknown_sources(dict.fromkeys(search.sources)):
        notes.append(
            f"the posterior has no estimate of transfer from {', '.join(unknown)} to the weighted languages: these "
            f"tokens count as worth nothing"
        )
    agreeing = int((ended <= ended.min() * (1 + AGREEMENT)).sum())
    if agreeing < 2:
        notes.append(f"only one of {len(ended)} starts of the search ended in this mixture: others may be as good")
    return notes + numerics_notes({"loss": plan.loss}, search.objective.posterior.chains)
