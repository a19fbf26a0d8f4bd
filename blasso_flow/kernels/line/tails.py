"""Kernels for filters that end in exponentials: sums and products at a cost that the tails do not enter.

From tap ``tail_tap`` on, a response is a sum of E exponentials (`Filter.tail`), the same ones for every position, for the
slope and for the curvature. So a spike is a short head and E amplitudes: sums of tails are recursions along the samples.
The exponentials go on where the table ends, at 1e-13 of the peak.

Arrays as in `kernels.line.responses`; ``rows`` (K, 3, T) hold the heads of response, slope and curvature, whitened, ``ends``
(K, 3, E) the tails' amplitudes at the first sample after the head, ``power`` (E, L + 1) powers of the decay a sample.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined
from blasso_flow.kernels.line.responses import DEGREE, cell_of
from blasso_flow.kernels.line.tail_systems import assemble, factor, first_overlaps, selected_inverse, solve
from blasso_flow.kernels.shared.systems import HELD


@inlined
def powers(tail, length):
    """exp(-rate n) for n = 0 ... length, shape (E, length + 1)."""
    power = np.empty((tail.shape[1], length + 1))
    for e in range(tail.shape[1]):
        for n in range(length + 1):
            power[e, n] = np.exp(-tail[0, e] * n)
    return power


@inlined
def heads(x, table, edges, tail, offset, root, rows, ends, begin):
    """Heads and tails' amplitudes of the particles; begin[i] is the sample of the first tap."""
    head = rows.shape[2]
    for i in range(x.size):
        base = int(np.floor(x[i]))
        fraction = x[i] - base
        cell, v, _ = cell_of(fraction, edges)
        start = base + offset
        for order in range(rows.shape[1]):
            c = table[order, cell]
            for k in range(head):
                value = c[DEGREE, k]
                for degree in range(DEGREE - 1, -1, -1):
                    value = value * v + c[degree, k]
                rows[i, order, k] = value * root[start + k]
        for e in range(tail.shape[1]):
            value = tail[1, e] * np.exp(tail[0, e] * (fraction - head))
            for order in range(rows.shape[1]):
                ends[i, order, e] = value
                value *= tail[0, e]
        begin[i] = start


@inlined
def backward(values, root, power, out):
    """out[e, n] = sum over m >= n of root_m values_m exp(-rate_e (m - n)); shape (E, L + 1)."""
    length = values.size
    for e in range(out.shape[0]):
        decay = power[e, 1]
        total = 0.0
        out[e, length] = 0.0
        for n in range(length - 1, -1, -1):
            total = total * decay + root[n] * values[n]
            out[e, n] = total


@inlined
def add_response(weight, x, tail, offset, root, power, row, end, begin, first, target):
    """Add ``weight`` times the whitened response of a particle at ``x`` (1,) to ``target``, which starts at sample ``first``.

    ``row`` (1, 2, T), ``end`` (1, 2, E) and ``begin`` (1,) are work space.
    """
    table, edges, rates, head = tail
    heads(x, table, edges, rates, offset, root, row, end, begin)
    for k in range(head):
        target[begin[0] - first + k] += weight * row[0, 0, k]
    for e in range(power.shape[0]):
        amplitude = weight * end[0, 0, e]
        for n in range(begin[0] + head, root.size):
            target[n - first] += amplitude * root[n]
            amplitude *= power[e, 1]


@inlined
def add_tails(inject, root, power, target):
    """Add root times the tails that start with amplitudes ``inject`` (E, L + 1) to ``target`` (L,)."""
    for e in range(inject.shape[0]):
        decay = power[e, 1]
        total = 0.0
        for n in range(target.size):
            total = total * decay + inject[e, n]
            target[n] += root[n] * total


@inlined
def tail_products(root, length, power):
    """products[e, f, n] = sum over m >= n of root_m^2 exp(-(rate_e + rate_f) (m - n)), shape (E, E, length + 1)."""
    terms = power.shape[0]
    products = np.empty((terms, terms, length + 1))
    for e in range(terms):
        for f in range(terms):
            decay = power[e, 1] * power[f, 1]
            total = 0.0
            products[e, f, length] = 0.0
            for n in range(length - 1, -1, -1):
                total = total * decay + root[n] ** 2
                products[e, f, n] = total
    return products


