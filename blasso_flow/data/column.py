"""What a column of a result is. The data classes beside this module declare one with each of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum


class Units(Enum):
    """What a column is in: fixed units, or some that follow from those of the signal."""

    NONE = ""  # of texts, and of numbers whose units follow from the settings
    ONE = "1"
    SECONDS = "s"
    AXIS = "axis"
    VALUES = "values"
    SQUARED = "values^2"
    WEIGHTS = "weights"
    RATE = "1/axis"
    WEIGHT_RATE = "weights/axis"

    def of(self, axis: str, values: str, weights: str) -> str:
        """The units as text, from those of the axis, the signal's values and the weights ("" where unknown)."""
        rate = f"1/{axis}" if axis else ""
        following = {
            Units.AXIS: axis,
            Units.VALUES: values,
            Units.SQUARED: f"{values}^2" if values else "",
            Units.WEIGHTS: weights,
            Units.RATE: rate,
            Units.WEIGHT_RATE: f"{weights}/{axis}" if weights and axis else weights or rate,
        }
        return following.get(self, self.value)


@dataclass(frozen=True)
class Column:
    """One column of a result.

    Attributes
    ----------
    long_name, units : what it holds.
    kind : int, float or str.
    field : the field of the data class that holds it; "" where it is counted from others.
    group, name : its place in a file is /group/name.
    dimensions : what counts its rows, and the columns of a table: names of sizes, most of them fields of `blocks.Totals`.
    when : the size or field of `Totals` that must not be 0 for a file to have it; "" where it is always there.
    shown : likewise for `show`; None where that never prints it.
    later : whether files from before it are read all the same; the field then has its default.
    """

    long_name: str
    units: Units
    kind: type
    field: str
    group: str
    name: str
    dimensions: tuple[str, ...]
    when: str = ""
    shown: str | None = ""
    later: bool = False

    @property
    def path(self) -> str:
        """The column's place in a file, without the first slash."""
        return f"{self.group}/{self.name}"


KEY = "column"
KINDS = {
    **dict.fromkeys(("str", "Status", "Verdict", "Sequence[str]"), str),
    **dict.fromkeys(("int", "IntArray"), int),
    **dict.fromkeys(("float", "FloatArray", "FloatArray | None"), float),
}


def column(
    long_name: str,
    units: Units = Units.NONE,
    *,
    group: str = "",
    name: str = "",
    across: str = "",
    when: str = "",
    shown: str | None = "",
    later: bool = False,
) -> Mapping[str, Column]:
    """Metadata of a field that is a column: one line for everything that is known of it.

    ``group`` and ``name`` default to the data class's group and the field's name. ``across`` counts the columns of a table.
    ``when`` defaults to what the whole group needs, then to ``across``; ``shown`` to ``when``.
    """
    return {KEY: Column(long_name, units, float, "", group, name, (across,) if across else (), when, shown, later)}


def columns(cls: type, group: str, rows: str, when: str = "") -> tuple[Column, ...]:
    """The columns that a data class declares, in the order of its fields; ``rows`` counts their rows."""
    found = []
    for own in fields(cls):
        if KEY in own.metadata:
            said: Column = own.metadata[KEY]
            needs = said.when or when or "".join(said.dimensions)
            place = replace(said, field=own.name, group=said.group or group, name=said.name or own.name, when=needs)
            shown = needs if said.shown == "" else said.shown
            found.append(replace(place, kind=KINDS[str(own.type)], dimensions=(rows, *said.dimensions), shown=shown))
    return tuple(found)
