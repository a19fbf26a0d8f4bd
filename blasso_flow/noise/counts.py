"""The noise of counts for least squares: every sample's variance is the expected count, taken from the samples around it.

A variance taken from the sample itself would pull every fit down, by a count where it is the sample's own: where the sample
is low by chance it would also weigh more. So the sample itself is left out. Its weight is then independent of it, and
E sum_n w_n f_n (y_n - rate_n) = 0 for every f: the equations of least squares stay unbiased however few the counts are, and
only the errors feel that the variance is estimated. Plain arrays in, nothing here knows a problem.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.errors import DataError

ENOUGH = 50.0  # counts around a sample: its variance is then known to 1 / sqrt(50) = 14 %, its sd to half of that


def sd_of_counts(values: FloatArray) -> FloatArray:
    """Standard deviation of every sample of counts (N,), NaN where missing; 1 where nothing is around a sample.

    The square root of the mean of the samples at most m away, without the sample itself: m is the first of 1, 2, 4, 8, ... that
    has 50 counts, or reaches over the whole record, where at least one count is taken.
    """
    present = ~np.isnan(values)
    counts = np.where(present, values, 0.0)
    sums, numbers = (np.concatenate([[0.0], np.cumsum(row)]) for row in (counts, present.astype(np.float64)))
    size, place = values.size, np.arange(values.size)
    variance, open_, reach = np.ones(size), np.ones(size, dtype=np.bool_), 1
    while open_.any():
        low, high = np.maximum(place - reach, 0), np.minimum(place + reach + 1, size)
        around, number = sums[high] - sums[low] - counts, numbers[high] - numbers[low] - present
        last = reach >= size
        enough = open_ & (number > 0) & ((around > ENOUGH - 1e-6) | last)
        variance[enough] = np.maximum(around[enough], 1.0) / number[enough]
        open_ &= ~enough & (not last)
        reach *= 2
    return np.where(present, np.sqrt(variance), 1.0)


def with_noise_of_counts(channel: Signal) -> Signal:
    """The channel (values of shape (N,)) with that noise. Raises `DataError` where its samples are no counts."""
    lowest = float(np.nanmin(channel.values))
    if lowest < 0:
        raise DataError(
            "the noise of counts needs counts",
            received=f"{lowest:.6g} as the lowest sample",
            allowed="0 and above",
            mend="give the counts as they were recorded, or a `noise_sd=`",
        )
    return replace(channel, noise_sd=sd_of_counts(channel.values))
