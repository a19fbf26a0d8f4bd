"""The iterate that a method moves and the proof looks at: particles, with what the samples make of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Particles:
    """Positions (samples, in order) and weights of shape (K,), baseline coefficients (B,), and the curve of the loss.

    ``curve`` (M,) belongs to exactly these particles: of least squares the whitened residual, with the baseline fitted beside
    them, of counts the model. ``rounds`` counts the method's steps behind them, in the unit of the trace. ``kkt`` (K,) is the
    KKT residual of each, in the problem that moved them, where it is known.
    """

    position: FloatArray
    weight: FloatArray
    baseline: FloatArray
    curve: FloatArray
    rounds: int = 0
    kkt: FloatArray | None = None

    @classmethod
    def evaluate(
        cls,
        problem: Problem | PartedProblem,
        position: FloatArray,
        weight: FloatArray,
        baseline: FloatArray,
        rounds: int = 0,
        before: Particles | None = None,
        out: FloatArray | None = None,
    ) -> Particles:
        """Put in order, and compute the curve from scratch: see `Problem.evaluated`.

        ``before`` are particles of the same problem whose curve may be taken over in part, ``out`` (M,) an array for the curve.
        """
        order = problem.record.geometry.order(position)
        position, weight = position[order], weight[order]
        known = None if before is None else (before.position, before.weight, before.curve)
        baseline, curve = problem.evaluated(position, weight, baseline, known, out)
        return Particles(position, weight, baseline, curve, rounds)

    @classmethod
    def none(cls, problem: Problem | PartedProblem, baseline: FloatArray | None = None) -> Particles:
        """No particles, on the best baseline, or of counts on the one that is given."""
        nothing = np.empty(0)
        return cls.evaluate(
            problem, nothing, nothing, np.zeros(problem.record.baseline.shape[1]) if baseline is None else baseline
        )

    def objective(self, problem: Problem) -> float:
        """J of these particles of a problem without parts."""
        return problem.objective(self.curve, self.weight)

    def joined_by(self, problem: Problem, position: FloatArray, weight: FloatArray) -> Particles:
        """With more particles, in arrays of their own; the baseline stays as it is, for steps that move it too."""
        curve = problem.model(position, weight)
        curve *= problem.root
        curve += self.curve
        positions, weights = np.concatenate([self.position, position]), np.concatenate([self.weight, weight])
        order = problem.geometry.order(positions)
        return Particles(positions[order], weights[order], self.baseline.copy(), curve, self.rounds)

    def copied(self) -> Particles:
        """Equal particles in arrays of their own."""
        own = self.position.copy(), self.weight.copy(), self.baseline.copy(), self.curve.copy()
        return Particles(*own, self.rounds)
