"""The whole of what `recover` found, and its sampled curves. Nothing here computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blasso_flow.data.column import Units, column
from blasso_flow.data.reports import ChannelReport
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.data.spikes import Optimum, Spikes


@dataclass(frozen=True)
class Fit:
    """Sampled curves of the answer, shapes like the signal's values.

    The model includes the baseline; residual = values - model.
    """

    model: FloatArray = field(metadata=column("model of the answer, baseline included", Units.VALUES, across="samples"))
    residual: FloatArray = field(metadata=column("signal minus model", Units.VALUES, across="samples"))
    baseline: FloatArray = field(metadata=column("baseline of the answer", Units.VALUES, across="samples"))


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
    """

    spikes: Spikes
    optimum: Optimum
    channels: Sequence[ChannelReport]
    settings: Mapping[str, object]
    fit: Fit | None = None
    signal: Signal | None = field(default=None, repr=False)
