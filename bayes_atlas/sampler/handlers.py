"""Handlers of a model: its log likelihood counted from a reference, and some of its curves left uncounted."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpyro.distributions as dist
from numpyro.primitives import Messenger


def is_observation(site: dict[str, Any]) -> bool:
    """Whether a site was observed; a factor of the density was not."""
    return site["type"] == "sample" and site["is_observed"] and not site["infer"].get("is_auxiliary", False)


class Relative(Messenger):
    """Subtracts `reference`, log likelihoods by name of the observed site, from each element before any are summed."""

    def __init__(self, model: Callable[..., Any], reference: Mapping[str, jax.Array]) -> None:
        super().__init__(model)
        self.reference = reference

    def process_message(self, msg: dict[str, Any]) -> None:
        """As numpyro calls it for each site, after plates have given it its shape."""
        if msg["type"] == "sample" and is_observation(msg):
            msg["fn"] = _Less(msg["fn"], self.reference[msg["name"]])


class _Less(dist.Distribution):
    """A distribution whose log density is less by a constant for each element."""

    def __init__(self, base: dist.Distribution, constant: jax.Array) -> None:
        self.base, self.constant = base, constant
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """That of the base."""
        return self.base.support

    def log_prob(self, value: Any) -> jax.Array:
        """Of the base, less the constant."""
        return self.base.log_prob(value) - self.constant


class Counted(Messenger):
    """Multiplies the log likelihood of each observation by `counts`, 1 or 0, in the joint density alone.

    A site's own ``log_prob`` remains that of all observations, which says how likely those left out are.
    """

    def __init__(self, model: Callable[..., Any], counts: jax.Array) -> None:
        super().__init__(model)
        self.counts = counts  # broadcasts to the batch of every observed site

    def process_message(self, msg: dict[str, Any]) -> None:
        """As numpyro calls it for each site."""
        if msg["type"] == "sample" and is_observation(msg):
            msg["scale"] = self.counts if msg["scale"] is None else self.counts * msg["scale"]
