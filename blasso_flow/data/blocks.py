"""Results of a run of channels as columns, and those columns as bytes: what is sent, kept and written of each block.

The bytes hold numbers and texts only, so that reading those of a stranger runs nothing. No files, no numerics.
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.reports import ChannelReport, Paths, Section, Status, TraceRow
from blasso_flow.data.results import Fit, Recovery
from blasso_flow.data.spikes import Optimum, Spikes

TEXTS = ("status", "message", "strength_rule", "noise_rule", "notes", "baseline_rule", "refit_baseline_rule")
NUMBERS = (
    "strength", "noise_sd", "objective", "dual_value", "gap", "gap_noise", "violation", "seconds", "refit_noise_sd",
    "refit_rate_error",
)  # fmt: skip
TRACE = ("round", "objective", "gap", "spikes", "seconds")
SECTIONS = ("first", "last", "sd", "strength")
WHOLE = frozenset({"round", "spikes", "first", "last"})  # columns that count
ALONE = ("rounds", "baseline", "refit_baseline", "particle_position", "particle_weight")
LEAST_GAP = 1e-16  # what is less counts as that
HEADER = struct.Struct("<I")

Column = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Channels ``first`` to ``first + count - 1``.

    Attributes
    ----------
    spikes, optimum : rows of these channels, numbered as in the whole signal.
    texts : the columns `TEXTS`, one text a channel; notes are joined by line breaks.
    numbers : the columns `NUMBERS` (count,). rounds : (count,).
    baseline, refit_baseline : coefficients (count, B), padded with NaN to the most that a channel has.
    trace : the columns `TRACE` and "channel", one row a round. sections : `SECTIONS` and "channel", one row a section.
    particle_position, particle_weight : (rows of the trace, m), NaN where a channel has fewer particles or none were kept.
    fit : curves (count, N) or (N,), None unless they are kept.
    """

    first: int
    count: int
    spikes: Spikes
    optimum: Optimum
    texts: Mapping[str, Sequence[str]]
    numbers: Mapping[str, NDArray[np.float64]]
    rounds: NDArray[np.int64]
    baseline: NDArray[np.float64]
    refit_baseline: NDArray[np.float64]
    trace: Mapping[str, Column]
    sections: Mapping[str, Column]
    particle_position: NDArray[np.float64]
    particle_weight: NDArray[np.float64]
    fit: Fit | None = field(default=None, repr=False)

    @classmethod
    def of(cls, recovery: Recovery, first: int = 0, *, keep_fit: bool = True) -> Block:
        """The columns of a recovery whose channels are numbered from ``first`` on."""
        reports = recovery.channels
        texts = {name: [str(getattr(report, name)) for report in reports] for name in TEXTS if name != "notes"}
        return cls(
            first=first,
            count=len(reports),
            spikes=recovery.spikes,
            optimum=recovery.optimum,
            texts={**texts, "notes": ["\n".join(report.notes) for report in reports]},
            numbers={name: np.array([getattr(report, name) for report in reports], dtype=np.float64) for name in NUMBERS},
            rounds=np.array([report.rounds for report in reports], dtype=np.int64),
            baseline=_table([report.baseline for report in reports]),
            refit_baseline=_table([report.refit_baseline for report in reports]),
            trace=_rows([report.trace for report in reports], TRACE, first),
            sections=_rows([report.sections for report in reports], SECTIONS, first),
            particle_position=_particles(reports, "position"),
            particle_weight=_particles(reports, "weight"),
            fit=recovery.fit if keep_fit else None,
        )

    @property
    def found(self) -> NDArray[np.int64]:
        """Number of spikes of each channel, (count,)."""
        return np.bincount(self.spikes.channel - self.first, minlength=self.count).astype(np.int64)

    def reports(self, rows: Iterable[int] | None = None) -> list[ChannelReport]:
        """One report a channel, or only those of some rows."""
        traces: list[list[TraceRow]] = [[] for _ in range(self.count)]
        for channel, *row in zip(*(self.trace[name].tolist() for name in ("channel", *TRACE)), strict=True):
            traces[channel - self.first].append(TraceRow(*row))
        sections: list[list[Section]] = [[] for _ in range(self.count)]
        for channel, *row in zip(*(self.sections[name].tolist() for name in ("channel", *SECTIONS)), strict=True):
            sections[channel - self.first].append(Section(*row))
        return [
            ChannelReport(
                status=Status(self.texts["status"][row]),
                rounds=int(self.rounds[row]),
                baseline=_coefficients(self.baseline[row]),
                refit_baseline=_coefficients(self.refit_baseline[row]),
                trace=tuple(traces[row]),
                sections=tuple(sections[row]),
                paths=self._paths(row),
                notes=tuple(filter(None, self.texts["notes"][row].split("\n"))),
                **{name: self.texts[name][row] for name in TEXTS if name not in {"status", "notes"}},  # type: ignore[arg-type]
                **{name: float(column[row]) for name, column in self.numbers.items()},  # type: ignore[arg-type]
            )
            for row in (range(self.count) if rows is None else rows)
        ]

    def _paths(self, row: int) -> Paths | None:
        own = self.trace["channel"] == self.first + row
        position, weight = self.particle_position[own], self.particle_weight[own]
        kept = np.isfinite(position).all(axis=0)
        return Paths(position[:, kept], weight[:, kept]) if len(position) and kept.any() else None


