"""Kernels on cells: the certificate at nodes, its screen between nodes, its exact bound on a cell, and its local maxima.

Cell j = i * p + q covers positions [low + i + edges[q], low + i + edges[q + 1]]; node j is its left edge. ``gradient`` (M,)
is the padded gradient of the loss, ``begin`` the padded index of tap 0 at the first cell. On one cell the certificate
eta(x) = -<gradient, phi_x> / strength is exactly a polynomial, whose Bernstein coefficients bound it (Farouki 2012).
A grain is a run of samples of the domain that is evaluated anew, or kept, as a whole.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined
from blasso_flow.kernels.line.polynomials import DEPTH, highest_maximum, sup_on_cell
from blasso_flow.kernels.shared.vectors import dot


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
                top = sup_on_cell(powers, to_bernstein, target, slack, signed, bernstein, stack, levels)
                bound[j] = top + rounding * local_norm[i]
                exact[j] = True
            top_of_grain = max(top_of_grain, _or_infinite(bound[j]))
            if (unclear or inwards) and bound[j] > level:
                v, top = highest_maximum(powers, sign)
                if top * sign > level:
                    place[found] = i + edges[q] + 0.5 * (edges[q + 1] - edges[q]) * (v + 1)
                    eta[found] = top
                    found += 1
        highest[g] = top_of_grain
        largest = max(largest, top_of_grain)
    return largest, found
