"""Ricker filter: the second derivative of a Gaussian, up to sign; the wavelet of radar and seismics. Its area is zero.

With ``a = (pi * frequency * lag)**2`` the response is ``(1 - 2 a) exp(-a)``; its spectrum peaks at ``frequency``
(Ricker 1953). Lag zero is the middle of the central lobe.

``order`` other than 2 multiplies the spectrum by ``(i omega)^(order - 2)``: the fractional derivative of the Ricker, omega
in units of one over the sd of the Gaussian behind it. Waves in two dimensions are the half-derivative, order 2.5. In
closed form it is a sum of two confluent hypergeometric functions; a fractional one has a tail after lag zero that falls
only as a power of the lag, ``lag^-(order + 1)``, and is tapered to zero between TAPER lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gamma

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.filters.kinds import Design, FilterKind, Parameter, scaled, taper

REACH = 8.4  # in sd of the Gaussian behind it; the response there is 4e-14 of the peak
REACH_FRACTIONAL = 9.0
TAPER = (40.0, 60.0)  # in the same sd; order 2.5 has fallen to 7e-6 of the peak where it begins


def response(lag: FloatArray, frequency: float, order: float = 2.0) -> FloatArray:
    """Response at lags of any shape; ``frequency`` in cycles per unit of lag."""
    if order == 2:
        a = (np.pi * frequency * lag) ** 2
        return np.asarray((1 - 2 * a) * np.exp(-a))
    return fractional(np.asarray(lag) * (np.sqrt(2) * np.pi * frequency), order)


def fractional(s: FloatArray, order: float) -> FloatArray:
    """Fractional derivative at lags ``s`` in sd of the Gaussian, tapered.

    -sqrt(2/pi) times the integral of w^order exp(-w^2/2) cos(w s + pi order/2) over w > 0 (Gradshteyn and Ryzhik 3.952).
    """
    from scipy.special import hyp1f1

    s = np.asarray(s, dtype=np.float64)
    inside = np.clip(s, -REACH_FRACTIONAL, TAPER[1])
    z = -(inside**2) / 2
    even = 2 ** ((order - 1) / 2) * gamma((order + 1) / 2) * hyp1f1((order + 1) / 2, 0.5, z)
    odd = 2 ** (order / 2) * gamma(order / 2 + 1) * inside * hyp1f1(order / 2 + 1, 1.5, z)
    turn = np.pi * order / 2
    whole = np.sqrt(2 / np.pi) * (odd * np.sin(turn) - even * np.cos(turn))
    return np.asarray(whole * taper((s - TAPER[0]) / (TAPER[1] - TAPER[0])) * (s > -REACH_FRACTIONAL))


def design(description: FilterDescription, parameters: Mapping[str, float], spacing: float, samples: int) -> Design:
    """Support, width and response for one spacing."""
    sd = 1 / (np.sqrt(2) * np.pi * parameters["frequency"])
    order = parameters["order"]
    support = (-REACH * sd, REACH * sd) if order == 2 else (-REACH_FRACTIONAL * sd, TAPER[1] * sd)
    return scaled(response, parameters, spacing, support=support, width=float(np.sqrt(1.5 / (order + 1.5))) * sd)


KIND = FilterKind(
    name="ricker",
    summary="Ricker wavelet (zero area): ground-penetrating radar, seismic traces",
    parameters=(
        Parameter("frequency", "peak frequency of the Ricker itself, cycles per axis unit", dimension="frequency"),
        Parameter(
            "order",
            "order of the derivative: 2 is the Ricker, 2.5 its half-derivative, for waves in two dimensions",
            dimension="order",
            low=1.0,
            high=4.0,
            low_included=True,
            default=2.0,
        ),
    ),
    design=design,
    zero_area=True,
    example="ricker:frequency=1.5e9",
)


def ricker(*, frequency: float, order: float = 2.0, exposure: float | None = None) -> FilterDescription:
    """Ricker wavelet of peak ``frequency`` (cycles per axis unit); ``order`` 2.5 is its half-derivative.

    ``exposure`` is the share of the spacing that a sample averages over. Raises `UsageError` for what cannot be used.
    """
    return KIND.described(frequency=frequency, order=order, exposure=exposure)
