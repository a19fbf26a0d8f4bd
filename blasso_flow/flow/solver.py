"""The door to the flows: one `solve` for every problem and method, with its tolerances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blasso_flow.data.reports import Paths, TraceRow
from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.flow.descent import ITERATIONS, PARTICLES, Cloud, Descent, certificates
from blasso_flow.flow.ledger import Remedies, Solution
from blasso_flow.flow.loop import run
from blasso_flow.flow.method import Method
from blasso_flow.flow.starts import STARTS, sparse
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem

TOLERANCE = 1e-6
TOLERANCE_NOISE = 0.5
MAX_ROUNDS = 60
NEWTON, FLOWS = "newton", ("euclidean", "conic")
METHODS = (NEWTON, *FLOWS)
MOST_PARTICLES = 100_000
ITERATION_WORDS = Remedies(
    "iterations", "raise `iterations=` or `tol=`", "raise `particles=`, try another `start=`, or leave out `method=`"
)


@dataclass(frozen=True)
class Flow:
    """One of the paper's flows, "euclidean" or "conic", and how it is run. Raises `UsageError` for values out of range.

    Attributes
    ----------
    name : "euclidean" or "conic".
    particles : how many, m; a signed problem of the conic flow has twice as many.
    start : "uniform" positions, or "random" draws of positions and, for euclidean, weights.
    step_size : non-dimensional, None to take it from the curvature and adapt it.
    seed : of what is random.
    iterations : at most so many.
    keep_paths : whether the solution has all particles at the rows of the trace.
    """

    name: str
    particles: int = PARTICLES
    start: str = "uniform"
    step_size: float | None = None
    seed: int = 0
    iterations: int = ITERATIONS
    keep_paths: bool = False

    def __post_init__(self) -> None:
        if self.name not in FLOWS:
            raise UsageError("unknown flow", received=self.name, allowed=", ".join(FLOWS))
        if self.start not in STARTS:
            raise UsageError("unknown start", received=self.start, allowed=", ".join(STARTS))
        if not 1 <= self.particles <= MOST_PARTICLES:
            raise UsageError("particles is out of range", received=self.particles, allowed=f"1 to {MOST_PARTICLES}")
        if self.step_size is not None and not (np.isfinite(self.step_size) and self.step_size > 0):
            raise UsageError("step_size is out of range", received=self.step_size, allowed="a finite number above 0")
        if self.iterations < 1:
            raise UsageError("iterations is out of range", received=self.iterations, allowed="a whole number from 1")
        if self.seed < 0:
            raise UsageError("seed is out of range", received=self.seed, allowed="a whole number from 0")

    def method(self) -> Descent:
        """The method for the loop."""
        from blasso_flow.flow.conic import Conic
        from blasso_flow.flow.euclidean import Euclidean

        metric = Conic() if self.name == "conic" else Euclidean(spread=self.start == "random")
        return Descent(metric, self.particles, self.start, self.step_size, self.seed)

    def notes(self, problem: Problem) -> tuple[str, ...]:
        """What to know of the flow for this problem: whether its start is too sparse for the filter."""
        return sparse(problem, self.particles)


def solve(
    problem: Problem | PartedProblem,
    method: str | Flow = NEWTON,
    *,
    tol: float = TOLERANCE,
    tol_noise: float = TOLERANCE_NOISE,
    max_rounds: int = MAX_ROUNDS,
    start: tuple[FloatArray, FloatArray] | None = None,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Minimise a problem and prove the gap.

    Parameters
    ----------
    problem : least squares or counts, or a problem that holds parts.
    method : "newton", the default method; "euclidean", "conic" or a `Flow`, the paper's flows, for least squares.
    tol : stop when the relative gap (J - D) / J is at most this,
    tol_noise : and, where the noise is known, J - D is at most this many noise variances (of counts: units of log-likelihood).
    max_rounds : of the default method; after them the status is gap_above_tolerance, with the best gap proven. A flow has
        its own ``iterations``, and its rounds are those.
    start : positions (samples) and weights to start from, for a problem that holds parts.
    on_round : called with each row of the trace.

    Raises `DataError` for counts that the model cannot make, `UsageError` for a flow on anything but least squares.
    """
    if isinstance(method, str) and method != NEWTON:
        method = Flow(method)
    if isinstance(method, str):
        newton = _newton(problem, start)
        return run(problem, newton, tol=tol, tol_noise=tol_noise, max_rounds=max_rounds, on_round=on_round)
    if isinstance(problem, PartedProblem) or problem.loss.counts:
        raise UsageError("the flows minimise the squared error of one filter", received=method.name, allowed=NEWTON)
    clouds: list[Cloud] = []
    solution = run(
        problem,
        method.method(),
        tol=tol,
        tol_noise=tol_noise,
        max_rounds=certificates(method.iterations),
        on_round=on_round,
        on_iterate=clouds.append if method.keep_paths else None,
        remedies=ITERATION_WORDS,
    )
    if not method.keep_paths:
        return solution
    places, weights = np.array([cloud.places for cloud in clouds]), np.array([cloud.weights for cloud in clouds])
    return replace(solution, paths=Paths(places, weights))


def _newton(problem: Problem | PartedProblem, start: tuple[FloatArray, FloatArray] | None) -> Method[Any, Any]:
    """The default method for a kind of problem."""
    if isinstance(problem, PartedProblem):
        from blasso_flow.flow.parts import PartsNewton

        return PartsNewton(start)
    if problem.loss.counts:
        from blasso_flow.flow.counts import CountsNewton

        return CountsNewton()
    from blasso_flow.flow.newton import WindowedNewton

    return WindowedNewton()
