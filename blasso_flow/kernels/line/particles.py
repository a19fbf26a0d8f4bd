"""Kernels on the numbers of particles alone, no curves: how far each is from optimal, and who sits beside whom.

Positions are sorted, weights nonzero.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.kernels import compiled


@compiled
def kkt(position, weight, eta, slope, steepness, low, high, period, width, out):
    """out[i] = max(|1 - sign(w) eta|, steepness * width) of each particle.

    On an end of the domain [low, high] only the inward ``slope`` counts, not ``steepness`` (K,). A torus has no ends.
    """
    for i in range(position.size):
        sign = 1.0 if weight[i] > 0.0 else -1.0
        steep = steepness[i]
        if period == 0 and (position[i] <= low or position[i] >= high):
            steep = max(0.0, sign * (slope[i] if position[i] <= low else -slope[i]))
        out[i] = max(abs(1.0 - sign * eta[i]), steep * width)


@compiled
def beside(place, eta, position, weight, reach, period, out):
    """Neighbours of each candidate for a new particle that are nearer than ``reach`` and have the sign of its eta.

    ``place`` and ``eta`` (C,) of the candidates; out (2, C) holds the neighbours' numbers to the left and right, or -1.
    """
    count = position.size
    for c in range(place.size):
        right = np.searchsorted(position, place[c])
        for side in range(2):
            out[side, c] = -1
            j = right - 1 + side
            if period > 0:
                j %= count
            if j < 0 or j >= count:
                continue
            distance = abs(position[j] - place[c])
            if period > 0:
                distance = min(distance, period - distance)
            if distance < reach and (weight[j] > 0.0) == (eta[c] > 0.0):
                out[side, c] = j


@compiled
def within(position, low, high, out):
    """out[i] = whether a position lies in any of the ranges [low, high], whose ends are sorted too."""
    j = 0
    for i in range(position.size):
        while j < low.size and high[j] < position[i]:
            j += 1
        out[i] = j < low.size and low[j] <= position[i]
