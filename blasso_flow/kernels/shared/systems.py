"""Linear systems of Newton steps: banded ones of interleaved weights and positions, and small ones of a baseline."""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import inlined
from blasso_flow.kernels.shared.vectors import add, dot

SINGULAR = 1e-9  # of a column's squared norm: less than this left over means that its parameter cannot be told
HELD = 1e150  # pivot of a parameter that does not move


@inlined
def bandwidth(begin, count, taps):
    """Half bandwidth of the interleaved (weight, position) system."""
    width = 1
    j = 0
    for i in range(count):
        while j + 1 < count and begin[j + 1] - begin[i] < taps:
            j += 1
        width = max(width, 2 * (j - i) + 1)
    return width


@inlined
def gram(rows, begin, scale, band):
    """Inner products of responses and slopes, ``rows`` (K, 2+, W) from samples ``begin`` (K,): band[j, k] = H[j + k, j].

    Response and slope of each spike by turns, times ``scale`` (2 K,), which is 0 for what does not move.
    """
    taps = rows.shape[2]
    count = scale.size // 2
    band[:] = 0.0
    for i in range(count):
        p = 2 * i
        for j in range(i, count):
            lag = begin[j] - begin[i]
            if lag >= taps:
                break
            g00 = 0.0
            g01 = 0.0
            g10 = 0.0
            g11 = 0.0
            a0 = rows[i, 0, lag:]
            a1 = rows[i, 1, lag:]
            b0 = rows[j, 0, : taps - lag]
            b1 = rows[j, 1, : taps - lag]
            for k in range(taps - lag):
                g00 += a0[k] * b0[k]
                g01 += a0[k] * b1[k]
                g10 += a1[k] * b0[k]
                g11 += a1[k] * b1[k]
            q = 2 * j
            band[p, q - p] = g00 * scale[p] * scale[q]
            band[p, q - p + 1] = g01 * scale[p] * scale[q + 1]
            if j > i:
                band[p + 1, q - p - 1] = g10 * scale[p + 1] * scale[q]
            band[p + 1, q - p] = g11 * scale[p + 1] * scale[q + 1]


@inlined
def _subtract_four(band, i, j, width, target):
    """Subtract what columns i to i + 3 of the factor contribute to column j, in one pass over it."""
    reach = i + width + 1 - j  # of column i below row j; each next column reaches one further
    a0 = band[i, j - i :]
    a1 = band[i + 1, j - i - 1 :]
    a2 = band[i + 2, j - i - 2 :]
    a3 = band[i + 3, j - i - 3 :]
    f0, f1, f2, f3 = a0[0], a1[0], a2[0], a3[0]
    for k in range(reach):
        target[k] -= f0 * a0[k] + f1 * a1[k] + f2 * a2[k] + f3 * a3[k]
    for k in range(reach, min(reach + 3, target.size)):
        target[k] -= f3 * a3[k]
        if k < reach + 2:
            target[k] -= f2 * a2[k]
        if k < reach + 1:
            target[k] -= f1 * a1[k]


@inlined
def substitute(band, size, width, side):
    """Solve for one right-hand side (size,) in place with the factor that `cholesky_solve` left in ``band``."""
    for j in range(size):
        reach = min(width, size - 1 - j)
        side[j] /= band[j, 0]
        add(-side[j], band[j, 1 : reach + 1], side[j + 1 : j + 1 + reach])
    for j in range(size - 1, -1, -1):
        reach = min(width, size - 1 - j)
        value = side[j] - dot(band[j, 1 : reach + 1], side[j + 1 : j + 1 + reach])
        side[j] = value / band[j, 0]


@inlined
def cholesky_solve(band, size, width, sides):
    """Factor the banded matrix band[j, k] = H[j + k, j] in place and solve for all rows of ``sides`` (S, size) in place.

    Column by column, four earlier columns at a time: the column at work stays in the nearest cache. Entries of ``band``
    beyond the matrix are zero. Returns how little of a diagonal entry is left as its pivot, at the worst column, or 0,
    leaving garbage, if the matrix is not positive definite.
    """
    least = 1.0
    for j in range(size):
        target = band[j]
        whole = target[0]
        i = max(0, j - width)
        while i + 3 < j:
            _subtract_four(band, i, j, width, target)
            i += 4
        while i < j:
            reach = i + width + 1 - j
            add(-band[i, j - i], band[i, j - i :], target[:reach])
            i += 1
        pivot = target[0]
        if not pivot > 0.0:
            return 0.0
        least = min(least, pivot / whole)
        pivot = np.sqrt(pivot)
        target[0] = pivot
        for k in range(1, width + 1):
            target[k] /= pivot
    for s in range(sides.shape[0]):
        substitute(band, size, width, sides[s])
    return least


@inlined
def substitute_small(matrix, side):
    """Solve in place with the factor that `solve_small` left in ``matrix``."""
    size = side.size
    for j in range(size):
        for i in range(j):
            side[j] -= matrix[j, i] * side[i]
        side[j] /= matrix[j, j]
    for j in range(size - 1, -1, -1):
        for i in range(j + 1, size):
            side[j] -= matrix[i, j] * side[i]
        side[j] /= matrix[j, j]


@inlined
def solve_small(matrix, side):
    """Solve a small symmetric positive definite system in place (Cholesky); False if it is not one."""
    size = side.size
    for j in range(size):
        for i in range(j):
            matrix[j, j] -= matrix[j, i] ** 2
        if not matrix[j, j] > 0.0:
            return False
        matrix[j, j] = np.sqrt(matrix[j, j])
        for k in range(j + 1, size):
            for i in range(j):
                matrix[k, j] -= matrix[k, i] * matrix[j, i]
            matrix[k, j] /= matrix[j, j]
    substitute_small(matrix, side)
    return True
