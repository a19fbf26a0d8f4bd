"""The noise of counts of a result that is audited, computed again from its definition; imports no code of the solver's."""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray

ENOUGH = 50.0


def variance_of_counts(values: FloatArray) -> FloatArray:
    """For every sample (N,) the mean of those around it, its window growing until it has enough counts, or all of them."""
    variance = np.ones(values.size)
    for n in np.flatnonzero(~np.isnan(values)):
        reach = 1
        while True:
            window = np.append(values[max(n - reach, 0) : n], values[n + 1 : n + reach + 1])
            window = window[~np.isnan(window)]
            total = float(window.sum())
            if reach >= values.size or (window.size and total > ENOUGH - 1e-6):
                break
            reach *= 2
        if window.size:
            variance[n] = max(total, 1.0) / window.size
    return variance
