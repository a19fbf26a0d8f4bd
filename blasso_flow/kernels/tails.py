"""Kernel for filters that end in exponentials: Newton on all spikes of a stretch at a cost that the tails do not enter.

From tap ``tail_tap`` on, a response is a sum of E exponentials (`Filter.tail`), the same ones for every position, for the
slope and for the curvature. So a spike is a short head and E amplitudes: sums of tails are recursions along the samples,
and the inner products of spikes whose heads do not overlap have rank E. The Cholesky factor of a banded matrix plus such a
part is again one: it is computed in time linear in the number of spikes (for the part of rank E alone see Foreman-Mackey et
al. 2017). The exponentials go on where the table ends, at 1e-13 of the peak.

Arrays as in `kernels.spikes`; ``rows`` (K, 3, T) hold the heads of response, slope and curvature, whitened, ``ends``
(K, 3, E) the tails' amplitudes at the first sample after the head, ``power`` (E, L + 1) powers of the decay a sample.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled, inlined

TRIALS = 15
TRUSTED = 0.75  # of the change that the quadratic model foresees: from there on, less damping
BESIDE = 1e-9  # samples: how far beside a kink its one-sided slopes are taken
MERGE = 1e-2  # widths
STRAIGHT = 1e-3  # widths: shorter steps need no second order
FAR = 2.0  # widths: longer ones have no use for it
MOST_BENT = 0.75  # of the first order
SINGULAR = 1e-9  # of a column's squared norm: less than this left over means that its parameter cannot be told
HELD = 1e150  # pivot of a parameter that does not move


@inlined
def _powers(tail, length):
    """exp(-rate n) for n = 0 ... length, shape (E, length + 1)."""
    power = np.empty((tail.shape[1], length + 1))
    for e in range(tail.shape[1]):
        for n in range(length + 1):
            power[e, n] = np.exp(-tail[0, e] * n)
    return power


@inlined
def _heads(x, count, table, edges, tail, offset, root, first, rows, ends, begin):
    """Heads and tails' amplitudes of the particles; begin[i], the sample of the first tap, counts from ``first``."""
    cells = table.shape[1]
    head = rows.shape[2]
    for i in range(count):
        base = int(np.floor(x[i]))
        fraction = x[i] - base
        cell = min(int(fraction * cells), cells - 1)
        while cell > 0 and fraction < edges[cell]:
            cell -= 1
        while cell < cells - 1 and fraction >= edges[cell + 1]:
            cell += 1
        v = (2 * fraction - edges[cell] - edges[cell + 1]) / (edges[cell + 1] - edges[cell])
        start = base + offset
        for order in range(rows.shape[1]):
            c = table[order, cell]
            for k in range(head):
                value = c[9, k]
                for degree in range(8, -1, -1):
                    value = value * v + c[degree, k]
                rows[i, order, k] = value * root[start + k]
        for e in range(tail.shape[1]):
            value = tail[1, e] * np.exp(tail[0, e] * (fraction - head))
            for order in range(rows.shape[1]):
                ends[i, order, e] = value
                value *= tail[0, e]
        begin[i] = start - first


@inlined
def _backward(values, root, first, power, out):
    """out[e, n] = sum over m >= n of root_m values_m exp(-rate_e (m - n)); shape (E, L + 1)."""
    length = values.size
    for e in range(out.shape[0]):
        decay = power[e, 1]
        total = 0.0
        out[e, length] = 0.0
        for n in range(length - 1, -1, -1):
            total = total * decay + root[first + n] * values[n]
            out[e, n] = total


@inlined
def _tail_products(root, first, length, power):
    """products[e, f, n] = sum over m >= n of root_m^2 exp(-(rate_e + rate_f) (m - n)), shape (E, E, length + 1)."""
    terms = power.shape[0]
    products = np.empty((terms, terms, length + 1))
    for e in range(terms):
        for f in range(terms):
            decay = power[e, 1] * power[f, 1]
            total = 0.0
            products[e, f, length] = 0.0
            for n in range(length - 1, -1, -1):
                total = total * decay + root[first + n] ** 2
                products[e, f, n] = total
    return products


