"""Results of a run of channels as columns, and those columns as bytes: what is sent, kept and written of each block.

The bytes hold numbers and texts only, so that reading those of a stranger runs nothing. No files, no numerics.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data import schema
from blasso_flow.data.column import Column
from blasso_flow.data.reports import ChannelReport, Paths, Section, Status, TraceRow, Verdict
from blasso_flow.data.results import ChannelRecovery, Fit, Recovery
from blasso_flow.data.spikes import Candidates, Optimum, Spikes, joined

LEAST_GAP = 1e-16  # what is less counts as that
HEADER = struct.Struct("<I")

Array = NDArray[Any]
Row = TypeVar("Row", TraceRow, Section)
Table = Spikes | Optimum | Candidates | Fit


@dataclass(frozen=True)
class Block:
    """Channels ``first`` to ``first + count - 1``.

    ``columns`` are those of the schema by their place in a file ("channels/gap"), but for what is counted or smoothed when a
    file is written. Rows are numbered by the channels of the whole signal. Texts have the type object, notes are joined by
    line breaks. Tables (of coefficients, of particles) are padded with NaN to the most that a channel has. Curves are there
    only if they are kept: (count, N), or (N,) where the signal has no dimension of channels.
    """

    first: int
    count: int
    columns: Mapping[str, Array]

    @classmethod
    def of(cls, recovery: Recovery, first: int = 0, *, keep_fit: bool = True) -> Block:
        """The columns of a recovery whose channels are numbered from ``first`` on."""
        fit = recovery.fit if keep_fit else None
        return cls._made(first, (recovery.spikes, recovery.optimum, recovery.candidates), recovery.channels, fit)

    @classmethod
    def of_channels(cls, channels: Sequence[ChannelRecovery], first: int, *, several: bool, keep_fit: bool) -> Block:
        """The columns of channels' results, numbered from ``first`` on; ``several`` is whether the signal counts channels."""
        fit = Fit.of([part.fit for part in channels], several=several) if keep_fit else None
        spikes, optimum = joined([part.spikes for part in channels]), joined([part.optimum for part in channels])
        tables = spikes, optimum, joined([part.candidates for part in channels])
        return cls._made(first, tables, [part.report for part in channels], fit)

    @classmethod
    def _made(cls, first: int, tables: Sequence[Table], reports: Sequence[ChannelReport], fit: Fit | None) -> Block:
        columns: dict[str, Array] = {}
        for table in (*tables, *([fit] if fit is not None else ())):
            columns |= _fields(table)
        for column in schema.OF[ChannelReport]:
            columns[column.path] = _array(column, [getattr(report, column.field) for report in reports])
        columns |= _rows(TraceRow, [report.trace for report in reports], first)
        columns |= _rows(Section, [report.sections for report in reports], first)
        columns |= {column.path: _particles(reports, column.field) for column in schema.OF[Paths]}
        return cls(first, len(reports), columns)

    @property
    def spikes(self) -> Spikes:
        """The answers of the block's channels."""
        return Spikes(**self._own(Spikes))

    @property
    def optimum(self) -> Optimum:
        """The certified measures of the block's channels."""
        return Optimum(**self._own(Optimum))

    @property
    def candidates(self) -> Candidates:
        """What pruning judged in the block's channels."""
        return Candidates(**self._own(Candidates))

    @property
    def fit(self) -> Fit | None:
        """The curves of the block's channels, None unless they are kept."""
        own = self._own(Fit)
        return Fit(**own) if own else None

    @property
    def found(self) -> NDArray[np.int64]:
        """Number of spikes of each channel, (count,)."""
        return self.counted("spikes")

    def counted(self, group: str) -> NDArray[np.int64]:
        """Number of rows of a group that each channel has, (count,)."""
        return np.bincount(self.columns[f"{group}/channel"] - self.first, minlength=self.count).astype(np.int64)

    def reports(self, rows: Iterable[int] | None = None) -> list[ChannelReport]:
        """One report a channel, or only those of some rows."""
        traces, sections = self._rows(TraceRow), self._rows(Section)
        own = self._own(ChannelReport)
        return [
            ChannelReport(
                **{name: _value(name, values[row]) for name, values in own.items()},
                trace=tuple(traces[row]),
                sections=tuple(sections[row]),
                paths=self._paths(row),
            )
            for row in (range(self.count) if rows is None else rows)
        ]

    def _own(self, cls: type) -> dict[str, Array]:
        """The columns of a data class that are there, by field."""
        return {column.field: self.columns[column.path] for column in schema.OF[cls] if column.path in self.columns}

    def _rows(self, cls: type[Row]) -> list[list[Row]]:
        """The rows of each channel's trace, or of its sections."""
        found: list[list[Row]] = [[] for _ in range(self.count)]
        own = self._own(cls)
        if own:
            channel = self.columns[f"{schema.OF[cls][0].group}/channel"].tolist()
            for number, *values in zip(channel, *(column.tolist() for column in own.values()), strict=True):
                found[number - self.first].append(cls(*values))
        return found

    def _paths(self, row: int) -> Paths | None:
        own = self._own(Paths)
        if not own or not own["position"].shape[1]:
            return None
        rows = self.columns["trace/channel"] == self.first + row
        position, weight = own["position"][rows], own["weight"][rows]
        kept = np.isfinite(position).all(axis=0)
        return Paths(position[:, kept], weight[:, kept]) if len(position) and kept.any() else None


