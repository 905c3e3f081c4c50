"""What public tables say about the errors of a law on a table that has not been seen.

The shipped posterior ``law-error`` is fitted to what each public table shows (model ``law_error``). Its predictive for
a new table is the prior of `kappa` and of log q here.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.catalogue import NameOrPath
from bayes_atlas.posterior import Posterior, load_posterior

PUBLIC = "law-error"  # the shipped posterior
NU = 4.0  # degrees of freedom of tables around their population
FRESH = 20  # new tables for each draw of the population


@dataclass(frozen=True)
class Population:
    """Draws of `kappa` and of log q of a new table."""

    log_kappa: Floats  # (draw,)
    log_q: Floats  # (draw,)

    @classmethod
    def of(cls, posterior: Posterior, seed: int = 0) -> "Population":
        """Return the predictive of a posterior of the model ``law_error`` for a new table."""
        names = ("log_kappa_location", "log_kappa_scale", "log_q_location", "log_q_scale")
        drawn = {name: np.repeat(values, FRESH) for name, values in posterior.drawn(*names).items()}
        rng = np.random.default_rng(seed)

        def fresh(name: str) -> Floats:
            luck = rng.standard_t(NU, len(drawn[f"{name}_location"]))
            return np.asarray(drawn[f"{name}_location"] + drawn[f"{name}_scale"] * luck)

        return cls(fresh("log_kappa"), fresh("log_q"))

    def log_prior(self, kappas: Floats) -> Floats:
        """Return log probabilities ``(kappa,)`` of the nearest of `kappas` in logs."""
        middles = (np.log(kappas[1:]) + np.log(kappas[:-1])) / 2
        counts = np.bincount(np.searchsorted(middles, self.log_kappa), minlength=len(kappas))
        return np.asarray(np.log((counts + 0.5) / (counts + 0.5).sum()))

    @property
    def normal_log_q(self) -> tuple[float, float]:
        """Mean and standard deviation of a normal distribution with the same median and central 68 %."""
        lower, middle, upper = np.quantile(self.log_q, [0.16, 0.5, 0.84])
        return float(middle), float((upper - lower) / 2)


@lru_cache(maxsize=4)
def population(name: NameOrPath = PUBLIC) -> Population:
    """Return the population that a posterior of the model ``law_error`` describes; by default the shipped one."""
    return Population.of(load_posterior(name))
