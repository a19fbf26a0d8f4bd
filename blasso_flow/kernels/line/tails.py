"""Kernels for filters that end in exponentials: sums, products and systems at a cost that the tails do not enter.

From tap ``tail_tap`` on, a response is a sum of E exponentials (`Filter.tail`), the same ones for every position, for the
slope and for the curvature. So a spike is a short head and E amplitudes: sums of tails are recursions along the samples,
and the inner products of spikes whose heads do not overlap have rank E. The Cholesky factor of a banded matrix plus such a
part is again one: it is computed in time linear in the number of spikes (for the part of rank E alone see Foreman-Mackey et
al. 2017). The exponentials go on where the table ends, at 1e-13 of the peak.

Arrays as in `kernels.responses`; ``rows`` (K, 3, T) hold the heads of response, slope and curvature, whitened, ``ends``
(K, 3, E) the tails' amplitudes at the first sample after the head, ``power`` (E, L + 1) powers of the decay a sample.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined
from blasso_flow.kernels.line.responses import DEGREE, cell_of
from blasso_flow.kernels.shared.systems import HELD, SINGULAR
from blasso_flow.kernels.shared.vectors import dot


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


@inlined
def first_overlaps(begin, count, head, near):
    """near[i]: the first spike whose head spike i overlaps, shape (K,); returns the most unknowns such a run holds."""
    widest = 2
    i = 0
    for j in range(count):
        while begin[j] - begin[i] >= head:
            i += 1
        near[j] = i
        widest = max(widest, 2 * (j - i) + 2)
    return widest


@inlined
def assemble(rows, ends, begin, near, scale, root, power, products, band, left, right):
    """Inner products of responses and slopes by turns, times ``scale`` (2 K,), which is 0 for what does not move.

    ``band[j, k]`` = H[j, 2 near + k] where heads overlap. Elsewhere, for spike i well before spike j, entries are
    sum_e right[j, e] power[e, begin_j - begin_i - T] left[i, e].
    """
    head = rows.shape[2]
    terms = power.shape[0]
    beyond = np.empty((2, terms))  # products of the tails of spike j with the exponentials
    for j in range(scale.size // 2):
        after = begin[j] + head
        for p in range(2):
            for e in range(terms):
                beyond[p, e] = dot(ends[j, p], products[e, :, after])
                total = power[e, head] * beyond[p, e]
                for k in range(head):
                    total += rows[j, p, k] * root[begin[j] + k] * power[e, k]
                right[2 * j + p, e] = total * scale[2 * j + p]
                left[2 * j + p, e] = ends[j, p, e] * scale[2 * j + p]
        for i in range(near[j], j + 1):
            lag = begin[j] - begin[i]
            for p in range(2):
                for o in range(2):
                    if i == j and o > p:
                        continue
                    total = 0.0
                    for k in range(lag, head):
                        total += rows[i, o, k] * rows[j, p, k - lag]
                    for e in range(terms):
                        part = power[e, lag] * beyond[p, e]
                        for k in range(head - lag, head):
                            part += power[e, k + lag - head] * root[begin[j] + k] * rows[j, p, k]
                        total += ends[i, o, e] * part
                    band[2 * j + p, 2 * (i - near[j]) + o] = total * scale[2 * j + p] * scale[2 * i + o]


@inlined
def factor(band, begin, near, count, head, power, left, right, lower, lost):
    """Cholesky factor of band plus part of rank E, in place of ``band``; its far part keeps ``right``, with ``lower``.

    L[j, i] = sum_e right[j, e] power[e, begin_j - begin_i - T] lower[i, e] for spikes far apart. Returns how little of a
    diagonal entry is left as its pivot, at the worst column, or 0, leaving garbage, if the matrix is not positive definite;
    with ``lost`` (2 K,) instead of an empty array, the matrix has a unit diagonal, and unknowns of which too little is left
    are marked there and held.
    """
    terms = power.shape[0]
    far = np.zeros((terms, terms))  # sum over far unknowns of lower lower^T, carried to the spike at work
    carried = np.empty((2 * count, terms))  # far @ right of each unknown
    row = np.empty(terms)
    least = 1.0
    done = 0
    for spike in range(count):
        own = begin[spike]
        gap = own - begin[spike - 1] if spike > 0 else 0
        for e in range(terms):
            for f in range(terms):
                far[e, f] *= power[e, gap] * power[f, gap]
        start = 2 * near[spike]
        for k in range(done, start):
            away = own - begin[k // 2] - head
            for e in range(terms):
                for f in range(terms):
                    far[e, f] += power[e, away] * lower[k, e] * power[f, away] * lower[k, f]
        done = start
        for j in range(2 * spike, 2 * spike + 2):
            for e in range(terms):
                carried[j, e] = 0.0
                for f in range(terms):
                    carried[j, e] += far[e, f] * right[j, f]
            for k in range(start, j):
                other = k // 2
                begin_k = 2 * near[other]
                value = band[j, k - start]
                for e in range(terms):
                    row[e] = power[e, own - begin[other]] * carried[k, e]
                for m in range(begin_k, start):
                    away = own - begin[m // 2] - head
                    for e in range(terms):
                        row[e] += power[e, away] * lower[m, e] * band[k, m - begin_k]
                for e in range(terms):
                    value -= right[j, e] * row[e]
                for m in range(start, k):
                    value -= band[j, m - start] * band[k, m - begin_k]
                band[j, k - start] = value / band[k, k - begin_k]
            whole = band[j, j - start]
            pivot = whole
            for e in range(terms):
                pivot -= right[j, e] * carried[j, e]
            for m in range(start, j):
                pivot -= band[j, m - start] ** 2
            if lost.size > 0 and not pivot > SINGULAR:
                lost[j] = True
                pivot = HELD
            if not pivot > 0.0:
                return 0.0
            least = min(least, pivot / whole)
            pivot = np.sqrt(pivot)
            band[j, j - start] = pivot
            for e in range(terms):
                value = left[j, e] - power[e, head] * carried[j, e]
                for k in range(start, j):
                    value -= power[e, own - begin[k // 2]] * lower[k, e] * band[j, k - start]
                lower[j, e] = value / pivot
    return least


@inlined
def solve(band, begin, near, count, head, power, right, lower, side):
    """Solve with the factor of `factor` for one right-hand side (2 K,), in place."""
    terms = power.shape[0]
    total = np.zeros(terms)
    done = 0
    for spike in range(count):
        gap = begin[spike] - begin[spike - 1] if spike > 0 else 0
        for e in range(terms):
            total[e] *= power[e, gap]
        start = 2 * near[spike]
        for k in range(done, start):
            away = begin[spike] - begin[k // 2] - head
            for e in range(terms):
                total[e] += power[e, away] * lower[k, e] * side[k]
        done = start
        for j in range(2 * spike, 2 * spike + 2):
            value = side[j]
            for e in range(terms):
                value -= right[j, e] * total[e]
            for k in range(start, j):
                value -= band[j, k - start] * side[k]
            side[j] = value / band[j, j - start]
    total[:] = 0.0
    done = count  # spikes from here on are far after the spike at work
    for spike in range(count - 1, -1, -1):
        gap = begin[spike + 1] - begin[spike] if spike + 1 < count else 0
        for e in range(terms):
            total[e] *= power[e, gap]
        while done > spike + 1 and near[done - 1] > spike:
            done -= 1
            away = begin[done] - begin[spike] - head
            for j in range(2 * done, 2 * done + 2):
                for e in range(terms):
                    total[e] += power[e, away] * right[j, e] * side[j]
        for j in range(2 * spike + 1, 2 * spike - 1, -1):
            value = side[j]
            for e in range(terms):
                value -= lower[j, e] * total[e]
            for k in range(j + 1, 2 * done):
                value -= band[k, j - 2 * near[k // 2]] * side[k]
            side[j] = value / band[j, j - 2 * near[spike]]


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


@inlined
def _selected_inverse(band, begin, near, count, head, power, right, lower, inverse, beside):
    """Entries of the inverse where ``band`` has some, from the factor (Takahashi, Fagan & Chin 1973, with the far part).

    ``beside[i]`` (K,) is the entry of the positions of spikes i and i + 1.
    """
    terms = power.shape[0]
    square = np.zeros((terms, terms))  # right^T S right over the unknowns far after the spike at work, S the inverse
    mixed = np.zeros((2 * count, terms))  # S right over the same, for unknowns nearer by
    shift = np.empty(terms)
    done = count
    for spike in range(count - 1, -1, -1):
        gap = begin[spike + 1] - begin[spike] if spike + 1 < count else 0
        for e in range(terms):
            for f in range(terms):
                square[e, f] *= power[e, gap] * power[f, gap]
            for i in range(2 * spike + 2, 2 * done):
                mixed[i, e] *= power[e, gap]
        while done > spike + 1 and near[done - 1] > spike:
            done -= 1
            away = begin[done] - begin[spike] - head
            for m in range(2 * done + 1, 2 * done - 1, -1):
                for e in range(terms):
                    shift[e] = power[e, away] * right[m, e]
                own = inverse[m, m - 2 * near[done]]
                for e in range(terms):
                    for f in range(terms):
                        square[e, f] += shift[e] * mixed[m, f] + mixed[m, e] * shift[f] + own * shift[e] * shift[f]
                for i in range(2 * spike + 2, 2 * done + 2):
                    high = max(i, m)
                    entry = inverse[high, min(i, m) - 2 * near[high // 2]]
                    for e in range(terms):
                        mixed[i, e] += shift[e] * entry
        for j in range(2 * spike + 1, 2 * spike - 1, -1):
            pivot = band[j, j - 2 * near[spike]]
            for i in range(j + 1, 2 * done):
                value = 0.0
                for k in range(j + 1, 2 * done):
                    high = max(i, k)
                    value += band[k, j - 2 * near[k // 2]] * inverse[high, min(i, k) - 2 * near[high // 2]]
                for e in range(terms):
                    value += lower[j, e] * mixed[i, e]
                inverse[i, j - 2 * near[i // 2]] = -value / pivot
            for e in range(terms):
                value = 0.0
                for k in range(j + 1, 2 * done):
                    value += band[k, j - 2 * near[k // 2]] * mixed[k, e]
                for f in range(terms):
                    value += square[e, f] * lower[j, f]
                mixed[j, e] = -value / pivot
            value = 1.0 / pivot
            for k in range(j + 1, 2 * done):
                value -= band[k, j - 2 * near[k // 2]] * inverse[k, j - 2 * near[k // 2]]
            for e in range(terms):
                value -= lower[j, e] * mixed[j, e]
            inverse[j, j - 2 * near[spike]] = value / pivot
        if spike + 1 == count:
            beside[spike] = 0.0
        else:
            j = 2 * spike + 1
            if done > spike + 1:
                beside[spike] = inverse[j + 2, j - 2 * near[spike + 1]]
            else:
                value = 0.0
                for e in range(terms):
                    value += lower[j, e] * mixed[j + 2, e]
                beside[spike] = -value / band[j, j - 2 * near[spike]]


@compiled
def inverse_blocks(
    position, fixed, root, columns, table, edges, tail, tail_tap, offset, lost, norms, blocks, beside, coupling, solved
):  # fmt: skip
    """Inverse of the Gauss-Newton matrix in units of each column's norm; the contract of `kernels.covariance`.

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
    _selected_inverse(band, begin, near, count, tail_tap, power, right, lower, inverse, beside)
    for i in range(count):
        start = 2 * near[i]
        blocks[i, 0] = inverse[2 * i, 2 * i - start]
        blocks[i, 1] = inverse[2 * i + 1, 2 * i - start]
        blocks[i, 2] = inverse[2 * i + 1, 2 * i + 1 - start]
