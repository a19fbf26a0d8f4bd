"""Newton steps on all spikes of a stretch, for filters that end in exponentials. Arrays as in `kernels.line.tails`."""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined
from blasso_flow.kernels.line.tail_systems import assemble, factor, first_overlaps, solve
from blasso_flow.kernels.line.tails import backward, heads, inner, powers, tail_products
from blasso_flow.kernels.shared.steps import (
    BESIDE,
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
from blasso_flow.kernels.shared.vectors import add, dot, mass


@inlined
def _add_tails(inject, root, power, target):
    """Add root times the tails that start with amplitudes ``inject`` (E, L + 1) to ``target`` (L,)."""
    for e in range(inject.shape[0]):
        decay = power[e, 1]
        total = 0.0
        for n in range(target.size):
            total = total * decay + inject[e, n]
            target[n] += root[n] * total


@inlined
def _leave_kinks(x, w, count, residual, back, table, edges, tail, offset, root, low, high, kinks, row, end, begin):
    """Put particles on kinks to the side where the loss falls, unless both one-sided slopes hold them; True if any moved."""
    slopes = np.empty(2)
    left = False
    for i in range(count):
        if low < x[i] < high and at_kink(x[i], kinks):
            place = x[i]
            for side in range(2):
                x[i] = place + (2 * side - 1) * BESIDE
                heads(x[i : i + 1], table, edges, tail, offset, root, row, end, begin)
                slopes[side] = w[i] * inner(row[0, 1], end[0, 1], begin[0], back, residual)
            if slopes[0] <= 0.0 <= slopes[1]:
                x[i] = place
            else:
                x[i] = place + BESIDE if -slopes[1] > slopes[0] else place - BESIDE
                left = True
    if left:
        sort(x[:count], w[:count])
    return left


@inlined
def _merge(x, w, residual, table, edges, tail, offset, root, power, strength, width, row, end, begin):
    """Merge same-sign neighbours closer than MERGE widths where the objective does not rise; returns the new count."""
    head = row.shape[2]
    step = np.empty(residual.size)
    kept = 0
    for i in range(1, x.size):
        merged = False
        if x[i] - x[kept] < MERGE * width and w[i] * w[kept] > 0.0:
            total = w[i] + w[kept]
            middle = min(x[kept] + (x[i] - x[kept]) * (w[i] / total), x[i])  # between them, rounding included
            step[:] = 0.0
            nearest = residual.size
            place = np.empty(1)
            for p in range(3):
                place[0] = x[kept] if p == 0 else (x[i] if p == 1 else middle)
                weight = -w[kept] if p == 0 else (-w[i] if p == 1 else total)
                heads(place, table, edges, tail, offset, root, row, end, begin)
                nearest = min(nearest, begin[0])
                for k in range(head):
                    step[begin[0] + k] += weight * row[0, 0, k]
                for e in range(power.shape[0]):
                    amplitude = weight * end[0, 0, e]
                    for n in range(begin[0] + head, residual.size):
                        step[n] += amplitude * root[n]
                        amplitude *= power[e, 1]
            change = 0.0
            for n in range(nearest, residual.size):
                change += step[n] * (residual[n] + 0.5 * step[n])
            if change <= 1e-14 * strength * abs(total):
                for n in range(nearest, residual.size):
                    residual[n] += step[n]
                x[kept] = middle
                w[kept] = total
                merged = True
        if not merged:
            kept += 1
            x[kept] = x[i]
            w[kept] = w[i]
    return kept + 1 if x.size > 0 else 0


@inlined
def _curve(rows, ends, begin, w, move, inject, out):
    """Half the model's second derivative along a ``move`` of weights and positions (2 K,): heads into out (L,), tails left in
    ``inject``."""
    tail_tap = rows.shape[2]
    out[:] = 0.0
    inject[:] = 0.0
    for i in range(begin.size):
        turn = move[2 * i] * move[2 * i + 1]
        curve = 0.5 * w[i] * move[2 * i + 1] ** 2
        for k in range(tail_tap):
            out[begin[i] + k] += turn * rows[i, 1, k] + curve * rows[i, 2, k]
        for e in range(inject.shape[0]):
            inject[e, begin[i] + tail_tap] += turn * ends[i, 1, e] + curve * ends[i, 2, e]


@compiled
def relax(
    x, w, baseline, residual, root, columns, table, edges, tail, tail_tap, offset, low, high, strength, width, norm,
    kinks, iterations, tolerance,
):  # fmt: skip
    """Newton on the weights and positions of all spikes of a stretch and the baseline's coefficients together.

    The same steps and the same contract as `kernels.line.spikes.relax`, for filters with a tail of exponentials. The stretch
    ``residual`` (L,) reaches at least ``tail_tap`` samples beyond the last spike's first tap.

    Returns (count left, iterations, KKT residual).
    """
    count = x.size
    length = residual.size
    terms = tail.shape[1]
    borders = columns.shape[0]
    power = powers(tail, length)
    products = tail_products(root, length, power)
    rows = np.empty((count, 3, tail_tap))
    ends = np.empty((count, 3, terms))
    begin = np.empty(count, np.int64)
    row = np.empty((1, 2, tail_tap))
    end = np.empty((1, 2, terms))
    begin2 = np.empty(1, np.int64)
    near = np.empty(count, np.int64)
    back = np.empty((terms, length + 1))
    c = np.empty((3, count))
    fixed = np.zeros(count, np.bool_)
    x2 = np.empty(count)
    w2 = np.empty(count)
    r2 = np.empty(length)
    inject = np.empty((terms, length + 1))
    left = np.empty((2 * count, terms))
    right = np.empty((2 * count, terms))
    lower = np.empty((2 * count, terms))
    lost = np.zeros(0, np.bool_)
    scale = np.empty(2 * count)
    coupling = np.empty((borders, 2 * count))
    step = np.empty(borders)
    bend = np.empty(2 * count)
    bend_step = np.empty(borders)
    bent_back = np.empty((terms, length + 1))
    gradient = np.empty(borders)
    small = np.empty((borders, borders))
    square = np.empty((borders, borders))
    column_back = np.empty((borders, terms, length + 1))
    for a in range(borders):
        backward(columns[a], root, power, column_back[a])
        for b in range(a + 1):
            square[a, b] = dot(columns[a], columns[b])
            square[b, a] = square[a, b]
        if square[a, a] == 0.0:  # a column without samples keeps its coefficient
            square[a, a] = 1.0
    damping = 1e-12
    kkt = 0.0
    used = 0
    while count > 0:
        backward(residual, root, power, back)
        if kinks is not None:
            _leave_kinks(x, w, count, residual, back, table, edges, tail, offset, root, low, high, kinks, row, end, begin2)
        heads(x[:count], table, edges, tail, offset, root, rows, ends, begin)
        kkt = 0.0
        for i in range(count):
            for order in range(3):
                c[order, i] = inner(rows[i, order], ends[i, order], begin[i], back, residual)
            sign = 1.0 if w[i] > 0 else -1.0
            fixed[i] = outward(x[i], c[1, i], w[i], low, high)
            if kinks is not None and low < x[i] < high and at_kink(x[i], kinks):
                fixed[i] = True
            scale[2 * i] = 1.0
            scale[2 * i + 1] = 0.0 if fixed[i] else w[i]
            worst = abs(c[0, i] + strength * sign)
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
        gauss = np.zeros((size, first_overlaps(begin, count, tail_tap, near)))
        sides = np.empty((1 + borders, size))
        assemble(rows, ends, begin, near, scale[:size], root, power, products, gauss, left, right)
        for a in range(borders):
            for j in range(size):
                i = j // 2
                own = inner(rows[i, j % 2], ends[i, j % 2], begin[i], column_back[a], columns[a])
                coupling[a, j] = scale[j] * own
        accepted = False
        for trial in range(TRIALS):
            band = gauss.copy()
            for i in range(count):
                j = 2 * i
                own = j - 2 * near[i]
                band[j, own] = band[j, own] * (1 + damping) + 1e-14 * norm * norm
                if fixed[i]:
                    band[j + 1, own + 1] = 1.0
                else:
                    curvature = w[i] * c[2, i]
                    if trial == 0:
                        band[j + 1, own] += c[1, i]
                    else:
                        curvature = max(curvature, 0.0)
                    extra = curvature + damping * strength * abs(w[i]) / width**2 + 1e-300
                    band[j + 1, own + 1] = band[j + 1, own + 1] * (1 + damping) + extra
                sign = 1.0 if w[i] > 0 else -1.0
                sides[0, j] = -(c[0, i] + strength * sign)
                sides[0, j + 1] = -(scale[j + 1] * c[1, i])
                for a in range(borders):
                    sides[1 + a, j] = coupling[a, j]
                    sides[1 + a, j + 1] = coupling[a, j + 1]
            least = factor(band, begin, near, count, tail_tap, power, left, right, lower, lost)
            solved = least > 0.0
            if solved:
                for a in range(1 + borders):
                    solve(band, begin, near, count, tail_tap, power, right, lower, sides[a])
            if solved and borders > 0:
                solved = with_baseline(sides, size, coupling, gradient, square, damping, small, step)
            if solved and bends(sides[0, 1::2], width):
                _curve(rows, ends, begin[:count], w, sides[0], inject, r2)
                _add_tails(inject, root, power, r2)
                backward(r2, root, power, bent_back)
                for j in range(size):
                    i = j // 2
                    bend[j] = -scale[j] * inner(rows[i, j % 2], ends[i, j % 2], begin[i], bent_back, r2)
                solve(band, begin, near, count, tail_tap, power, right, lower, bend)
                add_bend(bend[:size], r2, w, width, columns, coupling, sides, small, step, bend_step)
            if solved:
                change = 0.0
                foreseen = 0.0
                for n in range(length):
                    r2[n] = residual[n]
                inject[:] = 0.0
                for a in range(borders):
                    foreseen += 0.5 * gradient[a] * step[a]
                    add(step[a], columns[a], r2)
                for i in range(count):
                    sign = 1.0 if w[i] > 0 else -1.0
                    foreseen += 0.5 * (c[0, i] + strength * sign) * sides[0, 2 * i] + 0.5 * w[i] * c[1, i] * sides[0, 2 * i + 1]
                    w2[i] = w[i] + sides[0, 2 * i]
                    shift = min(max(sides[0, 2 * i + 1], -0.5 * width), 0.5 * width)
                    x2[i] = x[i] + shift if kinks is None else stopped_at_kink(x[i], x[i] + shift, kinks)
                    x2[i] = min(max(x2[i], low), high)
                    if w2[i] * w[i] <= 0:
                        w2[i] = 0.0
                    add(-w[i], rows[i, 0], r2[begin[i] : begin[i] + tail_tap])
                    for e in range(terms):
                        inject[e, begin[i] + tail_tap] -= w[i] * ends[i, 0, e]
                    if w2[i] != 0.0:
                        heads(x2[i : i + 1], table, edges, tail, offset, root, row, end, begin2)
                        add(w2[i], row[0, 0], r2[begin2[0] : begin2[0] + tail_tap])
                        for e in range(terms):
                            inject[e, begin2[0] + tail_tap] += w2[i] * end[0, 0, e]
                    change += strength * (abs(w2[i]) - abs(w[i]))
                _add_tails(inject, root, power, r2)
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
        for i in range(before):
            if w2[i] != 0.0:
                x[count] = x2[i]
                w[count] = w2[i]
                count += 1
        sort(x[:count], w[:count])
        count = _merge(x[:count], w[:count], residual, table, edges, tail, offset, root, power, strength, width, row, end, begin2)
    return count, used, kkt
