"""What a Newton step on spikes does to rows, curves and residuals: leave kinks, bend, merge neighbours.

A filter is ``finite``, (table, edges) of `kernels.line.responses`, or has a ``tail``, (table, edges, rates and amplitudes (2, E),
first tap of the tail), and the other one is None: numba leaves out what stands behind an argument that is None, but only that.
With a tail a response is a head and E amplitudes: arrays as in `kernels.line.tails`, which are None too for a finite one.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import inlined
from blasso_flow.kernels.line.responses import fill, whitened_rows
from blasso_flow.kernels.line.tails import add_response, add_tails, backward, heads, inner
from blasso_flow.kernels.shared.steps import BESIDE, at_kink, sort
from blasso_flow.kernels.shared.vectors import add, dot


@inlined
def leave_kinks(x, w, residual, finite, tail, offset, period, root, low, high, kinks, row, end, begin, back):
    """Put particles on kinks to the side where the loss falls, unless both one-sided slopes hold them; True if any moved.

    ``row`` (1, 2, taps), ``end`` and ``begin`` are work space; back[0] holds the backward sums of the residual.
    """
    slopes = np.empty(2)
    left = False
    for i in range(x.size):
        if low < x[i] < high and at_kink(x[i], kinks):
            place = x[i]
            for side in range(2):
                x[i] = place + (2 * side - 1) * BESIDE
                if finite is not None:
                    whitened_rows(x[i : i + 1], finite[0], finite[1], offset, period, root, row, begin)
                    slopes[side] = w[i] * dot(row[0, 1], residual[begin[0] : begin[0] + row.shape[2]])
                if tail is not None:
                    heads(x[i : i + 1], tail[0], tail[1], tail[2], offset, root, row, end, begin)
                    slopes[side] = w[i] * inner(row[0, 1], end[0, 1], begin[0], back[0], residual)
            if slopes[0] <= 0.0 <= slopes[1]:
                x[i] = place
            else:
                x[i] = place + BESIDE if -slopes[1] > slopes[0] else place - BESIDE
                left = True
    if left:
        sort(x, w)
    return left


@inlined
def merge(x, w, residual, root, finite, tail, offset, period, row, strength, reach, power, pair, end, place):
    """Merge same-sign neighbours closer than ``reach`` where the objective does not rise; returns the new count.

    ``row`` (taps,), ``pair`` (1, 2, taps), ``end`` and ``place`` (1,) are work space, the last three for a tail only.
    """
    taps = row.size
    step = np.empty(3 * taps if tail is None else residual.size)
    kept = 0
    for i in range(1, x.size):
        merged = False
        if x[i] - x[kept] < reach and w[i] * w[kept] > 0.0:
            total = w[i] + w[kept]
            middle = min(x[kept] + (x[i] - x[kept]) * (w[i] / total), x[i])  # between them, rounding included
            begin = 0 if period is not None else int(np.floor(x[kept])) + offset
            length = residual.size - begin
            if tail is None:
                length = taps if period is not None else min(int(x[i] - x[kept]) + 2 + taps, length)
            step[:length] = 0.0
            for there, weight in ((x[kept], -w[kept]), (x[i], -w[i]), (middle, total)):
                if finite is not None:
                    shift = fill(there, finite[0], finite[1], offset, period, row) - begin
                    add(weight, row, step[shift : shift + taps])
                if tail is not None:
                    alone = np.full(1, there)
                    add_response(weight, alone, tail, offset, root, power, pair, end, place, begin, step)
            part = residual[begin : begin + length]
            if finite is not None:
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
def curve(rows, ends, begin, w, move, root, power, inject, back, out):
    """Half the model's second derivative along a ``move`` of weights and positions (2 K,), into out (L,).

    With a tail ``inject`` (E, L + 1) is work space, and the last of ``back`` (., E, L + 1) becomes the curve's backward sums.
    """
    taps = rows.shape[2]
    out[:] = 0.0
    if ends is not None:
        inject[:] = 0.0
    for i in range(begin.size):
        turn = move[2 * i] * move[2 * i + 1]
        curve = 0.5 * w[i] * move[2 * i + 1] ** 2
        part = out[begin[i] : begin[i] + taps]
        for k in range(taps):
            part[k] += turn * rows[i, 1, k] + curve * rows[i, 2, k]
        if ends is not None:
            for e in range(inject.shape[0]):
                inject[e, begin[i] + taps] += turn * ends[i, 1, e] + curve * ends[i, 2, e]
    if ends is not None:
        add_tails(inject, root, power, out)
        backward(out, root, power, back[back.shape[0] - 1])
