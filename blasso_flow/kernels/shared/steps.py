"""What Newton steps of all filters share: ends and kinks that stop a position, the baseline's share of a step, its bend, damping.

Steps are (2 K,), weights and positions interleaved. Filters have ``kinks``, the fractions of a sample where their slope jumps.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import inlined
from blasso_flow.kernels.shared.systems import solve_small, substitute_small
from blasso_flow.kernels.shared.vectors import dot

BESIDE = 1e-9  # samples: how far beside a kink its one-sided slopes are taken
STRAIGHT = 1e-3  # widths: shorter steps need no second order
FAR = 2.0  # widths: longer ones have no use for it
MOST_BENT = 0.75  # of the first order
TRIALS = 15
TRUSTED = 0.75  # of the change that the quadratic model foresees: from there on, less damping
MERGE = 1e-2  # widths


@inlined
def outward(x, slope, w, low, high):
    """True if the particle sits on an end of the domain and the loss pulls it further out: only its weight may move."""
    return (x <= low and w * slope > 0.0) or (x >= high and w * slope < 0.0)


@inlined
def at_kink(x, kinks):
    """True if the particle sits where the filter's slope jumps (``kinks``: those fractions of a sample)."""
    fraction = x - np.floor(x)
    for kink in kinks:
        away = abs(fraction - kink)
        if min(away, 1.0 - away) < 0.5 * BESIDE:
            return True
    return False


@inlined
def stopped_at_kink(x, moved, kinks):
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
def sort(x, w):
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
def bends(shifts, width):
    """Whether positions move so far that the model bends on the way, and not so far that they are cut off."""
    far = 0.0
    for i in range(shifts.size):
        far = max(far, abs(shifts[i]))
    return STRAIGHT * width < far < FAR * width


@inlined
def with_baseline(sides, size, coupling, gradient, square, damping, small, step):
    """Bring the baseline into a step, by block elimination with S = E - C^T H^-1 C; False if S is not positive definite.

    The first ``size`` = 2 K numbers in each row of ``sides`` hold H^-1 times the negative gradient, which becomes the step, and
    times each row of ``coupling`` (B, 2 K). ``gradient`` (B,) and ``square`` (B, B) are the baseline's, ``step`` (B,) becomes
    its part of the step, ``small`` (B, B) keeps the factor.
    """
    borders = gradient.size
    for a in range(borders):
        step[a] = -gradient[a] - dot(coupling[a, :size], sides[0, :size])
        for b in range(borders):
            whole = square[a, b] * (1 + damping) if a == b else square[a, b]
            small[a, b] = whole - dot(coupling[a, :size], sides[1 + b, :size])
    if not solve_small(small, step):
        return False
    for a in range(borders):
        for j in range(size):
            sides[0, j] -= step[a] * sides[1 + a, j]
    return True


@inlined
def add_bend(bend, curve, w, width, columns, coupling, sides, small, step, bend_step):
    """Add to a step (sides[0] and ``step``) its second order, unless that is so large that it means nothing.

    ``bend`` (2 K,) is H^-1 times the negative products of the rows with ``curve`` (L,), half the model's second derivative
    along the step. ``small`` holds the factor that `with_baseline` left; ``bend_step`` (B,) is work space.
    """
    borders = step.size
    for a in range(borders):
        bend_step[a] = -dot(columns[a], curve) - dot(coupling[a, : bend.size], bend)
    substitute_small(small, bend_step)
    for a in range(borders):
        for j in range(bend.size):
            bend[j] -= bend_step[a] * sides[1 + a, j]
    straight = 0.0
    bent = 0.0
    for i in range(bend.size // 2):
        straight += sides[0, 2 * i] ** 2 + (w[i] * sides[0, 2 * i + 1] / width) ** 2
        bent += bend[2 * i] ** 2 + (w[i] * bend[2 * i + 1] / width) ** 2
    if bent <= MOST_BENT**2 * straight:
        for j in range(bend.size):
            sides[0, j] += bend[j]
        for a in range(borders):
            step[a] += bend_step[a]


@inlined
def more_damping(damping, least):
    """Damping after a step that failed; ``least`` is the smallest pivot, relative to its diagonal: less would change nothing."""
    damping = max(damping * 20, 1e-10)
    while damping < 0.1 * least:
        damping *= 20
    return damping
