"""Newton steps on windows of spikes, for filters with a finite response: weights, positions and the baseline together.

Arrays as in `kernels.line.responses`. Filters without kinks have None for them: what these alone need is then not compiled.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, compiled_and_inlined, inlined
from blasso_flow.kernels.line.responses import fill, whitened_rows
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
from blasso_flow.kernels.shared.systems import bandwidth, cholesky_solve, gram, substitute
from blasso_flow.kernels.shared.vectors import add, dot, mass


@inlined
def _leave_kinks(x, w, count, residual, table, edges, offset, period, root, low, high, kinks, row, begin):
    """Put particles on kinks to the side where the loss falls, unless both one-sided slopes hold them; True if any moved."""
    slopes = np.empty(2)
    taps = table.shape[3]
    left = False
    for i in range(count):
        if low < x[i] < high and at_kink(x[i], kinks):
            place = x[i]
            for side in range(2):
                x[i] = place + (2 * side - 1) * BESIDE
                whitened_rows(x[i : i + 1], table, edges, offset, period, root, row, begin)
                slopes[side] = w[i] * dot(row[0, 1], residual[begin[0] : begin[0] + taps])
            if slopes[0] <= 0.0 <= slopes[1]:
                x[i] = place
            else:
                x[i] = place + BESIDE if -slopes[1] > slopes[0] else place - BESIDE
                left = True
    if left:
        sort(x[:count], w[:count])
    return left


@inlined
def _merge(x, w, residual, root, table, edges, offset, period, row, strength, reach):
    """Merge same-sign neighbours closer than ``reach`` where the objective does not rise; returns the new count."""
    taps = table.shape[3]
    step = np.empty(3 * taps)
    kept = 0
    for i in range(1, x.size):
        merged = False
        if x[i] - x[kept] < reach and w[i] * w[kept] > 0.0:
            total = w[i] + w[kept]
            middle = min(x[kept] + (x[i] - x[kept]) * (w[i] / total), x[i])  # between them, rounding included
            begin = 0 if period is not None else int(np.floor(x[kept])) + offset
            length = taps if period is not None else min(int(x[i] - x[kept]) + 2 + taps, residual.size - begin)
            step[:length] = 0.0
            for place, weight in ((x[kept], -w[kept]), (x[i], -w[i]), (middle, total)):
                shift = fill(place, table, edges, offset, period, row) - begin
                add(weight, row, step[shift : shift + taps])
            part = residual[begin : begin + length]
            weights = root[begin : begin + length]
            for n in range(length):
                step[n] *= weights[n]
            change = 0.0  # summed apart: a loop that stores too is reordered or not depending on where the arrays lie
            for n in range(length):
                change += step[n] * (part[n] + 0.5 * step[n])
            if change <= 1e-14 * strength * abs(total):
                add(1.0, step[:length], part)
                x[kept] = middle
                w[kept] = total
                merged = True
        if not merged:
            kept += 1
            x[kept] = x[i]
            w[kept] = w[i]
    return kept + 1 if x.size > 0 else 0


@inlined
def _curve(rows, begin, w, move, out):
    """Half the model's second derivative along a ``move`` of weights and positions (2 K,), into out (L,)."""
    taps = rows.shape[2]
    out[:] = 0.0
    for i in range(begin.size):
        turn = move[2 * i] * move[2 * i + 1]
        curve = 0.5 * w[i] * move[2 * i + 1] ** 2
        part = out[begin[i] : begin[i] + taps]
        for k in range(taps):
            part[k] += turn * rows[i, 1, k] + curve * rows[i, 2, k]


