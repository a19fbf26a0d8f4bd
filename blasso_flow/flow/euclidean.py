"""The paper's flow: gradient steps of the loss on positions and weights, then the prox of the penalty on the weights.

    x_i <- x_i + t strength eta'(x_i) w_i
    w_i <- prox of t strength |.| at w_i + t strength eta(x_i)

The gradient of F_m(w, x) times m, with the measure written as sum_i w_i delta_{x_i}: Chizat and Bach (2018) write it with
1/m, so a weight here is their w_i / m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.losses import SQUARED


@dataclass(frozen=True)
class Euclidean:
    """Flow in the plain metric dw^2 + dx^2. ``spread`` is the size of random first weights; the default starts from 0."""

    spread: float = 0.0

    def first(self, positions: FloatArray, positive: bool, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Weights uniform up to ``spread``, of both signs unless positive."""
        return positions, self.spread * random.uniform(0.0 if positive else -1.0, 1.0, positions.size)

    def move(
        self, weight: FloatArray, force: FloatArray, drift: FloatArray, ratio: float, step: float, positive: bool
    ) -> tuple[FloatArray, FloatArray]:
        """The forward-backward step."""
        forward = weight + step * force
        after = np.maximum(forward - step * ratio, 0.0)
        if not positive:
            after = after + np.minimum(forward + step * ratio, 0.0)
        return after, step * drift * weight

    def divergence(self, before: FloatArray, after: FloatArray, shift: FloatArray) -> float:
        """Half the squared distance."""
        return SQUARED.value(after - before) + SQUARED.value(shift)
