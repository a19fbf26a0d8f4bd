"""Kernels on spikes: responses from the table, residuals, inner products, and Newton on windows of spikes.

Arrays: ``table`` (3+, p, degree + 1, W) polynomials of response, slope and curvature; ``edges`` (p + 1,) cell edges;
``offset`` padded index of tap 0 for a particle in [0, 1); ``root`` (M,) square roots of the sample weights on the padded
record; ``residual`` (M,) = root * (model - values). On a periodic record M = ``period`` and every window is the whole record.
Other records have the period None, and filters without kinks None for them: what these alone need is then not compiled.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined

DEGREE = 9  # of the table's polynomials
TRIALS = 15
TRUSTED = 0.75  # of the change that the quadratic model foresees: from there on, less damping
BESIDE = 1e-9  # samples: how far beside a kink its one-sided slopes are taken
MERGE = 1e-2  # widths
STRAIGHT = 1e-3  # widths: shorter steps need no second order
FAR = 2.0  # widths: longer ones have no use for it
MOST_BENT = 0.75  # of the first order


@inlined
def _dot(a, b):
    """Sum of products of two rows."""
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@inlined
def _add(factor, row, target):
    """target += factor * row."""
    for k in range(row.size):
        target[k] += factor * row[k]


@inlined
def _cell(fraction, edges):
    """Cell of a fraction of a sample: its number, the local coordinate v in it, and dv / dposition."""
    cells = edges.size - 1
    cell = min(int(fraction * cells), cells - 1)
    while cell > 0 and fraction < edges[cell]:
        cell -= 1
    while cell < cells - 1 and fraction >= edges[cell + 1]:
        cell += 1
    length = edges[cell + 1] - edges[cell]
    return cell, (2 * fraction - edges[cell] - edges[cell + 1]) / length, 2 / length


@inlined
def _turned(row, turn, out):
    """out[k + turn] = row[k] on a record as long as the row, which closes on itself."""
    rest = row.size - turn
    for k in range(rest):
        out[k + turn] = row[k]
    for k in range(turn):
        out[k] = row[k + rest]


@inlined
def fill(x, table, edges, offset, period, out):
    """Response of one particle into out (W,); returns the padded index of out[0]."""
    base = int(np.floor(x))
    cell, v, _ = _cell(x - base, edges)
    c = table[0, cell]
    for k in range(out.size):
        value = c[DEGREE, k]
        for degree in range(DEGREE - 1, -1, -1):
            value = value * v + c[degree, k]
        out[k] = value
    start = base + offset
    if period is not None:  # the window is the record itself: turn the taps to where they fall
        _turned(out.copy(), start % period, out)
        start = 0
    return start


@inlined
def _responses(c, v, weights, out):
    """Polynomials with coefficients c (10, W) at v, times weights (W,), into out (1, W)."""
    for k in range(weights.size):
        value = c[DEGREE, k]
        for degree in range(DEGREE - 1, -1, -1):
            value = value * v + c[degree, k]
        out[0, k] = value * weights[k]


@inlined
def _slopes(c, v, scale, weights, out):
    """The same with the derivative by position into out (2, W); ``scale`` = dv / dposition."""
    for k in range(weights.size):
        value = c[DEGREE, k]
        slope = 0.0
        for degree in range(DEGREE - 1, -1, -1):
            slope = slope * v + value
            value = value * v + c[degree, k]
        out[0, k] = value * weights[k]
        out[1, k] = slope * (scale * weights[k])


@inlined
def _curvatures(c, v, scale, weights, out):
    """The same with two derivatives into out (3, W): the coefficients are read once."""
    twice = 2 * scale**2
    for k in range(weights.size):
        value = c[DEGREE, k]
        slope = 0.0
        curvature = 0.0
        for degree in range(DEGREE - 1, -1, -1):
            curvature = curvature * v + slope
            slope = slope * v + value
            value = value * v + c[degree, k]
        out[0, k] = value * weights[k]
        out[1, k] = slope * (scale * weights[k])
        out[2, k] = curvature * (twice * weights[k])


@inlined
def _rows(x, table, edges, offset, period, root, orders, first, out, begin):
    """Weighted responses root * d^o phi of all particles into out (count, orders, W); begin[i] counts from ``first``."""
    taps = table.shape[3]
    for i in range(x.size):
        base = int(np.floor(x[i]))
        cell, v, scale = _cell(x[i] - base, edges)
        start = base + offset
        if period is not None:
            turn = start % period
            weights = np.empty(taps)
            _turned(root, taps - turn, weights)
            start = 0
        else:
            turn = 0
            weights = root[start : start + taps]
        if orders == 1:
            _responses(table[0, cell], v, weights, out[i])
        elif orders == 2:
            _slopes(table[0, cell], v, scale, weights, out[i])
        else:
            _curvatures(table[0, cell], v, scale, weights, out[i])
        if period is not None:
            for order in range(orders):
                _turned(out[i, order].copy(), turn, out[i, order])
        begin[i] = start - first


@compiled
def add_responses(position, weight, table, edges, offset, period, model):
    """Add sum_i weight_i phi(. - position_i) to ``model`` (M,), unweighted."""
    taps = table.shape[3]
    row = np.empty(taps)
    for i in range(position.size):
        start = fill(position[i], table, edges, offset, period, row)
        _add(weight[i], row, model[start : start + taps])


@compiled
def fill_residual(
    position, weight, root, values, table, edges, offset, grain, first, last, before_position, before_weight, before, residual
):  # fmt: skip
    """residual = root * sum_i weight_i phi(. - position_i) - values on the grains first to last - 1 of ``grain`` samples each.

    Taken over from ``before`` (M,), the residual of another measure, where the same spikes reach the grain. Positions sorted.
    """
    taps = table.shape[3]
    row = np.empty(taps)
    model = np.empty(grain)
    for g in range(first, last):
        low = g * grain
        high = min(low + grain, residual.size)
        a = np.searchsorted(position, float(low - offset - taps + 1))
        b = np.searchsorted(position, float(high - offset))
        c = np.searchsorted(before_position, float(low - offset - taps + 1))
        same = before.size > 0 and np.searchsorted(before_position, float(high - offset)) - c == b - a
        for i in range(b - a):
            if not same:
                break
            same = position[a + i] == before_position[c + i] and weight[a + i] == before_weight[c + i]
        if same:
            for n in range(low, high):
                residual[n] = before[n]
            continue
        model[:] = 0.0
        for i in range(a, b):
            start = fill(position[i], table, edges, offset, None, row)
            begin = max(start, low)
            end = min(start + taps, high)
            _add(weight[i], row[begin - start : end - start], model[begin - low : end - low])
        for n in range(low, high):
            residual[n] = root[n] * model[n - low] - values[n]


@compiled
def correlate(position, residual, root, table, edges, offset, period, orders, out):
    """out[o, i] = <residual, root * d^o phi(. - position_i)>, shape (orders, K), at most three orders."""
    taps = table.shape[3]
    rows = np.empty((1, orders, taps))
    begin = np.empty(1, np.int64)
    for i in range(position.size):
        _rows(position[i : i + 1], table, edges, offset, period, root, orders, 0, rows, begin)
        for order in range(orders):
            out[order, i] = _dot(rows[0, order], residual[begin[0] : begin[0] + taps])


@compiled
def squared_norms(position, root, table, edges, offset, period, out):
    """out[i] = ||root * phi(. - position_i)||^2, shape (K,)."""
    row = np.empty((1, 1, table.shape[3]))
    begin = np.empty(1, np.int64)
    for i in range(position.size):
        _rows(position[i : i + 1], table, edges, offset, period, root, 1, 0, row, begin)
        out[i] = _dot(row[0, 0], row[0, 0])


@inlined
def _subtract_four(band, i, j, width, target):
    """Subtract what columns i to i + 3 of the factor contribute to column j, in one pass over it."""
    reach = i + width + 1 - j  # of column i below row j; each next column reaches one further
    a0 = band[i, j - i :]
    a1 = band[i + 1, j - i - 1 :]
    a2 = band[i + 2, j - i - 2 :]
    a3 = band[i + 3, j - i - 3 :]
    f0, f1, f2, f3 = a0[0], a1[0], a2[0], a3[0]
    for k in range(reach):
        target[k] -= f0 * a0[k] + f1 * a1[k] + f2 * a2[k] + f3 * a3[k]
    for k in range(reach, min(reach + 3, target.size)):
        target[k] -= f3 * a3[k]
        if k < reach + 2:
            target[k] -= f2 * a2[k]
        if k < reach + 1:
            target[k] -= f1 * a1[k]


@inlined
def _substitute(band, size, width, side):
    """Solve for one right-hand side (size,) in place with the factor that `_cholesky_solve` left in ``band``."""
    for j in range(size):
        reach = min(width, size - 1 - j)
        side[j] /= band[j, 0]
        _add(-side[j], band[j, 1 : reach + 1], side[j + 1 : j + 1 + reach])
    for j in range(size - 1, -1, -1):
        reach = min(width, size - 1 - j)
        value = side[j] - _dot(band[j, 1 : reach + 1], side[j + 1 : j + 1 + reach])
        side[j] = value / band[j, 0]


@inlined
def _cholesky_solve(band, size, width, sides):
    """Factor the banded matrix band[j, k] = H[j + k, j] in place and solve for all rows of ``sides`` (S, size) in place.

    Column by column, four earlier columns at a time: the column at work stays in the nearest cache. Entries of ``band``
    beyond the matrix are zero. Returns how little of a diagonal entry is left as its pivot, at the worst column, or 0,
    leaving garbage, if the matrix is not positive definite.
    """
    least = 1.0
    for j in range(size):
        target = band[j]
        whole = target[0]
        i = max(0, j - width)
        while i + 3 < j:
            _subtract_four(band, i, j, width, target)
            i += 4
        while i < j:
            reach = i + width + 1 - j
            _add(-band[i, j - i], band[i, j - i :], target[:reach])
            i += 1
        pivot = target[0]
        if not pivot > 0.0:
            return 0.0
        least = min(least, pivot / whole)
        pivot = np.sqrt(pivot)
        target[0] = pivot
        for k in range(1, width + 1):
            target[k] /= pivot
    for s in range(sides.shape[0]):
        _substitute(band, size, width, sides[s])
    return least


@inlined
def _substitute_small(matrix, side):
    """Solve in place with the factor that `_solve_small` left in ``matrix``."""
    size = side.size
    for j in range(size):
        for i in range(j):
            side[j] -= matrix[j, i] * side[i]
        side[j] /= matrix[j, j]
    for j in range(size - 1, -1, -1):
        for i in range(j + 1, size):
            side[j] -= matrix[i, j] * side[i]
        side[j] /= matrix[j, j]


@inlined
def _solve_small(matrix, side):
    """Solve a small symmetric positive definite system in place (Cholesky); False if it is not one."""
    size = side.size
    for j in range(size):
        for i in range(j):
            matrix[j, j] -= matrix[j, i] ** 2
        if not matrix[j, j] > 0.0:
            return False
        matrix[j, j] = np.sqrt(matrix[j, j])
        for k in range(j + 1, size):
            for i in range(j):
                matrix[k, j] -= matrix[k, i] * matrix[j, i]
            matrix[k, j] /= matrix[j, j]
    _substitute_small(matrix, side)
    return True


@inlined
def _bandwidth(begin, count, taps):
    """Half bandwidth of the interleaved (weight, position) system."""
    width = 1
    j = 0
    for i in range(count):
        while j + 1 < count and begin[j + 1] - begin[i] < taps:
            j += 1
        width = max(width, 2 * (j - i) + 1)
    return width


@inlined
def _assemble(rows, begin, w, count, band):
    """Gauss-Newton matrix of the interleaved (weight, position) unknowns, band[j, k] = H[j + k, j]."""
    taps = rows.shape[2]
    band[:] = 0.0
    for i in range(count):
        for j in range(i, count):
            lag = begin[j] - begin[i]
            if lag >= taps:
                break
            g00 = 0.0
            g01 = 0.0
            g10 = 0.0
            g11 = 0.0
            a0 = rows[i, 0, lag:]
            a1 = rows[i, 1, lag:]
            b0 = rows[j, 0, : taps - lag]
            b1 = rows[j, 1, : taps - lag]
            for k in range(taps - lag):
                g00 += a0[k] * b0[k]
                g01 += a0[k] * b1[k]
                g10 += a1[k] * b0[k]
                g11 += a1[k] * b1[k]
            d = 2 * (j - i)
            band[2 * i, d] = g00
            band[2 * i, d + 1] = g01 * w[j]
            if j > i:
                band[2 * i + 1, d - 1] = g10 * w[i]
            band[2 * i + 1, d] = g11 * w[i] * w[j]


@inlined
def _outward(x, slope, w, low, high):
    """True if the particle sits on an end of the domain and the loss pulls it further out: only its weight may move."""
    return (x <= low and w * slope > 0.0) or (x >= high and w * slope < 0.0)


@inlined
def _at_kink(x, kinks):
    """True if the particle sits where the filter's slope jumps (``kinks``: those fractions of a sample)."""
    fraction = x - np.floor(x)
    for kink in kinks:
        away = abs(fraction - kink)
        if min(away, 1.0 - away) < 0.5 * BESIDE:
            return True
    return False


