"""Sums of filtered spikes from a filter's table, in plain numpy: for simulation, figures and the audit, never for the solver.

The solver has compiled kernels of its own, so that a signal, its figure and its audit are independent of them.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.filters.table import Filter

BLOCK = 500_000  # responses evaluated at once


def filtered(
    filter: Filter, position: FloatArray, weight: FloatArray, samples: int, magnitude: FloatArray | None = None
) -> FloatArray:
    """Sum of filtered spikes at samples 0 to N - 1, shape (N,); positions (K,) in samples. Only samples in reach are touched.

    The spikes' absolute values are added to ``magnitude`` (N,) where it is given: the sum's rounding is a share of them.
    """
    total = np.zeros(samples)
    start = np.floor(position).astype(np.int64)
    taps = filter.first + np.arange(filter.taps)
    rows = max(1, BLOCK // filter.taps)
    for block in range(0, position.size, rows):
        part = slice(block, block + rows)
        target = start[part, None] + taps
        values = weight[part, None] * filter.response(target - position[part, None])
        if filter.period:
            target %= filter.period
        inside = (target >= 0) & (target < samples)
        target, values = target[inside], values[inside]
        if target.size:
            low, high = int(target.min()), int(target.max()) + 1
            total[low:high] += np.bincount(target - low, values)
            if magnitude is not None:
                magnitude[low:high] += np.bincount(target - low, np.abs(values))
    return total
