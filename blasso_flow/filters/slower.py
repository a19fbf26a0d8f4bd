"""A filter for slower samples: tabulated for their spacing, averaged over their exposure, with the meaning of a weight kept.

A weight of one stays what it is at the filter's own spacing: averaging over an exposure multiplies the filter's transform by
sinc(frequency x exposure), so both tables are compared at a frequency at which the filter has much, 0 where it has an area.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from blasso_flow.data.signals import Axis
from blasso_flow.filters.kinds import FilterKind
from blasso_flow.filters.shapes import KINDS
from blasso_flow.filters.table import Filter, tabulate

KEPT = 4  # tables
STEPS = 16  # of a sample, of the sum that is the transform
FREQUENCIES = 64
AREA = 1e-3  # of the sum of absolute values: less is no area

_kept: dict[tuple[object, ...], Filter] = {}


def for_slower(filter: Filter, axis: Axis, exposure: float) -> Filter:
    """The filter at the spacing of ``axis``, for samples that average over ``exposure`` of it; the last few tables are kept.

    Raises `UsageError` where it is too narrow for the spacing, or longer than the record.
    """
    description = filter.description
    curves = [None if curve is None else curve.tobytes() for curve in (description.lag, description.response)]
    asked = str(description), *curves, filter.spacing, filter.normalisation, axis.spacing, axis.size, exposure
    if asked not in _kept:
        made = _made(filter, axis, exposure)
        while len(_kept) >= KEPT:
            del _kept[next(iter(_kept))]
        _kept[asked] = made
    return _kept[asked]


def _made(filter: Filter, axis: Axis, exposure: float) -> Filter:
    kind = KINDS[filter.description.kind]
    description = replace(filter.description, parameters={**filter.description.parameters, "exposure": exposure})
    table = tabulate(kind, description, axis.spacing, axis.size, "energy")
    frequency = _frequency(filter)
    factor = _sharp(filter, kind, frequency) / _sharp(table, kind, frequency)
    return replace(
        table,
        normalisation=filter.normalisation,
        coefficients=table.coefficients * factor,
        norm=table.norm * abs(factor),
        norm1=table.norm1 * abs(factor),
        norm2=table.norm2 * abs(factor),
        norm4=table.norm4 * abs(factor),
        fourth_bound=table.fourth_bound * abs(factor),
        value_jump=table.value_jump * abs(factor),
        slope_jump=table.slope_jump * abs(factor),
        tail=table.tail * np.array([[1.0], [factor]]),
    )


def _frequency(filter: Filter) -> float:
    """A frequency (cycles per axis unit) at which the filter has much: 0 where it has an area."""
    lag = np.arange(filter.first - 1, filter.first + filter.taps, 1 / STEPS)
    response = filter.response(lag)
    if abs(response.sum()) > AREA * np.abs(response).sum():
        return 0.0
    tried = np.arange(1, FREQUENCIES) / FREQUENCIES / (2 * np.pi * filter.width)
    return float(tried[np.argmax([abs(np.exp(2j * np.pi * each * lag) @ response) for each in tried])] / filter.spacing)


def _sharp(filter: Filter, kind: FilterKind, frequency: float) -> float:
    """Transform at a frequency, cycles per axis unit, of the response before it was averaged over the exposure."""
    lag = np.arange(filter.first - 1, filter.first + filter.taps, 1 / STEPS)
    wave = np.exp(2j * np.pi * frequency * filter.spacing * lag) @ filter.response(lag)
    exposure = kind.checked(filter.description).get("exposure", 0.0)
    size = float(np.abs(wave)) if frequency else float(wave.real)
    return size / STEPS * filter.spacing / float(np.sinc(frequency * exposure * filter.spacing))