@dataclass(frozen=True)
class Totals:
    """Sizes of a whole result: channels, rows of each table, columns of the wide ones; and whether curves have a dimension of
    channels; whether a baseline, widths, and with them the baseline again, were fitted; whether samples were interpolated."""

    channels: int = 0
    spikes: int = 0
    optimum: int = 0
    candidates: int = 0
    rounds: int = 0
    coefficients: int = 0
    noise_order: int = 0
    sections: int = 0
    particles: int = 0
    curve: int = 0
    several: bool = True
    fitted_baseline: bool = False
    widths: bool = False
    refitted_baseline: bool = False
    interpolated: bool = False

    def plus(self, block: Block) -> Totals:
        """With one more block."""
        columns = block.columns
        curves = columns.get("fit/model")
        wide = {"coefficients": self.coefficients, "noise_order": self.noise_order}
        for column in schema.OF[ChannelReport]:
            for name in column.dimensions[1:]:
                wide[name] = max(wide[name], columns[column.path].shape[1])
        return Totals(
            channels=self.channels + block.count,
            spikes=self.spikes + columns["spikes/channel"].size,
            optimum=self.optimum + columns["optimum/channel"].size,
            candidates=self.candidates + columns["candidates/channel"].size,
            rounds=self.rounds + columns["trace/channel"].size,
            **wide,
            sections=self.sections + columns["sections/channel"].size,
            particles=max(self.particles, columns["trace/particle_position"].shape[1]),
            curve=self.curve if curves is None else curves.shape[-1],
            several=self.several if curves is None else curves.ndim == 2,
            fitted_baseline=self.fitted_baseline or any(columns["channels/baseline_rule"]),
            widths=self.widths or "spikes/width" in columns,
            refitted_baseline=self.refitted_baseline or any(columns["channels/refit_baseline_rule"]),
            interpolated=self.interpolated or any(columns["channels/interpolation"]),
        )

    @classmethod
    def of(cls, blocks: Iterable[Block]) -> Totals:
        """Sizes of all blocks together."""
        totals = cls()
        for block in blocks:
            totals = totals.plus(block)
        return totals


@dataclass
class Overview:
    """A whole run in a few numbers: ``decades`` counts channels by the power of ten of their gap, ``statuses`` by how they
    ended, ``fits`` by the verdict on their model; ``worst_gap`` is NaN where no channel has one."""

    channels: int = 0
    spikes: int = 0
    worst_gap: float = math.nan
    statuses: Counter[str] = field(default_factory=Counter)
    fits: Counter[str] = field(default_factory=Counter)
    decades: Counter[int] = field(default_factory=Counter)

    def add(self, block: Block) -> None:
        """One more block."""
        self.channels += block.count
        self.spikes += block.columns["spikes/channel"].size
        self.statuses.update(block.columns["channels/status"])
        self.fits.update(block.columns["channels/fit"])
        gaps = block.columns["channels/gap"]
        gaps = gaps[np.isfinite(gaps)]
        if gaps.size:
            self.worst_gap = float(np.fmax(self.worst_gap, gaps.max()))
            self.decades.update(np.floor(np.log10(np.maximum(gaps, LEAST_GAP))).astype(int).tolist())


