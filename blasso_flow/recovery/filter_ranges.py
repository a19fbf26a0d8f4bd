"""A filter with one or two parameters given as ranges: what `filter_fit` fits, as a text and as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from blasso_flow import filters
from blasso_flow.data.signals import FilterDescription
from blasso_flow.errors import UsageError

MOST_RANGES = 2


@dataclass(frozen=True)
class FilterRanges:
    """A filter with one or two parameters given as ranges (low, high) in axis units; the rest are fixed."""

    kind: str
    fixed: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    stored: FilterDescription | None = None

    def at(self, values: Mapping[str, float]) -> FilterDescription:
        """The filter with values for its ranges."""
        return filters.completed(FilterDescription(self.kind, {**self.fixed, **values}), self.stored)

    def exposed(self, exposure: float | None) -> FilterRanges:
        """The ranges with the exposure fixed. Raises `UsageError` where the filter already says another."""
        if exposure is None:
            return self
        if "exposure" in self.ranges:
            raise UsageError("the exposure is given twice", received=f"{exposure:g}, and a range", mend="give one of them")
        filters.exposed(FilterDescription(self.kind, self.fixed), exposure)
        return replace(self, fixed={**self.fixed, "exposure": exposure})


def parse_ranges(text: str) -> FilterRanges:
    """Read ``NAME:key=low..high,key=value`` (axis units). Raises `UsageError` on anything that does not fit."""
    name, _, rest = text.strip().partition(":")
    plain, ranges = [], {}
    for item in rest.split(",") if rest else []:
        key, _, value = (part.strip() for part in item.partition("="))
        low, dots, high = value.partition("..")
        if not dots:
            plain.append(item)
            continue
        try:
            ends = float(low), float(high)
        except ValueError:
            ends = (0.0, 0.0)
        if not (0 < ends[0] < ends[1] < np.inf):
            raise UsageError(f"filter {name}: {key} is no range", received=value, allowed="low..high with 0 < low < high")
        if key in ranges:
            raise UsageError(f"filter {name}: a parameter is given twice", received=key, mend="give it once")
        ranges[key] = ends
    if not 1 <= len(ranges) <= MOST_RANGES:
        raise UsageError(
            "fitting a filter needs one or two parameters given as ranges",
            received=text,
            allowed="low..high, as in decay:rise=0.01..0.2,decay=0.3..3",
        )
    for end in (0, 1):
        typed = ",".join([*plain, *(f"{key}={ends[end]!r}" for key, ends in ranges.items())])
        low_end = filters.describe(f"{name}:{typed}")
    fixed = {key: value for key, value in low_end.parameters.items() if key not in ranges}
    return FilterRanges(name, fixed, ranges)
