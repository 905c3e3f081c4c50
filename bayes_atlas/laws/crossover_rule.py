"""Crossover rule: the compute at which pretraining from scratch overtakes a multilingual checkpoint.

Longpre et al. 2025, arXiv 2510.22037, §6.

The rule compares two models of one size, one trained from scratch on one language, one from the checkpoint. At compute
C = c N^gamma the first reaches the loss of the second. With C = 6 N D this is D = c N^(gamma - 1) / 6 tokens. The
checkpoint's own compute is not charged.
"""

from bayes_atlas.laws import TRAINING_FLOPS
from bayes_atlas.laws._arrays import Array

COVARIATES = ("params",)
PARAMETERS = {"c": "crossover compute of a model of one parameter, FLOPs", "gamma": "exponent of size"}

# The paper prints three versions of the rule. These two agree with its own points at 2B parameters. The third
# (10283128 N^1.65, Fig. 7's caption) is off by a factor of ten. "log(C)" in the text of §6 is read as C.
PRINTED_TEXT = {"c": 1113708.0, "gamma": 1.65}
PRINTED_LEGEND = {"c": 10283128.0, "gamma": 1.54}


def crossover_compute(params: Array, *, c: Array, gamma: Array) -> Array:
    """Return the FLOPs beyond which training `params` parameters from scratch is better."""
    return c * params**gamma


def crossover_tokens(params: Array, *, c: Array, gamma: Array) -> Array:
    """Return the training tokens at the crossover, with 6 FLOPs per parameter and token."""
    return crossover_compute(params, c=c, gamma=gamma) / (TRAINING_FLOPS * params)
