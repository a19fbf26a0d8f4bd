"""Gaussian filter: exp(-lag^2 / (2 sd^2))."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.filters.kinds import Design, FilterKind, Parameter, scaled

FWHM_OVER_SD = 2 * np.sqrt(2 * np.log(2))
REACH = 7.8  # in sd; the response there is 6e-14 of the peak


def response(lag: FloatArray, sd: float) -> FloatArray:
    """Response at lags of any shape, in the units of ``sd``."""
    return np.exp(-0.5 * (lag / sd) ** 2)


def design(description: FilterDescription, parameters: Mapping[str, float], spacing: float, samples: int) -> Design:
    """Support, width and response for one spacing."""
    sd = parameters["sd"] if "sd" in parameters else parameters["fwhm"] / FWHM_OVER_SD
    return scaled(response, {"sd": sd}, spacing, support=(-REACH * sd, REACH * sd), width=sd)


KIND = FilterKind(
    name="gaussian",
    summary="Gaussian peak: spectra, chromatograms, lidar returns, molecules",
    parameters=(
        Parameter("sd", "standard deviation", choice="width"),
        Parameter("fwhm", "full width at half maximum (2.3548 sd)", choice="width"),
    ),
    design=design,
    example="gaussian:sd=0.02",
)


def gaussian(*, sd: float | None = None, fwhm: float | None = None, exposure: float | None = None) -> FilterDescription:
    """Gaussian peak of standard deviation ``sd`` or full width at half maximum ``fwhm`` (axis units).

    ``exposure`` is the share of the spacing that a sample averages over. Raises `UsageError` for what cannot be used.
    """
    return KIND.described(sd=sd, fwhm=fwhm, exposure=exposure)
