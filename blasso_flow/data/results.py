"""The whole of what `recover` found, and its sampled curves. Nothing here computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from blasso_flow.data.column import Units, column
from blasso_flow.data.reports import FAULTY, ChannelReport, Status, Verdict
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.data.spikes import Candidates, Optimum, Spikes, joined


@dataclass(frozen=True)
class Fit:
    """Sampled curves of the answer, shapes like the signal's values.

    The model includes the baseline; residual = values - model.
    """

    model: FloatArray = field(metadata=column("model of the answer, baseline included", Units.VALUES, across="samples"))
    residual: FloatArray = field(metadata=column("signal minus model", Units.VALUES, across="samples"))
    baseline: FloatArray = field(metadata=column("baseline of the answer", Units.VALUES, across="samples"))

    @classmethod
    def of(cls, channels: Sequence[Fit], *, several: bool) -> Fit:
        """Curves of all channels (C, N), or (N,) of the only one where the signal has no dimension of channels."""
        own = {name: [getattr(fit, name) for fit in channels] for name in cls.__dataclass_fields__}
        return cls(**{name: np.stack(curves) if several else curves[0] for name, curves in own.items()})


@dataclass(frozen=True)
class ChannelRecovery:
    """One channel's answer, certified measure, report, curves (``fit``, shapes (N,)), and what pruning judged."""

    spikes: Spikes
    optimum: Optimum
    report: ChannelReport
    fit: Fit
    candidates: Candidates = field(default_factory=Candidates.empty)


@dataclass(frozen=True)
class Rates:
    """Rates of all channels, arrays of shape (C, N) over the signal's axis.

    ``rate`` counts events: 1 / axis unit. ``weight_rate`` counts each spike by its weight: weight units / axis unit.
    ``width`` is the sd of the Gaussian in axis units.
    """

    rate: FloatArray = field(metadata=column("events per unit of the axis", Units.RATE, across="samples"))
    weight_rate: FloatArray = field(
        metadata=column("weight of the events per unit of the axis", Units.WEIGHT_RATE, across="samples")
    )
    width: float


@dataclass(frozen=True)
class Recovery:
    """Everything that `recover` found: the answer, the certified measure, one report a channel, and where it came from.

    ``settings`` is JSON-ready: filter (kind, parameters, normalisation, table_error), penalty, baseline, tolerances and
    the rest of the configuration. ``signal`` is the signal it belongs to, None when read from a file without it.
    ``candidates`` are the spikes that pruning judged, the answer's among them.
    """

    spikes: Spikes
    optimum: Optimum
    channels: Sequence[ChannelReport]
    settings: Mapping[str, object]
    fit: Fit | None = None
    signal: Signal | None = field(default=None, repr=False)
    candidates: Candidates = field(default_factory=Candidates.empty)

    @property
    def success(self) -> bool:
        """Whether the gap of every channel is proven to the tolerance."""
        return all(report.status is Status.CONVERGED for report in self.channels)

    @property
    def gap(self) -> float:
        """The largest proven relative gap of a channel, NaN where one has none."""
        return float(np.max([report.gap for report in self.channels]))

    @property
    def verdict(self) -> Verdict:
        """The worst verdict on the model of a channel: whether filter, baseline and noise describe its samples."""
        given = {report.fit for report in self.channels}
        return next((fit for fit in (*FAULTY, Verdict.UNKNOWN) if fit in given), Verdict.GOOD)

    @property
    def message(self) -> str:
        """How it ended and what to do about it: of one channel its message, of many how many converged."""
        if len(self.channels) == 1:
            return self.channels[0].message
        done = sum(report.status is Status.CONVERGED for report in self.channels)
        others = next((report.message for report in self.channels if report.status is not Status.CONVERGED), "")
        return f"{done} of {len(self.channels)} channels converged" + (f"; {others}" if others else "")

    @classmethod
    def of(cls, channels: Sequence[ChannelRecovery], signal: Signal, settings: Mapping[str, object]) -> Recovery:
        """All channels' results as one, in the order of their numbers."""
        return cls(
            spikes=joined([part.spikes for part in channels]),
            optimum=joined([part.optimum for part in channels]),
            channels=[part.report for part in channels],
            settings=settings,
            fit=Fit.of([part.fit for part in channels], several=signal.values.ndim == 2),
            signal=signal,
            candidates=joined([part.candidates for part in channels]),
        )
