"""The one loop: certificate, stop, births and steps. A method brings start and advance; everything proven is the ledger's."""

from __future__ import annotations

import math
from collections.abc import Callable

from blasso_flow.data.reports import TraceRow
from blasso_flow.flow.ledger import ROUNDS, Ledger, Remedies, Solution
from blasso_flow.flow.particles import Method, Moved
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.certificate import Certifier, sample_eta

BIRTH_SHARE = 0.1  # of the tolerance: candidates so close to 1 cannot keep the gap above it


def run(
    problem: Problem,
    method: Method[Moved],
    *,
    tol: float,
    tol_noise: float,
    max_rounds: int,
    on_round: Callable[[TraceRow], None] | None = None,
    on_iterate: Callable[[Moved], None] | None = None,
    remedies: Remedies = ROUNDS,
) -> Solution:
    """Run any method to the same stop with the same proof; see `flow.solve`.

    ``on_iterate`` is called with every iterate that is certified, the first one included; ``remedies`` are the words for a
    run that ends above the tolerance.
    """
    ledger: Ledger[Moved] = Ledger(
        lambda objective: absolute_tolerance(problem, objective, tol, tol_noise), max_rounds, on_round, remedies
    )
    certifier = Certifier(problem)
    before: Moved | None = None
    particles = method.start(problem)
    while True:
        sums = problem.sums(particles.residual, particles.position, particles.weight, particles.baseline)
        objective = problem.objective_of(sums)
        level = 1 + BIRTH_SHARE * min(tol, ledger.target(objective) / objective if objective > 0 else tol)
        certificate = certifier(particles.residual, sums, objective, level)
        stop = ledger.record(
            particles,
            objective=objective,
            dual_value=certificate.dual_value,
            sup=certificate.sup,
            rounding=problem.objective_rounding(sums, particles.baseline),
            spikes=particles.position.size,
            round=particles.rounds,
        )
        if on_iterate is not None:
            on_iterate(particles)
        if stop:
            break
        spare = None  # what the iterate before this one leaves to be overwritten
        if before is not None and before is not ledger.best.iterate and on_iterate is None:
            spare = before.residual
        before, particles = particles, method.advance(problem, particles, certificate, spare)
    best = ledger.best.iterate
    return ledger.solution(
        best.position,
        best.weight,
        best.baseline,
        sample_eta(problem, best.position, best.residual),
        noise_variance=problem.noise_sd**2,
        tol=tol,
        tol_noise=tol_noise,
    )


def absolute_tolerance(problem: Problem, objective: float, tol: float, tol_noise: float) -> float:
    """Largest J - D that counts as converged."""
    target = tol * objective
    if math.isfinite(problem.noise_sd):
        target = min(target, tol_noise * problem.noise_sd**2)
    return target
