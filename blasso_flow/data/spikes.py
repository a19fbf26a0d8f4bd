"""Spikes as columns: those of the answer, and those of the certified measure.

Columns are numpy arrays of equal length. Positions are in axis units, weights in the units the filter's normalisation
gives them. Nothing here computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self, TypeVar

import numpy as np

from blasso_flow.data.column import KINDS, Units, column
from blasso_flow.data.signals import FloatArray, IntArray


class Table:
    """What tables of spikes have in common: columns of equal length, one of them ``position``."""

    position: FloatArray

    def __len__(self) -> int:
        return self.position.size

    @classmethod
    def empty(cls) -> Self:
        """No rows at all; columns that are not always there are not."""
        always = [own for own in fields(cls) if own.default is MISSING]  # type: ignore[arg-type]
        return cls(**{own.name: np.empty(0, dtype=KINDS[str(own.type)]) for own in always})


@dataclass(frozen=True)
class Spikes(Table):
    """The answer: one row a spike, ordered by channel, then position. All columns have shape (K,).

    ``position_errors`` and ``weight_errors`` are standard errors, NaN where not identifiable. ``group`` numbers the
    groups of spikes (within a channel, from 0) whose positions are not resolved from each other; a spike that is
    resolved has a group of its own. ``significance`` is the square root of twice the log of the likelihood ratio of leaving
    the spike out, NaN without a refit. ``width`` (axis units) and its standard errors are those of each spike's response,
    None unless widths were fitted.
    """

    channel: IntArray = field(metadata=column("channel", Units.ONE))
    position: FloatArray = field(metadata=column("position", Units.AXIS))
    position_errors: FloatArray = field(metadata=column("standard error of the position", Units.AXIS))
    weight: FloatArray = field(metadata=column("weight", Units.WEIGHTS))
    weight_errors: FloatArray = field(metadata=column("standard error of the weight", Units.WEIGHTS))
    group: IntArray = field(metadata=column("group of spikes not resolved from each other", Units.ONE))
    significance: FloatArray = field(metadata=column("significance: sqrt(2 log likelihood ratio) of leaving it out", Units.ONE))
    width: FloatArray | None = field(default=None, metadata=column("width of the spike's response", Units.AXIS, when="widths"))
    width_errors: FloatArray | None = field(
        default=None, metadata=column("standard error of the width", Units.AXIS, when="widths")
    )

    def columns(self) -> dict[str, FloatArray | IntArray]:
        """The columns that are there by name, each of shape (K,)."""
        return {name: values for name, values in vars(self).items() if values is not None}

    def frame(self) -> Any:
        """The columns as a pandas DataFrame, one row a spike. Raises `ImportError` where pandas is not installed."""
        from pandas import DataFrame

        return DataFrame(self.columns())


@dataclass(frozen=True)
class Optimum(Table):
    """The certified measure, BLASSO's minimiser: columns of shape (K,); ``eta`` is the certificate at the position."""

    channel: IntArray = field(metadata=column("channel", Units.ONE))
    position: FloatArray = field(metadata=column("position", Units.AXIS))
    weight: FloatArray = field(metadata=column("weight of the certified measure", Units.WEIGHTS))
    eta: FloatArray = field(metadata=column("certificate at the position", Units.ONE))


@dataclass(frozen=True)
class Candidates(Table):
    """What pruning judged, columns of shape (K,): spikes that it dropped, as they were at that moment, and those that stay."""

    channel: IntArray = field(metadata=column("channel", Units.ONE))
    position: FloatArray = field(metadata=column("position when it was judged", Units.AXIS))
    weight: FloatArray = field(metadata=column("weight when it was judged", Units.WEIGHTS))
    significance: FloatArray = field(metadata=column("significance when it was judged", Units.ONE))
    kept: IntArray = field(metadata=column("1 where it stays as a spike of the answer, 0 where it was dropped", Units.ONE))


Rows = TypeVar("Rows", Spikes, Optimum, Candidates)


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of one or more parts, one after the other; a column is there if some part has it, as those without have no rows."""
    columns: dict[str, Any] = {}
    for name in vars(parts[0]):
        there = [column for part in parts if (column := getattr(part, name)) is not None]
        columns[name] = np.concatenate(there) if there else None
    return type(parts[0])(**columns)
