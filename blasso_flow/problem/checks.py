"""What makes no problem: margins that cannot be used, and signals for which the Poisson loss has no meaning."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from blasso_flow.data.signals import Axis
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import Filter

if TYPE_CHECKING:
    from blasso_flow.problem.problem import Problem

NEGATIVE = 1e-9  # of the filter's peak: a table's rounding, no negative response


def check_counts(problem: Problem) -> None:
    """Raise where the Poisson loss has no meaning for this problem."""
    if not problem.positive:
        raise UsageError(
            "the Poisson loss needs spikes of one sign", received="`positive=False`", mend="leave out `positive=False`"
        )
    table = problem.filter
    values = table.response(np.arange(table.first, table.first + table.taps, 0.125))
    if values.min() < -NEGATIVE * np.abs(values).max():
        raise UsageError(
            f"the Poisson loss needs a filter that is nowhere negative: {table.description}",
            received=f"{values.min():.3g} at its lowest",
            mend="use `loss=squared`",
        )
    if problem.baseline.min(initial=0.0) < 0:
        raise UsageError(
            "the Poisson loss needs a baseline made of non-negative columns",
            received=f"a column as low as {problem.baseline.min():.3g}",
            mend="use const, bernstein, spline or exp:rate=R",
        )
    if problem.values.min() < 0:
        raise DataError(
            "the Poisson loss needs counts", received=f"{problem.values.min():.6g} as the lowest sample", allowed="0 and above"
        )


def whole_margin(margin: tuple[float, float], axis: Axis, filter: Filter) -> tuple[int, int]:
    """Margins in whole samples, rounded up. Raises `UsageError` for a negative one, or any on a periodic domain."""
    if not (all(map(math.isfinite, margin)) and min(margin) >= 0):
        raise UsageError("margin is out of range", received=margin, allowed="finite numbers from 0, in axis units")
    before, after = (math.ceil(part / axis.spacing - 1e-9) for part in margin)
    if filter.period and (before or after):
        raise UsageError("a periodic domain has no margin", received=margin, allowed="0")
    return before, after
