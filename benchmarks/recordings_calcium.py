"""Calcium traces with the filter fitted blind to the data: spikes against electrophysiology, rates, proofs and times.

    blasso-flow recover calcium.h5 --fit-filter --filter decay:rise=0.01..0.2,decay=0.3..3 --baseline percentile:window=30 \\
      --tol 1e-4 --tol-noise 1e12

The peers' figures (OASIS) were measured on the same traces with their own thresholds chosen by default. Truth is only
used to score.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import recovered
from blasso_flow.files import read_signal
from blasso_flow.rates import rates
from blasso_flow.scoring import score
from blasso_flow.signals import Signal
from blasso_flow.spikes import Recovery

RANGES = "decay:rise=0.01..0.2,decay=0.3..3"
BASELINE = "percentile:window=30"
TOLERANCE = 1e-4
BIN = 4  # samples: 25 Hz
SMOOTHING = 0.1  # s
PEER = "OASIS AR1 .365 / .390, AR2 .467 / .574"


def calcium(directory: Path) -> list[tuple[str, str, str]]:
    """Lines (what, ours, peer's) for the eight traces of calcium.h5."""
    path = Path(directory) / "calcium.h5"
    fit = "--fit-filter", "--filter", RANGES, "--baseline", BASELINE
    recovery = recovered(path, *fit, "--tol", f"{TOLERANCE:g}", "--tol-noise", "1e12")
    fitted: Mapping[str, float] = recovery.settings["filter"]["parameters"]  # type: ignore[index]
    return lines(read_signal(str(path)), recovery, ", ".join(f"{name} {fitted[name]:.3g} s" for name in ("rise", "decay")))


def lines(signal: Signal, recovery: Recovery, fitted: str) -> list[tuple[str, str, str]]:
    """The figures of one recovery."""
    assert signal.truth is not None
    reports = recovery.channels
    near, far = (score(recovery.spikes, signal.truth, tolerance, signal.channels) for tolerance in (0.05, 0.1))
    means = [float(np.mean([channel.f1 for channel in scores.channels])) for scores in (near, far)]
    correlation = correlations(signal, recovery)
    return [
        ("calcium: filter from the data", fitted, ""),
        ("calcium: mean F1 at 50 / 100 ms, no threshold", f"{means[0]:.3f} / {means[1]:.3f}", PEER),
        ("calcium: F1 of all spikes together", f"{near.overall.f1:.3f} / {far.overall.f1:.3f}", PEER),
        ("calcium: mean correlation of rates at 25 Hz", f"{np.mean(correlation):.3f}", "OASIS AR1 .364"),
        ("calcium: largest proven gap of 8 traces", f"{max(report.gap for report in reports):.1e}", "1e-4 (no peer proves one)"),
        ("calcium: slowest trace", f"{max(report.seconds for report in reports):.1f} s", "target 10 s"),
    ]


def correlations(signal: Signal, recovery: Recovery) -> list[float]:
    """Correlation of smoothed rate and true counts in bins, a number a trace."""
    assert signal.truth is not None
    smoothed = rates(recovery.spikes, signal.axis, SMOOTHING, signal.channels).weight_rate
    found = []
    for number in range(signal.channels):
        size = int(np.isfinite(signal.values[number]).sum()) // BIN * BIN
        sample = np.round(signal.axis.to_samples(signal.truth.position[signal.truth.channel == number])).astype(np.int64)
        true: NDArray[np.int64] = np.bincount(sample[(sample >= 0) & (sample < size)], minlength=size)
        binned = [curve[:size].reshape(-1, BIN).sum(axis=1) for curve in (smoothed[number], true)]
        found.append(float(np.corrcoef(*binned)[0, 1]))
    return found
