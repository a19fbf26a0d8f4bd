"""Filters and samples after the whitening of coloured noise: what is left of each sample once the ones before predict it.

An autoregressive noise e_n = sum_k a_k e_(n-k) + innovation becomes white by z_n = y_n - sum_k a_k y_(n-k). The same sum taken
of a filter is the filter that the whitened samples see: shifted copies of its table, on the same cells, to rounding.
The whitener (p,) holds a_1 ... a_p; without coefficients everything stays as it is. Plain numpy, in samples.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.filters import fitting
from blasso_flow.filters.table import Filter, resolution_length


def whitened_samples(values: FloatArray, whitener: FloatArray, periodic: bool = False) -> FloatArray:
    """Innovations of samples (N,), or of columns (N, B): NaN where a sample, or one of the p before it, is missing.

    Before the first sample there is none, unless the record is ``periodic``.
    """
    result = np.array(values, dtype=np.float64)
    size = len(result)
    for lag, coefficient in enumerate(whitener.tolist(), 1):
        if periodic:
            result -= coefficient * np.roll(values, lag, axis=0)
        elif lag >= size:
            result[:] = np.nan
        else:
            result[:lag] = np.nan
            result[lag:] -= coefficient * values[:-lag]
    return result


def prewhitened(filter: Filter, whitener: FloatArray) -> Filter:
    """The filter that whitened samples see; normalised as the one it was made of, its `Filter.plain`."""
    if not whitener.size:
        return filter
    table = np.stack([_predicted(part, whitener, filter.period) for part in filter.coefficients])
    norms = [fitting.l2_norm(order, filter.edges) for order in table]
    tail, tail_tap = filter.tail, filter.tail_tap + (0 if filter.period else whitener.size)
    if tail.size:
        rates, amplitudes = tail
        gain = 1 - (whitener * np.exp(rates[:, None] * np.arange(1, whitener.size + 1))).sum(axis=1)
        tail = np.array([rates, amplitudes * gain])
    return replace(
        filter,
        coefficients=table,
        width=resolution_length(norms),
        norm=norms[0],
        norm1=norms[1],
        norm2=norms[2],
        norm4=norms[4],
        fourth_bound=fitting.bound(table[4]),
        value_jump=fitting.jumps(table[0], filter.period > 0),
        slope_jump=fitting.jumps(table[1], filter.period > 0),
        tail=tail,
        tail_tap=tail_tap,
        whitener=whitener,
        before_whitening=filter,
    )


def _predicted(table: FloatArray, whitener: FloatArray, periodic: bool | int) -> FloatArray:
    """One order of a table (p, DEGREE + 1, W): the same sum over taps, W + p of them unless they go round."""
    if periodic:
        result = table.copy()
        for lag, coefficient in enumerate(whitener.tolist(), 1):
            result -= coefficient * np.roll(table, lag, axis=-1)
        return result
    taps = table.shape[-1]
    result = np.zeros((*table.shape[:-1], taps + whitener.size))
    result[..., :taps] = table
    for lag, coefficient in enumerate(whitener.tolist(), 1):
        result[..., lag : lag + taps] -= coefficient * table
    return result
