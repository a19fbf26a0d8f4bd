"""One filter, stretched: the response at lag / stretch, from the same table, with its derivatives by position and stretch.

A stretch of 1 is the tabulated filter. The normalisation is kept: a stretched response has the peak, the area or the energy
of the tabulated one. Lags and positions in samples. Plain numpy: no compiled code, no solver.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters.table import Filter

Stretch = TypeVar("Stretch", float, FloatArray)
SHORT = 512  # samples: in such a record all responses are evaluated in one call, zeros cost less than calls
POWERS = {"peak": 0.0, "area": 1.0, "energy": 0.5}  # of the stretch, by which a stretched response is lowered


def check_stretch(filter: Filter) -> None:
    """Raise `UsageError` for a filter that has no stretched version: periodic, with a kink, or averaged over an exposure."""
    description = filter.description
    reason = ""
    if filter.period:
        reason = "a periodic filter has no width of its own"
    elif description.kind == "decay":
        reason = "its rise and decay are times, not one width"
    elif description.parameters.get("exposure", 0.0) > 0:
        reason = "stretching it would stretch the exposure too"
    elif filter.kinks.size:
        reason = "its response has a kink"
    if reason:
        raise UsageError(
            f"`refit_width=True` cannot stretch the filter {description}: {reason}",
            allowed="gaussian, lorentzian, emg, ricker or measured, without exposure",
            mend="leave out `refit_width=True`",
        )


def lowered(filter: Filter, stretch: Stretch) -> Stretch:
    """Factor that keeps the normalisation of a stretched response, of the shape of ``stretch``."""
    return stretch ** -POWERS[filter.normalisation]


def reached(filter: Filter, position: float, stretch: float, samples: int) -> slice:
    """Samples of a record that a stretched response at ``position`` reaches."""
    low, high = filter.plain.support
    first, last = np.ceil(position + low * stretch), np.floor(position + high * stretch) + filter.whitener.size
    return slice(int(np.clip(first, 0, samples)), int(np.clip(last + 1, 0, samples)))


def response(filter: Filter, lag: FloatArray, stretch: Stretch) -> FloatArray:
    """Stretched response at lags (samples) of any shape; where samples are whitened, it is stretched before that."""
    result = filter.plain.response(lag / stretch)
    for step, coefficient in enumerate(filter.whitener.tolist(), 1):
        result = result - coefficient * filter.plain.response((lag - step) / stretch)
    return lowered(filter, stretch) * result


def derivatives(filter: Filter, lag: FloatArray, stretch: Stretch) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Stretched response at lags of any shape, and its derivatives by position (a sample) and by stretch."""
    value, slope, wider = _plain_derivatives(filter.plain, lag, stretch)
    for step, coefficient in enumerate(filter.whitener.tolist(), 1):
        earlier = _plain_derivatives(filter.plain, lag - step, stretch)
        value, slope, wider = (now - coefficient * before for now, before in zip((value, slope, wider), earlier, strict=True))
    return value, slope, wider


def _plain_derivatives(filter: Filter, lag: FloatArray, stretch: Stretch) -> tuple[FloatArray, FloatArray, FloatArray]:
    scaled = lag / stretch
    factor = lowered(filter, stretch)
    value = factor * filter.response(scaled)
    slope = factor / stretch * filter.response(scaled, 1)
    return value, slope, scaled * slope - POWERS[filter.normalisation] / stretch * value


def filtered(filter: Filter, position: FloatArray, weight: FloatArray, stretch: FloatArray, samples: int) -> FloatArray:
    """Sum of weighted stretched responses at ``samples`` samples, for columns (K,)."""
    result = np.zeros(samples)
    if samples <= SHORT:
        lag = np.arange(samples) - position[:, None]
        for amount, row in zip(weight, response(filter, lag, stretch[:, None]), strict=True):
            result += amount * row
        return result
    for place, amount, factor in zip(position, weight, stretch, strict=True):
        near = reached(filter, place, factor, samples)
        result[near] += amount * response(filter, np.arange(near.start, near.stop) - place, factor)
    return result
