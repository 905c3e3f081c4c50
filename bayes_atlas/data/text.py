"""Answers as text: numbers as people read them, a screen for a terminal, a table for a notebook."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 80, 24  # of the screen that a repr fits


def number(value: float, digits: int = 4) -> str:
    """Three significant digits of large counts, with their usual letters, or `digits` of numbers below 1000."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def interval(probability: float) -> str:
    """The head of a column of intervals."""
    return f"{100 * probability:.4g}% interval"


def cells(values: Mapping[str, Any], probability: float) -> dict[str, str]:
    """The cells of a summary: its median and its interval."""
    return {
        "median": number(values["median"]),
        interval(probability): f"{number(values['lower'])} to {number(values['upper'])}",
    }


def screen(title: str, rows: Sequence[Mapping[str, str]], notes: Sequence[str]) -> str:
    """Title, table and notes in at most `HEIGHT` lines of at most `WIDTH` characters; what is cut is counted."""
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
    """One line of at most `WIDTH` characters."""
    line = "".join(character if character.isprintable() else " " for character in line)
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def page(title: str, rows: Sequence[Mapping[str, str]], notes: Sequence[str]) -> str:
    """Title, table and notes in HTML, with everything escaped."""
    heads = "".join(f"<th>{escape(head)}</th>" for head in (rows[0] if rows else {}))
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row.values()) + "</tr>" for row in rows)
    told = "".join(f"<li>{escape(note)}.</li>" for note in notes)
    return (
        f"<div><p>{escape(title)}</p><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        f"<ul>{told}</ul></div>"
    )
