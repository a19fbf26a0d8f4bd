"""Kernel for error bars: the inverse of the Gauss-Newton matrix of weights and positions, near its diagonal only.

Unknowns are scaled so that their columns have norm 1: w_i ||root phi_i|| and w_i x_i ||root phi_i'||, interleaved. The matrix
is banded, its Cholesky factor too, and the entries of the inverse inside the band follow from the factor by recursion
(Takahashi, Fagan & Chin 1973). Arrays as in `kernels.spikes`.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled

SINGULAR = 1e-9  # of a column's squared norm: less than this left over means that its parameter cannot be told
FIXED = 1e150  # pivot of a parameter that does not move


@compiled
def unit_rows(position, root, table, edges, offset, period, rows, begin, norms):
    """Responses and slopes times root, scaled to norm 1: rows (K, 2, W), first padded sample begin (K,), norms (K, 2)."""
    cells = table.shape[1]
    terms = table.shape[2]
    taps = table.shape[3]
    turned = np.empty(taps)
    for i in range(position.size):
        base = int(np.floor(position[i]))
        fraction = position[i] - base
        cell = 0
        while cell < cells - 1 and fraction >= edges[cell + 1]:
            cell += 1
        v = (2 * fraction - edges[cell] - edges[cell + 1]) / (edges[cell + 1] - edges[cell])
        start = base + offset
        for order in range(2):
            row = rows[i, order]
            row[:] = 0.0
            for power in range(terms - 1, -1, -1):
                part = table[order, cell, power]
                for k in range(taps):
                    row[k] = row[k] * v + part[k]
            if period > 0:
                for k in range(taps):
                    turned[(k + start) % period] = row[k]
                row[:] = turned
            first = 0 if period > 0 else start
            for k in range(taps):
                row[k] *= root[first + k]
            # A loop that both stores and sums would be reordered or not depending on where the arrays lie in memory.
            total = 0.0
            for k in range(taps):
                total += row[k] * row[k]
            norm = np.sqrt(total)
            norms[i, order] = norm
            if total > 0.0:
                for k in range(taps):
                    row[k] /= norm
        begin[i] = 0 if period > 0 else start


@compiled
def half_bandwidth(begin, taps):
    """Half bandwidth of the interleaved system."""
    widest = 1
    j = 0
    for i in range(begin.size):
        while j + 1 < begin.size and begin[j + 1] - begin[i] < taps:
            j += 1
        widest = max(widest, 2 * (j - i) + 1)
    return widest


@compiled
def inverse_blocks(rows, begin, fixed, columns, width, lost, blocks, near, coupling, solved):
    """Inverse of the scaled Gauss-Newton matrix without the baseline.

    ``fixed`` (2 K,) parameters do not move; ``lost`` (2 K,) is set where a parameter is not identifiable. Out: ``blocks``
    (K, 3) entries (w w), (w x), (x x) of a spike, ``near`` (K,) entry (x_i, x_i+1); ``coupling`` (B, 2 K) products with the
    baseline ``columns`` (B, M) and ``solved`` (B, 2 K), the inverse times them.
    """
    count = begin.size
    size = 2 * count
    taps = rows.shape[2]
    band = np.zeros((size, width + 1))
    for i in range(count):
        for j in range(i, count):
            lag = begin[j] - begin[i]
            if lag >= taps:
                break
            for a in range(2):
                for b in range(2):
                    p = 2 * i + a
                    q = 2 * j + b
                    if q < p or (p != q and (fixed[p] or fixed[q])):
                        continue
                    left = rows[i, a, lag:]
                    right = rows[j, b, : taps - lag]
                    total = 0.0
                    for k in range(taps - lag):
                        total += left[k] * right[k]
                    band[p, q - p] = total
        for a in range(2):
            p = 2 * i + a
            for c in range(columns.shape[0]):
                total = 0.0
                if not fixed[p]:
                    for k in range(taps):
                        total += rows[i, a, k] * columns[c, begin[i] + k]
                coupling[c, p] = total
    # Cholesky: band[j, k] becomes L[j + k, j]; a parameter that cannot be told is held
    for j in range(size):
        pivot = band[j, 0]
        if fixed[j] or not pivot > SINGULAR:
            lost[j] = lost[j] or not fixed[j]
            pivot = FIXED
            band[j, 1:] = 0.0
            for c in range(columns.shape[0]):
                coupling[c, j] = 0.0
        pivot = np.sqrt(pivot)
        band[j, 0] = pivot
        reach = min(width, size - 1 - j)
        for k in range(1, reach + 1):
            band[j, k] /= pivot
        for k in range(1, reach + 1):
            factor = band[j, k]
            if factor != 0.0:
                for q in range(k, reach + 1):
                    band[j + k, q - k] -= band[j, q] * factor
    for c in range(columns.shape[0]):
        side = solved[c]
        side[:] = coupling[c]
        for j in range(size):
            side[j] /= band[j, 0]
            for k in range(1, min(width, size - 1 - j) + 1):
                side[j + k] -= band[j, k] * side[j]
        for j in range(size - 1, -1, -1):
            value = side[j]
            for k in range(1, min(width, size - 1 - j) + 1):
                value -= band[j, k] * side[j + k]
            side[j] = value / band[j, 0]
    inverse = np.zeros((size, width + 1))
    for j in range(size - 1, -1, -1):
        reach = min(width, size - 1 - j)
        for i in range(reach, -1, -1):
            value = 1.0 / band[j, 0] if i == 0 else 0.0
            for k in range(1, reach + 1):
                factor = band[j, k]
                if factor != 0.0:
                    low = min(i, k)
                    value -= factor * inverse[j + low, max(i, k) - low]
            inverse[j, i] = value / band[j, 0]
    for i in range(count):
        blocks[i, 0] = inverse[2 * i, 0]
        blocks[i, 1] = inverse[2 * i, 1]
        blocks[i, 2] = inverse[2 * i + 1, 0]
        near[i] = inverse[2 * i + 1, 2] if i + 1 < count and width >= 2 else 0.0
