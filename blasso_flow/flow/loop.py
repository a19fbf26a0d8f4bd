"""The one loop: examine an iterate, then stop, or move it. Methods move particles, examiners and the ledger prove."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from blasso_flow.data.reports import TraceRow
from blasso_flow.flow.ledger import ROUNDS, Ledger, Remedies, Solution
from blasso_flow.flow.method import Method, Moved
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.examiner import examiner


def run(
    problem: Problem | PartedProblem,
    method: Method[Any, Moved],
    *,
    tol: float,
    tol_noise: float,
    max_rounds: int,
    on_round: Callable[[TraceRow], None] | None = None,
    on_iterate: Callable[[Moved], None] | None = None,
    remedies: Remedies = ROUNDS,
) -> Solution:
    """Run any method on any problem to the same stop with the same proof; see `flow.solve`.

    ``on_iterate`` is called with every iterate that is examined, the first one included; ``remedies`` are the words for a
    run that ends above the tolerance.
    """

    def target(objective: float) -> float:
        return absolute_tolerance(problem.record.noise_variance, objective, tol, tol_noise)

    ledger: Ledger[Moved] = Ledger(target, max_rounds, on_round, remedies)
    examine = examiner(problem)
    before: Moved | None = None
    particles = method.start(problem)
    while True:
        evidence = examine(particles, target)
        stop = ledger.record(particles, evidence)
        if on_iterate is not None:
            on_iterate(particles)
        if stop:
            break
        spare = None  # what the iterate before this one leaves to be overwritten
        if before is not None and before is not ledger.best.iterate and on_iterate is None:
            spare = before.curve
        before, particles = particles, method.advance(problem, particles, evidence, spare)
    eta = examine.eta(ledger.best.iterate)
    return ledger.solution(eta, noise_variance=problem.record.noise_variance, tol=tol, tol_noise=tol_noise)


def absolute_tolerance(noise_variance: float, objective: float, tol: float, tol_noise: float) -> float:
    """Largest J - D that counts as converged: relative to J and, where the noise is known, to its variance. No loss is
    negative, so that an objective of 0 is the optimum."""
    if objective == 0:
        return math.inf
    target = tol * objective
    return min(target, tol_noise * noise_variance) if math.isfinite(noise_variance) else target
