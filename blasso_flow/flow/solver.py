"""The doors to the flows: the default method, and the paper's flows, with their tolerances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from blasso_flow.data.reports import Paths, TraceRow
from blasso_flow.errors import UsageError
from blasso_flow.flow.descent import ITERATIONS, PARTICLES, Cloud, Descent, certificates
from blasso_flow.flow.ledger import Remedies, Solution
from blasso_flow.flow.loop import run
from blasso_flow.flow.starts import STARTS, sparse
from blasso_flow.problem.problem import Problem

TOLERANCE = 1e-6
TOLERANCE_NOISE = 0.5
MAX_ROUNDS = 60
METHODS = ("newton", "euclidean", "conic")
MOST_PARTICLES = 100_000
ITERATION_WORDS = Remedies(
    "iterations", "raise --iterations or --tol", "raise --particles, try another --start, or leave out --method"
)


@dataclass(frozen=True)
class FlowChoice:
    """Which of the paper's flows, and how: see `flow.descent.Descent`. Raises `UsageError` for values out of range."""

    name: str
    particles: int = PARTICLES
    start: str = "uniform"
    step_size: float | None = None
    seed: int = 0
    iterations: int = ITERATIONS
    keep_paths: bool = False

    def __post_init__(self) -> None:
        if self.name not in METHODS[1:]:
            raise UsageError("unknown flow", received=self.name, allowed=", ".join(METHODS[1:]))
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

        flow = Conic() if self.name == "conic" else Euclidean(spread=self.start == "random")
        return Descent(flow, self.particles, self.start, self.step_size, self.seed)

    def notes(self, problem: Problem) -> tuple[str, ...]:
        """What to know of the choice for this problem: whether its start is too sparse for the filter."""
        return sparse(problem, self.particles)


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


def follow(
    problem: Problem,
    choice: FlowChoice,
    *,
    tol: float = TOLERANCE,
    tol_noise: float = TOLERANCE_NOISE,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Minimise the problem by one of the paper's flows, with the same proof and the same stop as `solve`.

    Rounds are iterations. ``solution.paths`` holds all particles at the rows of the trace where the choice keeps them.
    """
    clouds: list[Cloud] = []
    solution = run(
        problem,
        choice.method(),
        tol=tol,
        tol_noise=tol_noise,
        max_rounds=certificates(choice.iterations),
        on_round=on_round,
        on_iterate=clouds.append if choice.keep_paths else None,
        remedies=ITERATION_WORDS,
    )
    if not choice.keep_paths:
        return solution
    places, weights = np.array([cloud.places for cloud in clouds]), np.array([cloud.weights for cloud in clouds])
    return replace(solution, paths=Paths(places, weights))
