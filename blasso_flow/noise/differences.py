"""Differences of neighbouring samples: what they hold of white noise. The estimate of its level and the judgement of its
whiteness both start from them. Plain arrays in and out.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray

NORMAL_QUARTILE = 0.6744897501960817  # median of |z| for a standard normal z
DIFFERENCE_GAIN = {1: 2.0, 2: 6.0, 4: 70.0, 8: 12870.0}  # variance of the k-th difference of unit white noise: binomial(2k, k)
ENOUGH = 16  # differences needed for a median that means something
NARROW = 3.0  # samples: a narrower filter's signal reaches into the fourth differences


def present_values(values: FloatArray) -> FloatArray:
    """Values without NaN, the array itself where it has none."""
    missing = np.isnan(values)
    return values[~missing] if missing.any() else values


def median_sd(values: FloatArray) -> float:
    """sd of normal values from their median absolute deviation."""
    return median(np.abs(values - median(values))) / NORMAL_QUARTILE


def median(values: FloatArray) -> float:
    """Median of at least one value without NaN: numpy's, without what it checks."""
    half = values.size // 2
    parts = np.partition(values, half)
    return float(parts[half] if values.size % 2 else (parts[:half].max() + parts[half]) / 2)


def differences_of(values: FloatArray) -> list[FloatArray]:
    """Differences of order 0 to 8 of neighbouring values (N,), each one shorter than the one before."""
    differences = [values]
    for _ in range(8):
        differences.append(differences[-1][1:] - differences[-1][:-1])
    return differences


def difference_sd(differences: FloatArray, order: int, quantum: float = 0.0) -> float:
    """sd of white noise from the median absolute one of differences of one order; 0.0 with too few complete windows."""
    size = present_values(np.abs(differences))
    if size.size < (ENOUGH if order > 1 else 1):
        return 0.0
    middle = median(size)
    if quantum:  # median of grouped data: a level stands for all values that round to it
        level = quantum * round(middle / quantum)
        below = int(np.count_nonzero(size < level - quantum / 2))
        at = int(np.count_nonzero(size < level + quantum / 2)) - below
        low = max(level - quantum / 2, 0.0)
        if at:
            middle = low + (level + quantum / 2 - low) * (size.size / 2 - below) / at
    return middle / NORMAL_QUARTILE / float(np.sqrt(DIFFERENCE_GAIN[order]))
