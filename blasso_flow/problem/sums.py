"""Sums and products of curves: the same bits whatever the number of threads, with bounds of their rounding."""

from __future__ import annotations

import math

import numpy as np

from blasso_flow import threads
from blasso_flow.data.signals import FloatArray

EPSILON = float(np.finfo(np.float64).eps)
PIECE = 1 << 15  # samples that a thread sums or multiplies at a time: products of so many stay in its cache


def dot(a: FloatArray, b: FloatArray) -> float:
    """Sum of products of two curves of equal shape, by pairwise summation: the same bits whatever the number of threads."""
    if a.size <= PIECE:
        return float(np.multiply(a, b).sum())
    a, b = a.ravel(), b.ravel()
    parts = threads.each(lambda first, last: np.multiply(a[first:last], b[first:last]).sum(), threads.pieces(a.size, PIECE))
    return float(np.sum(parts))


def dots(rows: FloatArray, curve: FloatArray) -> FloatArray:
    """Sum of products of every row (B, M) with a curve (M,), shape (B,): the same bits wherever they lie in memory."""
    return np.asarray(np.multiply(rows, curve).sum(axis=1))


def combined(factors: FloatArray, rows: FloatArray) -> FloatArray:
    """Sum of the rows (B, M) times factors (B,), shape (M,): the same bits wherever they lie in memory."""
    if factors.size == 1:  # the usual baseline, a constant
        return np.asarray(factors[0] * rows[0])
    return np.asarray(np.multiply(factors[:, None], rows).sum(axis=0))


def sum_rounding(size: int) -> float:
    """Upper bound of the relative rounding of a sum of ``size`` terms, added in pairs, in units of the sum of their sizes."""
    return 8 * EPSILON * (math.log2(size + 1) + 4)


def multiplied(one: FloatArray, other: FloatArray) -> FloatArray:
    """Product of two curves of equal shape, sample by sample."""
    if one.size <= PIECE:
        return one * other
    product = np.empty(one.shape)
    curves = one.ravel(), other.ravel(), product.ravel()

    def multiply(first: int, last: int) -> None:
        a, b, out = (curve[first:last] for curve in curves)
        np.multiply(a, b, out=out)

    threads.each(multiply, threads.pieces(one.size, PIECE))
    return product


def against_values(
    residual: FloatArray, values: FloatArray, columns: FloatArray, baseline: FloatArray, orthonormal: FloatArray
) -> list[float]:
    """<r, r>, <r, a>, <a, a> with a = ``values`` - sum_b baseline_b columns_b, and <r, q> for each orthonormal curve q.

    Curves have the shape (M,), ``columns`` (B, M) and ``orthonormal`` (C, M).
    """
    from blasso_flow.kernels.shared import curves as kernel

    curves = residual, values, columns, baseline, orthonormal
    work = threads.pieces(residual.size, PIECE)
    parts = np.empty((len(work), 3 + len(orthonormal)))
    threads.each(lambda first, last: kernel.sums(*curves, first, last, parts[first // PIECE]), work)
    total = parts[0] if len(work) == 1 else np.ascontiguousarray(parts.T).sum(axis=1)
    found: list[float] = total.tolist()
    return found
