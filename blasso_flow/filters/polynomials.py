"""Small matrices for polynomials on a cell, in the local coordinate v in [-1, 1]. Plain numpy.

Coefficients are ordered from the constant upwards along the axis that is contracted.
"""

from __future__ import annotations

from functools import cache
from math import comb

import numpy as np
from numpy.polynomial import chebyshev

from blasso_flow.data.signals import FloatArray


@cache
def chebyshev_nodes(degree: int) -> FloatArray:
    """The degree + 1 Chebyshev points of the first kind in (-1, 1), shape (degree + 1,)."""
    return np.cos((np.arange(degree + 1) + 0.5) * np.pi / (degree + 1))


@cache
def values_to_chebyshev(degree: int) -> FloatArray:
    """Matrix taking values at `chebyshev_nodes` to Chebyshev coefficients, shape (degree + 1, degree + 1)."""
    matrix = 2 / (degree + 1) * chebyshev.chebvander(chebyshev_nodes(degree), degree).T
    matrix[0] /= 2
    return np.asarray(matrix)


@cache
def chebyshev_to_powers(degree: int) -> FloatArray:
    """Matrix taking Chebyshev coefficients to power coefficients in v, shape (degree + 1, degree + 1)."""
    matrix = np.zeros((degree + 1, degree + 1))
    for order in range(degree + 1):
        powers = chebyshev.cheb2poly(np.eye(degree + 1)[order])
        matrix[: powers.size, order] = powers
    return matrix


@cache
def powers_to_bernstein(degree: int) -> FloatArray:
    """Matrix taking power coefficients in v to Bernstein coefficients on [-1, 1], shape (degree + 1, degree + 1).

    A polynomial lies between its smallest and its largest Bernstein coefficient on the whole interval (Farouki 2012).
    """
    shifted = np.zeros((degree + 1, degree + 1))
    for power in range(degree + 1):
        for i in range(power + 1):
            shifted[i, power] = comb(power, i) * 2.0**i * (-1.0) ** (power - i)
    bernstein = np.zeros((degree + 1, degree + 1))
    for i in range(degree + 1):
        for j in range(i + 1):
            bernstein[i, j] = comb(i, j) / comb(degree, j)
    return bernstein @ shifted


def derivative(coefficients: FloatArray, axis: int) -> FloatArray:
    """Derivative with respect to v; same shape, the highest coefficient is zero."""
    moved = np.moveaxis(coefficients, axis, 0)
    result = np.zeros_like(moved)
    for power in range(1, moved.shape[0]):
        result[power - 1] = power * moved[power]
    return np.moveaxis(result, 0, axis)
