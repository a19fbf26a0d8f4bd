"""Measured filter: an impulse response given by samples, usually stored with the signal.

The definition: the response at its own lags (stretched by ``scale``) is joined by an interpolating spline of degree 5,
held and tapered to zero beyond an end at which it is not zero, and resampled by a second such spline whose knots are
the cell edges of the table. Each tap is then one polynomial a cell, and the table is exact for that definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters.kinds import CELLS_PER_WIDTH, Design, FilterKind, Parameter, taper

DEGREE = 5
FEWEST = 8  # points a response must have
UNIFORM = 1e-3  # of the lag's step: how far a lag may be from a uniform axis
ZEROS = 10  # points of zero beyond each end, over which the spline settles
MOST_CELLS = 50  # a sample; a filter that would need more is refused as too narrow
TAPER_WIDTHS = 3.0  # length of the taper beyond an end that is not zero


def response(lag: FloatArray, spline: Any, support: tuple[float, float]) -> FloatArray:
    """Value at lags of any shape of a spline (scipy's BSpline) that is zero outside ``support``; same units."""
    lag = np.asarray(lag, dtype=np.float64)
    inside = (lag > support[0]) & (lag < support[1])
    return np.asarray(np.where(inside, spline(np.where(inside, lag, support[0])), 0.0))


def design(description: FilterDescription, parameters: Mapping[str, float], spacing: float, samples: int) -> Design:
    """Spline, support, width and cells for one spacing. Raises `UsageError` or `DataError` for a response that cannot be used."""
    lag, values = checked(description)
    step = (lag[-1] - lag[0]) / (lag.size - 1)
    before, after = _ending(values[::-1])[::-1], _ending(values)
    points = (lag[0] + step * np.arange(-before.size, lag.size + after.size)) * parameters["scale"] / spacing
    joined = _interpolated(points, np.concatenate([before, values, after]))
    width = _width(joined)
    phases = int(np.clip(np.ceil(CELLS_PER_WIDTH / width - 1e-9), 1, MOST_CELLS))
    low = int(np.floor(points[0] - ZEROS / phases))
    high = int(np.ceil(points[-1] + ZEROS / phases))
    edges = low + np.arange((high - low) * phases + 1) / phases
    resampled = _interpolated(edges, response(edges, joined, (points[0], points[-1])))
    support = (float(low), float(high))
    return Design(response=lambda lag: response(lag, resampled, support), support=support, width=width, phases=phases)


def checked(description: FilterDescription) -> tuple[FloatArray, FloatArray]:
    """Lags and response as float64, each (L,). Raises `UsageError` if there is none, `DataError` if they cannot be used."""
    if description.lag is None or description.response is None:
        raise UsageError(
            "filter measured has no impulse response",
            allowed="a signal file with /filter/impulse_response and /filter/lag, or FilterDescription(lag=, response=)",
        )
    lag = np.asarray(description.lag, dtype=np.float64)
    values = np.asarray(description.response, dtype=np.float64)
    if lag.ndim != 1 or lag.shape != values.shape:
        raise DataError(
            "filter measured: lag and impulse response do not match",
            received=f"shapes {lag.shape} and {values.shape}",
            allowed="two lists of the same length",
        )
    if lag.size < FEWEST:
        raise DataError("filter measured: too few points", received=lag.size, allowed=f"at least {FEWEST}")
    if not (np.isfinite(lag).all() and np.isfinite(values).all()):
        bad = int(np.sum(~np.isfinite(lag) | ~np.isfinite(values)))
        raise DataError("filter measured: lags or values that are not finite", received=f"{bad} of {lag.size} points")
    steps = np.diff(lag)
    if not (steps > 0).all():
        raise DataError(
            "filter measured: the lags do not increase",
            received=f"a step of {steps.min():.6g}",
            mend="sort the points by lag",
        )
    off = np.abs(lag - np.linspace(lag[0], lag[-1], lag.size)).max() / steps.mean()
    if off > UNIFORM:
        raise DataError(
            "filter measured: the lags are not uniform",
            received=f"steps from {steps.min():.6g} to {steps.max():.6g}",
            mend="interpolate the response to a uniform lag",
        )
    if not values.any():
        raise DataError("filter measured: the impulse response is zero everywhere")
    return lag, values


def _ending(values: FloatArray) -> FloatArray:
    """What follows the last value: that value, tapered, and zeros."""
    if values[-1] == 0:
        return np.zeros(ZEROS)
    bend = np.sum(np.diff(values, 2) ** 2)
    points = np.sqrt(1.5 * np.sum(np.diff(values) ** 2) / bend) if bend > 0 else values.size
    length = int(np.clip(np.ceil(TAPER_WIDTHS * points), ZEROS, max(ZEROS, values.size)))
    return np.append(values[-1] * taper(np.arange(1, length) / length), np.zeros(ZEROS))


def _interpolated(points: FloatArray, values: FloatArray) -> Any:
    """Spline of degree 5 through the points; value, slope and curvature are zero at both ends."""
    from scipy.interpolate import make_interp_spline

    flat = [(1, 0.0), (2, 0.0)]
    return make_interp_spline(points, values, k=DEGREE, bc_type=(flat, flat))


def _width(spline: Any) -> float:
    """Resolution length sqrt(3/2) ||slope|| / ||curvature||, from 8 values between neighbouring knots."""
    knots = np.unique(spline.t)
    lag = np.linspace(knots[0], knots[-1], 8 * knots.size)
    return float(np.sqrt(1.5 * np.sum(spline(lag, 1) ** 2) / np.sum(spline(lag, 2) ** 2)))


KIND = FilterKind(
    name="measured",
    summary="an impulse response measured at uniform lags, stored with the signal",
    parameters=(Parameter("scale", "factor that stretches the lags", dimension="factor", low=1e-6, high=1e6, default=1.0),),
    design=design,
    example="measured:scale=1",
)


def measured(lag: ArrayLike, response: ArrayLike, *, scale: float = 1.0, exposure: float | None = None) -> FilterDescription:
    """An impulse ``response`` (L,) measured at uniform, increasing ``lag`` (L,), axis units; ``scale`` stretches the lags.

    ``exposure`` is the share of the spacing that a sample averages over. Raises `UsageError` for what cannot be used.
    """
    curve = np.asarray(lag, dtype=np.float64), np.asarray(response, dtype=np.float64)
    return replace(KIND.described(scale=scale, exposure=exposure), lag=curve[0], response=curve[1])