@dataclass(frozen=True)
class Totals:
    """Sizes of a whole result: channels, rows of each table, columns of the wide ones, and whether a baseline, widths, and
    with them the baseline again, were fitted."""

    channels: int = 0
    spikes: int = 0
    optimum: int = 0
    rounds: int = 0
    coefficients: int = 0
    sections: int = 0
    particles: int = 0
    curve: int = 0
    fitted_baseline: bool = False
    widths: bool = False
    refitted_baseline: bool = False

    def plus(self, block: Block) -> Totals:
        """With one more block."""
        return Totals(
            channels=self.channels + block.count,
            spikes=self.spikes + len(block.spikes),
            optimum=self.optimum + len(block.optimum),
            rounds=self.rounds + block.trace["channel"].size,
            coefficients=max(self.coefficients, block.baseline.shape[1], block.refit_baseline.shape[1]),
            sections=self.sections + block.sections["channel"].size,
            particles=max(self.particles, block.particle_position.shape[1]),
            curve=self.curve if block.fit is None else block.fit.model.shape[-1],
            fitted_baseline=self.fitted_baseline or any(block.texts["baseline_rule"]),
            widths=self.widths or block.spikes.width is not None,
            refitted_baseline=self.refitted_baseline or any(block.texts["refit_baseline_rule"]),
        )

    @classmethod
    def of(cls, blocks: Iterable[Block]) -> Totals:
        """Of all blocks."""
        totals = cls()
        for block in blocks:
            totals = totals.plus(block)
        return totals


@dataclass
class Overview:
    """A whole run in a few numbers: ``decades`` counts channels by the power of ten of their gap, ``statuses`` by how they
    ended; ``worst_gap`` is NaN where no channel has one."""

    channels: int = 0
    spikes: int = 0
    worst_gap: float = math.nan
    statuses: Counter[str] = field(default_factory=Counter)
    decades: Counter[int] = field(default_factory=Counter)

    def add(self, block: Block) -> None:
        """One more block."""
        self.channels += block.count
        self.spikes += len(block.spikes)
        self.statuses.update(block.texts["status"])
        gaps = block.numbers["gap"]
        gaps = gaps[np.isfinite(gaps)]
        if gaps.size:
            self.worst_gap = float(np.fmax(self.worst_gap, gaps.max()))
            self.decades.update(np.floor(np.log10(np.maximum(gaps, LEAST_GAP))).astype(int).tolist())


