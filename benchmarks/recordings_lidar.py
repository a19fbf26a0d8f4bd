"""Lidar waveforms: how few spikes explain them, with the pulse's length fitted blind, beside a decomposition into Gaussians.

    blasso-flow recover lidar.h5 --fit-filter --filter measured:scale=0.5..1.3 --max-spikes 8 --refit-width

The measured pulse is longer than what the waveforms show: unstretched, it leaves ripples of twice the tolerated residual, and
spikes that only mend them. Sloped targets widen an echo, so every spike has a width of its own, as every Gaussian of the peer
has: eight of either are 24 numbers a waveform. Where a waveform has eight, the cap decided it, not the likelihood. The residual
of a waveform is its root mean square over the samples that are there, over the amplitude, the largest sample less the smallest.
The peer is the field's usual one: a Gaussian with a width of its own at each hump of the smoothed waveform, at most eight, on a
constant, by least squares. There is no truth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares
from scipy.signal import find_peaks

from benchmarks.command import recovered
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.files import read_signal

MOST_SPIKES = 8
TOLERATED = 0.01
PULSE = "measured:scale=0.5..1.3"
SMOOTHING = 2.0  # samples


def lidar(directory: Path) -> list[tuple[str, str, str]]:
    """Lines (what, ours, the peer's) for the waveforms of lidar.h5."""
    path = directory / "lidar.h5"
    found = recovered(path, "--fit-filter", "--filter", PULSE, "--max-spikes", str(MOST_SPIKES), "--refit-width")
    plain = recovered(path)
    values = read_signal(str(path)).values
    peer = [decomposed(row[np.isfinite(row)]) for row in values]
    shares = []
    for result in (found, plain):
        assert result.fit is not None
        left = np.array([relative(pair) for pair in zip(values, result.fit.residual, strict=True)])
        shares.append((left, np.bincount(result.spikes.channel, minlength=len(values))))
    shares.append((np.array([share for share, _ in peer]), np.array([count for _, count in peer])))
    ours, default, theirs = (summary(*both) for both in shares)
    names = (
        "median residual",
        "largest residual",
        "median and most spikes",
        f"residual at most 1 %, at most {MOST_SPIKES} spikes",
    )
    scale = found.settings["filter"]["parameters"]["scale"]  # type: ignore[index]
    gap = max(report.gap for report in found.channels)
    return [
        ("lidar: the pulse's scale from the data", f"{scale:.3f}", ""),
        *((f"lidar: {name}", a, b) for name, a, b in zip(names, ours, theirs, strict=True)),
        *((f"lidar, no options: {name}", a, b) for name, a, b in zip(names, default, theirs, strict=True)),
        ("lidar: largest proven gap", f"{gap:.1e}", "no peer proves one"),
    ]


def summary(shares: FloatArray, counts: IntArray) -> list[str]:
    """Medians, largest values and number within both bounds of residuals and numbers of spikes, each of shape (waveforms,)."""
    good = int(((shares <= TOLERATED) & (counts <= MOST_SPIKES)).sum())
    medians = f"{100 * np.median(shares):.2f} %", f"{100 * shares.max():.2f} %", f"{np.median(counts):g}, {counts.max()}"
    return [*medians, f"{good} of {shares.size}"]


def relative(pair: tuple[FloatArray, FloatArray]) -> float:
    """Residual of one waveform: its rms over the amplitude."""
    values, residual = pair
    return float(np.sqrt(np.nanmean(residual**2)) / (np.nanmax(values) - np.nanmin(values)))


def decomposed(values: FloatArray) -> tuple[float, int]:
    """The users' way: residual and number of Gaussians of one waveform (N,)."""
    at = np.arange(values.size)
    bend = -gaussian_filter1d(values, SMOOTHING, order=2)
    humps, _ = find_peaks(bend, height=0.0)
    humps = np.sort(humps[np.argsort(-bend[humps])[:MOST_SPIKES]])
    count, floor = humps.size, float(values.min())

    def model(p: FloatArray) -> FloatArray:
        height, centre, width = p[:-1].reshape(3, count)
        return p[-1] + np.exp(-0.5 * ((at[:, None] - centre) / width) ** 2) @ height

    start = np.concatenate([np.maximum(values[humps] - floor, 1.0), humps, np.full(count, 5.0), [floor]])
    low = np.concatenate([np.zeros(count), np.full(count, -20.0), np.full(count, 1.0), [-np.inf]])
    high = np.concatenate([np.full(count, np.inf), np.full(count, values.size + 20.0), np.full(count, 40.0), [np.inf]])
    fit = least_squares(lambda p: model(p) - values, start, bounds=(low, high), max_nfev=2000)
    return relative((values, values - model(fit.x))), count
