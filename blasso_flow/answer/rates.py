"""Spikes as rates: smoothed with a Gaussian to events per unit of the axis, sampled on the signal's axis.

Plain spikes and an axis in, arrays out. Nothing here recovers, reads files or draws.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.results import Rates
from blasso_flow.data.signals import Axis, FloatArray, Truth
from blasso_flow.data.spikes import Spikes
from blasso_flow.errors import UsageError

BoolArray = NDArray[np.bool_]

REACH = 9.0  # widths: beyond, a Gaussian is below 3e-18 of its peak


def check_width(width: float, axis: Axis) -> None:
    """Raise `UsageError` for a width below one sample, which would fall between the samples, or that is not finite."""
    if not (math.isfinite(width) and width >= axis.spacing):
        raise UsageError(
            "the width of a rate cannot be used", received=f"{width:g}", allowed=f"at least one sample, {axis.spacing:.6g}"
        )


def rates(spikes: Spikes, axis: Axis, width: float, channels: int = 1, first: int = 0) -> Rates:
    """Smooth spikes to rates: rate(a) = sum_k N(a - x_k; width), N a Gaussian of integral 1; exact at every sample.

    A spike near an end of the record keeps its whole Gaussian, part of which lies outside: there is no renormalisation, and
    the rate falls off over the last two widths. A periodic axis is closed. Samples that were missing get a rate too.
    The rows are those of ``channels`` channels from number ``first`` on, to which all spikes belong.

    Raises `UsageError` as `check_width` does.
    """
    check_width(width, axis)
    sums = np.zeros((2, channels, axis.size))
    sd = width / axis.spacing
    densest = axis.spacing if axis.bend is None else float(axis.spacing_at(np.arange(axis.size)).min())
    reach = math.ceil(REACH * (width / densest))
    for channel, position, weight in zip(spikes.channel - first, axis.to_samples(spikes.position), spikes.weight, strict=True):
        first, last = math.floor(position) - reach, math.floor(position) + reach + 1
        sample = np.arange(first, last + 1) if axis.periodic else np.arange(max(first, 0), min(last + 1, axis.size))
        away = (sample - position) / sd
        if axis.bend is not None:
            away = (axis.from_samples(sample) - axis.from_samples(position)) / width
        bell = np.exp(-0.5 * away**2) / (math.sqrt(2 * math.pi) * width)
        if axis.periodic:
            np.add.at(sums[0, channel], sample % axis.size, bell)
            np.add.at(sums[1, channel], sample % axis.size, weight * bell)
        elif sample.size:
            sums[0, channel, sample[0] : sample[-1] + 1] += bell
            sums[1, channel, sample[0] : sample[-1] + 1] += weight * bell
    return Rates(sums[0], sums[1], width)


def binned(position: FloatArray, weight: FloatArray, axis: Axis, bin_width: float, smoothing: float = 0.0) -> FloatArray:
    """Weight in each bin of width ``bin_width`` (axis units) from the first sample on, shape (B,).

    ``smoothing`` is the sd of a Gaussian whose exact integral over each bin is taken; 0 counts. The last bin is the
    last whole one.
    """
    length = axis.size * axis.spacing
    count = math.floor(length / bin_width * (1 + 1e-12))
    edges = axis.first - axis.spacing / 2 + np.arange(count + 1) * bin_width
    if smoothing == 0:
        return np.histogram(position, edges, weights=weight)[0].astype(np.float64)
    from scipy.special import ndtr

    total = np.zeros(count + 1)
    for x, w in zip(position, weight, strict=True):
        total += w * ndtr((edges - x) / smoothing)
    result: FloatArray = np.diff(total)
    return result


def correlations(
    found: Spikes, truth: Truth, axis: Axis, bin_width: float, smoothing: float = 0.0, present: BoolArray | None = None
) -> list[tuple[float, float]]:
    """Pearson correlation of binned rates, one pair a channel: found weights, and found counts, with the true spikes' number.

    Parameters
    ----------
    bin_width : of the rates compared, axis units, at least one sample, and at least three bins on the axis.
    smoothing : sd of the Gaussian (axis units) that smooths the found spikes, not the true ones; 0 for none.
    present : (C, N), False where a sample is missing: bins without a sample are left out. Their number of channels is
        that of the result; without it, as many as the two name.

    A correlation is NaN where one side is constant. Raises `UsageError` for widths that cannot be used.
    """
    most = axis.size * axis.spacing / 3
    if not axis.spacing * (1 - 1e-9) <= bin_width <= most:
        raise UsageError(
            "the bin of a rate cannot be used", received=f"{bin_width:g}", allowed=f"from {axis.spacing:.6g} to {most:.6g}"
        )
    if not (math.isfinite(smoothing) and smoothing >= 0):
        raise UsageError("the width of a rate cannot be used", received=f"{smoothing:g}", allowed="a finite number, at least 0")
    named = max((int(column.max()) + 1 for column in (found.channel, truth.channel) if column.size), default=1)
    rows = []
    for channel in range(named if present is None else len(present)):
        own, real = found.channel == channel, truth.channel == channel
        true = binned(truth.position[real], np.ones(int(real.sum())), axis, bin_width)
        kept = np.ones(true.size, dtype=np.bool_)
        if present is not None:
            kept = binned(axis.positions(), present[channel].astype(np.float64), axis, bin_width) > 0
        ones = np.ones(int(own.sum()))
        by_weight, by_count = (binned(found.position[own], w, axis, bin_width, smoothing) for w in (found.weight[own], ones))
        rows.append((_correlation(by_weight[kept], true[kept]), _correlation(by_count[kept], true[kept])))
    return rows


def _correlation(one: FloatArray, other: FloatArray) -> float:
    if one.size < 2:
        return math.nan
    one, other = one - one.mean(), other - other.mean()
    size = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / size if size > 0 else math.nan