@compiled_and_inlined
def relax(
    x, w, baseline, residual, root, columns, table, edges, offset, period, low, high, strength, width, norm, kinks,
    iterations, tolerance,
):  # fmt: skip
    """Newton on one window: weights and positions of ``count`` particles and the baseline's coefficients, all together.

    ``x``, ``w`` (K,) sorted by position, ``baseline`` (B,), ``residual`` (L,) are updated in place. ``root`` (L,) and
    the whitened baseline ``columns`` (B, L) cover the same samples as ``residual``, and ``offset`` counts from their first.
    Positions stay in [low, high] and stop at ``kinks``, the fractions of a sample where the filter's slope jumps. A weight
    that would cross zero is dropped (the prox of the penalty). Steps are accepted only if the objective falls. They follow
    the model to second order: close spikes that trade weight for position move in narrow curved valleys, where straight steps
    stay short (Transtrum & Sethna 2012, "geodesic acceleration").

    Returns (count left, iterations, KKT residual).
    """
    count = x.size
    taps = table.shape[3]
    length = residual.size
    borders = columns.shape[0]
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
        if kinks is not None and _leave_kinks(
            x, w, count, residual, table, edges, offset, period, root, low, high, kinks, pair, beside
        ):
            known = False
        if not known:
            whitened_rows(x[:count], table, edges, offset, period, root, rows, begin)
        kkt = 0.0
        for i in range(count):
            part = residual[begin[i] : begin[i] + taps]
            for order in range(3):
                c[order, i] = dot(rows[i, order], part)
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
        width_of_band = bandwidth(begin, count, taps)
        gauss = np.empty((size, width_of_band + 1))
        sides = np.empty((1 + borders, size))
        gram(rows, begin, scale[:size], gauss)
        for i in range(count):
            for a in range(borders):
                part = columns[a, begin[i] : begin[i] + taps]
                for order in range(2):
                    coupling[a, 2 * i + order] = scale[2 * i + order] * dot(rows[i, order], part)
        accepted = False
        for trial in range(TRIALS):
            band = gauss.copy()
            for i in range(count):
                band[2 * i, 0] = band[2 * i, 0] * (1 + damping) + 1e-14 * norm * norm
                j = 2 * i + 1
                if fixed[i]:
                    band[j, 0] = 1.0
                else:
                    curvature = w[i] * c[2, i]
                    if trial == 0:
                        band[2 * i, 1] += c[1, i]
                    else:
                        curvature = max(curvature, 0.0)
                    band[j, 0] = band[j, 0] * (1 + damping) + curvature + damping * strength * abs(w[i]) / width**2 + 1e-300
                sign = 1.0 if w[i] > 0 else -1.0
                sides[0, 2 * i] = -(c[0, i] + strength * sign)
                sides[0, j] = -(scale[j] * c[1, i])
                for a in range(borders):
                    sides[1 + a, 2 * i] = coupling[a, 2 * i]
                    sides[1 + a, j] = coupling[a, j]
            least = cholesky_solve(band, size, width_of_band, sides)
            solved = least > 0.0
            if solved and borders > 0:
                solved = with_baseline(sides, size, coupling, gradient, square, damping, small, step)
            if solved and bends(sides[0, 1::2], width):
                _curve(rows, begin[:count], w, sides[0], r2)
                for i in range(count):
                    part = r2[begin[i] : begin[i] + taps]
                    for order in range(2):
                        bend[2 * i + order] = -scale[2 * i + order] * dot(rows[i, order], part)
                substitute(band, size, width_of_band, bend[:size])
                add_bend(bend[:size], r2, w, width, columns, coupling, sides, small, step, bend_step)
            if solved:
                change = 0.0
                foreseen = 0.0
                for n in range(length):
                    r2[n] = residual[n]
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
                        whitened_rows(x2[own], table, edges, offset, period, root, rows2[own], begin2[own])
                        add(w2[i], rows2[i, 0], r2[begin2[i] : begin2[i] + taps])
                    change += strength * (abs(w2[i]) - abs(w[i]))
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
        count = _merge(x[:count], w[:count], residual, root, table, edges, offset, period, single, strength, MERGE * width)
        known = ordered and count == before
        if known:
            rows, rows2 = rows2, rows
            begin, begin2 = begin2, begin
    return count, used, kkt


@compiled
def condense(x, w, residual, root, table, edges, offset, period, strength, reach, most):
    """Drop particles, then merge same-sign neighbours closer than ``reach``, wherever the objective does not rise.

    What is dropped changes the certificate by at most ``most`` a particle.
    ``x`` (samples, sorted) and ``w`` (K,) and the whitened ``residual`` (M,) are updated in place; returns the count left.
    """
    taps = table.shape[3]
    row = np.empty(taps)
    count = 0
    for i in range(x.size):
        if w[i] == 0.0:
            continue
        start = fill(x[i], table, edges, offset, period, row)
        part = residual[start : start + taps]
        weights = root[start : start + taps]
        change = -strength * abs(w[i])
        square = 0.0
        for k in range(taps):
            step = -w[i] * weights[k] * row[k]
            change += step * (part[k] + 0.5 * step)
            square += (weights[k] * row[k]) ** 2
        if change <= 0.0 and abs(w[i]) * square <= most * strength:
            for k in range(taps):
                part[k] -= w[i] * weights[k] * row[k]
        else:
            x[count] = x[i]
            w[count] = w[i]
            count += 1
    return _merge(x[:count], w[:count], residual, root, table, edges, offset, period, row, strength, reach)


@compiled
def sweep(
    position, weight, keep, residual, root, table, edges, offset, low, high, strength, width, norm, kinks, starts, ends, room,
    iterations, tolerance,
):  # fmt: skip
    """Relax windows of spikes one after the other, everything outside each frozen in the residual.

    Window b holds spikes starts[b] to ends[b] - 1, whose positions may move by ``room``. ``keep`` (K,) is set to False for
    spikes that were dropped or merged. A periodic record has no windows. Returns the number of Newton steps times spikes.
    """
    taps = table.shape[3]
    baseline = np.empty(0)
    work = 0
    for b in range(starts.size):
        a = starts[b]
        e = ends[b]
        lowest = max(low, position[a] - room)
        highest = min(high, position[e - 1] + room)
        first = int(np.floor(lowest)) + offset
        last = int(np.floor(highest)) + offset + taps
        part = residual[first:last]
        columns = np.empty((0, part.size))
        x = position[a:e].copy()
        w = weight[a:e].copy()
        count, used, _ = relax(
            x, w, baseline, part, root[first:last], columns, table, edges, offset - first, None, lowest, highest, strength,
            width, norm, kinks, iterations, tolerance,
        )  # fmt: skip
        for i in range(count):
            position[a + i] = x[i]
            weight[a + i] = w[i]
        for i in range(a + count, e):
            keep[i] = False
        work += used * (e - a)
    return work
