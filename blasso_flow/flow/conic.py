"""Conic particle gradient descent (Chizat 2022): weights move multiplicatively and keep their signs.

    |w_i| <- |w_i| exp(-4 t strength (1 - s_i eta(x_i)))
    x_i   <- x_i + t strength s_i eta'(x_i)

A gradient step in the metric of unbalanced transport, in which a particle travels at a speed that does not depend on its
weight. Weights never reach 0; what the objective does better without is left out of the measure that is written.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray

FIRST_WEIGHT = 0.1  # of the unit of weight, shared by all particles
MOST_GROWTH = 3.0  # exponent of a step's largest growth, so that trial steps stay finite


@dataclass(frozen=True)
class Conic:
    """Flow in the metric dw^2 / (4 |w|) + |w| dx^2, every position with a copy of each sign where both are allowed."""

    def first(self, positions: FloatArray, positive: bool, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Equal small weights; a signed problem has each position twice."""
        weight = np.full(positions.size, FIRST_WEIGHT / positions.size)
        if positive:
            return positions, weight
        return np.concatenate([positions, positions]), np.concatenate([weight, -weight])

    def move(
        self, weight: FloatArray, force: FloatArray, drift: FloatArray, ratio: float, step: float, positive: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Multiplicative step on weights, plain step on positions."""
        sign = np.sign(weight)
        after = weight * np.exp(np.minimum(-4 * step * (ratio - sign * force), MOST_GROWTH))
        return after, step * sign * drift

    def divergence(self, before: FloatArray, after: FloatArray, shift: FloatArray) -> float:
        """A quarter of the Kullback-Leibler divergence of the weights, and half the squared travel weighted by them."""
        old, new = np.abs(before), np.abs(after)
        alive = new > 0
        logarithm = np.log(new[alive] / old[alive])
        relative = float((new[alive] * logarithm).sum() - new.sum() + old.sum())
        return 0.25 * relative + 0.5 * float((old * shift**2).sum())
