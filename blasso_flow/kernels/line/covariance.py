"""Kernels for error bars: the inverse of the Gauss-Newton matrix of weights and positions, near its diagonal only.

Unknowns are scaled so that their columns have norm 1: w_i ||root phi_i|| and w_i x_i ||root phi_i'||, interleaved. The matrix
is banded, its Cholesky factor too, and the entries of the inverse inside the band follow from the factor by recursion
(Takahashi, Fagan & Chin 1973). Arrays as in `kernels.line.responses`.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled
from blasso_flow.kernels.line.responses import whitened_rows
from blasso_flow.kernels.shared.systems import HELD, SINGULAR, bandwidth, gram, substitute
from blasso_flow.kernels.shared.vectors import add, dot


@compiled
def inverse_blocks(
    position, fixed, root, columns, table, edges, offset, period, most, lost, norms, blocks, near, coupling, solved
):  # fmt: skip
    """Inverse of the scaled Gauss-Newton matrix without the baseline, for positions (K,) in order.

    ``fixed`` (2 K,) parameters do not move; ``lost`` (2 K,) is set where a parameter is not identifiable. Out: ``norms``
    (K, 2) of response and slope, ``blocks`` (K, 3) entries (w w), (w x), (x x) of a spike, ``near`` (K,) entry (x_i, x_i+1),
    ``coupling`` (B, 2 K) products with the baseline ``columns`` (B, M), and ``solved`` (B, 2 K) the inverse times them.
    Returns False, and all is lost, where the band would have more than ``most`` numbers.
    """
    count = position.size
    size = 2 * count
    taps = table.shape[3]
    rows = np.empty((count, 2, taps))
    begin = np.empty(count, np.int64)
    scale = np.zeros(size)
    whitened_rows(position, table, edges, offset, period, root, rows, begin)
    for i in range(count):
        for order in range(2):
            norm = np.sqrt(dot(rows[i, order], rows[i, order]))
            norms[i, order] = norm
            if norm > 0.0 and not fixed[2 * i + order]:
                scale[2 * i + order] = 1.0 / norm
    width = bandwidth(begin, begin.size, taps)
    if size * (width + 1) > most:
        lost[:] = True
        blocks[:] = np.nan
        near[:] = np.nan
        return False
    band = np.empty((size, width + 1))
    gram(rows, begin, scale, band)
    for c in range(columns.shape[0]):
        for p in range(size):
            start = begin[p // 2]
            coupling[c, p] = scale[p] * dot(rows[p // 2, p % 2], columns[c, start : start + taps])
    # Cholesky: band[j, k] becomes L[j + k, j]; a parameter that cannot be told is held
    for j in range(size):
        pivot = band[j, 0]
        if fixed[j] or not pivot > SINGULAR:
            lost[j] = lost[j] or not fixed[j]
            pivot = HELD
            band[j, 1:] = 0.0
            for c in range(columns.shape[0]):
                coupling[c, j] = 0.0
        pivot = np.sqrt(pivot)
        band[j, 0] = pivot
        reach = min(width, size - 1 - j)
        for k in range(1, reach + 1):
            band[j, k] /= pivot
        for k in range(1, reach + 1):
            add(-band[j, k], band[j, k : reach + 1], band[j + k, : reach + 1 - k])
    for c in range(columns.shape[0]):
        for j in range(size):
            solved[c, j] = coupling[c, j]
        substitute(band, size, width, solved[c])
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
    return True


@compiled
def border(products, coupling, solved, rest):
    """Schur complement of the baseline, ``rest`` (B, B): its ``products`` less what the spikes take over of them."""
    for a in range(rest.shape[0]):
        for b in range(rest.shape[0]):
            total = 0.0
            for k in range(coupling.shape[1]):
                total += coupling[a, k] * solved[b, k]
            rest[a, b] = products[a, b] - total


@compiled
def add_border(part, solved, blocks, near):
    """What the baseline adds to ``blocks`` (K, 3) and ``near`` (K,): ``part`` (B, B) is the inverse of its `border`."""
    carried = np.empty(part.shape[0])
    for p in range(solved.shape[1]):
        i = p // 2
        for a in range(part.shape[0]):
            total = 0.0
            for b in range(part.shape[0]):
                total += part[a, b] * solved[b, p]
            carried[a] = total
        own = 0.0
        for a in range(part.shape[0]):
            own += carried[a] * solved[a, p]
        blocks[i, 2 * (p % 2)] += own
        after = 1 if p % 2 == 0 else 2  # the same spike's position, the next one's
        if p + after < solved.shape[1]:
            beside = 0.0
            for a in range(part.shape[0]):
                beside += carried[a] * solved[a, p + after]
            if p % 2 == 0:
                blocks[i, 1] += beside
            else:
                near[i] += beside


@compiled
def least_increase(position, weight, blocks, norms, lost, reach, cost):
    """What leaving each spike out costs in twice the loss, into ``cost`` (K,): the linear model's value, lowered for neighbours.

    Neighbours within ``reach`` (samples) whose weights sum to S take over a spike of weight w by moving together: at least
    (S / (S + w))^2 of the linear cost remains. 0 where the linear model says nothing.
    """
    count = position.size
    for i in range(count):
        around = 0.0
        first = i
        while first > 0 and position[first - 1] >= position[i] - reach:
            first -= 1
            around += abs(weight[first])
        last = i
        while last < count - 1 and position[last + 1] <= position[i] + reach:
            last += 1
            around += abs(weight[last])
        variance = blocks[i, 0] - blocks[i, 1] ** 2 / blocks[i, 2]
        worth = (weight[i] * norms[i, 0]) ** 2 / variance
        if first < last:
            worth *= (around / (around + abs(weight[i]))) ** 2
        told = variance > 0.0 and not (lost[2 * i] or lost[2 * i + 1]) and worth < np.inf
        cost[i] = worth if told else 0.0


@compiled
def standard_errors(weight, noise_sd, fixed, lost, norms, blocks, near, of_weight, of_position, common):
    """Standard errors of weights and positions (K,), NaN where unknown; ``common`` (K,) covariance with the next position."""
    count = weight.size
    for i in range(count):
        unit = noise_sd / abs(weight[i]) / norms[i, 1]
        told = not (lost[2 * i] or lost[2 * i + 1])
        error = noise_sd * np.sqrt(blocks[i, 0]) / norms[i, 0]
        of_weight[i] = error if told and error < np.inf else np.nan
        error = unit * np.sqrt(blocks[i, 2])
        of_position[i] = error if told and not fixed[2 * i + 1] and error < np.inf else np.nan
        common[i] = np.nan
        if i + 1 < count:
            common[i] = near[i] * (noise_sd / weight[i] / norms[i, 1]) * (noise_sd / weight[i + 1] / norms[i + 1, 1])


@compiled
def groups(position, errors, common, widths, unresolved, group):
    """Numbers of the spikes' groups, ``group`` (K,); see `covariance.resolved_groups`."""
    number = 0
    for i in range(position.size):
        if i > 0:
            vague = not (errors[i - 1] <= unresolved * widths[i - 1] and errors[i] <= unresolved * widths[i])
            distance = position[i] - position[i - 1]
            square = errors[i - 1] ** 2 + errors[i] ** 2 - 2.0 * common[i - 1]  # of the distance's standard error
            beyond = square > 0.0 and distance < 2.0 * np.sqrt(square)
            if not (vague and (distance < max(widths[i - 1], widths[i]) or beyond)):
                number += 1
        group[i] = number
