"""Crossover rule: when pretraining from scratch overtakes a multilingual checkpoint.

Longpre et al. 2025, arXiv 2510.22037, §6.

C = c N^gamma is the compute at which a model trained from scratch on one language first has the loss of one of the same
size that started from the checkpoint; with C = 6 N D it is D = c N^(gamma - 1) / 6 tokens. The checkpoint's own compute
is not charged.
"""

from bayes_atlas.laws import TRAINING_FLOPS
from bayes_atlas.laws._arrays import Array

COVARIATES = ("params",)
PARAMETERS = {"c": "crossover compute of a model of one parameter, FLOPs", "gamma": "exponent of size"}

# The paper prints three versions of the rule. These two agree with its own points at 2B parameters; the third
# (10283128 N^1.65, Fig. 7's caption) is ten times off, and "log(C)" in the text of §6 is read as C.
PRINTED_TEXT = {"c": 1113708.0, "gamma": 1.65}
PRINTED_LEGEND = {"c": 10283128.0, "gamma": 1.54}


def crossover_compute(params: Array, *, c: Array, gamma: Array) -> Array:
    """FLOPs after which training `params` parameters from scratch is the better choice."""
    return c * params**gamma


def crossover_tokens(params: Array, *, c: Array, gamma: Array) -> Array:
    """Training tokens at that point, with 6 FLOPs per parameter and token."""
    return crossover_compute(params, c=c, gamma=gamma) / (TRAINING_FLOPS * params)
