"""Answers as text: numbers and counts in words, a screen for a terminal, and a table for a notebook."""

from collections.abc import Mapping, Sequence
from html import escape
from math import isinf
from typing import Any

WIDTH, HEIGHT = 80, 24  # of the screen that a repr fits


def printable(text: str) -> str:
    """Return `text` with escapes, such as ``\\x1b``, for all characters but line feeds that a terminal may obey."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def number(value: float, digits: int = 4) -> str:
    """Format a number: from a million on, three significant digits and a letter; below 1000, `digits` digits."""
    if isinf(value):
        return "infinite" if value > 0 else "-infinite"
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, as in "1 run" and "1,234 runs"; `noun` is the singular of a regular plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def interval(probability: float) -> str:
    """Return the head of a column of intervals."""
    return f"{100 * probability:.4g}% interval"


def cells(values: Mapping[str, Any], probability: float) -> dict[str, str]:
    """Return the median and the interval of a summary as two cells, column -> text."""
    return {
        "median": number(values["median"]),
        interval(probability): f"{number(values['lower'])} to {number(values['upper'])}",
    }


def screen(title: str, rows: Sequence[Mapping[str, str]], notes: Sequence[str]) -> str:
    """Return title, table and notes in at most `HEIGHT` lines of at most `WIDTH` characters.

    If rows or notes do not fit, the last line of each says how many are missing.
    """
    heads = list(rows[0]) if rows else []
    widths = {head: max(len(head), *(len(row[head]) for row in rows)) for head in heads}
    table = ["  ".join(f"{row[head]:<{widths[head]}}" for head in heads).rstrip() for row in rows]
    head = ["  ".join(f"{head:<{widths[head]}}" for head in heads).rstrip()] if heads else []
    room = HEIGHT - 1 - len(head) - min(len(notes), 6)
    if len(table) > room:
        table = [*table[: room - 1], f".. and {len(table) - room + 1} more rows: see summary()"]
    lines = [title, *head, *table]
    told = [f"Note: {note}." for note in notes[: HEIGHT - len(lines)]]
    if len(told) < len(notes):
        told[-1:] = [f".. and {len(notes) - len(told) + 1} more notes: see notes"]
    return "\n".join(map(_cut, [*lines, *told]))


def _cut(line: str) -> str:
    """Return `line` in at most `WIDTH` printable characters."""
    line = "".join(character if character.isprintable() else " " for character in line)
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def page(title: str, rows: Sequence[Mapping[str, str]], notes: Sequence[str]) -> str:
    """Return title, table and notes as escaped HTML."""
    heads = "".join(f"<th>{escape(head)}</th>" for head in (rows[0] if rows else {}))
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row.values()) + "</tr>" for row in rows)
    told = "".join(f"<li>{escape(note)}.</li>" for note in notes)
    return (
        f"<div><p>{escape(title)}</p><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        f"<ul>{told}</ul></div>"
    )
