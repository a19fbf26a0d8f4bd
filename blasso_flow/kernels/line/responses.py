"""Kernels on responses from the table: the responses of particles, their sum, their residual, their products with a curve.

Arrays: ``table`` (3+, p, degree + 1, W) polynomials of response, slope and curvature; ``edges`` (p + 1,) cell edges;
``offset`` padded index of tap 0 for a particle in [0, 1); ``root`` (M,) square roots of the sample weights on the padded
record; ``residual`` (M,) = root * (model - values). On a periodic record M = ``period`` and every window is the whole record.
Other records have the period None: what these alone need is then not compiled.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined
from blasso_flow.kernels.shared.vectors import add, dot

DEGREE = 9  # of the table's polynomials


@inlined
def cell_of(fraction, edges):
    """Cell of a fraction of a sample: its number, the local coordinate v in it, and dv / dposition."""
    cells = edges.size - 1
    cell = min(int(fraction * cells), cells - 1)
    while cell > 0 and fraction < edges[cell]:
        cell -= 1
    while cell < cells - 1 and fraction >= edges[cell + 1]:
        cell += 1
    length = edges[cell + 1] - edges[cell]
    return cell, (2 * fraction - edges[cell] - edges[cell + 1]) / length, 2 / length


@inlined
def _turned(row, turn, out):
    """out[k + turn] = row[k] on a record as long as the row, which closes on itself."""
    rest = row.size - turn
    for k in range(rest):
        out[k + turn] = row[k]
    for k in range(turn):
        out[k] = row[k + rest]


@inlined
def fill(x, table, edges, offset, period, out):
    """Response of one particle into out (W,); returns the padded index of out[0]."""
    base = int(np.floor(x))
    cell, v, _ = cell_of(x - base, edges)
    c = table[0, cell]
    for k in range(out.size):
        value = c[DEGREE, k]
        for degree in range(DEGREE - 1, -1, -1):
            value = value * v + c[degree, k]
        out[k] = value
    start = base + offset
    if period is not None:  # the window is the record itself: turn the taps to where they fall
        _turned(out.copy(), start % period, out)
        start = 0
    return start


@inlined
def _responses(c, v, weights, out):
    """Polynomials with coefficients c (10, W) at v, times weights (W,), into out (1, W)."""
    for k in range(weights.size):
        value = c[DEGREE, k]
        for degree in range(DEGREE - 1, -1, -1):
            value = value * v + c[degree, k]
        out[0, k] = value * weights[k]


@inlined
def _slopes(c, v, scale, weights, out):
    """Polynomials and their derivatives by position, times weights (W,), into out (2, W); ``scale`` = dv / dposition."""
    for k in range(weights.size):
        value = c[DEGREE, k]
        slope = 0.0
        for degree in range(DEGREE - 1, -1, -1):
            slope = slope * v + value
            value = value * v + c[degree, k]
        out[0, k] = value * weights[k]
        out[1, k] = slope * (scale * weights[k])


@inlined
def _curvatures(c, v, scale, weights, out):
    """Polynomials and two derivatives by position, times weights (W,), into out (3, W): the coefficients are read once."""
    twice = 2 * scale**2
    for k in range(weights.size):
        value = c[DEGREE, k]
        slope = 0.0
        curvature = 0.0
        for degree in range(DEGREE - 1, -1, -1):
            curvature = curvature * v + slope
            slope = slope * v + value
            value = value * v + c[degree, k]
        out[0, k] = value * weights[k]
        out[1, k] = slope * (scale * weights[k])
        out[2, k] = curvature * (twice * weights[k])


@inlined
def whitened_rows(x, table, edges, offset, period, root, out, begin):
    """Weighted responses root * d^o phi of all particles into out (count, orders, W); begin[i] is where they start."""
    taps = table.shape[3]
    orders = out.shape[1]
    for i in range(x.size):
        base = int(np.floor(x[i]))
        cell, v, scale = cell_of(x[i] - base, edges)
        start = base + offset
        if period is not None:
            turn = start % period
            weights = np.empty(taps)
            _turned(root, taps - turn, weights)
            start = 0
        else:
            turn = 0
            weights = root[start : start + taps]
        if orders == 1:
            _responses(table[0, cell], v, weights, out[i])
        elif orders == 2:
            _slopes(table[0, cell], v, scale, weights, out[i])
        else:
            _curvatures(table[0, cell], v, scale, weights, out[i])
        if period is not None:
            for order in range(orders):
                _turned(out[i, order].copy(), turn, out[i, order])
        begin[i] = start


@compiled
def add_responses(position, weight, table, edges, offset, period, model):
    """Add sum_i weight_i phi(. - position_i) to ``model`` (M,), unweighted."""
    taps = table.shape[3]
    row = np.empty(taps)
    for i in range(position.size):
        start = fill(position[i], table, edges, offset, period, row)
        add(weight[i], row, model[start : start + taps])


@compiled
def fill_residual(
    position, weight, root, values, table, edges, offset, grain, first, last, before_position, before_weight, before, residual
):  # fmt: skip
    """residual = root * sum_i weight_i phi(. - position_i) - values on the grains first to last - 1 of ``grain`` samples each.

    Taken over from ``before`` (M,), the residual of another measure, where the same spikes reach the grain. Positions sorted.
    """
    taps = table.shape[3]
    row = np.empty(taps)
    model = np.empty(grain)
    for g in range(first, last):
        low = g * grain
        high = min(low + grain, residual.size)
        a = np.searchsorted(position, float(low - offset - taps + 1))
        b = np.searchsorted(position, float(high - offset))
        c = np.searchsorted(before_position, float(low - offset - taps + 1))
        same = before.size > 0 and np.searchsorted(before_position, float(high - offset)) - c == b - a
        for i in range(b - a):
            if not same:
                break
            same = position[a + i] == before_position[c + i] and weight[a + i] == before_weight[c + i]
        if same:
            for n in range(low, high):
                residual[n] = before[n]
            continue
        model[:] = 0.0
        for i in range(a, b):
            start = fill(position[i], table, edges, offset, None, row)
            begin = max(start, low)
            end = min(start + taps, high)
            add(weight[i], row[begin - start : end - start], model[begin - low : end - low])
        for n in range(low, high):
            residual[n] = root[n] * model[n - low] - values[n]


@compiled
def correlate(position, residual, root, table, edges, offset, period, orders, out):
    """out[o, i] = <residual, root * d^o phi(. - position_i)>, shape (orders, K), at most three orders."""
    taps = table.shape[3]
    rows = np.empty((1, orders, taps))
    begin = np.empty(1, np.int64)
    for i in range(position.size):
        whitened_rows(position[i : i + 1], table, edges, offset, period, root, rows, begin)
        for order in range(orders):
            out[order, i] = dot(rows[0, order], residual[begin[0] : begin[0] + taps])


@compiled
def squared_norms(position, root, table, edges, offset, period, out):
    """out[i] = ||root * phi(. - position_i)||^2, shape (K,)."""
    row = np.empty((1, 1, table.shape[3]))
    begin = np.empty(1, np.int64)
    for i in range(position.size):
        whitened_rows(position[i : i + 1], table, edges, offset, period, root, row, begin)
        out[i] = dot(row[0, 0], row[0, 0])
