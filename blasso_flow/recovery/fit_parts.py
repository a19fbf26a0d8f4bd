"""What a filter is fitted to: some channels, each as its liveliest excerpt, with the noise and the baseline that it has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blasso_flow.data.signals import Signal
from blasso_flow.filters import Filter
from blasso_flow.noise.level import NoiseEstimate
from blasso_flow.problem import baselines
from blasso_flow.problem.baselines import Baseline
from blasso_flow.recovery.posing import channel_noise, seen
from blasso_flow.recovery.routes import noise_behind_signal, with_fitted_rate
from blasso_flow.recovery.settings import CONSTANT, Settings

MOST_CHANNELS = 4
MOST_COUNT_CHANNELS = 24  # of counts: a channel has few
MOST_SAMPLES = 1500  # of a channel: its liveliest excerpt


@dataclass(frozen=True, eq=False)
class Part:
    """One channel's part in the profile: its number, an excerpt of it, its noise, and its baseline with a rate filled in."""

    number: int
    excerpt: Signal
    noise: NoiseEstimate
    baseline: Baseline


def parts_of(signal: Signal, settings: Settings) -> list[Part]:
    """Some channels, evenly spread, each as its liveliest excerpt of at most `MOST_SAMPLES` samples."""
    usable = [number for number, channel in enumerate(signal) if np.isfinite(channel.values).any()]
    most = min(MOST_COUNT_CHANNELS if settings.loss == "poisson" else MOST_CHANNELS, len(usable))
    chosen = sorted({usable[int(i)] for i in np.linspace(0, len(usable) - 1, most)}) if usable else []
    parts = []
    for number in chosen:
        channel = seen(signal.channel(number), settings)
        excerpt = _liveliest(channel)
        known = settings.noise_sd is not None or channel.noise_sd is not None
        noise = channel_noise(excerpt if known else channel, None, settings)
        baseline = settings.baseline
        if baseline.kind == "percentile":  # taken off once
            left = excerpt.values - baselines.removed(baseline, excerpt.values, excerpt.axis)
            excerpt, baseline = replace(excerpt, values=left), CONSTANT
        parts.append(Part(number, excerpt, noise, baseline))
    return parts


def with_noise(signal: Signal, parts: list[Part], table: Filter, settings: Settings) -> list[Part]:
    """The parts with the noise that a fit leaves, where it hides from differences."""

    def measured(part: Part) -> Part:
        channel = seen(signal.channel(part.number), settings)
        noise = channel_noise(channel, table, settings)
        if not noise.hides_from_differences(table):
            return part
        return replace(part, noise=noise_behind_signal(channel, table, settings, noise))

    return [measured(part) for part in parts]


def with_rates(parts: list[Part], table: Filter, settings: Settings) -> list[Part]:
    """The parts with the rate of their baseline fitted, each its own, at one filter."""
    return [replace(part, baseline=with_fitted_rate(part.excerpt, table, settings, part.noise)) for part in parts]


def _liveliest(channel: Signal) -> Signal:
    """The excerpt with the largest sum of squares about the median, in steps of half of it; the whole of a short record."""
    size = channel.values.size
    if size <= MOST_SAMPLES or channel.axis.periodic:
        return channel
    power = np.nan_to_num((channel.values - np.nanmedian(channel.values)) ** 2)
    starts = np.append(np.arange(0, size - MOST_SAMPLES, MOST_SAMPLES // 2), size - MOST_SAMPLES)
    first = int(max(starts, key=lambda start: power[start : start + MOST_SAMPLES].sum()))
    part = slice(first, first + MOST_SAMPLES)
    noise = channel.noise_sd
    return replace(
        channel,
        values=channel.values[part],
        axis=channel.axis.part(first, MOST_SAMPLES),
        noise_sd=noise[part] if isinstance(noise, np.ndarray) else noise,
        truth=None,
    )
