"""The default method for least squares: Newton steps on neighbourhoods of spikes, births from the certificate.

Inside a neighbourhood weights and positions move together by damped Newton steps; a weight that would cross zero is dropped,
which is the prox of the penalty. Everything outside is frozen in the residual. Where there is a baseline, or
a filter whose tail couples everything, one more system holds all spikes and the baseline's coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.geometry import Births
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import EPSILON
from blasso_flow.proof.evidence import Evidence, kkt_residuals

SWEEPS = 6
ITERATIONS = 8
BIRTH_DISTANCE = 0.5  # widths
BIRTH_WEIGHT = 0.5  # of the exact one-step weight
LEAST = 1e-11  # KKT residual below which every spike counts as settled: rounding leaves as much
SWEPT, SWEPT_SHARE = 1e-3, 0.1  # KKT residual at which sweeps end: at most, and as a share of what candidates exceed 1 by
TOGETHER, TOGETHER_SHARE = 3e-6, 0.006  # the same for one system of all spikes, whose last steps cost less than another round


@dataclass(frozen=True)
class WindowedNewton:
    """Start from nothing, insert at every maximum of the certificate, relax neighbourhoods until they are stationary."""

    def start(self, problem: Problem) -> Particles:
        """The zero measure with the best baseline."""
        return Particles.none(problem)

    def advance(self, problem: Problem, particles: Particles, evidence: Evidence, spare: FloatArray | None = None) -> Particles:
        """Births, sweeps over neighbourhoods of spikes that are not stationary, then the joint system where there is one."""
        born = self.birth(problem, particles, evidence.births, spare)
        together = min(max(TOGETHER_SHARE * (evidence.sup - 1), LEAST), TOGETHER)
        return self.relaxed(problem, born, particles, together, goal_of_sweeps(problem, evidence.sup, evidence.births))

    def relaxed(
        self, problem: Problem, born: Particles, before: Particles, together: float = TOGETHER, swept: float = SWEPT
    ) -> Particles:
        """Particles with smaller KKT residuals: ``together`` where one system takes all spikes, else ``swept``.

        The arrays of ``born`` are changed in place; ``before`` are the particles before births, whose KKT residuals may be known.
        """
        x, w, baseline, residual = born.position, born.weight, born.baseline, born.curve
        kkt = None
        if problem.geometry.moves_together(x.size):
            count, _ = problem.relax(x, w, baseline, residual, tolerance=together, iterations=SWEEPS * ITERATIONS)
            x, w = x[:count], w[:count]
        else:
            x, w, kkt = _swept(problem, x, w, residual, swept, before)
            if baseline.size > 0 and problem.geometry.fits_together(born.position.size):
                count, _ = problem.relax(x, w, baseline, residual, tolerance=0.3 * swept, iterations=ITERATIONS)
                x, w, kkt = x[:count], w[:count], None
        moved = Particles.evaluate(problem, x, w, baseline, before.rounds + 1, before, residual)
        return moved if kkt is None else replace(moved, kkt=kkt)

    def birth(self, problem: Problem, particles: Particles, births: Births, spare: FloatArray | None = None) -> Particles:
        """Insert all candidates at once with half their one-step weight, except beside a same-sign spike still on its way.

        The arrays of what is returned are its own: steps may be made in place.
        """
        position, eta = births
        if particles.position.size and position.size:
            free = ~_beside_unsettled(problem, particles, births)
            position, eta = position[free], eta[free]
        norms = problem.geometry.squared_norms(position, problem.root)
        excess = eta - np.sign(eta)
        usable = (norms > 0) & (excess != 0)
        if not usable.any():
            return particles.copied()
        weight = excess[usable] / norms[usable] * (problem.strength * BIRTH_WEIGHT)
        position = position[usable]
        if particles.baseline.size and problem.geometry.moves_together(particles.position.size + position.size):
            return particles.joined_by(problem, position, weight)
        positions, weights = np.concatenate([particles.position, position]), np.concatenate([particles.weight, weight])
        return Particles.evaluate(problem, positions, weights, particles.baseline, particles.rounds, particles, spare)


def _swept(
    problem: Problem, x: FloatArray, w: FloatArray, residual: FloatArray, tolerance: float, before: Particles
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Positions, weights and KKT residuals of the spikes that are left, after sweeps that end when all are stationary."""
    kkt = updated_kkt(problem, x, w, residual, before)
    for number in range(SWEEPS):
        unsettled = kkt > tolerance
        if not unsettled.any():
            break
        rules = problem.strength, tolerance * 0.3, number % 2 == 1
        left, touched = problem.geometry.sweep(x, w, residual, problem.root, unsettled, *rules)
        x, w, kkt = x[left], w[left], kkt[left]
        kkt[touched] = kkt_residuals(problem, x[touched], w[touched], residual)
    return x, w, kkt


def goal_of_sweeps(problem: Problem, sup: float, births: Births) -> float:
    """KKT residual at which sweeps end: a share of what every second candidate exceeds 1 by.

    A long record always has a few places that are far from settled; they do not hold up all the others. Positions are
    rounded, and so is what their slopes can be brought down to.
    """
    excess, eta = sup - 1, births.eta
    if eta.size:
        half = eta.size // 2
        excess = min(excess, float(np.partition(np.abs(eta), half)[half]) - 1)
    rounding = 8 * EPSILON * problem.values.size / problem.filter.width
    return min(max(SWEPT_SHARE * excess, LEAST, rounding), SWEPT)


def updated_kkt(problem: Problem, x: FloatArray, w: FloatArray, residual: FloatArray, before: Particles) -> FloatArray:
    """KKT residuals (K,), those known ``before`` where no spike within reach is new, changed or gone."""
    if before.kkt is None or not before.kkt.size:
        return kkt_residuals(problem, x, w, residual)
    known = np.minimum(np.searchsorted(before.position, x), before.position.size - 1)
    same = (before.position[known] == x) & (before.weight[known] == w)
    gone = np.ones(before.position.size, dtype=np.bool_)
    gone[known[same]] = False
    changed = np.sort(np.concatenate([x[~same], before.position[gone]]))
    kkt = before.kkt[known]
    touched = np.nonzero(problem.geometry.near(x, changed, problem.filter.taps + 1.0))[0]
    kkt[touched] = kkt_residuals(problem, x[touched], w[touched], residual)
    return kkt


def _beside_unsettled(problem: Problem, particles: Particles, births: Births) -> NDArray[np.bool_]:
    """Candidates within half a width of a same-sign spike that is far from stationary: relax that one first."""
    x, w = particles.position, particles.weight
    neighbour = problem.geometry.beside(*births, x, w, BIRTH_DISTANCE * problem.filter.width)
    there = neighbour >= 0
    kkt = np.zeros(neighbour.shape)
    if there.any():
        close = neighbour[there]
        kkt[there] = kkt_residuals(problem, x[close], w[close], particles.curve)
    return np.asarray(kkt.max(axis=0) > 0.3 * (np.abs(births.eta) - 1))
