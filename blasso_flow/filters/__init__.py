"""Filters: registered by name, described by a short text, tabulated once for a spacing.

gaussian(sd=0.02)                   a description in Python
describe("gaussian:sd=0.02")        a description from a text
build(description, axis)            description to table
"""

from __future__ import annotations

from dataclasses import replace

from blasso_flow.data.signals import Axis, FilterDescription
from blasso_flow.errors import UsageError
from blasso_flow.filters.exposure import exposed, time_shift
from blasso_flow.filters.kinds import FilterKind
from blasso_flow.filters.shapes import KINDS
from blasso_flow.filters.shapes.decay import decay
from blasso_flow.filters.shapes.emg import emg
from blasso_flow.filters.shapes.gaussian import gaussian
from blasso_flow.filters.shapes.lorentzian import lorentzian
from blasso_flow.filters.shapes.lowpass import lowpass
from blasso_flow.filters.shapes.measured import measured
from blasso_flow.filters.shapes.ricker import ricker
from blasso_flow.filters.table import NORMALISATIONS, Filter, tabulate

__all__ = [
    "KINDS",
    "NORMALISATIONS",
    "Filter",
    "build",
    "completed",
    "decay",
    "describe",
    "emg",
    "exposed",
    "exposure_of",
    "gaussian",
    "gaussian_like",
    "kind_of",
    "lorentzian",
    "lowpass",
    "measured",
    "ricker",
    "time_shift",
]

_last: dict[tuple[object, ...], Filter] = {}


def kind_of(name: str) -> FilterKind:
    """The registered kind of that name. Raises `UsageError` when there is none."""
    if name not in KINDS:
        raise UsageError("unknown filter", received=name, allowed=", ".join(KINDS), mend="see `blasso-flow filters`")
    return KINDS[name]


def describe(text: str) -> FilterDescription:
    """Read ``NAME:key=value,...`` (axis units). Raises `UsageError` on anything that does not fit."""
    name, _, rest = text.strip().partition(":")
    kind_of(name)
    parameters: dict[str, float] = {}
    for item in rest.split(",") if rest else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise UsageError(f"filter {name}: a parameter has no value", received=item, allowed="key=value")
        if key in parameters:
            raise UsageError(f"filter {name}: a parameter is given twice", received=key, mend="give it once")
        try:
            parameters[key] = float(value)
        except ValueError:
            raise UsageError(f"filter {name}: {key} is not a number", received=value, allowed="a number") from None
    description = FilterDescription(name, parameters)
    kind_of(name).checked(description)
    return description


def completed(description: FilterDescription, stored: FilterDescription | None) -> FilterDescription:
    """A measured filter described without its impulse response takes the one stored with the signal, if there is one."""
    if description.kind != "measured" or description.response is not None or stored is None:
        return description
    return replace(description, lag=stored.lag, response=stored.response)


def build(description: FilterDescription, axis: Axis, normalisation: str = "peak") -> Filter:
    """A described filter, tabulated for an axis; the last table is kept. Raises what `table.tabulate` raises."""
    curves = [None if curve is None else curve.tobytes() for curve in (description.lag, description.response)]
    asked = str(description), *description.parameters.values(), *curves, axis.spacing, axis.size, normalisation
    table = _last.get(asked)
    if table is None:
        table = tabulate(kind_of(description.kind), description, axis.spacing, axis.size, normalisation)
        _last.clear()
        _last[asked] = table
    return table


def gaussian_like(filter: Filter, sd: float, axis: Axis) -> Filter:
    """The Gaussian of standard deviation ``sd`` (axis units) with the exposure and normalisation of another Gaussian."""
    shared = {name: value for name, value in filter.description.parameters.items() if name not in {"sd", "fwhm"}}
    return build(FilterDescription("gaussian", {"sd": sd, **shared}), axis, filter.normalisation)


def exposure_of(description: FilterDescription) -> float:
    """Share of the spacing over which a sample averages: as described, else the kind's default, else 0."""
    return kind_of(description.kind).checked(description).get("exposure", 0.0)
