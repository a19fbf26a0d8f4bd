"""Spikes as rates: smoothed with a Gaussian to events per unit of the axis, sampled on the signal's axis.

Plain spikes and an axis in, arrays out. Nothing here recovers, reads files or draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from blasso_flow.errors import UsageError
from blasso_flow.signals import Axis, FloatArray
from blasso_flow.spikes import Spikes

REACH = 9.0  # widths: beyond, a Gaussian is below 3e-18 of its peak


@dataclass(frozen=True)
class Rates:
    """Rates of all channels, arrays of shape (C, N) over the signal's axis.

    ``rate`` counts events: 1 / axis unit. ``weight_rate`` counts each spike by its weight: weight units / axis unit.
    ``width`` is the sd of the Gaussian in axis units.
    """

    rate: FloatArray
    weight_rate: FloatArray
    width: float


def check_width(width: float, axis: Axis) -> None:
    """Raise `UsageError` for a width below one sample, which would fall between the samples, or that is not finite."""
    if not (math.isfinite(width) and width >= axis.spacing):
        raise UsageError(
            "the width of a rate cannot be used", received=f"{width:g}", allowed=f"at least one sample, {axis.spacing:.6g}"
        )


def rates(spikes: Spikes, axis: Axis, width: float, channels: int = 1) -> Rates:
    """Smooth spikes to rates: rate(a) = sum_k N(a - x_k; width), N a Gaussian of integral 1; exact at every sample.

    A spike near an end of the record keeps its whole Gaussian, part of which lies outside: there is no renormalisation, and
    the rate falls off over the last two widths. A periodic axis is closed. Samples that were missing get a rate too.

    Raises `UsageError` as `check_width` does.
    """
    check_width(width, axis)
    sums = np.zeros((2, channels, axis.size))
    sd = width / axis.spacing
    reach = math.ceil(REACH * sd)
    for channel, position, weight in zip(spikes.channel, axis.to_samples(spikes.position), spikes.weight, strict=True):
        first, last = math.floor(position) - reach, math.floor(position) + reach + 1
        sample = np.arange(first, last + 1) if axis.periodic else np.arange(max(first, 0), min(last + 1, axis.size))
        bell = np.exp(-0.5 * ((sample - position) / sd) ** 2) / (math.sqrt(2 * math.pi) * width)
        if axis.periodic:
            np.add.at(sums[0, channel], sample % axis.size, bell)
            np.add.at(sums[1, channel], sample % axis.size, weight * bell)
        elif sample.size:
            sums[0, channel, sample[0] : sample[-1] + 1] += bell
            sums[1, channel, sample[0] : sample[-1] + 1] += weight * bell
    return Rates(sums[0], sums[1], width)
