"""Calcium traces, filter and spikes blind to the truth, against electrophysiology: spikes, rates, proofs and times.

    blasso-flow recover calcium.h5 --fit-filter --filter decay:rise=0.02..0.2,decay=0.3..3,order=3 \\
      --baseline percentile:window=30 --tol 1e-4 --tol-noise 1e12

The cells express GCaMP6s, whose response is cooperative (Hill coefficient 2.9: order 3) and peaks 100 to 150 ms after an action
potential (Chen et al. 2013): rises of 0.02 s and more. Beside so long a decay the penalised objective hardly sees the rise,
since a faster one imitates a slower one by several spikes, and takes the least; it does choose the decay. The spikes without
any threshold are the certified optimum, what --no-refit writes; those that are refitted and pruned are fewer and surer. The
peers' figures (OASIS) were measured on the same traces with their own thresholds chosen by default. Truth is only used to
score.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import recovered
from blasso_flow.answer.rates import rates
from blasso_flow.data.results import Recovery
from blasso_flow.data.signals import Signal, Truth
from blasso_flow.data.spikes import Optimum, Spikes
from blasso_flow.files import read_signal
from blasso_flow.truth.alignment import fitted as fitted_offsets
from blasso_flow.truth.alignment import groups_by, shifted
from blasso_flow.truth.scoring import score

RANGES = "decay:rise=0.02..0.2,decay=0.3..3,order=3"
BASELINE = "percentile:window=30"
TOLERANCE = 1e-4
BIN = 4  # samples: 25 Hz
SMOOTHING = 0.1  # s
NEAR, FAR = 0.05, 0.1  # s
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
    truth, reports, optimum = signal.truth, recovery.channels, unpruned(recovery.optimum)
    group = groups_by(truth, None)
    offsets = fitted_offsets(optimum, truth, NEAR, group)
    aligned = scored(optimum, shifted(truth, group, offsets), signal.channels)
    correlation = [float(np.mean(correlations(signal, spikes))) for spikes in (optimum, recovery.spikes)]
    plain, pruned = (scored(spikes, truth, signal.channels) for spikes in (optimum, recovery.spikes))
    return [
        ("calcium: filter, decay from the data", fitted, ""),
        ("calcium: mean F1 at 50 / 100 ms, no threshold", words(plain[0]), PEER),
        ("calcium: F1 of all spikes together, no threshold", words(plain[1]), PEER),
        (f"calcium: mean F1 after one offset of {1000 * offsets[0]:.0f} ms (fitted to the truth)", words(aligned[0]), PEER),
        ("calcium: mean F1 at 50 / 100 ms, refitted and pruned", words(pruned[0]), PEER),
        ("calcium: mean correlation of rates at 25 Hz, no threshold", f"{correlation[0]:.3f}", "OASIS AR1 .364"),
        ("calcium: mean correlation of rates at 25 Hz, pruned", f"{correlation[1]:.3f}", "OASIS AR1 .364"),
        ("calcium: largest proven gap of 8 traces", f"{max(report.gap for report in reports):.1e}", "1e-4 (no peer proves one)"),
        ("calcium: slowest trace", f"{max(report.seconds for report in reports):.1f} s", "target 10 s"),
    ]


def unpruned(optimum: Optimum) -> Spikes:
    """The certified measure as spikes, without errors."""
    unknown = np.full(optimum.position.size, np.nan)
    group = np.arange(optimum.position.size, dtype=np.int64)
    return Spikes(optimum.channel, optimum.position, unknown, optimum.weight, unknown, group, unknown)


def scored(spikes: Spikes, truth: Truth, channels: int) -> tuple[list[float], list[float]]:
    """F1 at both tolerances: means over the traces, and of all spikes together."""
    scores = [score(spikes, truth, tolerance, channels) for tolerance in (NEAR, FAR)]
    return [float(np.mean([channel.f1 for channel in one.channels])) for one in scores], [one.overall.f1 for one in scores]


def words(numbers: list[float]) -> str:
    """Two numbers as they are printed."""
    return " / ".join(f"{number:.3f}" for number in numbers)


def correlations(signal: Signal, spikes: Spikes) -> list[float]:
    """Correlation of smoothed rate and true counts in bins, a number a trace."""
    assert signal.truth is not None
    smoothed = rates(spikes, signal.axis, SMOOTHING, signal.channels).weight_rate
    found = []
    for number in range(signal.channels):
        size = int(np.isfinite(signal.values[number]).sum()) // BIN * BIN
        sample = np.round(signal.axis.to_samples(signal.truth.position[signal.truth.channel == number])).astype(np.int64)
        true: NDArray[np.int64] = np.bincount(sample[(sample >= 0) & (sample < size)], minlength=size)
        binned = [curve[:size].reshape(-1, BIN).sum(axis=1) for curve in (smoothed[number], true)]
        found.append(float(np.corrcoef(*binned)[0, 1]))
    return found
