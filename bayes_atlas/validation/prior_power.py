"""A decision under priors of another power: how much of it the runs say, and how much the priors.

The posterior under a prior to the power a has the density of the posterior times the prior to the power a - 1. Draws
that are weighed by this factor, with Pareto smoothed weights, stand in for another fit (power scaling, Kallioinen et
al. 2024). Powers below 1 widen priors, those above narrow them. Scaled are the priors of the group ``log_prior``: those
of parameters at the top, not those that languages share. Errors of the law keep their own prior.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Floats
from bayes_atlas.catalogue import NameOrPath
from bayes_atlas.data.text import interval, number
from bayes_atlas.decisions.base import Decision
from bayes_atlas.errors import InputError
from bayes_atlas.inference.evaluate import NotStoredError, stored_log_prior
from bayes_atlas.inference.staleness import is_stale
from bayes_atlas.posterior import Posterior
from bayes_atlas.validation.importance import largest_reliable_k, smoothed

POWERS = (0.5, 1.0, 2.0)
LARGE = 1e15  # numbers that only FLOPs reach
MOVED = 0.1  # share of an interval's width; a median that moves by more is worth a remark


class Weighed(TypedDict):
    """A quantity under one power, over its finite draws, as in the JSON document; None where no draw is finite."""

    median: float | None
    mean: float | None
    lower: float | None
    upper: float | None
    probability: float
    infinite: float  # probability that it is infinite, such as a crossover that is not in range
    moved: float | None  # median minus that under the fitted prior, as a share of the width of the latter's interval


@dataclass(frozen=True)
class Weights:
    """Weights of draws for one power of the prior."""

    power: float
    each: Floats  # (draw,) summing to 1
    pareto_k: float | None  # of the weights before smoothing; None where all are the same

    @property
    def ess(self) -> float:
        """Effective number of weighed draws; that of equal weights is the number of draws."""
        return float(1 / (self.each**2).sum())

    @property
    def reliable(self) -> bool:
        """True if Pareto k is below the limit for this number of draws (Vehtari et al. 2024)."""
        return self.pareto_k is None or self.pareto_k <= self.limit

    @property
    def limit(self) -> float:
        """The largest reliable Pareto k."""
        return largest_reliable_k(len(self.each))


@dataclass(frozen=True)
class PriorPower:
    """A decision under each of `POWERS`."""

    decision: Decision
    weights: list[Weights]

    @cached_property
    def quantities(self) -> dict[str, Floats]:
        """Draws ``(draw,)`` of the decision's quantities, by name."""
        drawn = self.decision.draws
        return {str(name): values.to_numpy() for name, values in drawn.items() if values.dims == ("draw",)}

    def summary(self, probability: float = 0.9) -> list[dict[str, Any]]:
        """Return each power with its weights' Pareto k and ESS, and every quantity under it."""
        fitted = {name: weighed(draws, None, probability) for name, draws in self.quantities.items()}
        found = []
        for weights in self.weights:
            each = None if weights.power == 1 else weights.each
            quantities = {name: weighed(draws, each, probability) for name, draws in self.quantities.items()}
            for name, values in quantities.items():
                values["moved"] = _moved(values, fitted[name])
            known = {"power": weights.power, "pareto_k": weights.pareto_k, "ess": weights.ess}
            found.append(known | {"reliable": weights.reliable, "quantities": quantities})
        return found

    def to_dict(self, probability: float = 0.9) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "question": self.decision.question,
            "powers": self.summary(probability),
            "remarks": self.remarks(probability),
            "notes": self.decision.notes,
        }

    def rows(self, probability: float = 0.9) -> list[dict[str, str]]:
        """Return one row for every quantity that varies and power."""
        found = self.summary(probability)
        varying = [name for name, draws in self.quantities.items() if (draws != draws[0]).any()]
        return [
            {"quantity": name if each["power"] == 1 else "", "prior to the power": f"{each['power']:g}"}
            | _cells(each["quantities"][name], probability)
            for name in varying
            for each in sorted(found, key=lambda each: each["power"] != 1)
        ]

    def remarks(self, probability: float = 0.9) -> list[str]:
        """Say how reliable the weights are, and which quantities move with the power of the priors."""
        remarks = []
        for weights, each in zip(self.weights, self.summary(probability), strict=True):
            if weights.power == 1:
                continue
            told = f"Pareto k {weights.pareto_k:.2g}, limit {weights.limit:.2g}; ESS of the weights {weights.ess:,.0f}"
            if not weights.reliable:
                remarks.append(
                    f"priors to the power {weights.power:g} lie too far from the fitted ones for weights ({told}): do "
                    f"not rely on that row; fit again with such priors in the model"
                )
                continue
            moved = {name: values["moved"] for name, values in each["quantities"].items() if values["moved"]}
            far = [f"{name} by {share:+.0%}" for name, share in moved.items() if abs(share) > MOVED]
            said = f"move medians, as a share of their interval's width: {', '.join(far)}" if far else "change little"
            remarks.append(f"priors to the power {weights.power:g} {said} ({told})")
        return remarks


