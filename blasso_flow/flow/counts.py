"""The default method for counts: births from the certificate of the Poisson objective, relaxed together with the background.

Weights, baseline columns and their coefficients are at least 0. Everything is in samples; missing samples take no part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import DataError
from blasso_flow.flow.joint import relaxed
from blasso_flow.problem.losses import POISSON
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import EPSILON
from blasso_flow.proof.evidence import Evidence

FIRST_STEPS = 200
FEWEST_COUNTS = 0.1  # of a spike to start with
SILENT = 1e-6  # counts that a spike makes: as good as none
MERGE = 0.05  # widths
BIRTH_WEIGHT = 0.5  # of the exact one-step weight


@dataclass(frozen=True)
class CountsNewton:
    """Start from the background, insert at every maximum of the certificate, relax everything together."""

    def start(self, problem: Problem) -> Particles:
        """No spikes, or without a baseline spikes that make all counts.

        Raises `DataError` for counts that nothing in the model can make.
        """
        particles = empty(problem)
        if not particles.objective(problem) < np.inf and not problem.whitened_baseline.size:
            particles = _covering(problem)
        if not particles.objective(problem) < np.inf:
            raise DataError(
                "counts that neither background nor spikes can make", mend="use `baseline=const`, or give a `margin=`"
            )
        return particles

    def advance(self, problem: Problem, particles: Particles, evidence: Evidence, spare: FloatArray | None = None) -> Particles:
        """Births, then Newton until stationary, and close spikes merged."""
        moved = settled(problem, _born(problem, particles, evidence))
        return replace(moved, rounds=particles.rounds + 1)


def settled(problem: Problem, particles: Particles, enough: float = 0.0) -> Particles:
    """Particles relaxed until stationary, or until a step gains less than ``enough``; spikes that are one are made one."""
    return _merged(problem, relaxed(problem, particles, enough=enough))


def empty(problem: Problem) -> Particles:
    """No spikes, and the baseline of largest likelihood. Without a baseline that is impossible, unless nothing was counted."""
    columns = problem.whitened_baseline
    particles = Particles.none(problem, _raised(problem, columns, columns.sum(axis=1), FIRST_STEPS))
    return settled(problem, particles) if particles.objective(problem) < np.inf and len(columns) > 1 else particles


def _covering(problem: Problem) -> Particles:
    """Spikes a width apart with the weights of largest penalised likelihood, without those that make next to nothing."""
    position = problem.geometry.spaced(problem.filter.width)
    particles = Particles.none(problem)
    for _ in range(2):
        index, (response,) = problem.rows(position)
        rows = np.zeros((position.size, problem.root.size))
        rows[np.arange(position.size)[:, None], index] = response * problem.root[index]
        weight = _raised(problem, rows, rows.sum(axis=1) + problem.strength, FIRST_STEPS)
        made = weight * rows.sum(axis=1)
        for least in (SILENT, 0.0):
            trial = Particles.evaluate(problem, position[made > least], weight[made > least], np.empty(0))
            if trial.objective(problem) < np.inf:
                particles = trial
                break
        position = position[made > FEWEST_COUNTS]
    return particles


def _raised(problem: Problem, rows: FloatArray, price: FloatArray, steps: int) -> FloatArray:
    """Coefficients >= 0 (R,) of ``rows`` (R, M) for the counts, each at its ``price`` (R,), by expectation maximisation."""
    values = problem.whitened_values
    price = np.maximum(price, EPSILON)
    coefficients = float(values.sum()) / (max(rows.shape[0], 1) * price)
    for _ in range(steps if coefficients.size > 1 else 1):
        coefficients = coefficients * (rows @ POISSON.ratio(coefficients @ rows, values)) / price
    return coefficients


def _born(problem: Problem, particles: Particles, evidence: Evidence) -> Particles:
    """All candidates inserted with half of the weight that a Newton step along each alone would give it."""
    position, eta = evidence.births
    if not position.size:
        return particles
    index, (response,) = problem.rows(position)
    curvature = POISSON.curvature(particles.curve, problem.root, problem.whitened_values)
    along = (curvature[index] * (response * problem.root[index]) ** 2).sum(axis=1)
    weight = BIRTH_WEIGHT * (eta - 1) * problem.strength / np.maximum(along, 1e-300)
    positions = np.append(particles.position, position)

    def born() -> Particles:
        return Particles.evaluate(problem, positions, np.append(particles.weight, weight), particles.baseline)

    trial = born()
    while not trial.objective(problem) <= evidence.objective:
        weight = weight / 4
        if weight.max() < 1e-12:
            break
        trial = born()
    return trial


def _merged(problem: Problem, particles: Particles) -> Particles:
    """Neighbours so close that they are one, made one where the objective does not rise."""
    number = 0
    while number + 1 < particles.position.size:
        pair = slice(number, number + 2)
        if np.diff(particles.position[pair])[0] < MERGE * problem.filter.width:
            weight = float(particles.weight[pair].sum())
            centre = float(particles.position[pair] @ particles.weight[pair]) / weight
            position, weights = np.delete(particles.position, number), np.delete(particles.weight, number)
            position[number], weights[number] = np.clip(centre, *problem.domain), weight
            trial = Particles.evaluate(problem, position, weights, particles.baseline)
            if trial.objective(problem) <= particles.objective(problem):
                particles = trial
                continue
        number += 1
    return particles
