"""The proof of the Poisson loss.

With z the present model, r = y / z and u = 1 - a r, the dual value sum y log(1 - u) is a lower bound of every J as long as
-<u, phi_x> <= strength on the whole domain and <u, B> >= 0 for every baseline column, if there is any. The largest value over
the domain is convex in a, so one proven bound at a = 1 and one at a = 0 give an a that is feasible.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.losses import POISSON
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import EPSILON, sum_rounding
from blasso_flow.proof.evidence import BIRTH_SHARE, Evidence, Target, eta_and_slopes

MOST_LEVEL = 1e-3  # above 1 that a candidate must be, however loose the target


class CountsExaminer:
    """Evidence on iterates of one problem of counts, whose curve is the model."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.bound = problem.geometry.bound(problem.strength, problem.positive)
        self.at_zero = max(0.0, self.bound(problem.root, np.inf)[0])  # the bound for a = 0: -<1, phi_x> / strength
        self.column_sums = problem.whitened_baseline.sum(axis=1)
        self.total = max(float(problem.whitened_values.sum()), EPSILON)

    def __call__(self, particles: Particles, target: Target) -> Evidence:
        """Evidence on an iterate."""
        problem, model = self.problem, particles.curve
        objective = problem.objective(model, particles.weight)
        level = 1 + min(BIRTH_SHARE * target(objective) / self.total, MOST_LEVEL)
        ratio = POISSON.ratio(model, problem.whitened_values)
        sup, births = self.bound(problem.root - ratio, level)
        sup += 2 * EPSILON * float(np.linalg.norm(problem.root + ratio)) * problem.filter.response_bound / problem.strength
        scale = 1.0 if sup <= 1 else (1 - self.at_zero) / (sup - self.at_zero)
        for column, total in zip(problem.whitened_baseline, self.column_sums, strict=True):
            along = float(column @ ratio)
            if along > 0:
                scale = min(scale, total / along)
        scale *= 1 - 4 * EPSILON * (np.log2(ratio.size + 1) + 8)
        value, allowance = POISSON.dual_value(scale * ratio, problem.whitened_values)
        return Evidence(objective, value - allowance, sup, self._rounding(particles, objective), births)

    def eta(self, particles: Particles) -> FloatArray:
        """The certificate at the particles' positions, shape (K,)."""
        return eta_and_slopes(self.problem, particles.position, self.problem.gradient(particles.curve), orders=1)[0]

    def _rounding(self, particles: Particles, objective: float) -> float:
        """Upper bound of what rounding can hide in the objective: every sample of the model is a sum of non-negative terms."""
        problem, model = self.problem, particles.curve
        each = EPSILON * (particles.position.size + problem.filter.taps.bit_length() + 64)
        size = float(np.abs(model).sum() + problem.whitened_values.sum()) + problem.strength * float(particles.weight.sum())
        return each * size + sum_rounding(model.size) * (abs(objective) + size)
