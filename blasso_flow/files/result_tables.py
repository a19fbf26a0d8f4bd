"""The tables of a result file, filled block by block in the order of the channels. Knows the layout, opens no file."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from blasso_flow.answer.rates import rates
from blasso_flow.data.blocks import Block, Totals
from blasso_flow.data.signals import Axis
from blasso_flow.files.columns import TEXT, Column, nxdata, texts, write_scale
from blasso_flow.files.layout import (
    CHANNEL,
    CHANNELS,
    COEFFICIENT,
    FIT,
    OPTIMUM,
    PARTICLE,
    RATE,
    ROW,
    SECTION,
    SECTIONS,
    SPIKE,
    SPIKES,
    TIMING,
    TRACE,
)
from blasso_flow.files.signal_writer import short, write_sample_axis

INTEGER, FLOAT = np.dtype(np.int64), np.dtype(np.float64)


@dataclass(frozen=True)
class About:
    """What the columns need to know: the axis (None if unknown), units, the width of rates, whether curves are kept."""

    axis: Axis | None
    value_units: str
    weight_units: str
    rate_width: float | None
    save_fit: bool


class ResultTables:
    """/spikes, /optimum, /channels, /trace, /timing and, where wanted, /rate and /fit of one file.

    ``totals`` are those of all blocks that will come. Where curves are kept, every block has them.
    """

    def __init__(self, file: h5py.File, totals: Totals, about: About) -> None:
        self._file, self._totals, self._about = file, totals, about
        self._columns: dict[str, Column] = {}
        self._units = about.axis.units if about.axis else ""
        self._spikes()
        self._optimum()
        self._channels()
        self._rounds()
        if totals.sections:
            self._sections()
        if about.rate_width is not None and about.axis is not None:
            self._rates(about.axis, about.rate_width)

    def append(self, block: Block) -> None:
        """Add the next channels."""
        for table, rows in ((SPIKES, block.spikes), (OPTIMUM, block.optimum)):
            for name in rows.__dataclass_fields__:
                self._append(f"{table}/{name}", getattr(rows, name))
        sizes = np.bincount(block.optimum.channel - block.first, minlength=block.count)
        self._append(f"{CHANNELS}/row_size", block.found)
        self._append(f"{CHANNELS}/optimum_row_size", sizes.astype(np.int64))
        for name, column in block.texts.items():
            self._append(f"{CHANNELS}/{name}", texts(column))
        for name, numbers in block.numbers.items():
            self._append(f"{CHANNELS}/{name}", numbers)
        self._append(f"{CHANNELS}/rounds", block.rounds)
        for name in ("baseline", "refit_baseline"):
            self._append(f"{CHANNELS}/{name}", _padded(getattr(block, name), self._totals.coefficients))
        for name, rounds in block.trace.items():
            self._append(f"{TRACE}/{name}", rounds)
        for name in ("particle_position", "particle_weight"):
            self._append(f"{TRACE}/{name}", _padded(getattr(block, name), self._totals.particles))
        for name, parts in block.sections.items():
            self._append(f"{SECTIONS}/{name}", parts)
        self._append(f"{TIMING}/seconds", block.numbers["seconds"])
        self._append(f"{TIMING}/round_seconds", block.trace["seconds"])
        if self._about.rate_width is not None and self._about.axis is not None:
            smoothed = rates(block.spikes, self._about.axis, self._about.rate_width, block.count, block.first)
            self._append(f"{RATE}/rate", smoothed.rate)
            self._append(f"{RATE}/weight_rate", smoothed.weight_rate)
        if block.fit is not None and self._about.save_fit:
            if FIT not in self._file:
                self._fit(block.fit.model.shape)
            for name in ("model", "residual", "baseline"):
                self._append(f"{FIT}/{name}", getattr(block.fit, name))

    def close(self) -> None:
        """Write what still waits for a whole chunk."""
        for column in self._columns.values():
            column.close()

    def _append(self, path: str, values: NDArray[np.generic] | None) -> None:
        """Values are None where the channels have no rows either: those that failed, of a run with widths."""
        column = self._columns.get(path)
        if column is not None and values is not None:
            column.append(values)

    def _column(
        self,
        group: h5py.Group,
        name: str,
        scales: list[h5py.Dataset],
        units: str | None,
        long_name: str,
        kind: np.dtype[np.generic] = FLOAT,
    ) -> h5py.Dataset:
        shape = tuple(len(scale) for scale in scales)
        column = Column(group, name, shape, kind, scales, units, long_name)
        self._columns[f"{str(group.name)[1:]}/{name}"] = column
        return column.dataset

    def _channel(self, group: h5py.Group, scale: h5py.Dataset) -> None:
        column = self._column(group, CHANNEL, [scale], "1", "channel", INTEGER)
        column.attrs["instance_dimension"] = CHANNEL

    def _spikes(self) -> None:
        group, weights = self._file.create_group(SPIKES), self._about.weight_units
        scale = write_scale(group, SPIKE, self._totals.spikes)
        self._channel(group, scale)
        self._column(group, "position", [scale], self._units, "position")
        self._column(group, "position_errors", [scale], self._units, "standard error of the position")
        self._column(group, "weight", [scale], weights, "weight")
        self._column(group, "weight_errors", [scale], weights, "standard error of the weight")
        self._column(group, "group", [scale], "1", "group of spikes not resolved from each other", INTEGER)
        if self._totals.widths:
            self._column(group, "width", [scale], self._units, "width of the spike's response")
            self._column(group, "width_errors", [scale], self._units, "standard error of the width")
        nxdata(group, "weight", ["position"])

    def _optimum(self) -> None:
        group = self._file.create_group(OPTIMUM)
        scale = write_scale(group, SPIKE, self._totals.optimum)
        self._channel(group, scale)
        self._column(group, "position", [scale], self._units, "position")
        self._column(group, "weight", [scale], self._about.weight_units, "weight of the certified measure")
        self._column(group, "eta", [scale], "1", "certificate at the position")
        nxdata(group, "weight", ["position"])

    def _channels(self) -> None:
        group, value_units = self._file.create_group(CHANNELS), self._about.value_units
        scale = write_scale(group, CHANNEL, self._totals.channels)
        squared = f"{value_units}^2" if value_units else ""
        for name, of in (("row_size", "spikes"), ("optimum_row_size", "optimum spikes")):
            column = self._column(group, name, [scale], "1", f"number of {of} of the channel", INTEGER)
            column.attrs["sample_dimension"] = SPIKE
        words = {
            "status": "how the channel ended",
            "message": "what to do about it",
            "strength_rule": "where the strength came from",
            "noise_rule": "where the noise came from",
            "notes": "warnings, one a line",
        }
        if self._totals.fitted_baseline:
            words["baseline_rule"] = "baseline with its fitted parameters"
        if self._totals.refitted_baseline:
            words["refit_baseline_rule"] = "baseline of the answer, with its rate fitted again"
        for name, long_name in words.items():
            self._column(group, name, [scale], None, long_name, TEXT)
        numbers = {
            "strength": ("", "strength of the penalty (lambda)"),
            "noise_sd": (value_units, "standard deviation of the noise"),
            "objective": (squared, "objective of the certified measure"),
            "dual_value": (squared, "proven lower bound of the objective"),
            "gap": ("1", "proven gap relative to the objective"),
            "gap_noise": ("1", "proven gap in units of the noise variance"),
            "violation": ("1", "proven bound of sup|eta| minus 1"),
        }
        if self._totals.widths:
            numbers["refit_noise_sd"] = (value_units, "standard deviation of the noise behind the answer's standard errors")
            numbers["refit_rate_error"] = ("", "standard error of the rate of the answer's baseline")
        for name, (units, long_name) in numbers.items():
            self._column(group, name, [scale], units, long_name)
        self._column(group, "rounds", [scale], "1", "rounds of the solver", INTEGER)
        if self._totals.coefficients:
            coefficient = write_scale(group, COEFFICIENT, self._totals.coefficients)
            for name, of in (("baseline", "of the certified measure"), ("refit_baseline", "of the answer")):
                self._column(group, name, [scale, coefficient], value_units, f"baseline coefficients {of}")

    def _rounds(self) -> None:
        group = self._file.create_group(TRACE)
        scale = write_scale(group, ROW, self._totals.rounds)
        self._channel(group, scale)
        self._column(group, "round", [scale], "1", "round", INTEGER)
        self._column(group, "objective", [scale], "", "objective")
        self._column(group, "gap", [scale], "1", "best relative gap so far")
        self._column(group, "spikes", [scale], "1", "number of spikes", INTEGER)
        if self._totals.particles:
            particle = write_scale(group, PARTICLE, self._totals.particles)
            for name, units in (("position", self._units), ("weight", self._about.weight_units)):
                self._column(group, f"particle_{name}", [scale, particle], units, f"{name} of every particle at the row")
        timing = self._file.create_group(TIMING)
        channel = write_scale(timing, CHANNEL, self._totals.channels)
        row_scale = write_scale(timing, ROW, self._totals.rounds)
        self._column(timing, "seconds", [channel], "s", "wall time of the channel")
        self._column(timing, "round_seconds", [row_scale], "s", "time since the channel's start, rows as in /trace")

    def _sections(self) -> None:
        group = self._file.create_group(SECTIONS)
        scale = write_scale(group, SECTION, self._totals.sections)
        self._channel(group, scale)
        self._column(group, "first", [scale], "1", "first sample of the section", INTEGER)
        self._column(group, "last", [scale], "1", "last sample, the next one's first", INTEGER)
        self._column(group, "sd", [scale], self._units, "standard deviation of the filter")
        self._column(group, "strength", [scale], "", "strength of the penalty (lambda)")

    def _fit(self, shape: tuple[int, ...]) -> None:
        group, value_units = self._file.create_group(FIT), self._about.value_units
        axis = self._about.axis or Axis(0.0, 1.0, shape[-1], "sample")
        scales = [write_sample_axis(group, axis)]
        if len(shape) == 2:
            scales.insert(0, write_scale(group, CHANNEL, self._totals.channels))
        self._column(group, "model", scales, value_units, "model of the answer, baseline included")
        self._column(group, "residual", scales, value_units, "signal minus model")
        self._column(group, "baseline", scales, value_units, "baseline of the answer")
        nxdata(group, "model", [short(scale) for scale in scales])

    def _rates(self, axis: Axis, width: float) -> None:
        group, weights = self._file.create_group(RATE), self._about.weight_units
        group.attrs["width"] = width
        scales = [write_scale(group, CHANNEL, self._totals.channels), write_sample_axis(group, axis)]
        per = f"1/{axis.units}" if axis.units else ""
        weighted = f"{weights}/{axis.units}" if weights and axis.units else weights or per
        self._column(group, "rate", scales, per, "events per unit of the axis")
        self._column(group, "weight_rate", scales, weighted, "weight of the events per unit of the axis")
        nxdata(group, "rate", [short(scale) for scale in scales])


def _padded(table: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Rows that have fewer columns than the widest of the result end with NaN."""
    return np.concatenate([table, np.full((table.shape[0], size - table.shape[1]), np.nan)], axis=1)