@inlined
def _inner(row, end, start, back, series):
    """<row and tail, series>, with ``back`` the backward sums of root * series."""
    total = 0.0
    for k in range(row.size):
        total += row[k] * series[start + k]
    for e in range(end.size):
        total += end[e] * back[e, start + row.size]
    return total


@inlined
def _add_tails(inject, root, first, power, target):
    """Add root times the tails that start with amplitudes ``inject`` (E, L + 1) to ``target`` (L,)."""
    for e in range(inject.shape[0]):
        decay = power[e, 1]
        total = 0.0
        for n in range(target.size):
            total = total * decay + inject[e, n]
            target[n] += root[first + n] * total


@inlined
def _near(begin, count, head, near):
    """near[i]: the first spike whose head spike i overlaps, shape (K,); returns the most unknowns such a run holds."""
    widest = 2
    i = 0
    for j in range(count):
        while begin[j] - begin[i] >= head:
            i += 1
        near[j] = i
        widest = max(widest, 2 * (j - i) + 2)
    return widest


@inlined
def _assemble(rows, ends, begin, near, w, count, root, first, power, products, band, left, right):
    """Gauss-Newton matrix of the interleaved (weight, position) unknowns.

    ``band[j, k]`` = H[j, 2 near + k] where heads overlap. Elsewhere, for spike i well before spike j, entries are
    sum_e right[j, e] power[e, begin_j - begin_i - T] left[i, e].
    """
    head = rows.shape[2]
    terms = power.shape[0]
    for j in range(count):
        after = begin[j] + head
        for p in range(2):
            scale = w[j] if p == 1 else 1.0
            for e in range(terms):
                total = 0.0
                for k in range(head):
                    total += rows[j, p, k] * root[first + begin[j] + k] * power[e, k]
                for f in range(terms):
                    total += ends[j, p, f] * power[e, head] * products[e, f, after]
                right[2 * j + p, e] = total * scale
                left[2 * j + p, e] = ends[j, p, e] * scale
        for i in range(near[j], j + 1):
            lag = begin[j] - begin[i]
            for p in range(2):
                for o in range(2):
                    if i == j and o > p:
                        continue
                    total = 0.0
                    for k in range(lag, head):
                        total += rows[i, o, k] * rows[j, p, k - lag]
                    for e in range(terms):
                        part = 0.0
                        for k in range(head - lag, head):
                            part += power[e, k + lag - head] * root[first + begin[j] + k] * rows[j, p, k]
                        for f in range(terms):
                            part += power[e, lag] * ends[j, p, f] * products[e, f, after]
                        total += ends[i, o, e] * part
                    scale = (w[j] if p == 1 else 1.0) * (w[i] if o == 1 else 1.0)
                    band[2 * j + p, 2 * (i - near[j]) + o] = total * scale


