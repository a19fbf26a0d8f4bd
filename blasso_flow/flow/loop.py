"""The one loop: certificate, stop, birth, step. A method brings start, birth and step; everything proven is the loop's.

The measure that is returned is the one whose own certificate proves most, so that anyone can prove it again from the
measure alone; the dual value is the largest one seen. The gap between them holds whatever the method did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from blasso_flow.certificate import Certificate, Certifier, sample_eta
from blasso_flow.problem import Problem
from blasso_flow.signals import FloatArray
from blasso_flow.spikes import Status, TraceRow

TOLERANCE = 1e-6
TOLERANCE_NOISE = 0.5
MAX_ROUNDS = 60
BIRTH_SHARE = 0.1  # of the tolerance: candidates so close to 1 cannot keep the gap above it
STALLED_ROUNDS = 6


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


def solve(
    problem: Problem,
    *,
    tol: float = TOLERANCE,
    tol_noise: float = TOLERANCE_NOISE,
    max_rounds: int = MAX_ROUNDS,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Minimise the problem with the default method and prove the gap.

    Stops when the relative gap is at most ``tol`` and, where the noise is known, the gap in noise units at most
    ``tol_noise``; otherwise after ``max_rounds`` with status gap_above_tolerance and the best gap proven.
    """
    from blasso_flow.flow.newton import WindowedNewton

    return run(problem, WindowedNewton(), tol=tol, tol_noise=tol_noise, max_rounds=max_rounds, on_round=on_round)


def run(
    problem: Problem,
    method: Method,
    *,
    tol: float,
    tol_noise: float,
    max_rounds: int,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Run any method to the same stop with the same proof; see `solve`."""
    begun = perf_counter()
    certifier = Certifier(problem)
    particles = method.start(problem)
    best: _Seen | None = None
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
        stalled = 0 if best is None or seen.excess < best.excess or certificate.dual_value > dual_value else stalled + 1
        dual_value = max(dual_value, certificate.dual_value)
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
