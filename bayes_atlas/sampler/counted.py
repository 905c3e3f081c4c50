"""A model of which some observations do not count."""

from collections.abc import Callable
from typing import Any

import jax
from numpyro.primitives import Messenger

from bayes_atlas.sampler.relative import is_observation


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
