"""A filter for slower samples: tabulated for their spacing, averaged over their exposure, with the meaning of a weight kept.

A weight of one stays what it is at the filter's own spacing: averaging over an exposure multiplies the filter's transform by
sinc(frequency x exposure), so both tables are compared at a frequency at which the filter has much, 0 where it has an area.
A rise much shorter than the exposure makes a corner that no table has; a slightly longer one, as much earlier, is the same there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from blasso_flow.data.signals import Axis, FilterDescription
from blasso_flow.errors import UsageError
from blasso_flow.filters import exposure_of, kind_of
from blasso_flow.filters.exposure import STAMPS
from blasso_flow.filters.kinds import FilterKind
from blasso_flow.filters.table import Filter, tabulate

KEPT = 4  # tables
STEPS = 16  # of a sample, of the sum that is the transform
FREQUENCIES = 64
RISE = "rise"
LONGER, LONGEST_RISE = 1.1, 0.2  # times the rise; of the spacing: by which a rise is made longer, and up to where
AREA = 1e-3  # of the sum of absolute values: less is no area

_kept: dict[tuple[object, ...], Filter] = {}


def shift_of(filter: Filter, slower: Filter, stamp: str) -> float:
    """What is added to the axis (axis units) of a filter's samples for those of ``slower``, made of it by `for_slower`.

    The axis denotes a moment of their exposure, not of the filter's own; and a rise that had to be longer comes later.
    """
    own, longer = exposure_of(filter.description) * filter.spacing, exposure_of(slower.description) * slower.spacing
    rise, used = (table.description.parameters.get(RISE, 0.0) for table in (filter, slower))
    return STAMPS[stamp] * (longer - own) + used - rise


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
    kind = kind_of(filter.description.kind)
    description = replace(filter.description, parameters={**filter.description.parameters, "exposure": exposure})
    table = _tabulated(kind, description, axis)
    frequency = _frequency(filter)
    factor = _sharp(filter, frequency) / _sharp(table, frequency)
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


def _tabulated(kind: FilterKind, description: FilterDescription, axis: Axis) -> Filter:
    """The table, with the shortest rise that can be used where the filter's is too short for samples so slow."""
    while True:
        try:
            return tabulate(kind, description, axis.spacing, axis.size, "energy")
        except UsageError:
            rise = LONGER * description.parameters.get(RISE, np.inf)
            longest = min(LONGEST_RISE * axis.spacing, description.parameters.get("decay", np.inf))
            if not description.parameters["exposure"] or rise > longest:
                raise
            description = replace(description, parameters={**description.parameters, RISE: rise})


def _frequency(filter: Filter) -> float:
    """A frequency (cycles per axis unit) at which the filter has much: 0 where it has an area."""
    lag = np.arange(filter.first - 1, filter.first + filter.taps, 1 / STEPS)
    response = filter.response(lag)
    if abs(response.sum()) > AREA * np.abs(response).sum():
        return 0.0
    tried = np.arange(1, FREQUENCIES) / FREQUENCIES / (2 * np.pi * filter.width)
    return float(tried[np.argmax([abs(np.exp(2j * np.pi * each * lag) @ response) for each in tried])] / filter.spacing)


def _sharp(filter: Filter, frequency: float) -> float:
    """Transform at a frequency, cycles per axis unit, of the response before it was averaged over the exposure."""
    lag = np.arange(filter.first - 1, filter.first + filter.taps, 1 / STEPS)
    wave = np.exp(2j * np.pi * frequency * filter.spacing * lag) @ filter.response(lag)
    size = float(np.abs(wave)) if frequency else float(wave.real)
    return size / STEPS * filter.spacing / float(np.sinc(frequency * exposure_of(filter.description) * filter.spacing))
