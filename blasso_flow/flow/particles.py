"""What a method moves, and what the loop asks of a method: the two sides of `flow.loop`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.certificate import Certificate, Certifier


@dataclass(frozen=True, eq=False)
class Particles:
    """The iterate: positions (samples, sorted) and weights of shape (K,), baseline coefficients (B,), and its residual.

    ``residual`` (M,) is whitened and belongs to exactly these particles, with the baseline refitted. ``rounds`` counts the
    method's steps behind them, in the unit of the trace. ``unrest`` (K,) is the KKT residual of each, in the problem
    that moved them, where it is known.
    """

    position: FloatArray
    weight: FloatArray
    baseline: FloatArray
    residual: FloatArray
    rounds: int = 0
    unrest: FloatArray | None = None

    @classmethod
    def evaluate(
        cls,
        problem: Problem,
        position: FloatArray,
        weight: FloatArray,
        baseline: FloatArray,
        rounds: int = 0,
        before: Particles | None = None,
        out: FloatArray | None = None,
    ) -> Particles:
        """Sort, compute the residual from scratch, refit the baseline by weighted least squares.

        Without a baseline the residual is taken over from ``before``, of the same problem, where it is the same to the last bit.
        ``out`` (M,) is an array to put the residual in, by default a new one.
        """
        order = position.argsort(kind="stable")
        position, weight = position[order], weight[order]
        if not baseline.size:
            known = (before.position, before.weight, before.residual) if before is not None else None
            residual = problem.residual_without_baseline(position, weight, known, out)
            return Particles(position, weight, baseline, residual, rounds)
        return Particles(position, weight, *problem.refitted(problem.model(position, weight), baseline, out), rounds)

    def joined_by(self, problem: Problem, position: FloatArray, weight: FloatArray) -> Particles:
        """With more particles, in arrays of their own; the baseline stays as it is, for steps that move it too."""
        residual = problem.model(position, weight)
        residual *= problem.root
        residual += self.residual
        positions, weights = np.concatenate([self.position, position]), np.concatenate([self.weight, weight])
        order = positions.argsort(kind="stable")
        return Particles(positions[order], weights[order], self.baseline.copy(), residual, self.rounds)

    def copied(self) -> Particles:
        """The same particles in arrays of their own."""
        own = self.position.copy(), self.weight.copy(), self.baseline.copy(), self.residual.copy()
        return Particles(*own, self.rounds)


Moved = TypeVar("Moved", bound=Particles)


class Method(Protocol[Moved]):
    """What the loop asks of a method; what it moves may know more than the measure."""

    def start(self, problem: Problem) -> Moved:
        """Initial particles."""

    def advance(self, problem: Problem, particles: Moved, certificate: Certificate, spare: FloatArray | None = None) -> Moved:
        """Particles after births, where the method has them, and one round of forward-backward steps, or several.

        ``spare`` (M,) is the residual of an earlier iterate that nobody needs any more: it may be overwritten.
        """


def largest_strength(problem: Problem) -> float:
    """The smallest strength at which the optimum is the zero measure: sup <W (y - baseline), phi_x> (|.| when signed)."""
    probe = problem.with_strength(1.0)
    none = np.empty(0)
    empty = Particles.evaluate(probe, none, none, np.zeros(problem.baseline.shape[1]))
    bound, _, _ = Certifier(probe).supremum(probe.root * empty.residual)
    return bound