def prior_power(decision: Decision, posterior: Posterior, model: NameOrPath | None = None) -> PriorPower:
    """Weigh the draws of a decision for priors to the powers `POWERS`.

    Args:
        decision: a decision from `posterior`, with quantities ``(draw,)``.
        posterior: with all its groups. If it lacks ``log_prior``, its model is executed.
        model: its model file, if it is no shipped model.

    Raises:
        InputError: the prior densities are not stored and cannot be computed.
    """
    if "log_prior" not in posterior.draws and is_stale(posterior, model):
        raise InputError(
            f"{posterior.name} has no group log_prior, and its model has changed since the fit; fit again, which "
            f"stores the group"
        )
    try:
        densities = stored_log_prior(posterior, model)
    except NotStoredError as error:
        raise InputError(f"how decisions from {posterior.name} depend on priors needs {error}") from error
    log_prior = densities.astype(float).to_dataarray("site").sum("site")
    return PriorPower(decision, [_weights(log_prior, power) for power in POWERS])


def _weights(log_prior: xr.DataArray, power: float) -> Weights:
    """Return the weights of draws ``(chain, draw)``, one chain after the other."""
    if power == 1:
        return Weights(power, np.full(log_prior.size, 1 / log_prior.size), None)
    return Weights(power, *smoothed((power - 1) * log_prior))


def weighed(draws: Floats, weights: Floats | None, probability: float = 0.9) -> Weighed:
    """Return median, mean and equal-tailed interval of the finite ones of `draws` ``(draw,)``.

    Args:
        draws: some may be infinite.
        weights: ``(draw,)``, summing to 1; None if all count alike, as in the decision itself.
        probability: of the interval.
    """
    finite = np.isfinite(draws)
    infinite = float(1 - (finite.mean() if weights is None else weights[finite].sum()))
    if not finite.any():
        nothing = dict.fromkeys(("median", "mean", "lower", "upper", "moved"))
        return {**nothing, "probability": probability, "infinite": infinite}  # type: ignore[typeddict-item]
    wanted = [(1 - probability) / 2, 0.5, (1 + probability) / 2]
    if weights is None:
        ends, mean = np.quantile(draws[finite], wanted), draws[finite].mean()
    else:
        ends = np.quantile(draws[finite], wanted, weights=weights[finite], method="inverted_cdf")
        mean = np.average(draws[finite], weights=weights[finite])
    lower, median, upper = ends.tolist()
    return {
        "median": median,
        "mean": float(mean),
        "lower": lower,
        "upper": upper,
        "probability": probability,
        "infinite": max(infinite, 0.0),
        "moved": None,
    }


def _moved(values: Weighed, fitted: Weighed) -> float | None:
    if values["median"] is None or fitted["median"] is None:
        return None
    width = (fitted["upper"] or 0.0) - (fitted["lower"] or 0.0)
    return (values["median"] - fitted["median"]) / width if width else 0.0


def _cells(values: Weighed, probability: float) -> dict[str, str]:
    if values["median"] is None or values["lower"] is None or values["upper"] is None:
        return {"median": "infinite", interval(probability): "-"}
    return {
        "median": _number(values["median"]),
        interval(probability): f"{_number(values['lower'])} to {_number(values['upper'])}",
    }


def _number(value: float) -> str:
    """Return a number as text; FLOPs in scientific notation."""
    return f"{value:.3g}" if abs(value) >= LARGE else number(value)
