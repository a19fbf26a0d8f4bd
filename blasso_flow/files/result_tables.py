"""The tables of a result file, filled block by block in the order of the channels. Opens no file.

What columns there are, the schema says (`data.schema`); here they get their dimension scales and units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import h5py
import numpy as np

from blasso_flow.answer.rates import rates
from blasso_flow.data import schema
from blasso_flow.data.blocks import Block, Totals, padded
from blasso_flow.data.column import Column
from blasso_flow.data.signals import Axis
from blasso_flow.files.columns import TEXT, StoredColumn, nxdata, texts, write_scale
from blasso_flow.files.layout import CANDIDATES, CHANNEL, FIT, OPTIMUM, RATE, SCALES, SPIKE, SPIKES
from blasso_flow.files.signal_writer import short, write_sample_axis

KINDS = {int: np.dtype(np.int64), float: np.dtype(np.float64), str: TEXT}
PLOTTED = {
    SPIKES: "weight",
    OPTIMUM: "weight",
    CANDIDATES: "significance",
    FIT: "model",
    RATE: "rate",
}  # what NeXus draws of a group
TEXT_SIZE = 60  # bytes of a text, about


@dataclass(frozen=True)
class About:
    """What the columns need to know: sizes, the axis (None if unknown), units, the width of rates, whether curves are kept."""

    totals: Totals
    axis: Axis | None
    value_units: str
    weight_units: str
    rate_width: float | None
    save_fit: bool

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Length of each dimension of the schema, and, not 0 if it is so, each condition."""
        totals = self.totals
        return {
            **vars(totals),
            "curve": totals.curve if self.save_fit else 0,
            "rate": self.rate_width is not None and self.axis is not None,
            "samples": self.axis.size if self.axis else totals.curve,
        }

    @property
    def columns(self) -> list[Column]:
        """The schema's columns that the file has."""
        return [column for column in schema.COLUMNS if not column.when or self.sizes[column.when]]

    @property
    def upper_size(self) -> int:
        """About the bytes of the columns before compression."""
        return sum(
            (TEXT_SIZE if column.kind is str else 8) * math.prod(self.sizes[dimension] for dimension in column.dimensions)
            for column in self.columns
        )


class ResultTables:
    """All groups of columns of one file.

    The totals of ``about`` are those of all blocks that will come. Where curves are kept, every block has them.
    """

    def __init__(self, file: h5py.File, about: About) -> None:
        self._file, self._about = file, about
        self._scales: dict[tuple[str, str], h5py.Dataset] = {}
        self._columns = {column.path: self._created(column) for column in about.columns}
        for group, signal in PLOTTED.items():
            if group in file:
                axes = [short(scale) for (of, _), scale in self._scales.items() if of == group]
                nxdata(file[group], signal, ["position"] if "position" in file[group] else axes)
        if RATE in file:
            file[RATE].attrs["width"] = about.rate_width

    def append(self, block: Block) -> None:
        """Add the next channels."""
        about = self._about
        rows = {**block.columns, "channels/row_size": block.found, "channels/optimum_row_size": block.counted("optimum")}
        if RATE in self._file and about.axis is not None and about.rate_width is not None:
            smoothed = rates(block.spikes, about.axis, about.rate_width, block.count, block.first)
            rows |= {"rate/rate": smoothed.rate, "rate/weight_rate": smoothed.weight_rate}
        for path, column in self._columns.items():
            if path in rows:  # not so the widths of channels that all failed: they have no spikes either
                own = texts(rows[path]) if rows[path].dtype == object else rows[path]
                column.append(padded(own, column.dataset.shape[1]) if own.ndim == 2 else own)

    def close(self) -> None:
        """Write what still waits for a whole chunk."""
        for column in self._columns.values():
            column.close()

    def _created(self, column: Column) -> StoredColumn:
        group, about = self._file.require_group(column.group), self._about
        dimensions = column.dimensions if column.group != FIT or about.totals.several else column.dimensions[1:]
        scales = [self._scale(group, dimension) for dimension in dimensions]
        units = column.units.of(about.axis.units if about.axis else "", about.value_units, about.weight_units)
        shape = tuple(len(scale) for scale in scales)
        stated = None if column.kind is str else units
        stored = StoredColumn(group, column.name, shape, KINDS[column.kind], scales, stated, column.long_name)
        if column.name == CHANNEL:
            stored.dataset.attrs["instance_dimension"] = CHANNEL
        elif not column.field:
            stored.dataset.attrs["sample_dimension"] = SPIKE
        return stored

    def _scale(self, group: h5py.Group, dimension: str) -> h5py.Dataset:
        key, size = (str(group.name)[1:], dimension), self._about.sizes[dimension]
        if key not in self._scales:
            if dimension == "samples":
                made = write_sample_axis(group, self._about.axis or Axis(0.0, 1.0, size, "sample"))
            else:
                made = write_scale(group, SCALES[dimension], size)
            self._scales[key] = made
        return self._scales[key]
