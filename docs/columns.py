"""The tables of a result's columns in README.md and docs/columns.md: `python docs/columns.py` writes both from the schema."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from blasso_flow.data.column import Column, Units
from blasso_flow.data.schema import COLUMNS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- columns -->\n", "<!-- end of columns -->\n"
GROUPS = {
    "spikes": "the answer, one row a spike",
    "optimum": "the certified measure, one row a spike",
    "candidates": "what pruning judged, one row a spike, dropped or kept",
    "channels": "one row a channel",
    "sections": "with `--width-law`, one row a section",
    "fit": "with `--save-fit`, curves at every sample",
    "rate": "with `--rate WIDTH`, spikes per unit of the axis, smoothed by a Gaussian",
    "trace": "one row a round of the solver",
    "timing": "seconds of every channel and round",
}
CONDITIONS = {
    "widths": "with `--refit-width`",
    "coefficients": "with a baseline",
    "noise_order": "with coloured noise",
    "fitted_baseline": "with a baseline that has fitted parameters",
    "refitted_baseline": "where `--refit-width` fitted its rate again",
    "interpolated": "where samples were interpolated from slower ones",
    "particles": "with `--save-particles`",
    "sections": "with `--width-law`",
    "curve": "with `--save-fit`",
    "rate": "with `--rate`",
    "": "",
}
UNITS = {
    Units.NONE: "",
    Units.ONE: "1",
    Units.SECONDS: "s",
    Units.AXIS: "the axis's",
    Units.VALUES: "the signal's",
    Units.SQUARED: "the signal's, squared",
    Units.WEIGHTS: "of weights",
    Units.RATE: "1 / the axis's",
    Units.WEIGHT_RATE: "of weights / the axis's",
}
TYPES = {int: "int64", float: "float64", str: "text"}


def short_table() -> str:
    """What README says: one row a group."""
    rows = []
    for group, what in GROUPS.items():
        by_condition: dict[str, list[Column]] = {"": []}
        for column in COLUMNS:
            if column.group == group:
                of_all = all(other.when == column.when for other in COLUMNS if other.group == group)
                by_condition.setdefault("" if of_all else column.when, []).append(column)
        parts = [f"{CONDITIONS[when]} {_names(own)}".strip() for when, own in by_condition.items()]
        rows.append(f"| `/{group}` | {what}: {'; '.join(parts)} |")
    rows.append("| `/provenance` | JSON: command, versions, the input's path and SHA-256, all settings |")
    return "\n".join(["| group | contents |", "|---|---|", *rows, ""])


def long_table() -> str:
    """What docs/columns.md says: one row a column."""
    rows = [
        f"| `/{column.path}` | {TYPES[column.kind]} | {UNITS[column.units]} | {column.long_name} | {CONDITIONS[column.when]} |"
        for group in GROUPS
        for column in COLUMNS
        if column.group == group
    ]
    return "\n".join(["| column | type | units | what it is | where |", "|---|---|---|---|---|", *rows, ""]).replace(
        "|eta|", "&#124;eta&#124;"
    )


def between(text: str, table: str) -> str:
    """A document with the table in its place."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}{table}{END}{rest.split(END)[1]}"


def documents() -> dict[Path, str]:
    """Both documents as they should be."""
    tables = {ROOT / "README.md": short_table(), ROOT / "docs" / "columns.md": long_table()}
    return {path: between(path.read_text(), table) for path, table in tables.items()}


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(f"`{column.name}`" for column in columns)


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
