"""Parsing of typed values: amounts such as 8B, 1.2T and 10^23, and NAME=VALUE pairs."""

import re

from bayes_atlas.errors import InputError

UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
AMOUNT = re.compile(r"([+-]?[\d.]+(?:e[+-]?\d+)?|[+-]?inf|nan)\s*([kmbt]?)", re.IGNORECASE)
POWER = re.compile(r"(?:([\d.]+)\s*[x*]\s*)?10\^(\d+)", re.IGNORECASE)


def texts(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} is {text!r}; give NAME=VALUE")
        if name in pairs:
            raise InputError(f"{option} is given twice for {name}; give it once")
        pairs[name] = value
    return pairs


def pairs(option: str, given: list[str] | None) -> dict[str, float]:
    return {name: to_number(f"{option} {name}", text) for name, text in texts(option, given).items()}


def to_number(option: str, text: str) -> float:
    """Return the number that `text` names: 3e23, 10^23, 3x10^23, 1,000, or with the letter k, M, B or T."""
    plain = text.strip().replace("_", "").replace("\N{MULTIPLICATION SIGN}", "x")
    plain = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", plain)
    try:
        if power := POWER.fullmatch(plain):
            return float(power[1] or 1) * 10.0 ** int(power[2])
        if amount := AMOUNT.fullmatch(plain):
            return float(amount[1]) * UNITS[amount[2].lower()]
        return float(plain)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{option} is {text!r}; it must be a number, such as 1e9, 8B, 1.2T or 10^23") from error


def amount(given: str | float) -> float:
    """Parse an option that takes one amount."""
    return to_number("it", given) if isinstance(given, str) else float(given)


# Arguments of `typer.Option` for amounts of each kind.
FLOPS, TOKENS, PARAMS = (
    {"parser": amount, "metavar": metavar, "show_default": False} for metavar in ("FLOPS", "TOKENS", "PARAMS")
)
