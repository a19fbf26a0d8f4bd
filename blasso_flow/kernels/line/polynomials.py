"""Kernels on one polynomial, that of the certificate on a cell: its upper bound and its largest maximum, both to any precision.

Coefficients are in powers of v in [-1, 1] or, named ``bernstein``, in the Bernstein basis of the same cell, whose coefficients
bound the polynomial (Farouki 2012).
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import inlined
from blasso_flow.kernels.shared.vectors import dot

DEPTH = 60
PIECES = 8  # of a cell, searched for a maximum each


@inlined
def _horner(powers, v):
    """Value, first and second derivative of a polynomial at v."""
    value = 0.0
    first = 0.0
    second = 0.0
    for power in range(powers.size - 1, -1, -1):
        second = second * v + 2 * first
        first = first * v + value
        value = value * v + powers[power]
    return value, first, second


@inlined
def _bernstein_value(coefficients, s):
    """Value at s in [0, 1] (Horner in the Bernstein basis: binomial * s^i folded in as the sum advances)."""
    degree = coefficients.size - 1
    t = 1.0 - s
    factor = 1.0
    binomial = 1.0
    value = coefficients[0] * t
    for i in range(1, degree):
        factor *= s
        binomial *= (degree - i + 1) / i
        value = (value + factor * binomial * coefficients[i]) * t
    return value + factor * s * coefficients[degree]


@inlined
def _top_of_concave(bernstein, differences, enough):
    """A value of a concave polynomial near its maximum, and by how much at most that exceeds it.

    Regula falsi on the slope (Illinois rule), until a tangent, which lies above a concave function on the whole piece, rises
    by no more than ``enough``. ``differences`` (n - 1,) is work space.
    """
    n = bernstein.size
    for i in range(n - 1):
        differences[i] = (n - 1) * (bernstein[i + 1] - bernstein[i])
    low = 0.0
    high = 1.0
    low_slope = max(differences[0], 0.0)
    high_slope = min(differences[n - 2], 0.0)
    middle = 0.5
    above = 0.0
    side = 0.0  # which end was moved last
    for _ in range(60):
        middle = 0.5 * (low + high)
        if low_slope > high_slope:
            middle = low + (high - low) * (low_slope / (low_slope - high_slope))
        slope = _bernstein_value(differences, middle)
        above = max(slope * (1.0 - middle), -slope * middle)
        if above <= enough:
            break
        if slope > 0.0:
            low = middle
            low_slope = slope
            high_slope *= 0.5 if side > 0.0 else 1.0
        else:
            high = middle
            high_slope = slope
            low_slope *= 0.5 if side < 0.0 else 1.0
        side = slope
    return _bernstein_value(bernstein, middle), above


@inlined
def _sup_of_polynomial(bernstein, target, slack, stack, levels):
    """Upper bound of a polynomial on its cell: at most ``target`` where that holds, else within ``slack`` of its maximum.

    ``bernstein`` (n,) coefficients; ``stack`` (DEPTH + 2, n) and ``levels`` work space. A piece on which the second
    differences are all negative is concave: there the tangent at a near-maximum bounds it. A piece that cannot be
    decided at the last level raises the bound by its own coefficients: nothing is dropped.
    """
    n = bernstein.size
    differences = np.empty(n - 1)
    best = max(bernstein[0], bernstein[n - 1])
    result = -np.inf
    for i in range(n):
        stack[0, i] = bernstein[i]
    levels[0] = 0
    size = 1
    while size > 0:
        size -= 1
        piece = stack[size]
        level = levels[size]
        top = piece[0]
        for i in range(1, n):
            top = max(top, piece[i])
        best = max(best, max(piece[0], piece[n - 1]))
        if top <= max(target, best + slack) or level >= DEPTH:
            result = max(result, top)
            continue
        concave = True
        for i in range(n - 2):
            if piece[i] - 2 * piece[i + 1] + piece[i + 2] > 0.0:
                concave = False
                break
        if concave:
            value, above = _top_of_concave(piece, differences, 1e-3 * slack)
            result = max(result, value + above)
            best = max(best, value)
            continue
        # de Casteljau at the middle: the right half overwrites the piece, the left half lies above it on the stack
        left = stack[size + 1]
        left[0] = piece[0]
        for step in range(1, n):
            for i in range(n - step):
                piece[i] = 0.5 * (piece[i] + piece[i + 1])
            left[step] = piece[0]
        levels[size] = level + 1
        levels[size + 1] = level + 1
        size += 2
    return result


@inlined
def sup_on_cell(powers, to_bernstein, target, slack, signed, bernstein, stack, levels):
    """Upper bound of a polynomial (of its modulus when signed) with coefficients ``powers`` on its cell, the rest work space."""
    top = -np.inf
    sign = 1.0
    for _ in range(2 if signed else 1):
        for a in range(powers.size):
            bernstein[a] = sign * dot(to_bernstein[a], powers)
        top = max(top, _sup_of_polynomial(bernstein, target, slack, stack, levels))
        sign = -1.0
    return top


@inlined
def _maximum(powers, sign, low, high):
    """Where the slope of sign * polynomial changes from + to - between low and high: Newton kept inside a bisection."""
    v = 0.5 * (low + high)
    for _ in range(40):
        _, first, second = _horner(powers, v)
        if first * sign > 0.0:
            low = v
        else:
            high = v
        following = 0.5 * (low + high)
        if second * sign < 0.0:
            newton = v - first / second
            if low < newton < high:
                following = newton
        if abs(following - v) < 1e-13:
            return following
        v = following
    return v


@inlined
def highest_maximum(powers, sign):
    """Largest local maximum of sign * polynomial inside its cell: where, and the value there, 0 if it has none.

    The cell is cut into pieces, because a cell can hold two maxima, or one between two ends with the same slope.
    """
    place = 0.0
    value = 0.0
    _, left, _ = _horner(powers, -1.0)
    for piece in range(PIECES):
        high = -1.0 + 2.0 * (piece + 1) / PIECES
        _, right, _ = _horner(powers, high)
        if left * sign > 0.0 and right * sign <= 0.0:
            v = _maximum(powers, sign, high - 2.0 / PIECES, high)
            here, _, _ = _horner(powers, v)
            if here * sign > value * sign:
                place = v
                value = here
        left = right
    return place, value
