"""The scaling laws, one file per law under the name its paper uses.

A law is a module with

* ``PARAMETERS``: its parameters, name to one-line meaning, and ``OPTIONAL``, those that a posterior may lack, if any;
* ``COVARIATES``: its covariates of a run, by the names of `bayes_atlas.data.covariates`;
* ``loss(params, tokens, ..., *, E, A, B, ...)``: the law itself, an elementwise array function of these by name;
* ``slopes(...)``, if decisions need it: slopes of that loss in the logs of size and of tokens;
* ``RUNNING``, ``axes(...)`` and ``terms(...)``, if its error can be learned (`bayes_atlas.law_error`): the exponents
  that may change with size or data, what each is an exponent of, and the two terms of reducible loss;
* the closed forms in the paper, if there are any (``optimum``, ``expansion``, ...).

Laws have no files, no randomness and no particular array library. They take NumPy arrays in decisions and JAX arrays in
the sampler, and use the array API namespace of their arguments. Everything broadcasts. Each law is equivariant under a
change of units: dividing ``params`` and ``tokens`` by reference sizes only rescales ``A`` and ``B``, which then are
reducible losses at the reference. There the terms are positive and of order one, so their sum is stable in float32.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from inspect import Parameter, signature
from pkgutil import iter_modules
from types import ModuleType

from bayes_atlas.errors import InputError

__all__ = ["POSITIVE", "TRAINING_FLOPS", "get_law", "law_names", "needed"]

TRAINING_FLOPS = 6  # per parameter and token: forward 2, backward 4 (Kaplan et al. 2020, arXiv 2001.08361)

POSITIVE = frozenset({"E", "A", "B", "alpha", "beta", "lam", "R_D", "R_N"})  # in every law


def law_names() -> list[str]:
    """Return the names of the laws in this package, sorted."""
    return sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))


def get_law(name: str) -> ModuleType:
    """Return the law module called `name`.

    Raises:
        InputError: no law has that name; the message lists the valid names.
    """
    if name.startswith("_") or not name.isidentifier() or find_spec(f"{__name__}.{name}") is None:
        raise InputError(f"no law is called {name!r}; choose one of: {', '.join(law_names())}")
    return import_module(f"{__name__}.{name}")


def needed(law: ModuleType) -> list[str]:
    """Return the parameters without which the loss of `law` cannot be computed; none for a law without a loss."""
    if not hasattr(law, "loss"):
        return []
    asked: Callable[..., object] = law.loss
    optional = getattr(law, "OPTIONAL", ())
    without_default = [name for name, each in signature(asked).parameters.items() if each.default is Parameter.empty]
    return [name for name in law.PARAMETERS if name in without_default and name not in optional]
