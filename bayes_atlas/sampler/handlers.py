"""Handlers of a model: log likelihoods relative to a reference, and observations left out of the density."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpyro.distributions as dist
from numpyro.primitives import Messenger


def is_observation(site: dict[str, Any]) -> bool:
    """Return whether a site is an observation; a factor of the density is not."""
    return site["type"] == "sample" and site["is_observed"] and not site["infer"].get("is_auxiliary", False)


class Relative(Messenger):
    """Subtract `reference`, log likelihoods by observed site, from each element before any sum."""

    def __init__(self, model: Callable[..., Any], reference: Mapping[str, jax.Array]) -> None:
        super().__init__(model)
        self.reference = reference

    def process_message(self, msg: dict[str, Any]) -> None:
        """Subtract the reference of a site; numpyro calls this after plates have set the site's shape."""
        if msg["type"] == "sample" and is_observation(msg):
            msg["fn"] = _Less(msg["fn"], self.reference[msg["name"]])


class _Less(dist.Distribution):
    """A distribution whose log density is lower by a constant for each element."""

    def __init__(self, base: dist.Distribution, constant: jax.Array) -> None:
        self.base, self.constant = base, constant
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """Support of the base distribution."""
        return self.base.support

    def log_prob(self, value: Any) -> jax.Array:
        """Return the log density of the base distribution, minus the constant."""
        return self.base.log_prob(value) - self.constant


class Counted(Messenger):
    """Multiply the log likelihood of each observation by `counts`, 1 or 0, in the joint density only.

    A site's own ``log_prob`` still covers all observations, and so gives the log likelihood of those left out.
    """

    def __init__(self, model: Callable[..., Any], counts: jax.Array) -> None:
        super().__init__(model)
        self.counts = counts  # broadcasts to the batch of every observed site

    def process_message(self, msg: dict[str, Any]) -> None:
        """Scale the log likelihood of an observed site; numpyro calls this for each site."""
        if msg["type"] == "sample" and is_observation(msg):
            msg["scale"] = self.counts if msg["scale"] is None else self.counts * msg["scale"]
