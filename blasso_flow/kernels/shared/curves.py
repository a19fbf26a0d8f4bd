"""Kernels on curves: residuals with a baseline, and the sums over samples that objective and dual value are made of.

Curves live on the padded record (M,), ``columns`` (B, M) are the whitened baseline. A sum is made of blocks whose sums are
added in pairs, so that its rounding grows with the logarithm of its length.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined
from blasso_flow.kernels.shared.vectors import dot, mass

BLOCK = 128  # samples summed in one go


@inlined
def _added_in_pairs(parts, count):
    """Sum of the first ``count`` numbers, which are overwritten."""
    while count > 1:
        half = count // 2
        for i in range(half):
            parts[i] = parts[2 * i] + parts[2 * i + 1]
        if count % 2 == 1:
            parts[half] = parts[count - 1]
            half += 1
        count = half
    return parts[0]


@inlined
def _fill(model, root, values, columns, baseline, residual):
    """residual = root * model + sum_b baseline_b columns_b - values."""
    for n in range(residual.size):
        residual[n] = root[n] * model[n] - values[n]
    for b in range(columns.shape[0]):
        factor = baseline[b]
        for n in range(residual.size):
            residual[n] += factor * columns[b, n]


@compiled
def fill_residual(model, root, values, columns, baseline, residual):
    """residual = root * model + sum_b baseline_b columns_b - values."""
    _fill(model, root, values, columns, baseline, residual)


@compiled
def refit_baseline(model, root, values, columns, inverse, baseline, residual):
    """Replace ``baseline`` (B,) by that of least squares, and fill ``residual`` (M,) with what it then is.

    ``residual`` = root * model + sum_b baseline_b columns_b - values; ``inverse`` (B, B) is that of the columns' inner products.
    """
    count = columns.shape[0]
    products = np.empty(count)
    parts = np.empty((residual.size + BLOCK - 1) // BLOCK)
    for _ in range(2):  # the second time removes the rounding of the first
        _fill(model, root, values, columns, baseline, residual)
        for b in range(count):
            for block in range(parts.size):
                low = block * BLOCK
                high = min(low + BLOCK, residual.size)
                parts[block] = dot(columns[b, low:high], residual[low:high])
            products[b] = _added_in_pairs(parts, parts.size)
        for a in range(count):
            for b in range(count):
                baseline[a] -= inverse[a, b] * products[b]
    _fill(model, root, values, columns, baseline, residual)


@compiled
def weigh(position, weight, reach):
    """Sums of |w| and w w, and how many of the sorted positions (K,) lie within ``reach`` after one of them at most."""
    parts = np.empty((2, (weight.size + BLOCK - 1) // BLOCK + 1))
    for block in range(parts.shape[1]):
        part = weight[block * BLOCK : (block + 1) * BLOCK]
        parts[0, block] = mass(part)
        parts[1, block] = dot(part, part)
    most = 0
    last = 0
    for i in range(position.size):
        while last < position.size and position[last] <= position[i] + reach:
            last += 1
        most = max(most, last - i)
    return _added_in_pairs(parts[0], parts.shape[1]), _added_in_pairs(parts[1], parts.shape[1]), most


@compiled
def sums(residual, values, columns, baseline, orthonormal, first, last, out):
    """Sums of r r, r a, a a and r q_c, with a = values - sum_b baseline_b columns_b, into out (3 + C,).

    Over samples first to last - 1; ``orthonormal`` (C, M) holds the curves q_c.
    """
    count = orthonormal.shape[0]
    parts = np.zeros((3 + count, (last - first) // BLOCK + 1))
    above = np.empty(BLOCK)
    for low in range(first, last, BLOCK):
        block = (low - first) // BLOCK
        high = min(low + BLOCK, last)
        part = residual[low:high]
        rest = above[: high - low]
        for n in range(low, high):
            rest[n - low] = values[n]
        for b in range(columns.shape[0]):
            factor = baseline[b]
            for n in range(low, high):
                rest[n - low] -= factor * columns[b, n]
        parts[0, block] = dot(part, part)
        parts[1, block] = dot(part, rest)
        parts[2, block] = dot(rest, rest)
        for c in range(count):
            parts[3 + c, block] = dot(part, orthonormal[c, low:high])
    for row in range(3 + count):
        out[row] = _added_in_pairs(parts[row], parts.shape[1])
