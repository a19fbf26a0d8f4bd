"""Linear systems of spikes whose responses end in exponentials: a banded matrix plus a part of rank E, in linear time.

Unknowns are (2 K,), weight and position of each spike by turns. Inner products of spikes whose heads do not overlap have rank E,
so the Cholesky factor is a band plus such a part again (for the part of rank E alone see Foreman-Mackey et al. 2017). Arrays as
in `kernels.line.tails`.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import inlined
from blasso_flow.kernels.shared.systems import HELD, SINGULAR
from blasso_flow.kernels.shared.vectors import dot


@inlined
def first_overlaps(begin, count, head, near):
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
def assemble(rows, ends, begin, near, scale, root, power, products, band, left, right):
    """Inner products of responses and slopes by turns, times ``scale`` (2 K,), which is 0 for what does not move.

    ``band[j, k]`` = H[j, 2 near + k] where heads overlap. Elsewhere, for spike i well before spike j, entries are
    sum_e right[j, e] power[e, begin_j - begin_i - T] left[i, e].
    """
    head = rows.shape[2]
    terms = power.shape[0]
    beyond = np.empty((2, terms))  # products of the tails of spike j with the exponentials
    for j in range(scale.size // 2):
        after = begin[j] + head
        for p in range(2):
            for e in range(terms):
                beyond[p, e] = dot(ends[j, p], products[e, :, after])
                total = power[e, head] * beyond[p, e]
                for k in range(head):
                    total += rows[j, p, k] * root[begin[j] + k] * power[e, k]
                right[2 * j + p, e] = total * scale[2 * j + p]
                left[2 * j + p, e] = ends[j, p, e] * scale[2 * j + p]
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
                        part = power[e, lag] * beyond[p, e]
                        for k in range(head - lag, head):
                            part += power[e, k + lag - head] * root[begin[j] + k] * rows[j, p, k]
                        total += ends[i, o, e] * part
                    band[2 * j + p, 2 * (i - near[j]) + o] = total * scale[2 * j + p] * scale[2 * i + o]


@inlined
def factor(band, begin, near, count, head, power, left, right, lower, lost):
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
def solve(band, begin, near, count, head, power, right, lower, side):
    """Solve with the factor of `factor` for one right-hand side (2 K,), in place."""
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


@inlined
def selected_inverse(band, begin, near, count, head, power, right, lower, inverse, beside):
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