@inlined
def inner(row, end, start, back, series):
    """<row and tail, series>, with ``back`` the backward sums of root * series."""
    total = 0.0
    for k in range(row.size):
        total += row[k] * series[start + k]
    for e in range(end.size):
        total += end[e] * back[e, start + row.size]
    return total


@compiled
def correlate(position, residual, root, table, edges, tail, tail_tap, offset, orders, out):
    """out[o, i] = <residual, root * d^o phi(. - position_i)>, shape (orders, K)."""
    count = position.size
    power = powers(tail, residual.size)
    back = np.empty((tail.shape[1], residual.size + 1))
    backward(residual, root, power, back)
    rows = np.empty((count, orders, tail_tap))
    ends = np.empty((count, orders, tail.shape[1]))
    begin = np.empty(count, np.int64)
    heads(position, table, edges, tail, offset, root, rows, ends, begin)
    for i in range(count):
        for order in range(orders):
            out[order, i] = inner(rows[i, order], ends[i, order], begin[i], back, residual)


@compiled
def inverse_blocks(
    position, fixed, root, columns, table, edges, tail, tail_tap, offset, lost, norms, blocks, beside, coupling, solved
):  # fmt: skip
    """Inverse of the Gauss-Newton matrix in units of each column's norm; the contract of `kernels.line.covariance`.

    ``fixed`` (2 K,) parameters do not move; ``lost`` (2 K,) is set where a parameter is not identifiable. Out: ``norms``
    (K, 2) of response and slope, ``blocks`` (K, 3) entries (w w), (w x), (x x) of a spike, ``beside`` (K,) entry
    (x_i, x_i+1), ``coupling`` (B, 2 K) products with the baseline ``columns`` (B, M), ``solved`` the inverse times them.
    """
    count = position.size
    size = 2 * count
    length = root.size
    terms = tail.shape[1]
    power = powers(tail, length)
    products = tail_products(root, length, power)
    rows = np.empty((count, 2, tail_tap))
    ends = np.empty((count, 2, terms))
    begin = np.empty(count, np.int64)
    near = np.empty(count, np.int64)
    left = np.empty((size, terms))
    right = np.empty((size, terms))
    lower = np.empty((size, terms))
    back = np.empty((terms, length + 1))
    scale = np.ones(size)
    heads(position, table, edges, tail, offset, root, rows, ends, begin)
    band = np.zeros((size, first_overlaps(begin, count, tail_tap, near)))
    assemble(rows, ends, begin, near, scale, root, power, products, band, left, right)
    for j in range(size):
        norm = np.sqrt(band[j, j - 2 * near[j // 2]])
        norms[j // 2, j % 2] = norm
        if norm > 0.0:
            scale[j] = 0.0 if fixed[j] else 1.0 / norm
    for j in range(size):
        start = 2 * near[j // 2]
        for k in range(start, j + 1):
            band[j, k - start] *= scale[j] * scale[k]
        if fixed[j]:
            band[j, j - start] = HELD
        for e in range(terms):
            left[j, e] *= scale[j]
            right[j, e] *= scale[j]
    for a in range(columns.shape[0]):
        backward(columns[a], root, power, back)
        for j in range(size):
            i = j // 2
            coupling[a, j] = inner(rows[i, j % 2], ends[i, j % 2], begin[i], back, columns[a]) * scale[j]
    factor(band, begin, near, count, tail_tap, power, left, right, lower, lost)
    for a in range(columns.shape[0]):
        for j in range(size):
            if lost[j]:
                coupling[a, j] = 0.0
            solved[a, j] = coupling[a, j]
        solve(band, begin, near, count, tail_tap, power, right, lower, solved[a])
    inverse = np.zeros(band.shape)
    selected_inverse(band, begin, near, count, tail_tap, power, right, lower, inverse, beside)
    for i in range(count):
        start = 2 * near[i]
        blocks[i, 0] = inverse[2 * i, 2 * i - start]
        blocks[i, 1] = inverse[2 * i + 1, 2 * i - start]
        blocks[i, 2] = inverse[2 * i + 1, 2 * i + 1 - start]
