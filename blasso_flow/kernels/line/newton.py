"""Newton steps on a window of spikes: weights, positions and the baseline together.

Arrays as in `kernels.line.responses` and, for responses that end in exponentials, `kernels.line.tails`. What there is not, kinks,
a period, a tail or a finite response, is None: what it alone needs is then not compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from blasso_flow.kernels import compiled_and_inlined
from blasso_flow.kernels.line.responses import whitened_rows
from blasso_flow.kernels.line.steps import curve, leave_kinks, merge
from blasso_flow.kernels.line.tail_systems import assemble, factor, first_overlaps, solve
from blasso_flow.kernels.line.tails import add_tails, backward, heads, inner, powers, tail_products
from blasso_flow.kernels.shared.steps import (
    MERGE,
    TRIALS,
    TRUSTED,
    add_bend,
    at_kink,
    bends,
    more_damping,
    outward,
    sort,
    stopped_at_kink,
    with_baseline,
)
from blasso_flow.kernels.shared.systems import bandwidth, cholesky_solve, gram, substitute
from blasso_flow.kernels.shared.vectors import add, dot, mass


@compiled_and_inlined
def relax(
    x, w, baseline, residual, root, columns, finite, tail, offset, period, low, high, strength, width, norm, kinks, iterations,
    tolerance,
):  # fmt: skip
    """Newton on one window: weights and positions of ``count`` particles and the baseline's coefficients, all together.

    ``x``, ``w`` (K,) sorted by position, ``baseline`` (B,), ``residual`` (L,) are updated in place. ``root`` (L,) and
    the whitened baseline ``columns`` (B, L) cover the same samples as ``residual``, and ``offset`` counts from their first.
    The filter is ``finite``, (table, edges), or has a ``tail``, (table, edges, rates and amplitudes (2, E), its first tap), and
    the other one is None; with a tail ``residual`` reaches at least that many taps beyond the last spike's first. Positions stay
    in [low, high] and stop at ``kinks``, the fractions of a sample where the filter's slope jumps. A weight that would cross zero
    is dropped (the prox of the penalty). Steps are accepted only if the objective falls. They follow the model to second order:
    close spikes that trade weight for position move in narrow curved valleys, where straight steps stay short (Transtrum &
    Sethna 2012, "geodesic acceleration").

    Returns (count left, iterations, KKT residual).
    """
    count = x.size
    length = residual.size
    borders = columns.shape[0]
    if finite is not None:
        table, edges = finite
        taps = table.shape[3]
        nothing: Any = None
        ends = ends2 = end = inject = power = back = nothing
    if tail is not None:
        table, edges, rates, taps = tail
        terms = rates.shape[1]
        power = powers(rates, length)
        products = tail_products(root, length, power)
        ends = np.empty((count, 3, terms))
        ends2 = np.empty((count, 3, terms))
        end = np.empty((1, 2, terms))
        near = np.empty(count, np.int64)
        inject = np.empty((terms, length + 1))
        left = np.empty((2 * count, terms))
        right = np.empty((2 * count, terms))
        lower = np.empty((2 * count, terms))
        lost = np.zeros(0, np.bool_)
        back = np.empty((2 + borders, terms, length + 1))  # of the residual, of the baseline's columns, of a curve
        for a in range(borders):
            backward(columns[a], root, power, back[1 + a])
    rows = np.empty((count, 3, taps))
    rows2 = np.empty((count, 3, taps))
    pair = np.empty((1, 2, taps))
    single = np.empty(taps)
    begin = np.empty(count, np.int64)
    begin2 = np.empty(count, np.int64)
    beside = np.empty(1, np.int64)
    c = np.empty((3, count))
    fixed = np.zeros(count, np.bool_)
    x2 = np.empty(count)
    w2 = np.empty(count)
    step = np.empty(borders)
    bend = np.empty(2 * count)
    bend_step = np.empty(borders)
    r2 = np.empty(length)
    scale = np.empty(2 * count)
    coupling = np.empty((borders, 2 * count))
    small = np.empty((borders, borders))
    square = np.empty((borders, borders))
    for a in range(borders):
        for b in range(a + 1):
            square[a, b] = dot(columns[a], columns[b])
            square[b, a] = square[a, b]
        if square[a, a] == 0.0:  # a column without samples keeps its coefficient
            square[a, a] = 1.0
    gradient = np.empty(borders)
    damping = 1e-12
    kkt = 0.0
    used = 0
    known = False  # whether rows are those of x
    while count > 0:
        if tail is not None:
            backward(residual, root, power, back[0])
        if kinks is not None and leave_kinks(
            x[:count], w[:count], residual, finite, tail, offset, period, root, low, high, kinks, pair, end, beside, back
        ):
            known = False
        if finite is not None and not known:
            whitened_rows(x[:count], table, edges, offset, period, root, rows, begin)
        if tail is not None and not known:
            heads(x[:count], table, edges, rates, offset, root, rows, ends, begin)
        kkt = 0.0
        for i in range(count):
            if finite is not None:
                part = residual[begin[i] : begin[i] + taps]
                for order in range(3):
                    c[order, i] = dot(rows[i, order], part)
            if tail is not None:
                for order in range(3):
                    c[order, i] = inner(rows[i, order], ends[i, order], begin[i], back[0], residual)
            sign = 1.0 if w[i] > 0 else -1.0
            fixed[i] = period is None and outward(x[i], c[1, i], w[i], low, high)
            if kinks is not None and low < x[i] < high and at_kink(x[i], kinks):
                fixed[i] = True
            worst = abs(c[0, i] + strength * sign)
            scale[2 * i] = 1.0
            scale[2 * i + 1] = 0.0 if fixed[i] else w[i]
            if not fixed[i]:
                worst = max(worst, abs(c[1, i]) * width)
            kkt = max(kkt, worst / strength)
        for a in range(borders):
            gradient[a] = dot(columns[a], residual)
            if square[a, a] > 0.0:
                kkt = max(kkt, abs(gradient[a]) / np.sqrt(square[a, a]) * norm / strength)
        if kkt < tolerance or used >= iterations:
            break
        used += 1
        size = 2 * count
        sides = np.empty((1 + borders, size))
        if finite is not None:
            width_of_band = bandwidth(begin, count, taps)
            gauss = np.empty((size, width_of_band + 1))
            gram(rows, begin, scale[:size], gauss)
        if tail is not None:
            gauss = np.zeros((size, first_overlaps(begin, count, taps, near)))
            assemble(rows, ends, begin, near, scale[:size], root, power, products, gauss, left, right)
        for i in range(count):
            for a in range(borders):
                if finite is not None:
                    part = columns[a, begin[i] : begin[i] + taps]
                    for order in range(2):
                        coupling[a, 2 * i + order] = scale[2 * i + order] * dot(rows[i, order], part)
                if tail is not None:
                    for order in range(2):
                        own = inner(rows[i, order], ends[i, order], begin[i], back[1 + a], columns[a])
                        coupling[a, 2 * i + order] = scale[2 * i + order] * own
        accepted = False
        for trial in range(TRIALS):
            band = gauss.copy()
            for i in range(count):
                j = 2 * i + 1
                if tail is None:  # where the entries of a spike are: columns of its diagonal, and the mixed one
                    own_w, own_x, mixed, mixed_row = 0, 0, 1, 2 * i
                else:
                    own_w = 2 * (i - near[i])
                    own_x, mixed, mixed_row = own_w + 1, own_w, j
                band[2 * i, own_w] = band[2 * i, own_w] * (1 + damping) + 1e-14 * norm * norm
                if fixed[i]:
                    band[j, own_x] = 1.0
                else:
                    curvature = w[i] * c[2, i]
                    if trial == 0:
                        band[mixed_row, mixed] += c[1, i]
                    else:
                        curvature = max(curvature, 0.0)
                    if tail is not None:
                        extra = curvature + damping * strength * abs(w[i]) / width**2 + 1e-300
                        band[j, own_x] = band[j, own_x] * (1 + damping) + extra
                    if finite is not None:
                        damped = band[j, own_x] * (1 + damping)
                        band[j, own_x] = damped + curvature + damping * strength * abs(w[i]) / width**2 + 1e-300
                sign = 1.0 if w[i] > 0 else -1.0
                sides[0, 2 * i] = -(c[0, i] + strength * sign)
                sides[0, j] = -(scale[j] * c[1, i])
                for a in range(borders):
                    sides[1 + a, 2 * i] = coupling[a, 2 * i]
                    sides[1 + a, j] = coupling[a, j]
            if finite is not None:
                least = cholesky_solve(band, size, width_of_band, sides)
            if tail is not None:
                least = factor(band, begin, near, count, taps, power, left, right, lower, lost)
                for a in range(1 + borders if least > 0.0 else 0):
                    solve(band, begin, near, count, taps, power, right, lower, sides[a])
            solved = least > 0.0
            if solved and borders > 0:
                solved = with_baseline(sides, size, coupling, gradient, square, damping, small, step)
            if solved and bends(sides[0, 1::2], width):
                curve(rows, ends, begin[:count], w, sides[0], root, power, inject, back, r2)
                for i in range(count):
                    if finite is not None:
                        part = r2[begin[i] : begin[i] + taps]
                        for order in range(2):
                            bend[2 * i + order] = -scale[2 * i + order] * dot(rows[i, order], part)
                    if tail is not None:
                        for order in range(2):
                            own = inner(rows[i, order], ends[i, order], begin[i], back[1 + borders], r2)
                            bend[2 * i + order] = -scale[2 * i + order] * own
                if finite is not None:
                    substitute(band, size, width_of_band, bend[:size])
                if tail is not None:
                    solve(band, begin, near, count, taps, power, right, lower, bend[:size])
                add_bend(bend[:size], r2, w, width, columns, coupling, sides, small, step, bend_step)
            if solved:
                change = 0.0
                foreseen = 0.0
                for n in range(length):
                    r2[n] = residual[n]
                if tail is not None:
                    inject[:] = 0.0
                for a in range(borders):
                    add(step[a], columns[a], r2)
                    foreseen += 0.5 * gradient[a] * step[a]
                for i in range(count):
                    sign = 1.0 if w[i] > 0 else -1.0
                    foreseen += 0.5 * (c[0, i] + strength * sign) * sides[0, 2 * i] + 0.5 * w[i] * c[1, i] * sides[0, 2 * i + 1]
                    w2[i] = w[i] + sides[0, 2 * i]
                    shift = min(max(sides[0, 2 * i + 1], -0.5 * width), 0.5 * width)
                    x2[i] = x[i] + shift if kinks is None else stopped_at_kink(x[i], x[i] + shift, kinks)
                    if period is not None:
                        x2[i] -= period * np.floor(x2[i] / period)
                        if x2[i] >= period:
                            x2[i] = 0.0
                    else:
                        x2[i] = min(max(x2[i], low), high)
                    if w2[i] * w[i] <= 0:
                        w2[i] = 0.0
                    add(-w[i], rows[i, 0], r2[begin[i] : begin[i] + taps])
                    if w2[i] != 0.0:
                        own = slice(i, i + 1)
                        if finite is not None:
                            whitened_rows(x2[own], table, edges, offset, period, root, rows2[own], begin2[own])
                        if tail is not None:
                            heads(x2[own], table, edges, rates, offset, root, rows2[own], ends2[own], begin2[own])
                        add(w2[i], rows2[i, 0], r2[begin2[i] : begin2[i] + taps])
                    if tail is not None:
                        for e in range(terms):
                            inject[e, begin[i] + taps] -= w[i] * ends[i, 0, e]
                            if w2[i] != 0.0:
                                inject[e, begin2[i] + taps] += w2[i] * ends2[i, 0, e]
                    change += strength * (abs(w2[i]) - abs(w[i]))
                if tail is not None:
                    add_tails(inject, root, power, r2)
                for n in range(length):
                    change += 0.5 * (r2[n] - residual[n]) * (r2[n] + residual[n])
                if change <= 1e-14 * strength * mass(w[:count]):
                    accepted = True
                    break
            if trial > 0 or least > 0.0:
                damping = more_damping(damping, least)
        if not accepted:
            break
        if trial == 0 or change < TRUSTED * foreseen:
            damping = max(damping * 0.1, 1e-15)
        for n in range(length):
            residual[n] = r2[n]
        for a in range(borders):
            baseline[a] += step[a]
        before = count
        count = 0
        ordered = True
        for i in range(before):
            if w2[i] != 0.0:
                x[count] = x2[i]
                w[count] = w2[i]
                ordered = ordered and (count == 0 or x[count - 1] <= x[count])
                count += 1
        sort(x[:count], w[:count])
        count = merge(
            x[:count], w[:count], residual, root, finite, tail, offset, period, single, strength, MERGE * width, power, pair,
            end, beside,
        )  # fmt: skip
        known = tail is None and ordered and count == before
        if known:
            rows, rows2 = rows2, rows
            ends, ends2 = ends2, ends
            begin, begin2 = begin2, begin
    return count, used, kkt
