"""Shares of the training tokens by source, as a user gives them."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from bayes_atlas.data.names import source_of
from bayes_atlas.data.text import number
from bayes_atlas.decisions.base import RATIOS, in_range
from bayes_atlas.errors import InputError
from bayes_atlas.posterior import Posterior

OTHER = "other"  # all data of sources that the posterior does not name
ROUNDED = 0.01  # by which shares may miss a sum of one, as rounded ones do
NAMED = 12  # sources that a message lists


def mixed(posterior: Posterior, shares: Mapping[str, float], of: str = "") -> dict[str, float]:
    """Return `shares` by source, which must be known to `posterior` and sum to one, divided by their sum.

    Args:
        posterior: the posterior.
        shares: source -> share; `OTHER` is any other data.
        of: name of the mixture, for messages.

    Raises:
        InputError: a source is unknown, a share is not positive, or shares do not sum to one.
    """
    where = f" in {of}" if of else ""
    for name, share in shares.items():
        in_range(f"share of {name}{where}", share, RATIOS, such_as="0.5")
    check_known(posterior, shares)
    total = sum(shares.values())
    if abs(total - 1) > ROUNDED:
        divided = f"divided by their sum, that of {name} is {share / total:.3g}"
        advice = "give per cent as fractions, such as 0.25" if abs(total / 100 - 1) <= ROUNDED else divided
        raise InputError(
            f"the shares{where} sum to {number(total)}, and shares of the training tokens sum to 1; {advice}"
        )
    return {name: share / total for name, share in shares.items()}


def check_known(posterior: Posterior, sources: Iterable[str]) -> None:
    """Raise an `InputError` if a source is none of the posterior's, nor `OTHER`."""
    known = dict.fromkeys(map(source_of, posterior.info.languages))
    known |= dict.fromkeys(name for names in posterior.info.sources.values() for name in names)
    for name in sources:
        if name in known or name == OTHER:
            continue
        close = get_close_matches(name, known, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ";"
        listed = ", ".join(list(known)[:NAMED]) + (f" and {len(known) - NAMED} more" if len(known) > NAMED else "")
        raise InputError(
            f"{posterior.name} has no source {name!r}{guess} its sources are {listed}; call data of any other source "
            f"{OTHER!r}"
        )
