"""Exponentially modified Gaussian: a Gaussian of standard deviation ``sd`` convolved with an exponential of time ``decay``.

Lag zero is the centre of the Gaussian, not the apex of the peak, which lies up to ``decay`` later: a position is where
the peak would have been without its tail. The area is 1 before normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.filters.kinds import Design, FilterKind, Parameter, scaled, tail_end

REACH = 7.9  # in sd, on the side without a tail


def response(lag: FloatArray, sd: float, decay: float) -> FloatArray:
    """Response at lags of any shape, in the units of ``sd`` and ``decay`` (both above 0).

    With z = (sd/decay - lag/sd)/sqrt(2): exp(-lag^2/(2 sd^2)) erfcx(z)/(2 decay) where z >= 0, and
    exp(sd^2/(2 decay^2) - lag/decay) erfc(z)/(2 decay) elsewhere; neither overflows (Kalambet et al. 2011).
    """
    from scipy.special import erfc, erfcx

    lag = np.asarray(lag, dtype=np.float64)
    z = (sd / decay - lag / sd) / np.sqrt(2)
    before = np.exp(-0.5 * (lag / sd) ** 2) * erfcx(np.maximum(z, 0.0))
    after = np.exp(np.where(z < 0, 0.5 * (sd / decay) ** 2 - lag / decay, 0.0)) * erfc(np.minimum(z, 0.0))
    return np.asarray(np.where(z >= 0, before, after) / (2 * decay))


def design(description: FilterDescription, parameters: Mapping[str, float], spacing: float, samples: int) -> Design:
    """Support, width and response for one spacing."""
    sd, decay = parameters["sd"], parameters["decay"]

    def in_units(lag: FloatArray) -> FloatArray:
        return response(lag, sd, decay)

    near_apex = np.linspace(0.0, min(decay, 10 * sd), 1001)
    apex = float(near_apex[np.argmax(in_units(near_apex))])
    return scaled(response, parameters, spacing, support=(-REACH * sd, tail_end(in_units, apex, sd)), width=_width(sd, decay))


def _width(sd: float, decay: float) -> float:
    """Resolution length, from the moments over k of the power spectrum exp(-k^2 sd^2) / (1 + k^2 decay^2)."""
    from scipy.special import erfcx

    if decay < 0.05 * sd:
        return sd
    second = np.sqrt(np.pi) * (1 / sd - np.sqrt(np.pi) * erfcx(sd / decay) / decay) / decay**2
    fourth = (np.sqrt(np.pi) / (2 * sd**3) - second) / decay**2
    return float(np.sqrt(1.5 * second / fourth))


KIND = FilterKind(
    name="emg",
    summary="exponentially modified Gaussian, lag zero at the Gaussian's centre: chromatograms, detector pulses",
    parameters=(
        Parameter("sd", "standard deviation of the Gaussian"),
        Parameter("decay", "time of the exponential tail"),
    ),
    design=design,
    example="emg:sd=0.02,decay=0.05",
)


def emg(*, sd: float, decay: float, exposure: float | None = None) -> FilterDescription:
    """Gaussian of standard deviation ``sd`` with an exponential tail of time ``decay`` (axis units).

    ``exposure`` is the share of the spacing that a sample averages over. Raises `UsageError` for what cannot be used.
    """
    return KIND.described(sd=sd, decay=decay, exposure=exposure)
