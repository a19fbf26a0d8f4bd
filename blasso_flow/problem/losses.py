"""The losses: half the weighted squared error, on whitened residuals root * (model - values) with root = sqrt(W), and Poisson.

Squared: R(m) = 1/2 sum W (m - y)^2, gradient u = W (m - y), conjugate R*(u) = sum u^2 / (2 W) + u y.
Poisson: R(m) = sum m - y + y log(y / m), gradient u = 1 - y / m, conjugate R*(u) = -sum y log(1 - u) for u < 1.
"""

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


def value(residual: FloatArray) -> float:
    """Loss of a whitened residual of any shape."""
    return 0.5 * dot(residual, residual)


def gradient(residual: FloatArray, root: FloatArray) -> FloatArray:
    """u = W (m - y) from the whitened residual and the square roots of the sample weights, same shape."""
    if residual.size <= PIECE:
        return root * residual
    product = np.empty(residual.shape)
    factors = root.ravel(), residual.ravel(), product.ravel()

    def multiply(first: int, last: int) -> None:
        a, b, out = (curve[first:last] for curve in factors)
        np.multiply(a, b, out=out)

    threads.each(multiply, threads.pieces(residual.size, PIECE))
    return product


def best_dual_value(square: float, product: float, energy: float, size: int, largest_scale: float) -> tuple[float, float]:
    """Largest -R*(t u) over 0 <= t <= ``largest_scale``, closed form because it is concave in t.

    From sums of ``size`` terms: ``square`` of the whitened residual, its ``product`` with the whitened values, ``energy`` of
    those. Returns (dual value, allowance): the allowance bounds the rounding of the sums.
    """
    scale = 0.0 if square == 0.0 else min(max(-product / square, 0.0), largest_scale)
    terms = 0.5 * scale**2 * square + scale * math.sqrt(square * energy)
    allowance = sum_rounding(size) * terms
    return -0.5 * scale**2 * square - scale * product, allowance


def poisson_value(model: FloatArray, values: FloatArray) -> float:
    """Poisson loss of a model for counts >= 0, equal shapes: at least 0, infinite where a model of 0 cannot have made a count."""
    counted = values > 0
    m, y = model[counted], values[counted]
    if not (m > 0).all():
        return float("inf")
    return float(model.sum() - y.sum() + (y * np.log(y / m)).sum())


def poisson_dual_value(complement: FloatArray, values: FloatArray) -> tuple[float, float]:
    """-R*(u) = sum y log(1 - u) from ``complement`` = 1 - u, and the allowance for its rounding; equal shapes."""
    counted = values > 0
    if not (complement[counted] > 0).all():
        return float("-inf"), 0.0
    terms = values[counted] * np.log(complement[counted])
    size = float(np.abs(terms).sum() + values.sum())
    return float(terms.sum()), sum_rounding(values.size) * size
