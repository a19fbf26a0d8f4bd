"""Neighbourhoods on a line: runs of spikes, in order, that are relaxed together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray

REACH = 6.0  # widths: spikes this close to an unsettled one move with it
MOST = 48  # spikes in a window; longer runs are cut, at alternating places
LONG_TAIL_WINDOW = 1000  # spikes, where all of them are coupled


def windows(
    bad: NDArray[np.bool_], x: FloatArray, reach: float, taps: float, limit: int, shifted: bool
) -> tuple[IntArray, IntArray]:
    """Runs [start, end) of spikes to relax together: all within ``reach`` of a bad one, cut where responses no longer
    overlap and after ``limit`` spikes, with the cuts half a window further on when ``shifted``."""
    centres = x[bad]
    chosen = np.nonzero(within(x, centres - reach, centres + reach))[0]
    fresh = np.nonzero((np.diff(chosen, prepend=-2) > 1) | (np.diff(x[chosen], prepend=-np.inf) > taps))[0]
    length = np.diff(fresh, append=chosen.size)
    inside = np.arange(chosen.size) - np.repeat(fresh, length)  # of its run
    first = limit // 2 if shifted else limit
    cut = np.repeat(length > limit, length) & (inside >= first) & ((inside - first) % limit == 0)
    starts = np.nonzero((inside == 0) | cut)[0]
    return chosen[starts], chosen[np.append(starts[1:], chosen.size) - 1] + 1


def within(x: FloatArray, low: FloatArray, high: FloatArray) -> NDArray[np.bool_]:
    """Which of the positions (K,) lie in any of the ranges [low, high], all of them in order."""
    from blasso_flow.kernels.line import particles

    inside = np.empty(x.size, dtype=np.bool_)
    particles.within(x, low, high, inside)
    return inside