@inlined
def _stopped_at_kink(x, moved, kinks):
    """Where a step from ``x`` to ``moved`` ends: at the first kink that it would cross."""
    for kink in kinks:
        if moved > x:
            there = np.ceil(x + 2 * BESIDE - kink) + kink
            moved = min(moved, there)
        else:
            there = np.floor(x - 2 * BESIDE - kink) + kink
            moved = max(moved, there)
    return moved


@inlined
def _sort(x, w):
    """Sort particles by position in place; they are nearly sorted."""
    for i in range(1, x.size):
        xi = x[i]
        wi = w[i]
        j = i - 1
        while j >= 0 and x[j] > xi:
            x[j + 1] = x[j]
            w[j + 1] = w[j]
            j -= 1
        x[j + 1] = xi
        w[j + 1] = wi


@inlined
def _leave_kinks(x, w, count, residual, table, edges, offset, period, root, first, low, high, kinks, row, begin):
    """Put particles on kinks to the side where the loss falls, unless both one-sided slopes hold them; True if any moved."""
    slopes = np.empty(2)
    taps = table.shape[3]
    left = False
    for i in range(count):
        if low < x[i] < high and _at_kink(x[i], kinks):
            place = x[i]
            for side in range(2):
                x[i] = place + (2 * side - 1) * BESIDE
                _rows(x[i : i + 1], table, edges, offset, period, root, 2, first, row, begin)
                slopes[side] = w[i] * _dot(row[0, 1], residual[begin[0] : begin[0] + taps])
            if slopes[0] <= 0.0 <= slopes[1]:
                x[i] = place
            else:
                x[i] = place + BESIDE if -slopes[1] > slopes[0] else place - BESIDE
                left = True
    if left:
        _sort(x[:count], w[:count])
    return left


