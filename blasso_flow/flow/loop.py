"""The one loop: certificate, stop, birth, step. A method brings start, birth and step; everything proven is the loop's.

The measure that is returned is the one whose own certificate proves most, so that anyone can prove it again from the
measure alone; the dual value is the largest one seen. The gap between them holds whatever the method did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from blasso_flow.certificate import Certifier, sample_eta
from blasso_flow.flow.particles import Method, Particles
from blasso_flow.problem import Problem
from blasso_flow.signals import FloatArray
from blasso_flow.spikes import Status, TraceRow

BIRTH_SHARE = 0.1  # of the tolerance: candidates so close to 1 cannot keep the gap above it
STALLED_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class Solution:
    """The certified measure in internal units, and its proof.

    ``objective`` - ``dual_value`` is at least the excess of the objective over the optimum. ``violation`` is the proven
    bound of sup|eta| minus 1 for this measure (0 when below). Positions in samples, sorted.
    """

    position: FloatArray
    weight: FloatArray
    baseline: FloatArray
    eta: FloatArray
    objective: float
    dual_value: float
    violation: float
    gap: float
    gap_noise: float
    status: Status
    message: str
    rounds: int
    trace: tuple[TraceRow, ...]


def relative_gap(objective: float, dual_value: float) -> float:
    """(J - D) / J, 0 when J = 0."""
    return 0.0 if objective <= 0 else max(0.0, objective - dual_value) / objective


def run(
    problem: Problem,
    method: Method,
    *,
    tol: float,
    tol_noise: float,
    max_rounds: int,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Run any method to the same stop with the same proof; see `flow.solve`."""
    begun = perf_counter()
    certifier = Certifier(problem)
    particles = method.start(problem)
    best: _Seen | None = None
    lowest = np.inf
    dual_value = 0.0  # of the zero dual point
    trace: list[TraceRow] = []
    stalled = 0
    while True:
        objective = problem.objective(particles.residual, particles.weight)
        target = absolute_tolerance(problem, objective, tol, tol_noise)
        level = 1 + BIRTH_SHARE * min(tol, target / objective if objective > 0 else tol)
        certificate = certifier(particles.residual, particles.baseline, objective, level)
        rounding = problem.objective_rounding(particles.residual, particles.position, particles.weight, particles.baseline)
        seen = _Seen(particles, objective, certificate.sup, rounding, objective - certificate.dual_value + rounding)
        falls = objective < lowest * (1 - 1e-13)
        stalled = 0 if best is None or falls or seen.excess < best.excess or certificate.dual_value > dual_value else stalled + 1
        lowest, dual_value = min(lowest, objective), max(dual_value, certificate.dual_value)
        if best is None or seen.excess < best.excess:
            best = seen
        gap = relative_gap(best.objective, dual_value - best.rounding)
        trace.append(TraceRow(len(trace), objective, gap, particles.position.size, perf_counter() - begun))
        if on_round is not None:
            on_round(trace[-1])
        reached = best.excess <= absolute_tolerance(problem, best.objective, tol, tol_noise)
        if reached or len(trace) > max_rounds or stalled >= STALLED_ROUNDS:
            break
        particles = method.birth(problem, particles, certificate)
        particles = method.step(problem, particles, certificate)
    proven = max(0.0, dual_value - best.rounding)
    return _solution(problem, best, proven, reached, stalled, tuple(trace), tol, tol_noise)


@dataclass(frozen=True, eq=False)
class _Seen:
    """An iterate and what was proven of it; ``excess`` is J - D with its own dual value, so that it can be proven again."""

    particles: Particles
    objective: float
    sup: float
    rounding: float
    excess: float


def _solution(
    problem: Problem,
    best: _Seen,
    dual_value: float,
    reached: bool,
    stalled: int,
    trace: tuple[TraceRow, ...],
    tol: float,
    tol_noise: float,
) -> Solution:
    particles = best.particles
    gap = relative_gap(best.objective, dual_value)
    excess = max(0.0, best.objective - dual_value)
    gap_noise = excess / problem.noise_sd**2 if np.isfinite(problem.noise_sd) else np.nan
    rounds = len(trace) - 1
    return Solution(
        position=particles.position,
        weight=particles.weight,
        baseline=particles.baseline,
        eta=sample_eta(problem, particles.position, particles.residual),
        objective=best.objective,
        dual_value=dual_value,
        violation=max(0.0, best.sup - 1),
        gap=gap,
        gap_noise=gap_noise,
        status=Status.CONVERGED if reached else Status.GAP_ABOVE_TOLERANCE,
        message=message(reached, gap, gap_noise, rounds, stalled, tol, tol_noise),
        rounds=rounds,
        trace=trace,
    )


def absolute_tolerance(problem: Problem, objective: float, tol: float, tol_noise: float) -> float:
    """Largest J - D that counts as converged."""
    target = tol * objective
    if np.isfinite(problem.noise_sd):
        target = min(target, tol_noise * problem.noise_sd**2)
    return target


def message(reached: bool, gap: float, gap_noise: float, rounds: int, stalled: int, tol: float, tol_noise: float) -> str:
    """How it ended, and the remedy where it did not reach the tolerance."""
    if reached:
        return f"proven gap {gap:.1e} after {rounds} rounds"
    demand = f"gap {gap:.1e}, asked {tol:.1e}" if gap > tol else f"gap {gap_noise:.2g} noise units, asked {tol_noise:g}"
    if stalled >= STALLED_ROUNDS:
        return f"{demand}: no progress in {stalled} rounds; accept it with a larger --tol"
    return f"{demand}: stopped after {rounds} rounds; raise --max-rounds or --tol"
