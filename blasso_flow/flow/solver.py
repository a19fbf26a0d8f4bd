"""The door to the flows: the default method with its tolerances."""

from __future__ import annotations

from collections.abc import Callable

from blasso_flow.flow.ledger import Solution
from blasso_flow.flow.loop import run
from blasso_flow.problem import Problem
from blasso_flow.spikes import TraceRow

TOLERANCE = 1e-6
TOLERANCE_NOISE = 0.5
MAX_ROUNDS = 60


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