@inlined
def _merge(x, w, residual, root, table, edges, offset, period, first, row, strength, reach):
    """Merge same-sign neighbours closer than ``reach`` where the objective does not rise; returns the new count."""
    taps = table.shape[3]
    step = np.empty(3 * taps)
    kept = 0
    for i in range(1, x.size):
        merged = False
        if x[i] - x[kept] < reach and w[i] * w[kept] > 0.0:
            total = w[i] + w[kept]
            middle = min(x[kept] + (x[i] - x[kept]) * (w[i] / total), x[i])  # between them, rounding included
            begin = (0 if period is not None else int(np.floor(x[kept])) + offset) - first
            length = taps if period is not None else min(int(x[i] - x[kept]) + 2 + taps, residual.size - begin)
            step[:length] = 0.0
            for place, weight in ((x[kept], -w[kept]), (x[i], -w[i]), (middle, total)):
                shift = fill(place, table, edges, offset, period, row) - first - begin
                _add(weight, row, step[shift : shift + taps])
            part = residual[begin : begin + length]
            weights = root[begin + first : begin + first + length]
            for n in range(length):
                step[n] *= weights[n]
            change = 0.0  # summed apart: a loop that stores too is reordered or not depending on where the arrays lie
            for n in range(length):
                change += step[n] * (part[n] + 0.5 * step[n])
            if change <= 1e-14 * strength * abs(total):
                _add(1.0, step[:length], part)
                x[kept] = middle
                w[kept] = total
                merged = True
        if not merged:
            kept += 1
            x[kept] = x[i]
            w[kept] = w[i]
    return kept + 1 if x.size > 0 else 0


