"""Tables in Markdown: what to see in them, their rows, and whether a figure is what was asked for."""

from __future__ import annotations


def head(words: str, *columns: str) -> None:
    """Print a sentence on what to see, and the head of the table under it."""
    print(f"{words}\n")
    row(*columns)
    row(*("---" for _ in columns))


def row(*cells: object) -> None:
    """Print one row, at once: tables grow for minutes."""
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def at_most(limit: float, value: float, unit: str = "") -> str:
    """The aim as a text, and whether the value keeps it."""
    return f"at most {limit:g}{unit}: {'holds' if value <= limit else 'MISSED'}"


def at_least(limit: float, value: float, unit: str = "") -> str:
    """The aim as a text, and whether the value keeps it."""
    return f"at least {limit:g}{unit}: {'holds' if value >= limit else 'MISSED'}"
