"""Kernels on cells: the certificate at nodes, its screen between nodes, its exact bound on a cell, and its local maxima.

Cell j = i * p + q covers positions [low + i + edges[q], low + i + edges[q + 1]]; node j is its left edge. ``gradient`` (M,)
is the padded gradient of the loss, ``begin`` the padded index of tap 0 at the first cell. On one cell the certificate
eta(x) = -<gradient, phi_x> / strength is exactly a polynomial, whose Bernstein coefficients bound it (Farouki 2012).
A grain is a run of samples of the domain that is evaluated anew, or kept, as a whole.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined
from blasso_flow.kernels.shared.vectors import dot

DEPTH = 60
PIECES = 8  # of a cell, searched for a maximum each


@inlined
def _four_nodes(part, taps, scale, i, out):
    """Both orders at the left edges of the cells of samples i to i + 3, whose windows lie in ``part``: taps are read once."""
    cells, _, width = taps.shape
    part0 = part[:width]
    part1 = part[1 : 1 + width]
    part2 = part[2 : 2 + width]
    part3 = part[3 : 3 + width]
    for q in range(cells):
        values = taps[q, 0]
        slopes = taps[q, 1]
        a0 = 0.0
        a1 = 0.0
        a2 = 0.0
        a3 = 0.0
        b0 = 0.0
        b1 = 0.0
        b2 = 0.0
        b3 = 0.0
        for k in range(width):
            value = values[k]
            slope = slopes[k]
            a0 += value * part0[k]
            a1 += value * part1[k]
            a2 += value * part2[k]
            a3 += value * part3[k]
            b0 += slope * part0[k]
            b1 += slope * part1[k]
            b2 += slope * part2[k]
            b3 += slope * part3[k]
        out[0, i, q] = scale * a0
        out[0, i + 1, q] = scale * a1
        out[0, i + 2, q] = scale * a2
        out[0, i + 3, q] = scale * a3
        out[1, i, q] = scale * b0
        out[1, i + 1, q] = scale * b1
        out[1, i + 2, q] = scale * b2
        out[1, i + 3, q] = scale * b3


@inlined
def _changed(gradient, before, begin, end):
    """Whether two gradients differ at samples begin to end - 1."""
    n = begin
    while n < end and gradient[n] == before[n]:
        n += 1
    return n < end


@compiled
def find_changes(gradient, before, begin, taps, grain, size, first, last, changed):
    """changed[g] = whether any sample that grain g reaches differs between two gradients, for first <= g < last."""
    for g in range(first, last):
        changed[g] = _changed(gradient, before, begin + g * grain, begin + min((g + 1) * grain, size) + taps)


@compiled
def filter_nodes(gradient, before, begin, taps, scale, grain, first, last, stale, out):
    """out[o, i, q] = scale * sum_k taps[q, o, k] gradient[begin + i + k] in stale grains first to last - 1, two orders at once.

    Stale are the grains in whose windows the gradient is not that of ``before``; without one (size 0) ``stale`` says which.
    ``out`` has one sample more than the domain: its end.
    """
    cells, _, width = taps.shape
    size = out.shape[1] - 1
    for g in range(first, last):
        if before.size > 0:
            stale[g] = _changed(gradient, before, begin + g * grain, begin + min((g + 1) * grain, size) + width)
        if not stale[g]:
            continue
        i = g * grain
        end = min(i + grain, size + 1)
        while i + 3 < end:
            _four_nodes(gradient[begin + i : begin + i + 3 + width], taps, scale, i, out)
            i += 4
        while i < end:
            part = gradient[begin + i : begin + i + width]
            for q in range(cells):
                out[0, i, q] = scale * dot(taps[q, 0], part)
                out[1, i, q] = scale * dot(taps[q, 1], part)
            i += 1


@inlined
def _or_infinite(number):
    """The number, infinity for a NaN: what cannot be told is unclear."""
    return number if number < np.inf else np.inf


@inlined
def _local_norms(gradient, begin, taps, scale, epsilon, sums, out):
    """out[i] = scale * L2 norm of gradient[begin + i : begin + i + taps], rounded up; ``sums`` (out.size + taps + 1,) is work."""
    count = out.size
    total = 0.0
    for n in range(count + taps):
        sums[n] = total
        total += gradient[begin + n] ** 2
    allowance = 4 * epsilon * (count + taps) * total
    for i in range(count):
        square = max(sums[i + taps] - sums[i], 0.0)
        out[i] = scale * np.sqrt(square + allowance) * (1 + 1e-12)


@compiled
def screen(
    gradient, begin, taps, scale, epsilon, value, slope, right_value, right_slope, edges, fourth, value_jump, slope_jump,
    rounding, nodes_rounding, signed, whole_norm, grain, stale, first, last, local_norm, bound, exact, seen, highest,
):  # fmt: skip
    """Upper bound of eta (of |eta| when signed) on every cell of stale grains from the cubic Hermite interpolant of its two ends.

    |eta - Hermite cubic| <= h^4 / 384 sup|eta''''|, and sup|eta''''| <= fourth * local norm of the gradient: ``local_norm``
    (samples,), scale * the norm of gradient[begin + i : begin + i + taps] in sample i, ``whole_norm`` where that is not 0.
    ``value`` and ``slope`` (cells + 1,) are eta at nodes, rounded by at most ``nodes_rounding``; ``right_*`` (cells,) at the
    right end of each cell; jumps cover the case where those are the next cell's. ``exact`` (cells,) becomes False, seen[g] the
    largest value at a node of grain g, highest[g] its largest bound.
    """
    p = edges.size - 1
    sums = np.empty(grain + taps + 1)
    for g in range(first, last):
        if not stale[g]:
            continue
        start = g * grain
        end = min(start + grain, local_norm.size)
        if whole_norm > 0.0:
            local_norm[start:end] = whole_norm
        else:
            _local_norms(gradient, begin + start, taps, scale, epsilon, sums, local_norm[start:end])
        largest = 0.0
        top_of_grain = -np.inf
        for i in range(start, end):
            for q in range(p):
                j = i * p + q
                h = edges[q + 1] - edges[q]
                following = q + 1 if q + 1 < p else 0
                remainder = h**4 / 384 * fourth[q] + value_jump[following] + h / 3 * slope_jump[following] + rounding
                a = value[j]
                b = value[j] + slope[j] * h / 3
                c = right_value[j] - right_slope[j] * h / 3
                d = right_value[j]
                top = max(max(a, b), max(c, d))
                here = max(a, d)
                if signed:
                    top = max(top, -min(min(a, b), min(c, d)))
                    here = max(here, -min(a, d))
                largest = max(largest, here)
                bound[j] = top + remainder * local_norm[i] + nodes_rounding
                exact[j] = False
                top_of_grain = max(top_of_grain, _or_infinite(bound[j]))
        seen[g] = largest
        highest[g] = top_of_grain


@inlined
def _cell_polynomial(gradient, start, period, table, cell, scale, powers):
    """Coefficients in v of scale * <gradient, phi_x> on one cell; on a torus tap k reads sample (start + k) modulo the period."""
    terms, taps = table.shape[2], table.shape[3]
    turn = start % period if period > 0 else 0
    for power in range(terms):
        row = table[0, cell, power]
        if period > 0:
            total = dot(row[: taps - turn], gradient[turn:taps]) + dot(row[taps - turn :], gradient[:turn])
        else:
            total = dot(row, gradient[start : start + taps])
        powers[power] = scale * total


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
def _sup_on_cell(powers, to_bernstein, target, slack, signed, bernstein, stack, levels):
    """Upper bound of a polynomial (of its modulus when signed) with coefficients ``powers`` on its cell, the rest work space."""
    top = -np.inf
    sign = 1.0
    for _ in range(2 if signed else 1):
        for a in range(powers.size):
            bernstein[a] = sign * dot(to_bernstein[a], powers)
        top = max(top, _sup_of_polynomial(bernstein, target, slack, stack, levels))
        sign = -1.0
    return top


@compiled
def search(
    first, last, target, slack, level, gradient, begin, period, table, edges, to_bernstein, scale, rounding, local_norm, signed,
    value, slope, right_value, right_slope, grain, bound, exact, highest, place, eta,
):  # fmt: skip
    """Decide the cells of grains first to last - 1 left unclear by the screen, and find local maxima above ``level``.

    Where ``bound`` exceeds ``target`` it becomes that of the exact polynomial, and ``exact`` True; ``highest`` (grains,) is the
    largest bound of each grain. Maxima are searched where the slopes at a cell's ends point inwards, and in exact cells whatever
    their slopes: those are higher inside than at any node, or may be. Returns the largest bound and the number of maxima, whose
    places (samples from the first cell) and values begin ``place`` and ``eta``, both as long as the grains have cells.
    """
    p, terms = table.shape[1], table.shape[2]
    powers = np.empty(terms)
    bernstein = np.empty(terms)
    stack = np.empty((DEPTH + 2, terms))
    levels = np.empty(DEPTH + 2, np.int64)
    clear = min(target + slack, level)
    largest = -np.inf
    found = 0
    for g in range(first, last):
        if highest[g] <= clear:
            largest = max(largest, highest[g])
            continue
        top_of_grain = -np.inf
        for j in range(g * grain * p, min((g + 1) * grain * p, bound.size)):
            i = j // p
            q = j - i * p
            unclear = not bound[j] <= target + slack  # a NaN is unclear too
            sign = -1.0 if signed and value[j] + right_value[j] < 0.0 else 1.0
            inwards = exact[j] or (slope[j] * sign > 0.0 and right_slope[j] * sign < 0.0)
            if unclear or (inwards and bound[j] > level):
                _cell_polynomial(gradient, begin + i, period, table, q, scale, powers)
            if unclear:
                top = _sup_on_cell(powers, to_bernstein, target, slack, signed, bernstein, stack, levels)
                bound[j] = top + rounding * local_norm[i]
                exact[j] = True
            top_of_grain = max(top_of_grain, _or_infinite(bound[j]))
            if (unclear or inwards) and bound[j] > level:
                v, top = _highest(powers, sign)
                if top * sign > level:
                    place[found] = i + edges[q] + 0.5 * (edges[q + 1] - edges[q]) * (v + 1)
                    eta[found] = top
                    found += 1
        highest[g] = top_of_grain
        largest = max(largest, top_of_grain)
    return largest, found


@inlined
def _highest(powers, sign):
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
