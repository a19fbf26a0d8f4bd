"""Lorentzian filter: 1 / (1 + (2 lag / fwhm)^2), the line of optical and magnetic resonance spectra, on a stated window.

Its tails never end, so the filter is defined with a window: unchanged to four fifths of ``reach`` fwhm on either side,
then brought to zero at ``reach`` fwhm by a taper that is smooth to the 4th derivative. Both lags are rounded up to whole
samples. At the default of 50 fwhm the taper starts at 1.6e-4 of the peak, and 0.7 % of the area is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.filters.kinds import Design, FilterKind, Parameter, taper

FLAT = 0.8  # share of the reach that is left unchanged
WIDTH = float(np.sqrt(1 / 8))  # resolution length, in fwhm


def response(lag: FloatArray, fwhm: float, flat: float, end: float) -> FloatArray:
    """Response at lags of any shape: a Lorentzian up to ``flat``, tapered to zero at ``end`` (units of lag)."""
    return np.asarray(taper((np.abs(lag) - flat) / (end - flat)) / (1 + (2 * lag / fwhm) ** 2))


def design(description: FilterDescription, parameters: Mapping[str, float], spacing: float, samples: int) -> Design:
    """Support, width and response for one spacing; the window is rounded up to whole samples."""
    fwhm = parameters["fwhm"] / spacing
    end = max(np.ceil(parameters["reach"] * fwhm), 2.0)
    flat = min(np.ceil(FLAT * parameters["reach"] * fwhm), end - 1)
    return Design(
        response=lambda lag: response(np.asarray(lag), fwhm, flat, end),
        support=(-end, end),
        width=WIDTH * fwhm,
        knots=(-end, -flat, flat, end),
    )


KIND = FilterKind(
    name="lorentzian",
    summary="Lorentzian line with its heavy tails, on a stated window: NMR, Raman, optical spectra",
    parameters=(
        Parameter("fwhm", "full width at half maximum"),
        Parameter(
            "reach",
            "where the tails have been tapered to zero, in fwhm (the last fifth is the taper)",
            dimension="factor",
            low=10.0,
            high=1e4,
            low_included=True,
            default=50.0,
        ),
    ),
    design=design,
    example="lorentzian:fwhm=0.5",
)


def lorentzian(*, fwhm: float, reach: float = 50.0, exposure: float | None = None) -> FilterDescription:
    """Lorentzian line of full width at half maximum ``fwhm`` (axis units), whose tails end at ``reach`` of these.

    ``exposure`` is the share of the spacing that a sample averages over. Raises `UsageError` for what cannot be used.
    """
    return KIND.described(fwhm=fwhm, reach=reach, exposure=exposure)
