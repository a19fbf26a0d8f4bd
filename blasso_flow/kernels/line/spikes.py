"""Spikes of a whole record: windows of them relaxed one after the other, and the dropping and merging of particles.

Arrays as in `kernels.line.responses`, for filters with a finite response.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled
from blasso_flow.kernels.line.newton import relax
from blasso_flow.kernels.line.responses import fill
from blasso_flow.kernels.line.steps import merge


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
    rest = row, strength, reach, None, None, None, None
    return merge(x[:count], w[:count], residual, root, (table, edges), None, offset, period, *rest)


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
            x, w, baseline, part, root[first:last], columns, (table, edges), None, offset - first, None, lowest, highest,
            strength, width, norm, kinks, iterations, tolerance,
        )  # fmt: skip
        for i in range(count):
            position[a + i] = x[i]
            weight[a + i] = w[i]
        for i in range(a + count, e):
            keep[i] = False
        work += used * (e - a)
    return work