@inlined
def _bends(shifts, width):
    """Whether positions move so far that the model bends on the way, and not so far that they are cut off."""
    far = 0.0
    for i in range(shifts.size):
        far = max(far, abs(shifts[i]))
    return STRAIGHT * width < far < FAR * width


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


@inlined
def relax(
    x, w, baseline, residual, first, root, columns, table, edges, offset, period, low, high, strength, width, norm, kinks,
    iterations, tolerance,
):  # fmt: skip
    """Newton on one window: weights and positions of ``count`` particles and the baseline's coefficients, all together.

    ``x``, ``w`` (K,) sorted by position, ``baseline`` (B,), ``residual`` (L,) are updated in place; ``residual[0]`` is
    sample ``first`` of the padded record, ``root`` is that whole record, ``columns`` (B, L) are whitened baseline columns.
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
    sides = np.empty((1 + borders, 2 * count))
    coupling = np.empty((borders, 2 * count))
    small = np.empty((borders, borders))
    square = np.empty((borders, borders))
    for a in range(borders):
        for b in range(a + 1):
            square[a, b] = _dot(columns[a], columns[b])
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
            x, w, count, residual, table, edges, offset, period, root, first, low, high, kinks, pair, beside
        ):
            known = False
        if not known:
            _rows(x[:count], table, edges, offset, period, root, 3, first, rows, begin)
        kkt = 0.0
        for i in range(count):
            part = residual[begin[i] : begin[i] + taps]
            for order in range(3):
                c[order, i] = _dot(rows[i, order], part)
            sign = 1.0 if w[i] > 0 else -1.0
            fixed[i] = period is None and _outward(x[i], c[1, i], w[i], low, high)
            if kinks is not None and low < x[i] < high and _at_kink(x[i], kinks):
                fixed[i] = True
            worst = abs(c[0, i] + strength * sign)
            if not fixed[i]:
                worst = max(worst, abs(c[1, i]) * width)
            kkt = max(kkt, worst / strength)
        for a in range(borders):
            gradient[a] = np.sum(columns[a] * residual)
            if square[a, a] > 0.0:
                kkt = max(kkt, abs(gradient[a]) / np.sqrt(square[a, a]) * norm / strength)
        if kkt < tolerance or used >= iterations:
            break
        used += 1
        size = 2 * count
        width_of_band = _bandwidth(begin, count, taps)
        gauss = np.empty((size, width_of_band + 1))
        _assemble(rows, begin, w, count, gauss)
        for i in range(count):
            for a in range(borders):
                part = columns[a, begin[i] : begin[i] + taps]
                coupling[a, 2 * i] = _dot(rows[i, 0], part)
                coupling[a, 2 * i + 1] = 0.0 if fixed[i] else _dot(rows[i, 1], part) * w[i]
        for i in range(count):
            if fixed[i]:
                j = 2 * i + 1
                gauss[j, 1:] = 0.0
                for k in range(1, min(width_of_band, j) + 1):
                    gauss[j - k, k] = 0.0
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
                sides[0, j] = 0.0 if fixed[i] else -(w[i] * c[1, i])
                for a in range(borders):
                    sides[1 + a, 2 * i] = coupling[a, 2 * i]
                    sides[1 + a, j] = coupling[a, j]
            least = _cholesky_solve(band, size, width_of_band, sides[:, :size])
            solved = least > 0.0
            if solved and borders > 0:
                # block elimination of the border: S = E - C^T H^-1 C
                for a in range(borders):
                    step[a] = -gradient[a]
                    for j in range(size):
                        step[a] -= coupling[a, j] * sides[0, j]
                    for b in range(borders):
                        small[a, b] = square[a, b] * (1 + damping) if a == b else square[a, b]
                        for j in range(size):
                            small[a, b] -= coupling[a, j] * sides[1 + b, j]
                solved = _solve_small(small, step)
                if solved:
                    for a in range(borders):
                        for j in range(size):
                            sides[0, j] -= step[a] * sides[1 + a, j]
            if solved and _bends(sides[0, 1:size:2], width):
                _curve(rows, begin[:count], w, sides[0], r2)
                for i in range(count):
                    part = r2[begin[i] : begin[i] + taps]
                    bend[2 * i] = -_dot(rows[i, 0], part)
                    bend[2 * i + 1] = 0.0 if fixed[i] else -w[i] * _dot(rows[i, 1], part)
                _substitute(band, size, width_of_band, bend[:size])
                for a in range(borders):
                    bend_step[a] = -_dot(columns[a], r2)
                    for j in range(size):
                        bend_step[a] -= coupling[a, j] * bend[j]
                _substitute_small(small, bend_step)
                for a in range(borders):
                    for j in range(size):
                        bend[j] -= bend_step[a] * sides[1 + a, j]
                straight = 0.0
                bent = 0.0
                for i in range(count):
                    straight += sides[0, 2 * i] ** 2 + (w[i] * sides[0, 2 * i + 1] / width) ** 2
                    bent += bend[2 * i] ** 2 + (w[i] * bend[2 * i + 1] / width) ** 2
                if bent <= MOST_BENT**2 * straight:
                    for j in range(size):
                        sides[0, j] += bend[j]
                    for a in range(borders):
                        step[a] += bend_step[a]
            if solved:
                change = 0.0
                foreseen = 0.0
                for n in range(length):
                    r2[n] = residual[n]
                for a in range(borders):
                    _add(step[a], columns[a], r2)
                    foreseen += 0.5 * gradient[a] * step[a]
                for i in range(count):
                    sign = 1.0 if w[i] > 0 else -1.0
                    foreseen += 0.5 * (c[0, i] + strength * sign) * sides[0, 2 * i] + 0.5 * w[i] * c[1, i] * sides[0, 2 * i + 1]
                    w2[i] = w[i] + sides[0, 2 * i]
                    shift = min(max(sides[0, 2 * i + 1], -0.5 * width), 0.5 * width)
                    x2[i] = x[i] + shift if kinks is None else _stopped_at_kink(x[i], x[i] + shift, kinks)
                    if period is not None:
                        x2[i] -= period * np.floor(x2[i] / period)
                        if x2[i] >= period:
                            x2[i] = 0.0
                    else:
                        x2[i] = min(max(x2[i], low), high)
                    if w2[i] * w[i] <= 0:
                        w2[i] = 0.0
                    _add(-w[i], rows[i, 0], r2[begin[i] : begin[i] + taps])
                    if w2[i] != 0.0:
                        own = slice(i, i + 1)
                        _rows(x2[own], table, edges, offset, period, root, 3, first, rows2[own], begin2[own])
                        _add(w2[i], rows2[i, 0], r2[begin2[i] : begin2[i] + taps])
                    change += strength * (abs(w2[i]) - abs(w[i]))
                for n in range(length):
                    change += 0.5 * (r2[n] - residual[n]) * (r2[n] + residual[n])
                if change <= 1e-14 * strength * np.sum(np.abs(w[:count])):
                    accepted = True
                    break
            if trial > 0 or least > 0.0:
                damping = max(damping * 20, 1e-10)
                while damping < 0.1 * least:  # so little would change nothing
                    damping *= 20
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
        _sort(x[:count], w[:count])
        count = _merge(x[:count], w[:count], residual, root, table, edges, offset, period, first, single, strength, MERGE * width)
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
    return _merge(x[:count], w[:count], residual, root, table, edges, offset, period, 0, row, strength, reach)


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
            x, w, baseline, part, first, root, columns, table, edges, offset, None, lowest, highest, strength, width, norm,
            kinks, iterations, tolerance,
        )  # fmt: skip
        for i in range(count):
            position[a + i] = x[i]
            weight[a + i] = w[i]
        for i in range(a + count, e):
            keep[i] = False
        work += used * (e - a)
    return work
