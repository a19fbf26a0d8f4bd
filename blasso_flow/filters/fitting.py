"""The numbers of a table: fitting its polynomials, and the norms, bounds, jumps and errors that follow from them.

A table here is (p, DEGREE + 1, W): the power coefficients in v in [-1, 1] of every tap on every cell. Plain numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters.polynomials import (
    chebyshev_nodes,
    chebyshev_to_powers,
    derivative,
    powers_to_bernstein,
    values_to_chebyshev,
)

DEGREE = 9
ORDERS = 5  # the response and its derivatives 1 to 4
TAIL_ERROR = 1e-11  # of the peak
ROUNDING = 4e-16  # of the values in a cell: coefficients below it are noise, which derivatives would magnify


def fit(response: Callable[[FloatArray], FloatArray], edges: FloatArray, first: int, taps: int) -> FloatArray:
    """Polynomials of the response and its derivatives 1 to 4 by position, shape (5, p, DEGREE + 1, taps)."""
    half = np.diff(edges) / 2
    table = np.empty((ORDERS, half.size, DEGREE + 1, taps))
    values = response(_lags(edges, first, taps, chebyshev_nodes(DEGREE)))
    coefficients = values_to_chebyshev(DEGREE) @ values
    coefficients[np.abs(coefficients) < ROUNDING * np.abs(values).max(axis=1, keepdims=True)] = 0.0
    table[0] = chebyshev_to_powers(DEGREE) @ coefficients
    for order in range(1, ORDERS):
        table[order] = derivative(table[order - 1], axis=1) / half[:, None, None]
    return table


def l2_norm(table: FloatArray, edges: FloatArray) -> float:
    """L2 norm over all lags, exact: the Gram matrix of the coefficients against the integrals of v^(i + j)."""
    gram = table @ np.swapaxes(table, 1, 2)  # (p, DEGREE + 1, DEGREE + 1)
    return float(np.sqrt(np.diff(edges) @ np.einsum("ij,pij->p", _mean_powers()[_sums()], gram)))


def area(table: FloatArray, edges: FloatArray) -> float:
    """Integral over all lags (samples), exact."""
    return float(np.diff(edges) @ table.sum(axis=-1) @ _mean_powers()[: DEGREE + 1])


def peak(table: FloatArray) -> float:
    """Largest |response| over all lags, with its sign dropped."""
    coarse = np.abs(_values(table, np.linspace(-1, 1, 5))).max(axis=1)  # (p, taps)
    cell, tap = np.nonzero(coarse >= 0.98 * coarse.max())
    near = table[cell, :, tap]  # (candidates, DEGREE + 1)
    fine = np.abs(near @ (np.linspace(-1, 1, 33) ** np.arange(DEGREE + 1)[:, None])).max(axis=1)
    result = 0.0
    for coefficients in near[fine >= (1 - 1e-5) * fine.max()]:
        polynomial = np.polynomial.Polynomial(coefficients)
        turns = polynomial.deriv().roots()
        turns = turns.real[(np.abs(turns.imag) < 1e-6) & (np.abs(turns.real) <= 1)]
        result = max(result, float(np.abs(polynomial(np.append(turns, [-1.0, 1.0]))).max()))
    return result


def distance(response: Callable[[FloatArray], FloatArray], table: FloatArray, edges: FloatArray, first: int) -> float:
    """Largest |table - response| between the points of the fit, relative to the largest |response|."""
    v = np.cos(np.pi * np.array([0, 1, 3, 5, 7, 9, 10]) / 10)  # where the first term left out is largest
    exact = response(_lags(edges, first, table.shape[-1], v))
    return float(np.abs(_values(table, v) - exact).max() / np.abs(exact).max())


def bound(table: FloatArray) -> FloatArray:
    """Upper bound of the L2 norm over taps on each cell, shape (p,): Bernstein coefficients bound every tap."""
    largest = np.abs(powers_to_bernstein(DEGREE) @ table).max(axis=1)
    return np.asarray(np.sqrt((largest**2).sum(axis=-1)) * (1 + 1e-9))


def jumps(table: FloatArray, periodic: bool) -> FloatArray:
    """L2 norm over samples of the jump at the left edge of each cell, shape (p,); at cell 0 the window moves by one sample."""
    left = np.einsum("d,pdk->pk", (-1.0) ** np.arange(DEGREE + 1), table)
    right = table.sum(axis=1)
    if periodic:
        previous = np.roll(right[-1], -1)
    else:
        previous = np.append(right[-1], 0.0)
        left = np.concatenate([np.zeros((left.shape[0], 1)), left], axis=1)
        right = np.concatenate([np.zeros((right.shape[0], 1)), right], axis=1)
    return np.asarray(np.sqrt(((left - np.concatenate([previous[None], right[:-1]])) ** 2).sum(axis=-1)))


def exponential_tail(
    table: FloatArray, edges: FloatArray, first: int, rates: Sequence[float], begin: float
) -> tuple[FloatArray, int]:
    """Rates and amplitudes (2, E) of a tail of exponentials from lag ``begin`` on, and its first tap; see `Filter.tail`.

    Least squares on the table at the left edges of the cells. No tail (E = 0) where it misses the table by more than
    TAIL_ERROR of the peak.
    """
    taps = table.shape[-1]
    none = np.zeros((2, 0)), taps
    if not rates:
        return none
    tap = max(0, int(np.ceil(begin - first)) + 1)
    if tap + 8 * len(rates) > taps:
        return none
    lag = np.arange(tap, taps) - edges[:-1, None]  # counted from ``first``
    values = np.einsum("d,pdk->pk", (-1.0) ** np.arange(DEGREE + 1), table[:, :, tap:])
    basis = np.exp(-np.asarray(rates) * lag[..., None])
    amplitudes = np.linalg.lstsq(basis.reshape(-1, len(rates)), values.ravel(), rcond=None)[0]
    if np.abs(basis @ amplitudes - values).max() > TAIL_ERROR * np.abs(table[:, 0]).max():
        return none
    return np.array([rates, amplitudes]), tap


def _sums() -> IntArray:
    return np.add.outer(np.arange(DEGREE + 1), np.arange(DEGREE + 1))


def _mean_powers() -> FloatArray:
    """Mean of v^k over [-1, 1] for k to twice the degree."""
    power = np.arange(2 * DEGREE + 1)
    return np.where(power % 2 == 0, 1 / (power + 1.0), 0.0)


def _lags(edges: FloatArray, first: int, taps: int, v: FloatArray) -> FloatArray:
    """Lags of all taps at local coordinates v of every cell, shape (p, v, taps)."""
    fraction = (edges[:-1] + edges[1:])[:, None] / 2 + np.diff(edges)[:, None] / 2 * v
    return np.asarray(first + np.arange(taps) - fraction[..., None])


def _values(table: FloatArray, v: FloatArray) -> FloatArray:
    """The polynomials at local coordinates v, shape (p, v, taps)."""
    return np.asarray(v[:, None] ** np.arange(DEGREE + 1) @ table)
