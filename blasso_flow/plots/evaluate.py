"""Evaluates the filter's table for figures: correlations, and envelopes of long curves. Positions in samples.

Plain numpy, so that redrawing a stored result loads no compiled code. Nothing here imports matplotlib or draws.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter

COLUMNS = 1200  # bins of an envelope: about one a pixel of the widest panel
BATCH = 500_000  # table entries evaluated at once
DIRECT = 50_000_000  # multiplications above which a correlation goes by FFT


def products(filter: Filter, position: FloatArray, gradient: FloatArray) -> FloatArray:
    """<gradient, response at each position>, shape (K,)."""
    result = np.empty(position.size)
    rows = max(1, BATCH // filter.taps)
    for start in range(0, position.size, rows):
        batch = slice(start, start + rows)
        at = position[batch, None]
        index = np.floor(at).astype(np.int64) + filter.first + np.arange(filter.taps)
        response = filter.response(index - at)
        if filter.period:
            index = index % filter.period
        inside = (index >= 0) & (index < gradient.size)
        result[batch] = (gradient[np.where(inside, index, 0)] * np.where(inside, response, 0.0)).sum(axis=1)
    return result


def correlated(filter: Filter, nodes: IntArray, fraction: float, gradient: FloatArray) -> FloatArray:
    """<gradient, response at node + fraction> for consecutive whole nodes (M,): one correlation."""
    row = filter.response(np.arange(filter.taps, dtype=np.float64) + filter.first - fraction)
    low, high = int(nodes[0]) + filter.first, int(nodes[-1]) + filter.first + filter.taps
    if filter.period:
        reached = gradient[np.arange(low, high) % filter.period]
    else:
        reached = np.zeros(high - low)
        a, b = max(low, 0), min(high, gradient.size)
        if a < b:
            reached[a - low : b - low] = gradient[a:b]
    if reached.size * row.size <= DIRECT:
        return np.correlate(reached, row, "valid")
    size = 1 << (reached.size - 1).bit_length()
    product = np.fft.rfft(reached, size) * np.conj(np.fft.rfft(row, size))
    return np.fft.irfft(product, size)[: nodes.size]


def correlation_curve(
    filter: Filter, domain: tuple[float, float], gradient: FloatArray, density: int
) -> tuple[FloatArray, FloatArray]:
    """Positions over the domain, ``density`` a width or one a sample, whichever is finer, and <gradient, response> there."""
    phases = max(1, int(np.ceil(density / filter.width)))
    nodes = np.arange(int(np.floor(domain[0])), int(np.floor(domain[1])) + 1)
    values = np.stack([correlated(filter, nodes, phase / phases, gradient) for phase in range(phases)], axis=1)
    at = nodes[:, None] + np.arange(phases) / phases
    inside = (at >= domain[0]) & (at <= domain[1])
    return at[inside], values[inside]


def signed_peak(filter: Filter) -> float:
    """The largest response with its sign: what a weight of one adds to the signal."""
    low, high = filter.support
    lag = np.arange(np.floor(low), np.ceil(high) + 1, min(1.0, filter.width / 8), dtype=np.float64)
    values = filter.response(lag)
    return float(values[np.argmax(np.abs(values))])


def envelope(x: FloatArray, y: FloatArray, columns: int = COLUMNS) -> tuple[FloatArray, FloatArray]:
    """Thin a curve (N,) for drawing so that no peak is lost: the lowest and the highest point of each column, in order.

    Short curves come back whole. A column without any finite value becomes NaN, which breaks the line.
    """
    if x.size <= 4 * columns:
        return x, y
    starts = np.linspace(0, x.size, columns + 1).astype(np.int64)[:-1]
    column = np.repeat(np.arange(columns), np.diff(np.append(starts, x.size)))
    points = np.arange(x.size)

    def first_at(level: FloatArray) -> IntArray:
        found = np.minimum.reduceat(np.where(y == level[column], points, x.size), starts)
        return np.where(found == x.size, starts, found)

    lowest = first_at(np.fmin.reduceat(y, starts))
    highest = first_at(np.fmax.reduceat(y, starts))
    index = np.sort(np.stack([lowest, highest], axis=1), axis=1).ravel()
    return x[index], y[index]


def present_range(values: FloatArray) -> slice:
    """From the first to the last sample of values (N,) that is there; empty where none is."""
    present = np.flatnonzero(~np.isnan(values))
    return slice(int(present[0]), int(present[-1]) + 1) if present.size else slice(0, 0)


def missing_runs(values: FloatArray) -> IntArray:
    """Runs of missing samples, shape (R, 2): first sample and the one after the last."""
    missing = np.concatenate([[False], np.isnan(values), [False]])
    return np.flatnonzero(missing[1:] != missing[:-1]).reshape(-1, 2).astype(np.int64)
