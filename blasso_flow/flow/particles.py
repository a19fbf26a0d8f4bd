"""What a method moves, and what the loop asks of a method: the two sides of `flow.loop`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from blasso_flow.certificate import Certificate
from blasso_flow.problem import Problem
from blasso_flow.signals import FloatArray


@dataclass(frozen=True, eq=False)
class Particles:
    """The iterate: positions (samples, sorted) and weights of shape (K,), baseline coefficients (B,), and its residual.

    ``residual`` (M,) is whitened and belongs to exactly these particles, with the baseline refitted.
    """

    position: FloatArray
    weight: FloatArray
    baseline: FloatArray
    residual: FloatArray

    @classmethod
    def evaluate(cls, problem: Problem, position: FloatArray, weight: FloatArray, baseline: FloatArray) -> Particles:
        """Sort, compute the residual from scratch, refit the baseline by weighted least squares."""
        order = np.argsort(position, kind="stable")
        position, weight = position[order], weight[order]
        residual = problem.residual(position, weight, baseline)
        baseline = baseline + problem.refit_baseline(residual)
        if baseline.size:
            residual = problem.residual(position, weight, baseline)
        return cls(position, weight, baseline, residual)


class Method(Protocol):
    """What the loop asks of a method."""

    def start(self, problem: Problem) -> Particles:
        """Initial particles."""

    def birth(self, problem: Problem, particles: Particles, certificate: Certificate) -> Particles:
        """Particles after insertions; a method without births returns them unchanged."""

    def step(self, problem: Problem, particles: Particles, certificate: Certificate) -> Particles:
        """Particles after one round of forward-backward steps."""
