"""Signals and recoveries for the tests of files: small, random where a test asks for it, and every column different."""

from __future__ import annotations

import numpy as np

from blasso_flow.data.reports import ChannelReport, Paths, Status, TraceRow
from blasso_flow.data.results import Fit, Recovery
from blasso_flow.data.signals import Axis, FilterDescription, Signal, Truth
from blasso_flow.data.spikes import Candidates, Optimum, Spikes


def example_signal(channels: int = 2, samples: int = 50, seed: int = 0) -> Signal:
    """A signal with everything: missing samples, noise, a measured filter, truth."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(channels, samples))
    values[0, 3] = np.nan
    return Signal(
        values,
        Axis(0.5, 0.1, samples, "time", "s"),
        "V",
        "voltage",
        noise_sd=generator.uniform(0.1, 1.0, size=channels),
        filter=FilterDescription("measured", {"scale": 1.5}, np.arange(5) * 0.1, np.array([0.0, 1.0, 3.0, 1.0, 0.0])),
        truth=Truth(np.array([0, 1]), np.array([1.25, 2.5]), np.array([1.0, 2.0])),
    )


def example_recovery(spikes: int = 5, channels: int = 2, baseline: int = 1, seed: int = 0) -> Recovery:
    """A recovery of `example_signal`, of random content."""
    generator = np.random.default_rng(seed)
    signal = example_signal(channels, seed=seed)

    def column() -> np.ndarray:
        return generator.normal(size=spikes)

    channel = np.sort(generator.integers(0, channels, spikes))
    group = np.arange(spikes)
    reports = [
        ChannelReport(
            status=list(Status)[number % len(Status)],
            message=f"channel {number}: größer als erwartet",
            strength_rule="false alarms 0.05",
            noise_rule="fourth differences",
            rounds=number + 3,
            baseline=generator.normal(size=baseline),
            refit_baseline=generator.normal(size=baseline),
            trace=tuple(TraceRow(row, 5.0 - row, 0.1 / (row + 1), row, 0.01 * row) for row in range(number + 1)),
            seconds=0.25,
            notes=("first note", "second note")[:number],
            paths=None if number % 2 else Paths(*generator.normal(size=(2, number + 1, 4))),
            **dict(
                zip(
                    ("strength", "noise_sd", "objective", "dual_value", "gap", "gap_noise", "violation"),
                    [*generator.uniform(size=5), np.nan, 1e-9],
                    strict=True,
                )
            ),
        )
        for number in range(channels)
    ]
    errors = np.where(column() > 0.5, np.nan, 0.1)
    settings = {
        "filter": {"kind": "measured", "parameters": {"scale": 1.5}, "normalisation": "area", "table_error": 0.0},
        "penalty": "positive",
        "margin": [0.0, 0.5],
        "noise_sd": None,
    }
    fit = Fit(*(generator.normal(size=signal.values.shape) for _ in range(3)))
    answer = Spikes(channel, column(), errors, column(), np.abs(column()), group, np.abs(errors))
    judged = Candidates(channel, column(), column(), np.abs(errors), channel % 2)
    return Recovery(answer, Optimum(channel, column(), column(), column()), reports, settings, fit, signal, judged)


def assert_same(one: object, other: object) -> None:
    """Equality of plain data classes, arrays compared bit for bit with NaN equal to NaN."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif hasattr(one, "__dataclass_fields__"):
        assert type(one) is type(other)
        for name in one.__dataclass_fields__:
            assert_same(getattr(one, name), getattr(other, name))
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other or (one != one and other != other)  # noqa: PLR0124  (0.0 and -0.0 are the same position)
