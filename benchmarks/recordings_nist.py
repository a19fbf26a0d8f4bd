"""NIST's certified peaks (StRD Gauss1 to Gauss3): two Gaussians on a decaying exponential, from five guesses of the width.

The certified model is b1 exp(-b2 x) + b3 exp(-((x - b4) / b5)^2) + b6 exp(-((x - b7) / b8)^2), so b5 and b8 are sqrt(2) times
a width. Its parameters and their standard deviations are only compared with. Digits attained are -log10 of the largest
relative error. The peer is scipy's curve_fit of the certified model, started as a user would: two peaks of the same guessed
width, at the two highest maxima of the smoothed samples.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import curve_fit
from scipy.signal import find_peaks

import blasso_flow as bf
from blasso_flow.data.signals import FloatArray
from blasso_flow.problem import baselines

GUESSES = (5.0, 8.0, 12.0, 16.0, 22.0)


def nist(directory: Path) -> list[tuple[str, str, str]]:
    """Lines (what, ours, the peer's) for the three sets of nist_gauss.h5 and the five guesses."""
    lines = []
    path = directory / "nist_gauss.h5"
    for name in ("gauss1", "gauss2", "gauss3"):
        signal = bf.read_signal(f"{path}::/{name}")
        with h5py.File(path) as file:
            certified, deviation = (file[name].attrs[key][:] for key in ("certified_b1_to_b8", "certified_sd"))
        for guess in GUESSES:
            ours = attained(*recovered(signal, guess), certified, deviation)
            peer = attained(*fitted(signal, guess), certified, deviation)
            lines.append((f"{name}, width guess {guess:g}: peaks; digits of values, of errors", ours, peer))
    return lines


def recovered(signal: bf.Signal, guess: float) -> tuple[FloatArray, FloatArray]:
    """b1 to b8 and their errors (b1 has none) as `recover` finds them: fewer or more where it finds one peak or three."""
    found = bf.recover(signal, filter=f"gaussian:sd={guess}", baseline="exp", refit_width=True)
    report, spikes = found.channels[0], found.spikes
    rate = baselines.parse(report.refit_baseline_rule).parameters["rate"]
    height = report.refit_baseline[0] * np.exp(rate * signal.axis.first)
    assert spikes.width is not None and spikes.width_errors is not None
    values = np.stack([spikes.weight, spikes.position, np.sqrt(2) * spikes.width], axis=1)
    errors = np.stack([spikes.weight_errors, spikes.position_errors, np.sqrt(2) * spikes.width_errors], axis=1)
    return np.concatenate([[height, rate], values.ravel()]), np.concatenate([[np.nan, report.refit_rate_error], errors.ravel()])


def fitted(signal: bf.Signal, guess: float) -> tuple[FloatArray, FloatArray]:
    """b1 to b8 and their errors by curve_fit; empty where it fails or finds fewer than two maxima."""
    x, y = signal.axis.positions(), signal.values
    smooth = gaussian_filter1d(y, guess / 2)
    tops, _ = find_peaks(smooth)
    tops = np.sort(tops[np.argsort(-smooth[tops])][:2])
    if tops.size < 2:
        return np.empty(0), np.empty(0)
    start = [y[0], 1 / (x[-1] - x[0]), y[tops[0]], x[tops[0]], np.sqrt(2) * guess, y[tops[1]], x[tops[1]], np.sqrt(2) * guess]

    def model(x: FloatArray, *b: float) -> FloatArray:
        peaks = sum(b[k] * np.exp(-(((x - b[k + 1]) / b[k + 2]) ** 2)) for k in (2, 5))
        return np.asarray(b[0] * np.exp(-b[1] * x) + peaks)

    try:
        values, covariance = curve_fit(model, x, y, start)
    except RuntimeError:
        return np.empty(0), np.empty(0)
    return values, np.sqrt(np.diag(covariance))


def attained(values: FloatArray, errors: FloatArray, certified: FloatArray, deviation: FloatArray) -> str:
    """Number of peaks, digits of the values and of their errors."""
    peaks = (values.size - 2) // 3
    if values.size != certified.size:
        return f"{peaks} peaks" if peaks > 0 else "no fit"
    return f"{peaks}; {digits(values, certified):.1f}, {digits(errors, deviation):.1f}"


def digits(found: FloatArray, certified: FloatArray) -> float:
    """Significant digits in agreement, the worst of all that are known."""
    off = np.abs(found / certified - 1)
    return float(np.clip(-np.log10(max(np.nanmax(off), 1e-16)), 0, 16))
