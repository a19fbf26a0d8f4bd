"""Ricker filter: the second derivative of a Gaussian, up to sign; the wavelet of radar and seismics. Its area is zero.

With ``a = (pi * frequency * lag)**2`` the response is ``(1 - 2 a) exp(-a)``; its spectrum peaks at ``frequency``
(Ricker 1953). Lag zero is the middle of the central lobe.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blasso_flow.filters.kinds import Design, FilterKind, Parameter, scaled
from blasso_flow.signals import FilterDescription, FloatArray

REACH = 8.4  # in sd of the Gaussian behind it; the response there is 4e-14 of the peak
WIDTH = float(np.sqrt(3 / 7))  # resolution length, in sd of the Gaussian behind it


def response(lag: FloatArray, frequency: float) -> FloatArray:
    """Response at lags of any shape; ``frequency`` in cycles per unit of lag."""
    a = (np.pi * frequency * lag) ** 2
    return np.asarray((1 - 2 * a) * np.exp(-a))


def design(description: FilterDescription, parameters: Mapping[str, float], spacing: float, samples: int) -> Design:
    """Support, width and response for one spacing."""
    sd = 1 / (np.sqrt(2) * np.pi * parameters["frequency"])
    return scaled(response, parameters, spacing, support=(-REACH * sd, REACH * sd), width=WIDTH * sd)


KIND = FilterKind(
    name="ricker",
    summary="Ricker wavelet (zero area): ground-penetrating radar, seismic traces",
    parameters=(Parameter("frequency", "peak frequency, cycles per axis unit", dimension="frequency"),),
    design=design,
    zero_area=True,
    example="ricker:frequency=1.5e9",
)