def encode(block: Block) -> bytes:
    """A block as bytes: length of a JSON header, the header (texts, and name, type and shape of each array), the arrays."""
    arrays: dict[str, NDArray[np.generic]] = {
        **{f"spikes.{name}": column for name, column in vars(block.spikes).items() if column is not None},
        **{f"optimum.{column.name}": getattr(block.optimum, column.name) for column in fields(Optimum)},
        **{f"numbers.{name}": column for name, column in block.numbers.items()},
        **{f"trace.{name}": column for name, column in block.trace.items()},
        **{f"sections.{name}": column for name, column in block.sections.items()},
        **{name: getattr(block, name) for name in ALONE},
    }
    if block.fit is not None:
        arrays |= {f"fit.{column.name}": getattr(block.fit, column.name) for column in fields(Fit)}
    kinds = {name: ("i" if array.dtype.kind in "iu" else "f", array.shape) for name, array in arrays.items()}
    header = json.dumps({"first": block.first, "count": block.count, "texts": dict(block.texts), "arrays": kinds}).encode()
    parts = [HEADER.pack(len(header)), header]
    parts += [np.ascontiguousarray(array, dtype=f"<{kinds[name][0]}8").tobytes() for name, array in arrays.items()]
    return b"".join(parts)


def decode(data: bytes) -> Block:
    """The block that `encode` made bytes of."""
    (length,) = HEADER.unpack_from(data)
    header = json.loads(data[HEADER.size : HEADER.size + length])
    arrays: dict[str, dict[str, Column]] = {}
    place = HEADER.size + length
    for name, (kind, shape) in header["arrays"].items():
        size = math.prod(shape)
        group, _, column = name.rpartition(".")
        array = np.frombuffer(data, dtype=f"<{kind}8", count=size, offset=place).reshape(shape)
        arrays.setdefault(group, {})[column] = array
        place += 8 * size
    return Block(
        first=header["first"],
        count=header["count"],
        spikes=Spikes(**arrays["spikes"]),  # type: ignore[arg-type]
        optimum=Optimum(**arrays["optimum"]),  # type: ignore[arg-type]
        texts=header["texts"],
        numbers=arrays["numbers"],  # type: ignore[arg-type]
        trace=arrays["trace"],
        sections=arrays["sections"],
        fit=Fit(**arrays["fit"]) if "fit" in arrays else None,  # type: ignore[arg-type]
        **arrays[""],  # type: ignore[arg-type]
    )


def _table(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Rows of different lengths as (C, B), padded with NaN."""
    table = np.full((len(rows), max((row.size for row in rows), default=0)), np.nan)
    for padded, row in zip(table, rows, strict=True):
        padded[: row.size] = row
    return table


def _rows(parts: Sequence[Sequence[object]], names: Sequence[str], first: int) -> dict[str, Column]:
    """Attributes ``names`` of all rows of all channels as columns, with the column "channel"."""
    rows = [(first + number, row) for number, own in enumerate(parts) for row in own]
    columns: dict[str, Column] = {"channel": np.array([number for number, _ in rows], dtype=np.int64)}
    for name in names:
        column = [getattr(row, name) for _, row in rows]
        columns[name] = np.array(column, dtype=np.int64) if name in WHOLE else np.array(column, dtype=np.float64)
    return columns


def _particles(reports: Sequence[ChannelReport], name: str) -> NDArray[np.float64]:
    most = max((report.paths.position.shape[1] for report in reports if report.paths is not None), default=0)
    table = np.full((sum(len(report.trace) for report in reports), most), np.nan)
    row = 0
    for report in reports:
        if report.paths is not None:
            own = getattr(report.paths, name)
            table[row : row + len(report.trace), : own.shape[1]] = own
        row += len(report.trace)
    return table


def _coefficients(padded: NDArray[np.float64]) -> NDArray[np.float64]:
    return padded[: np.isfinite(padded).sum()]