def padded(table: Array, size: int) -> Array:
    """A table (rows, columns) with NaN in the columns up to ``size`` that it does not have."""
    short = size - table.shape[1]
    return np.pad(table, ((0, 0), (0, short)), constant_values=np.nan) if short else table


def encode(block: Block) -> bytes:
    """A block as bytes: length of a JSON header, the header (texts, and name, type and shape of each array), the arrays."""
    texts = {path: values.tolist() for path, values in block.columns.items() if values.dtype == object}
    arrays = {path: values for path, values in block.columns.items() if path not in texts}
    kinds = {path: ("i" if array.dtype.kind in "iu" else "f", array.shape) for path, array in arrays.items()}
    header = json.dumps({"first": block.first, "count": block.count, "texts": texts, "arrays": kinds}).encode()
    parts = [HEADER.pack(len(header)), header]
    parts += [np.ascontiguousarray(array, dtype=f"<{kinds[path][0]}8").tobytes() for path, array in arrays.items()]
    return b"".join(parts)


def decode(data: bytes) -> Block:
    """The block that `encode` made bytes of."""
    (length,) = HEADER.unpack_from(data)
    header = json.loads(data[HEADER.size : HEADER.size + length])
    columns: dict[str, Array] = {path: np.array(texts, dtype=object) for path, texts in header["texts"].items()}
    place = HEADER.size + length
    for path, (kind, shape) in header["arrays"].items():
        size = math.prod(shape)
        columns[path] = np.frombuffer(data, dtype=f"<{kind}8", count=size, offset=place).reshape(shape)
        place += 8 * size
    return Block(header["first"], header["count"], columns)


def _fields(rows: Table) -> dict[str, Array]:
    """The columns of data that are columns already, without those that are not there."""
    own = {column.path: getattr(rows, column.field) for column in schema.OF[type(rows)]}
    return {path: values for path, values in own.items() if values is not None}


def _array(column: Column, values: Sequence[Any]) -> Array:
    """One value a row as a column; several as a table."""
    if column.kind is str:
        return np.array([str(text) if isinstance(text, str) else "\n".join(text) for text in values], dtype=object)
    if len(column.dimensions) == 1:
        return np.array(values, dtype=np.int64 if column.kind is int else np.float64)
    table = np.full((len(values), max((row.size for row in values), default=0)), np.nan)
    for padded, row in zip(table, values, strict=True):
        padded[: row.size] = row
    return table


def _value(field: str, value: Any) -> Any:
    """What a report says in a field, from its row of the column; the coefficients of a table without their padding."""
    if field == "status":
        return Status(value)
    if field == "fit":
        return Verdict(value)
    if field in {"notes", "fit_reasons"}:
        return tuple(filter(None, value.split("\n")))
    if isinstance(value, np.ndarray):
        return value[: np.isfinite(value).sum()]
    return value.item() if isinstance(value, np.generic) else value


def _rows(cls: type[Row], parts: Sequence[Sequence[Row]], first: int) -> dict[str, Array]:
    """The rows of all channels as columns, with the number of their channel."""
    own = schema.OF[cls]
    channel = np.repeat(np.arange(first, first + len(parts)), np.array([len(part) for part in parts], dtype=np.int64))
    rows = [row for part in parts for row in part]
    columns = {column.path: _array(column, [getattr(row, column.field) for row in rows]) for column in own}
    return {f"{own[0].group}/channel": channel, **columns}


def _particles(reports: Sequence[ChannelReport], name: str) -> Array:
    most = max((report.paths.position.shape[1] for report in reports if report.paths is not None), default=0)
    table = np.full((sum(len(report.trace) for report in reports), most), np.nan)
    row = 0
    for report in reports:
        if report.paths is not None:
            own = getattr(report.paths, name)
            table[row : row + len(report.trace), : own.shape[1]] = own
        row += len(report.trace)
    return table