@inlined
def _factor(band, begin, near, count, head, power, left, right, lower, lost):
    """Cholesky factor of band plus part of rank E, in place of ``band``; its far part keeps ``right``, with ``lower``.

    L[j, i] = sum_e right[j, e] power[e, begin_j - begin_i - T] lower[i, e] for spikes far apart. Returns how little of a
    diagonal entry is left as its pivot, at the worst column, or 0, leaving garbage, if the matrix is not positive definite;
    with ``lost`` (2 K,) instead of an empty array, the matrix has a unit diagonal, and unknowns of which too little is left
    are marked there and held.
    """
    terms = power.shape[0]
    far = np.zeros((terms, terms))  # sum over far unknowns of lower lower^T, carried to the spike at work
    carried = np.empty((2 * count, terms))  # far @ right of each unknown
    row = np.empty(terms)
    least = 1.0
    done = 0
    for spike in range(count):
        own = begin[spike]
        gap = own - begin[spike - 1] if spike > 0 else 0
        for e in range(terms):
            for f in range(terms):
                far[e, f] *= power[e, gap] * power[f, gap]
        start = 2 * near[spike]
        for k in range(done, start):
            away = own - begin[k // 2] - head
            for e in range(terms):
                for f in range(terms):
                    far[e, f] += power[e, away] * lower[k, e] * power[f, away] * lower[k, f]
        done = start
        for j in range(2 * spike, 2 * spike + 2):
            for e in range(terms):
                carried[j, e] = 0.0
                for f in range(terms):
                    carried[j, e] += far[e, f] * right[j, f]
            for k in range(start, j):
                other = k // 2
                begin_k = 2 * near[other]
                value = band[j, k - start]
                for e in range(terms):
                    row[e] = power[e, own - begin[other]] * carried[k, e]
                for m in range(begin_k, start):
                    away = own - begin[m // 2] - head
                    for e in range(terms):
                        row[e] += power[e, away] * lower[m, e] * band[k, m - begin_k]
                for e in range(terms):
                    value -= right[j, e] * row[e]
                for m in range(start, k):
                    value -= band[j, m - start] * band[k, m - begin_k]
                band[j, k - start] = value / band[k, k - begin_k]
            whole = band[j, j - start]
            pivot = whole
            for e in range(terms):
                pivot -= right[j, e] * carried[j, e]
            for m in range(start, j):
                pivot -= band[j, m - start] ** 2
            if lost.size > 0 and not pivot > SINGULAR:
                lost[j] = True
                pivot = HELD
            if not pivot > 0.0:
                return 0.0
            least = min(least, pivot / whole)
            pivot = np.sqrt(pivot)
            band[j, j - start] = pivot
            for e in range(terms):
                value = left[j, e] - power[e, head] * carried[j, e]
                for k in range(start, j):
                    value -= power[e, own - begin[k // 2]] * lower[k, e] * band[j, k - start]
                lower[j, e] = value / pivot
    return least


@inlined
def _solve(band, begin, near, count, head, power, right, lower, side):
    """Solve with the factor of `_factor` for one right-hand side (2 K,), in place."""
    terms = power.shape[0]
    total = np.zeros(terms)
    done = 0
    for spike in range(count):
        gap = begin[spike] - begin[spike - 1] if spike > 0 else 0
        for e in range(terms):
            total[e] *= power[e, gap]
        start = 2 * near[spike]
        for k in range(done, start):
            away = begin[spike] - begin[k // 2] - head
            for e in range(terms):
                total[e] += power[e, away] * lower[k, e] * side[k]
        done = start
        for j in range(2 * spike, 2 * spike + 2):
            value = side[j]
            for e in range(terms):
                value -= right[j, e] * total[e]
            for k in range(start, j):
                value -= band[j, k - start] * side[k]
            side[j] = value / band[j, j - start]
    total[:] = 0.0
    done = count  # spikes from here on are far after the spike at work
    for spike in range(count - 1, -1, -1):
        gap = begin[spike + 1] - begin[spike] if spike + 1 < count else 0
        for e in range(terms):
            total[e] *= power[e, gap]
        while done > spike + 1 and near[done - 1] > spike:
            done -= 1
            away = begin[done] - begin[spike] - head
            for j in range(2 * done, 2 * done + 2):
                for e in range(terms):
                    total[e] += power[e, away] * right[j, e] * side[j]
        for j in range(2 * spike + 1, 2 * spike - 1, -1):
            value = side[j]
            for e in range(terms):
                value -= lower[j, e] * total[e]
            for k in range(j + 1, 2 * done):
                value -= band[k, j - 2 * near[k // 2]] * side[k]
            side[j] = value / band[j, j - 2 * near[spike]]


@compiled
def correlate(position, residual, root, table, edges, tail, tail_tap, offset, orders, out):
    """out[o, i] = <residual, root * d^o phi(. - position_i)>, shape (orders, K)."""
    count = position.size
    power = _powers(tail, residual.size)
    back = np.empty((tail.shape[1], residual.size + 1))
    _backward(residual, root, 0, power, back)
    rows = np.empty((count, orders, tail_tap))
    ends = np.empty((count, orders, tail.shape[1]))
    begin = np.empty(count, np.int64)
    _heads(position, count, table, edges, tail, offset, root, 0, rows, ends, begin)
    for i in range(count):
        for order in range(orders):
            out[order, i] = _inner(rows[i, order], ends[i, order], begin[i], back, residual)


@inlined
def _selected_inverse(band, begin, near, count, head, power, right, lower, inverse, beside):
    """Entries of the inverse where ``band`` has some, from the factor (Takahashi, Fagan & Chin 1973, with the far part).

    ``beside[i]`` (K,) is the entry of the positions of spikes i and i + 1.
    """
    terms = power.shape[0]
    square = np.zeros((terms, terms))  # right^T S right over the unknowns far after the spike at work, S the inverse
    mixed = np.zeros((2 * count, terms))  # S right over the same, for unknowns nearer by
    shift = np.empty(terms)
    done = count
    for spike in range(count - 1, -1, -1):
        gap = begin[spike + 1] - begin[spike] if spike + 1 < count else 0
        for e in range(terms):
            for f in range(terms):
                square[e, f] *= power[e, gap] * power[f, gap]
            for i in range(2 * spike + 2, 2 * done):
                mixed[i, e] *= power[e, gap]
        while done > spike + 1 and near[done - 1] > spike:
            done -= 1
            away = begin[done] - begin[spike] - head
            for m in range(2 * done + 1, 2 * done - 1, -1):
                for e in range(terms):
                    shift[e] = power[e, away] * right[m, e]
                own = inverse[m, m - 2 * near[done]]
                for e in range(terms):
                    for f in range(terms):
                        square[e, f] += shift[e] * mixed[m, f] + mixed[m, e] * shift[f] + own * shift[e] * shift[f]
                for i in range(2 * spike + 2, 2 * done + 2):
                    high = max(i, m)
                    entry = inverse[high, min(i, m) - 2 * near[high // 2]]
                    for e in range(terms):
                        mixed[i, e] += shift[e] * entry
        for j in range(2 * spike + 1, 2 * spike - 1, -1):
            pivot = band[j, j - 2 * near[spike]]
            for i in range(j + 1, 2 * done):
                value = 0.0
                for k in range(j + 1, 2 * done):
                    high = max(i, k)
                    value += band[k, j - 2 * near[k // 2]] * inverse[high, min(i, k) - 2 * near[high // 2]]
                for e in range(terms):
                    value += lower[j, e] * mixed[i, e]
                inverse[i, j - 2 * near[i // 2]] = -value / pivot
            for e in range(terms):
                value = 0.0
                for k in range(j + 1, 2 * done):
                    value += band[k, j - 2 * near[k // 2]] * mixed[k, e]
                for f in range(terms):
                    value += square[e, f] * lower[j, f]
                mixed[j, e] = -value / pivot
            value = 1.0 / pivot
            for k in range(j + 1, 2 * done):
                value -= band[k, j - 2 * near[k // 2]] * inverse[k, j - 2 * near[k // 2]]
            for e in range(terms):
                value -= lower[j, e] * mixed[j, e]
            inverse[j, j - 2 * near[spike]] = value / pivot
        if spike + 1 == count:
            beside[spike] = 0.0
        else:
            j = 2 * spike + 1
            if done > spike + 1:
                beside[spike] = inverse[j + 2, j - 2 * near[spike + 1]]
            else:
                value = 0.0
                for e in range(terms):
                    value += lower[j, e] * mixed[j + 2, e]
                beside[spike] = -value / band[j, j - 2 * near[spike]]


@compiled
def inverse_blocks(
    position, fixed, root, columns, table, edges, tail, tail_tap, offset, lost, norms, blocks, beside, coupling, solved
):  # fmt: skip
    """Inverse of the Gauss-Newton matrix in units of each column's norm; the contract of `kernels.covariance`.

    ``fixed`` (2 K,) parameters do not move; ``lost`` (2 K,) is set where a parameter is not identifiable. Out: ``norms``
    (K, 2) of response and slope, ``blocks`` (K, 3) entries (w w), (w x), (x x) of a spike, ``beside`` (K,) entry
    (x_i, x_i+1), ``coupling`` (B, 2 K) products with the baseline ``columns`` (B, M), ``solved`` the inverse times them.
    """
    count = position.size
    size = 2 * count
    length = root.size
    terms = tail.shape[1]
    power = _powers(tail, length)
    products = _tail_products(root, 0, length, power)
    rows = np.empty((count, 2, tail_tap))
    ends = np.empty((count, 2, terms))
    begin = np.empty(count, np.int64)
    near = np.empty(count, np.int64)
    left = np.empty((size, terms))
    right = np.empty((size, terms))
    lower = np.empty((size, terms))
    back = np.empty((terms, length + 1))
    scale = np.ones(size)
    _heads(position, count, table, edges, tail, offset, root, 0, rows, ends, begin)
    band = np.zeros((size, _near(begin, count, tail_tap, near)))
    _assemble(rows, ends, begin, near, np.ones(count), count, root, 0, power, products, band, left, right)
    for j in range(size):
        norm = np.sqrt(band[j, j - 2 * near[j // 2]])
        norms[j // 2, j % 2] = norm
        if norm > 0.0:
            scale[j] = 0.0 if fixed[j] else 1.0 / norm
    for j in range(size):
        start = 2 * near[j // 2]
        for k in range(start, j + 1):
            band[j, k - start] *= scale[j] * scale[k]
        if fixed[j]:
            band[j, j - start] = HELD
        for e in range(terms):
            left[j, e] *= scale[j]
            right[j, e] *= scale[j]
    for a in range(columns.shape[0]):
        _backward(columns[a], root, 0, power, back)
        for j in range(size):
            i = j // 2
            coupling[a, j] = _inner(rows[i, j % 2], ends[i, j % 2], begin[i], back, columns[a]) * scale[j]
    _factor(band, begin, near, count, tail_tap, power, left, right, lower, lost)
    for a in range(columns.shape[0]):
        for j in range(size):
            if lost[j]:
                coupling[a, j] = 0.0
            solved[a, j] = coupling[a, j]
        _solve(band, begin, near, count, tail_tap, power, right, lower, solved[a])
    inverse = np.zeros(band.shape)
    _selected_inverse(band, begin, near, count, tail_tap, power, right, lower, inverse, beside)
    for i in range(count):
        start = 2 * near[i]
        blocks[i, 0] = inverse[2 * i, 2 * i - start]
        blocks[i, 1] = inverse[2 * i + 1, 2 * i - start]
        blocks[i, 2] = inverse[2 * i + 1, 2 * i + 1 - start]


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
def _sort(x, w, count):
    """Sort particles by position in place; they are nearly sorted."""
    for i in range(1, count):
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
def _leave_kinks(x, w, count, residual, back, table, edges, tail, offset, root, first, low, high, kinks, row, end, begin):
    """Put particles on kinks to the side where the loss falls, unless both one-sided slopes hold them; True if any moved."""
    slopes = np.empty(2)
    left = False
    for i in range(count):
        if low < x[i] < high and _at_kink(x[i], kinks):
            place = x[i]
            for side in range(2):
                x[i] = place + (2 * side - 1) * BESIDE
                _heads(x[i : i + 1], 1, table, edges, tail, offset, root, first, row, end, begin)
                slopes[side] = w[i] * _inner(row[0, 1], end[0, 1], begin[0], back, residual)
            if slopes[0] <= 0.0 <= slopes[1]:
                x[i] = place
            else:
                x[i] = place + BESIDE if -slopes[1] > slopes[0] else place - BESIDE
                left = True
    if left:
        _sort(x, w, count)
    return left


@inlined
def _merge(x, w, count, residual, table, edges, tail, offset, root, first, power, strength, width, row, end, begin):
    """Merge same-sign neighbours closer than MERGE widths where the objective does not rise; returns the new count."""
    head = row.shape[2]
    step = np.empty(residual.size)
    kept = 0
    for i in range(1, count):
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
                _heads(place, 1, table, edges, tail, offset, root, first, row, end, begin)
                nearest = min(nearest, begin[0])
                for k in range(head):
                    step[begin[0] + k] += weight * row[0, 0, k]
                for e in range(power.shape[0]):
                    amplitude = weight * end[0, 0, e]
                    for n in range(begin[0] + head, residual.size):
                        step[n] += amplitude * root[first + n]
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
    return kept + 1 if count > 0 else 0


@inlined
def _bends(shifts, width):
    """Whether positions move so far that the model bends on the way, and not so far that they are cut off."""
    far = 0.0
    for i in range(shifts.size):
        far = max(far, abs(shifts[i]))
    return STRAIGHT * width < far < FAR * width


@inlined
def _curve(rows, ends, begin, count, w, move, tail_tap, inject, out):
    """Half the model's second derivative along a ``move`` of weights and positions (2 K,): heads into out (L,), tails left in
    ``inject``."""
    out[:] = 0.0
    inject[:] = 0.0
    for i in range(count):
        turn = move[2 * i] * move[2 * i + 1]
        curve = 0.5 * w[i] * move[2 * i + 1] ** 2
        for k in range(tail_tap):
            out[begin[i] + k] += turn * rows[i, 1, k] + curve * rows[i, 2, k]
        for e in range(inject.shape[0]):
            inject[e, begin[i] + tail_tap] += turn * ends[i, 1, e] + curve * ends[i, 2, e]


@compiled
def relax(
    x, w, baseline, residual, first, root, columns, table, edges, tail, tail_tap, offset, low, high, strength, width, norm,
    kinks, iterations, tolerance,
):  # fmt: skip
    """Newton on the weights and positions of all spikes of a stretch and the baseline's coefficients together.

    The same steps and the same contract as `kernels.spikes.relax`, for filters with a tail of exponentials. The stretch
    ``residual`` (L,) reaches at least ``tail_tap`` samples beyond the last spike's first tap.

    Returns (count left, iterations, KKT residual).
    """
    count = x.size
    length = residual.size
    terms = tail.shape[1]
    borders = columns.shape[0]
    power = _powers(tail, length)
    products = _tail_products(root, first, length, power)
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
    sides = np.empty((1 + borders, 2 * count))
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
        _backward(columns[a], root, first, power, column_back[a])
        for b in range(a + 1):
            square[a, b] = np.sum(columns[a] * columns[b])
            square[b, a] = square[a, b]
        if square[a, a] == 0.0:  # a column without samples keeps its coefficient
            square[a, a] = 1.0
    damping = 1e-12
    kkt = 0.0
    used = 0
    while count > 0:
        _backward(residual, root, first, power, back)
        if kinks.size > 0:
            _leave_kinks(x, w, count, residual, back, table, edges, tail, offset, root, first, low, high, kinks, row, end, begin2)
        _heads(x, count, table, edges, tail, offset, root, first, rows, ends, begin)
        kkt = 0.0
        for i in range(count):
            for order in range(3):
                c[order, i] = _inner(rows[i, order], ends[i, order], begin[i], back, residual)
            sign = 1.0 if w[i] > 0 else -1.0
            outward = (x[i] <= low and w[i] * c[1, i] > 0.0) or (x[i] >= high and w[i] * c[1, i] < 0.0)
            fixed[i] = outward or (kinks.size > 0 and low < x[i] < high and _at_kink(x[i], kinks))
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
        gauss = np.zeros((size, _near(begin, count, tail_tap, near)))
        _assemble(rows, ends, begin, near, w, count, root, first, power, products, gauss, left, right)
        for i in range(count):
            j = 2 * i + 1
            for a in range(borders):
                coupling[a, j - 1] = _inner(rows[i, 0], ends[i, 0], begin[i], column_back[a], columns[a])
                coupling[a, j] = _inner(rows[i, 1], ends[i, 1], begin[i], column_back[a], columns[a]) * w[i]
        for i in range(count):
            if fixed[i]:
                j = 2 * i + 1
                gauss[j] = 0.0
                for k in range(j + 1, size):
                    if near[k // 2] > i:
                        break
                    gauss[k, j - 2 * near[k // 2]] = 0.0
                left[j] = 0.0
                right[j] = 0.0
                coupling[:, j] = 0.0
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
                sides[0, j + 1] = 0.0 if fixed[i] else -(w[i] * c[1, i])
                for a in range(borders):
                    sides[1 + a, j] = coupling[a, j]
                    sides[1 + a, j + 1] = coupling[a, j + 1]
            least = _factor(band, begin, near, count, tail_tap, power, left, right, lower, lost)
            solved = least > 0.0
            if solved:
                for a in range(1 + borders):
                    _solve(band, begin, near, count, tail_tap, power, right, lower, sides[a])
            if solved and borders > 0:
                # block elimination of the border: S = E - C^T H^-1 C
                for a in range(borders):
                    step[a] = -gradient[a] - np.sum(coupling[a, :size] * sides[0, :size])
                    for b in range(borders):
                        small[a, b] = square[a, b] * (1 + damping) if a == b else square[a, b]
                        small[a, b] -= np.sum(coupling[a, :size] * sides[1 + b, :size])
                solved = _solve_small(small, step)
                if solved:
                    for a in range(borders):
                        for j in range(size):
                            sides[0, j] -= step[a] * sides[1 + a, j]
            if solved and _bends(sides[0, 1:size:2], width):
                _curve(rows, ends, begin, count, w, sides[0], tail_tap, inject, r2)
                _add_tails(inject, root, first, power, r2)
                _backward(r2, root, first, power, bent_back)
                for i in range(count):
                    bend[2 * i] = -_inner(rows[i, 0], ends[i, 0], begin[i], bent_back, r2)
                    bend[2 * i + 1] = 0.0 if fixed[i] else -w[i] * _inner(rows[i, 1], ends[i, 1], begin[i], bent_back, r2)
                _solve(band, begin, near, count, tail_tap, power, right, lower, bend)
                for a in range(borders):
                    bend_step[a] = -np.sum(columns[a] * r2) - np.sum(coupling[a, :size] * bend[:size])
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
                r2[:] = residual
                inject[:] = 0.0
                for a in range(borders):
                    foreseen += 0.5 * gradient[a] * step[a]
                    for n in range(length):
                        r2[n] += step[a] * columns[a, n]
                for i in range(count):
                    sign = 1.0 if w[i] > 0 else -1.0
                    foreseen += 0.5 * (c[0, i] + strength * sign) * sides[0, 2 * i] + 0.5 * w[i] * c[1, i] * sides[0, 2 * i + 1]
                    w2[i] = w[i] + sides[0, 2 * i]
                    shift = min(max(sides[0, 2 * i + 1], -0.5 * width), 0.5 * width)
                    x2[i] = x[i] + shift if kinks.size == 0 else _stopped_at_kink(x[i], x[i] + shift, kinks)
                    x2[i] = min(max(x2[i], low), high)
                    if w2[i] * w[i] <= 0:
                        w2[i] = 0.0
                    for k in range(tail_tap):
                        r2[begin[i] + k] -= w[i] * rows[i, 0, k]
                    for e in range(terms):
                        inject[e, begin[i] + tail_tap] -= w[i] * ends[i, 0, e]
                    if w2[i] != 0.0:
                        _heads(x2[i : i + 1], 1, table, edges, tail, offset, root, first, row, end, begin2)
                        for k in range(tail_tap):
                            r2[begin2[0] + k] += w2[i] * row[0, 0, k]
                        for e in range(terms):
                            inject[e, begin2[0] + tail_tap] += w2[i] * end[0, 0, e]
                    change += strength * (abs(w2[i]) - abs(w[i]))
                _add_tails(inject, root, first, power, r2)
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
        residual[:] = r2
        for a in range(borders):
            baseline[a] += step[a]
        kept = 0
        for i in range(count):
            if w2[i] != 0.0:
                x[kept] = x2[i]
                w[kept] = w2[i]
                kept += 1
        count = kept
        _sort(x, w, count)
        count = _merge(x, w, count, residual, table, edges, tail, offset, root, first, power, strength, width, row, end, begin2)
    return count, used, kkt
