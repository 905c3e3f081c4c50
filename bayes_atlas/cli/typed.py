"""Parsing of typed values: numbers, and NAME=VALUE pairs."""

from bayes_atlas.errors import InputError


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
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option} is {text!r}; it must be a number, such as 1e9") from error
