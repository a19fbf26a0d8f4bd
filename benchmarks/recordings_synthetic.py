"""What the statistics promise, measured on synthetic signals: noise level, false alarms, power, and coverage of intervals.

Every signal is drawn from a seed; nothing is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blasso_flow import filters
from blasso_flow.data.results import ChannelRecovery
from blasso_flow.data.signals import Axis, FloatArray, Signal
from blasso_flow.filters import Filter
from blasso_flow.filters.superposition import filtered
from blasso_flow.noise.level import estimate_noise
from blasso_flow.recovery.channel import recover_channel
from blasso_flow.recovery.settings import Settings
from blasso_flow.truth.simulation import simulate

NORMAL_95 = 1.959963984540054
SAMPLES = 1000


def synthetic(directory: Path, signals: int = 1000) -> Sequence[tuple[str, str, str]]:
    """Lines of the table; ``directory`` is not read."""
    return [*noise_lines(), *pure_noise_lines(signals), *power_lines(signals), *coverage_lines(signals)]


def gaussian(width: float, samples: int = SAMPLES) -> Filter:
    """A Gaussian filter on an axis of spacing 1."""
    return filters.build(filters.describe(f"gaussian:sd={width:g}"), Axis(0.0, 1.0, samples))


def found_in(values: FloatArray, filter: Filter, **settings: object) -> ChannelRecovery:
    """One recovery with the default settings, but for ``settings``."""
    return recover_channel(Signal(values, Axis(0.0, 1.0, values.size)), 0, filter, Settings(**settings))  # type: ignore[arg-type]


def noise_lines(seeds: int = 20) -> list[tuple[str, str, str]]:
    """Relative error of the estimated noise sd, the mean over seeds, for each width and signal-to-noise ratio."""
    lines = []
    for width in (3.0, 5.0, 10.0, 30.0):
        errors = []
        for snr in (10.0, 20.0, 30.0, 40.0):
            ratios = []
            for seed in range(seeds):
                signal = simulate(f"gaussian:sd={width:g}", samples=10_000, spikes=round(1500 / width), snr=snr, seed=seed)
                assert signal.noise_sd is not None
                ratios.append(estimate_noise(signal.values, gaussian(width, 10_000)).sd / float(np.max(signal.noise_sd)) - 1)
            errors.append(f"{np.mean(ratios):+.1%} ({np.std(ratios):.1%})")
        lines.append(
            (
                f"noise sd, error (scatter) at 10, 20, 30, 40 dB, width {width:g}",
                ", ".join(errors),
                "5 %; second differences +29 % at 30 dB",
            )
        )
    return lines


def pure_noise_lines(signals: int) -> list[tuple[str, str, str]]:
    """Share of signals of nothing but noise with any spike in the optimum, and in the answer."""
    lines = []
    for positive in (True, False):
        for width in (3.0, 10.0, 30.0):
            filter = gaussian(width)
            random = np.random.default_rng([7, int(width), positive])
            alarms = np.zeros(2)
            for _ in range(signals):
                found = found_in(random.normal(size=SAMPLES), filter, positive=positive, false_alarms=0.05)
                alarms += (len(found.optimum) > 0, len(found.spikes) > 0)
            optimum, answer = alarms / signals
            sign = "positive" if positive else "signed"
            lines.append(
                (
                    f"pure noise, {sign}, width {width:g}: share with a spike",
                    f"{answer:.3f} (optimum {optimum:.3f})",
                    "at most .07; sqrt(2 log n): .10-.25",
                )
            )
    return lines


def power_lines(signals: int) -> list[tuple[str, str, str]]:
    """Share of lone spikes of 6.5 noise units (weight times the filter's norm over the noise sd) that are found."""
    filter = gaussian(10.0)
    random = np.random.default_rng(8)
    hits = 0
    for _ in range(signals):
        position = random.uniform(50, SAMPLES - 50, size=1)
        values = filtered(filter, position, np.array([6.5 / filter.norm]), SAMPLES) + random.normal(size=SAMPLES)
        spikes = found_in(values, filter).spikes
        hits += bool(len(spikes) and np.abs(spikes.position - position).min() < 10)
    return [("a spike of 6.5 sd in 1,000 samples, width 10: found", f"{hits / signals:.3f}", "at least .99")]


def coverage_lines(signals: int) -> list[tuple[str, str, str]]:
    """Share of 95 % intervals that hold the truth: lone spikes, and pairs 2 widths apart at 10 noise units."""
    filter = gaussian(10.0)
    lines = []
    for words, offsets, level, target in (
        ("lone spikes, 10 sd", (0.0,), 10.0, "92-98 %"),
        ("lone spikes, 30 sd", (0.0,), 30.0, "92-98 %"),
        ("pairs 2 widths apart, 10 sd", (0.0, 20.0), 10.0, "at least 90 %"),
    ):
        random = np.random.default_rng([9, len(offsets), int(level)])
        held: list[tuple[bool, bool]] = []
        for _ in range(signals):
            position = random.uniform(100, SAMPLES - 100) + np.array(offsets)
            weight = np.full(position.size, level / filter.norm)
            values = filtered(filter, position, weight, SAMPLES) + random.normal(size=SAMPLES)
            held += _held(found_in(values, filter), position, weight)
        by_position, by_weight = np.mean(np.array(held), axis=0)
        lines.append(
            (f"95 % intervals, {words}: positions, weights", f"{by_position:.1%}, {by_weight:.1%} of {len(held)}", target)
        )
    return lines


def _held(found: ChannelRecovery, position: FloatArray, weight: FloatArray) -> list[tuple[bool, bool]]:
    """For every true spike with a found one within a width: whether its intervals hold the truth."""
    spikes = found.spikes
    held = []
    for x, w in zip(position, weight, strict=True):
        if not len(spikes):
            continue
        i = int(np.argmin(np.abs(spikes.position - x)))
        if abs(spikes.position[i] - x) < 10:
            inside = abs(spikes.position[i] - x) <= NORMAL_95 * spikes.position_errors[i]
            held.append((bool(inside), bool(abs(spikes.weight[i] - w) <= NORMAL_95 * spikes.weight_errors[i])))
    return held
