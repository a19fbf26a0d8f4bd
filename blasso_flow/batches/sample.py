"""A part of a run small enough for a figure: every k-th channel's result, and the samples of a few of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from blasso_flow.data.blocks import Block
from blasso_flow.data.reports import ChannelReport
from blasso_flow.data.results import Fit, Recovery
from blasso_flow.data.signals import Signal
from blasso_flow.data.spikes import Optimum, Rows, Spikes, joined
from blasso_flow.errors import BlassoFlowError
from blasso_flow.files import SignalFile

MOST_CHANNELS = 1000  # rows that a figure can show
WITH_SAMPLES = 6


class Sample:
    """Collects channels 0, k, 2k, ... from blocks in order; ``step`` is k, 1 for all but very many channels."""

    def __init__(self, channels: int) -> None:
        self.step = -(-channels // MOST_CHANNELS)
        self._spikes: list[Spikes] = []
        self._optima: list[Optimum] = []
        self._reports: list[ChannelReport] = []
        self._fit: Fit | None = None

    def add(self, block: Block) -> None:
        """Keep what belongs to the sample."""
        self._spikes.append(self._kept(block.spikes))
        self._optima.append(self._kept(block.optimum))
        if rows := range(-block.first % self.step, block.count, self.step):
            self._reports += block.reports(rows)
        fit = block.fit
        if fit is not None and fit.model.ndim == 1:
            self._fit = fit

    def recovery(self, file: SignalFile, shift: float, settings: Mapping[str, object]) -> Recovery:
        """The sampled channels, numbered from 0, with the samples (on the axis shifted by ``shift``) of the first few."""
        return Recovery(
            spikes=joined(self._spikes),
            optimum=joined(self._optima),
            channels=self._reports,
            settings=settings,
            fit=self._fit,
            signal=self._signal(file).shifted(shift),
        )

    def _kept(self, rows: Rows) -> Rows:
        if self.step == 1:
            return rows
        own = rows.channel % self.step == 0
        columns = {name: column[own] for name, column in vars(rows).items() if column is not None}
        return type(rows)(**{**columns, "channel": columns["channel"] // self.step})

    def _signal(self, file: SignalFile) -> Signal:
        if len(file.shape) == 1:
            return file.channel(0)
        numbers = range(0, min(file.channels, WITH_SAMPLES * self.step), self.step)
        rows = [_row(file, number) for number in numbers]
        noise = None
        if all(row.noise_sd is not None for row in rows):
            noise = np.array([row.noise_sd for row in rows], dtype=np.float64)
        values = np.array([row.values for row in rows])
        truth = file.truth if self.step == 1 else None
        return replace(file.described, values=values, noise_sd=noise, truth=truth)


def _row(file: SignalFile, number: int) -> Signal:
    """Samples of a channel; missing where they cannot be used."""
    try:
        return file.channel(number, with_truth=False)
    except BlassoFlowError:
        return replace(file.described, values=np.full(file.axis.size, np.nan), noise_sd=1.0 if file.noise != "none" else None)
