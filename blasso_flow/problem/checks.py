"""What makes no problem: margins that cannot be used, and signals for which the Poisson loss has no meaning."""

from __future__ import annotations

import math

import numpy as np

from blasso_flow.data.signals import Axis, FloatArray
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import Filter

NEGATIVE = 1e-9  # of the filter's peak: a table's rounding, no negative response


def check_counts(table: Filter, values: FloatArray, baseline: FloatArray, positive: bool) -> None:
    """Raise where the Poisson loss has no meaning for samples ``values`` (N,) and baseline columns (N, B)."""
    if not positive:
        raise UsageError(
            "the Poisson loss needs spikes of one sign", received="`positive=False`", mend="leave out `positive=False`"
        )
    response = table.response(np.arange(table.first, table.first + table.taps, 0.125))
    if response.min() < -NEGATIVE * np.abs(response).max():
        raise UsageError(
            f"the Poisson loss needs a filter that is nowhere negative: {table.description}",
            received=f"{response.min():.3g} at its lowest",
            mend="use `loss=squared`",
        )
    if baseline.min(initial=0.0) < 0:
        raise UsageError(
            "the Poisson loss needs a baseline made of non-negative columns",
            received=f"a column as low as {baseline.min():.3g}",
            mend="use const, bernstein, spline or exp:rate=R",
        )
    if values.min() < 0:
        raise DataError(
            "the Poisson loss needs counts", received=f"{values.min():.6g} as the lowest sample", allowed="0 and above"
        )


def whole_margin(margin: tuple[float, float], axis: Axis, filter: Filter) -> tuple[int, int]:
    """Margins in whole samples, rounded up. Raises `UsageError` for a negative one, or any on a periodic domain."""
    if not (all(map(math.isfinite, margin)) and min(margin) >= 0):
        raise UsageError("margin is out of range", received=margin, allowed="finite numbers from 0, in axis units")
    ends = axis.spacing_at([0.0, axis.size - 1.0])
    before, after = (math.ceil(part / float(spacing) - 1e-9) for part, spacing in zip(margin, ends, strict=True))
    if filter.period and (before or after):
        raise UsageError("a periodic domain has no margin", received=margin, allowed="0")
    return before, after
