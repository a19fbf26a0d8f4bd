"""Newton on all spikes and the baseline together, for any loss: exact second derivatives, damped until they are convex.

The loss gives a gradient and a curvature for every sample, the problem the responses of the spikes, their strengths and where
they may be. A weight that would cross zero becomes zero, which is the prox of the penalty; positions keep inside, at most half a
width a step; J must fall. Parameters are the weights, the positions and the baseline's coefficients, (2 K + B,).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import EPSILON

ITERATIONS = 40
STATIONARY = 1e-11  # KKT residual below which nothing is left to do
DAMPING, MOST_DAMPING = 1e-10, 1e12
RISE = 4 * EPSILON  # of the objective: what a step may raise it by, as rounding does
DENSE = 2_000_000  # numbers in a Jacobian: larger ones are kept sparse


def relaxed(
    problem: Problem | PartedProblem,
    particles: Particles,
    *,
    tolerance: float = STATIONARY,
    iterations: int = ITERATIONS,
    enough: float = 0.0,
) -> Particles:
    """Newton steps until every parameter is stationary to ``tolerance``; spikes whose weights reach 0 are dropped.

    Ends as well when no step lowers the objective, or one lowers it by less than ``enough``.
    """
    damping = DAMPING
    objective = problem.record.loss.value(particles.curve, problem.record.whitened_values)
    objective += problem.penalty(particles.position, particles.weight)
    for _ in range(iterations):
        if not particles.position.size + particles.baseline.size:
            break
        system = _System(problem, particles)
        if system.kkt() <= tolerance:
            break
        rise, moved = np.inf, particles
        while damping <= MOST_DAMPING:
            trial = system.stepped(damping)
            if trial is not None:
                rise, moved = system.rise(trial), trial
            if rise <= RISE * objective:
                break
            damping = max(damping, 1e-8) * 20
        if not rise <= RISE * objective:
            break
        damping = max(damping / 10, DAMPING)
        particles, objective = moved, objective + rise
        if -rise < enough:
            break
    return particles


def jacobian(problem: Problem | PartedProblem, index: Any, responses: FloatArray, slopes: FloatArray) -> Any:
    """Derivatives of the whitened model by weights, positions and baseline: rows (2 K + B, M), sparse where they are many.

    ``responses`` and ``slopes`` (K, W), whitened, and the slopes times the weights, belong to the samples ``index`` (K, W).
    """
    columns, count = problem.record.whitened_baseline, index.shape[0]
    shape = 2 * count + len(columns), problem.record.root.size
    if shape[0] * shape[1] <= DENSE:
        matrix, rows = np.zeros(shape), np.arange(count)[:, None]
        matrix[rows, index] = responses
        matrix[count + rows, index] = slopes
        matrix[2 * count :] = columns
        return matrix
    from scipy.sparse import csr_array, vstack

    starts = np.arange(0, 2 * index.size + 1, index.shape[1])
    values, places = np.concatenate([responses, slopes]).ravel(), np.concatenate([index, index]).ravel()
    spikes = csr_array((values, places, starts), shape=(2 * count, shape[1]))
    spikes.sum_duplicates()
    spikes.eliminate_zeros()
    return vstack([spikes, csr_array(columns)], format="csr")


class _System:
    """Gradient and Hessian of the objective at one iterate."""

    def __init__(self, problem: Problem | PartedProblem, old: Particles) -> None:
        self.problem, self.old = problem, old
        x, w, count = old.position, old.weight, old.position.size
        loss, root, values = problem.record.loss, problem.record.root, problem.record.whitened_values
        gradient = loss.gradient(old.curve, root, values)
        index, rows = problem.rows(x, 3)
        response, slope, bend = rows * root[index]
        pull, turn, curve = ((gradient[index] * part).sum(axis=1) for part in (response, slope, bend))
        self.turn, self.strengths = turn, problem.strengths(x)
        self.pull = pull + self.strengths * np.sign(w)
        matrix = jacobian(problem, index, response, slope * w[:, None])
        self.by_baseline = matrix[2 * count :] @ gradient
        self.column_sums = np.asarray(abs(matrix[2 * count :]).sum(axis=1))
        self.gradient = np.concatenate([self.pull, w * turn, self.by_baseline])
        self.scale = np.maximum((matrix**2) @ loss.information(old.curve, root), 1e-300)
        self.scale[count : 2 * count] += np.abs(w * curve)
        self.hessian = (matrix * loss.curvature(old.curve, root, values)) @ matrix.T
        spikes, diagonal = np.arange(count), np.zeros(self.gradient.size)
        diagonal[count : 2 * count] = w * curve
        if isinstance(self.hessian, np.ndarray):
            self.hessian[np.diag_indices_from(self.hessian)] += diagonal
            self.hessian[spikes, count + spikes] += turn
            self.hessian[count + spikes, spikes] += turn
        else:
            from scipy.sparse import diags_array

            beside = np.concatenate([turn, np.zeros(len(problem.record.whitened_baseline))])
            self.hessian = self.hessian + diags_array([diagonal, beside, beside], offsets=[0, count, -count])
        empty = (old.baseline <= loss.least_baseline) & (self.by_baseline > 0)
        self.free = np.concatenate([np.ones(count, dtype=np.bool_), ~problem.held(x, w * turn), ~empty])

    def kkt(self) -> float:
        """The largest free component of the gradient, in units of the terms that it is a difference of."""
        loss, count, free = self.problem.record.loss, self.old.weight.size, self.free
        unit = self.strengths
        if isinstance(self.problem, Problem) and loss.counts:
            unit = unit + self.problem.filter.response_bound * np.sqrt(self.problem.filter.taps)
        slope = np.where(free[count : 2 * count], self.turn, 0.0) * self.problem.widths(self.old.position)
        worst = np.maximum(np.abs(self.pull), np.abs(slope)) / unit
        if loss.fits_baseline:
            return float(worst.max(initial=0.0))
        based = np.abs(np.where(free[2 * count :], self.by_baseline, 0.0)) / np.maximum(self.column_sums, EPSILON)
        return float(max(worst.max(initial=0.0), based.max(initial=0.0)))

    def stepped(self, damping: float) -> Particles | None:
        """The particles after one damped step, bounds kept; None where the damped system has no solution that descends."""
        problem, old, count = self.problem, self.old, self.old.weight.size
        step = np.zeros(self.gradient.size)
        step[self.free] = self._solved(damping)
        if not np.isfinite(step).all():
            return None
        half = problem.widths(old.position) / 2
        position = problem.inside(old.position + np.clip(step[count : 2 * count], -half, half), old.position)
        weight = old.weight + step[:count]
        kept = weight * old.weight > 0
        baseline = np.maximum(old.baseline + step[2 * count :], problem.record.loss.least_baseline)
        return Particles.evaluate(problem, position[kept], weight[kept], baseline, old.rounds)

    def _solved(self, damping: float) -> FloatArray:
        """The damped step of the free parameters, NaN where there is none."""
        unit = np.sqrt(self.scale[self.free])
        side, nothing = -self.gradient[self.free] / unit, np.full(unit.size, np.nan)
        if isinstance(self.hessian, np.ndarray):
            matrix = self.hessian[np.ix_(self.free, self.free)] / np.outer(unit, unit)
            matrix[np.diag_indices_from(matrix)] += damping
            try:
                factor = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                return nothing
            return np.asarray(np.linalg.solve(factor.T, np.linalg.solve(factor, side)) / unit)
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import splu

        free, scaled = np.flatnonzero(self.free), diags_array(1 / unit)
        matrix = scaled @ self.hessian.tocsr()[free][:, free] @ scaled + damping * diags_array(np.ones(free.size))
        try:
            step = splu(matrix.tocsc()).solve(side)
        except RuntimeError:  # singular
            return nothing
        return np.asarray(step / unit) if step @ side > 0 else nothing

    def rise(self, trial: Particles) -> float:
        """What the objective grows by."""
        problem, old = self.problem, self.old
        penalty = problem.penalty(trial.position, trial.weight) - problem.penalty(old.position, old.weight)
        return problem.record.loss.change(old.curve, trial.curve, problem.record.whitened_values) + penalty
