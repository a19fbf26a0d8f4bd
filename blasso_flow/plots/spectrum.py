"""The noise of one channel over frequency: the power of the residual, and that of the coloured noise that was found."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from blasso_flow.data.signals import FloatArray
from blasso_flow.noise.colour import spectrum
from blasso_flow.plots import style
from blasso_flow.plots.curves import Curves

BINS = 48  # that the residual's power is averaged over
FINE = 400  # frequencies of the model


def spectrum_panel(ax: Axes, curves: Curves) -> None:
    """Power of the residual over frequency, averaged in bins, with the model's."""
    units = f"1/{curves.axis.units}" if curves.axis.units else ""
    style.dress(ax, xlabel=style.with_units("frequency", units), ylabel="power")
    style.heading(ax, "Noise (line: model)", small=True)
    frequency, power = residual_power(curves.residual)
    fine = np.linspace(0, 0.5, FINE)
    model = spectrum(curves.report.whitener, fine) * curves.report.noise_sd**2
    ax.plot(frequency / curves.axis.spacing, power, ls="", marker="o", ms=2.4, mec="none", color=style.SAMPLE_COLOUR, zorder=2)
    ax.plot(fine / curves.axis.spacing, model, color=style.FIT_COLOUR, lw=1.4, zorder=3)
    ax.set_yscale("log")
    style.powers(ax.yaxis)
    ax.minorticks_off()
    ax.set_xlim(0, 0.5 / curves.axis.spacing)


def residual_power(residual: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Frequencies (cycles a sample) and the mean power of a residual (N,), NaN where missing, around them.

    White noise of variance one has power one. The mean of the samples, frequency 0, is left out.
    """
    there = np.isfinite(residual)
    power = np.abs(np.fft.rfft(np.where(there, residual, 0.0))[1:]) ** 2 / max(int(there.sum()), 1)
    frequency = np.arange(1, power.size + 1) / residual.size
    number = min(BINS, power.size)
    edges = np.linspace(0, power.size, number + 1).astype(int)[:-1]
    count = np.diff(np.append(edges, power.size))
    mean_frequency, mean_power = (np.add.reduceat(values, edges) / count for values in (frequency, power))
    return mean_frequency, mean_power
