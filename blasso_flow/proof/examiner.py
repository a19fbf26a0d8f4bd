"""Which examiner suits a problem: least squares, counts, or parts."""

from __future__ import annotations

from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.counts import CountsExaminer
from blasso_flow.proof.parts import PartsExaminer
from blasso_flow.proof.squares import SquaresExaminer

Examiner = SquaresExaminer | CountsExaminer | PartsExaminer


def examiner(problem: Problem | PartedProblem) -> Examiner:
    """The examiner that answers for a problem."""
    if isinstance(problem, PartedProblem):
        return PartsExaminer(problem)
    return CountsExaminer(problem) if problem.loss.counts else SquaresExaminer(problem)
