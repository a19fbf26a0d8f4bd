"""The proof of least squares: objective, dual value and their rounding, from a few sums over the samples.

The statements are those of duality for the BLASSO (Duval & Peyre 2015); what rounding can hide is allowed for a priori.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.losses import SQUARED
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import EPSILON, against_values, sum_rounding
from blasso_flow.proof.evidence import Evidence, Target, birth_level, eta_and_slopes


class Sums(NamedTuple):
    """What objective and dual value need of a measure and its whitened residual r.

    With a = root * (y - B b): ``square`` = <r, r>, ``product`` = <r, a>, ``energy`` = <a, a>, sums of ``size`` terms. ``left``
    is the length of what rounding left of r in the whitened baseline's columns, to which it is orthogonal after their fit.
    ``mass`` = sum |w|, ``weight_square`` = sum w^2, ``overlap`` the most responses that one sample sums.
    """

    square: float
    product: float
    energy: float
    left: float
    size: int
    mass: float
    weight_square: float
    overlap: int

    @classmethod
    def of(cls, problem: Problem, particles: Particles) -> Sums:
        """The sums of particles in order, with their baseline and their whitened residual."""
        orthonormal, columns = problem.whitening.orthonormal, problem.whitened_baseline[: particles.baseline.size]
        residual = particles.curve
        found = against_values(residual, problem.whitened_values, columns, particles.baseline, orthonormal)
        square, product, energy, *left = found
        weighed = problem.geometry.weigh(particles.position, particles.weight)
        return cls(square, product, energy, math.hypot(*left), residual.size, *weighed)


class SquaresExaminer:
    """Evidence on iterates of one least-squares problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.bound = problem.geometry.bound(problem.strength, problem.positive)

    def __call__(self, particles: Particles, target: Target) -> Evidence:
        """Evidence on an iterate, whose residual must not be changed afterwards.

        The dual value is taken relative to the present baseline, which changes nothing in the mathematics and spares the digits
        of a large offset.
        """
        problem = self.problem
        sums = Sums.of(problem, particles)
        objective = 0.5 * sums.square + problem.strength * sums.mass
        sup, births = self.bound(problem.gradient(particles.curve), birth_level(objective, target))
        value = dual_value(problem, sums, objective, sup)
        return Evidence(objective, value, sup, objective_rounding(problem, sums, particles.baseline), births)

    def eta(self, particles: Particles) -> FloatArray:
        """The certificate at the particles' positions, shape (K,)."""
        return eta_and_slopes(self.problem, particles.position, particles.curve, orders=1)[0]


def dual_value(problem: Problem, sums: Sums, objective: float, sup: float, worst: tuple[float, float] | None = None) -> float:
    """Lower bound of the optimum from the sums of a residual whose certificate is at most ``sup``, less its rounding.

    ``worst`` is the response bound and the strength of the filter whose response is longest for its price, by default the
    problem's own.
    """
    value, allowance = SQUARED.best_dual_value(sums.square, sums.product, sums.energy, sums.size, 1 / max(1.0, sup))
    worst = worst or (problem.filter.response_bound, problem.strength)
    return value - allowance - _baseline_allowance(problem, sums, objective, worst)


def _baseline_allowance(problem: Problem, sums: Sums, objective: float, worst: tuple[float, float]) -> float:
    """What rounding leaves of B^T u = 0, times how far the optimal baseline can be from the present one.

    At the optimum 1/2 ||B b + phi * mu - y||^2 + strength |mu| is at most the present objective; the triangle
    inequality then bounds ||B b||.
    """
    if not problem.whitening.orthonormal.size:
        return 0.0
    left = sums.left + 4 * EPSILON * math.sqrt(sums.square)
    reach = math.sqrt(2 * objective) + math.sqrt(sums.energy)
    response_bound, strength = worst
    reach += problem.whitening.largest_root * response_bound * objective / strength
    return left * reach


def objective_rounding(
    problem: Problem, sums: Sums, baseline: FloatArray, response_bound: float | None = None, strength: float | None = None
) -> float:
    """Upper bound of how far the computed objective can be below the exact one of the same measure.

    A sample sums at most ``overlap`` responses, so ||sum |w_i phi_i||| <= sqrt(overlap sum w_i^2 ||phi_i||^2); every
    sum of the residual is off by at most a multiple of eps times these magnitudes. No response is longer than
    ``response_bound``, no penalty dearer than ``strength``: by default those of the problem.
    """
    response_bound = problem.filter.response_bound if response_bound is None else response_bound
    strength = problem.strength if strength is None else strength
    responses = math.sqrt(sums.overlap * sums.weight_square) * response_bound * problem.whitening.largest_root
    curves = math.sqrt(problem.energy) + sum(map(abs, (baseline * problem.whitening.lengths).tolist()))
    off = EPSILON * (sums.overlap + 24) * (responses + curves)
    terms = 0.5 * sums.square + strength * sums.mass
    return math.sqrt(sums.square) * off + 0.5 * off**2 + sum_rounding(sums.size) * terms
