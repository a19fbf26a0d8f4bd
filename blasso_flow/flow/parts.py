"""The default method on a sectioned problem: section after section with its neighbours frozen, one proof for all.

Every round takes the certificate of every section from the residual of the whole record; the largest bound scales the dual
point, so that the gap is about the whole record. Then each section in turn gets its births and Newton steps, together with
the baseline columns that it feels, everything else frozen; and then all of them move together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from blasso_flow.data.reports import TraceRow
from blasso_flow.data.signals import FloatArray
from blasso_flow.flow.joint import joint_steps
from blasso_flow.flow.ledger import Ledger, Solution
from blasso_flow.flow.loop import BIRTH_SHARE, absolute_tolerance
from blasso_flow.flow.newton import WindowedNewton
from blasso_flow.flow.particles import Particles
from blasso_flow.problem import losses
from blasso_flow.problem.parts import SectionedProblem
from blasso_flow.proof.certificate import Certificate, Certifier, dual_value, sample_eta, stationarity

PASSES = 2  # over all sections in one round


def solve_sections(
    problem: SectionedProblem,
    *,
    tol: float,
    tol_noise: float,
    max_rounds: int,
    start: tuple[FloatArray, FloatArray] | None = None,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Minimise a sectioned problem and prove the gap, as `flow.solve` does, from positions (samples) and weights ``start``."""
    ledger: Ledger[Particles] = Ledger(
        lambda objective: absolute_tolerance(problem, objective, tol, tol_noise), max_rounds, on_round
    )
    numbers = range(len(problem.sections))
    certifiers = [Certifier(problem.piece(number)[0]) for number in numbers]
    position, weight = (np.empty(0), np.empty(0)) if start is None else start
    particles = Particles.evaluate(problem, position, weight, np.zeros(problem.baseline.shape[1]))
    while True:
        sums = problem.sums(particles.residual, particles.position, particles.weight, particles.baseline)
        objective = problem.penalised(sums, particles.position, particles.weight)
        level = 1 + BIRTH_SHARE * min(tol, ledger.target(objective) / objective if objective > 0 else tol)
        found = certificates(problem, particles, certifiers, level)
        sup = max(certificate.sup for certificate in found)
        stop = ledger.record(
            particles,
            objective=objective,
            dual_value=dual_value(problem, sums, objective, sup),
            sup=sup,
            rounding=problem.penalised_rounding(sums, particles.baseline),
            spikes=particles.position.size,
        )
        if stop:
            break
        particles = _round(problem, particles, [replace(certificate, sup=sup) for certificate in found])
    best = ledger.best.iterate
    return ledger.solution(
        best.position,
        best.weight,
        best.baseline,
        eta_at_spikes(problem, best),
        noise_variance=problem.noise_sd**2,
        tol=tol,
        tol_noise=tol_noise,
    )


def certificates(
    problem: SectionedProblem, particles: Particles, certifiers: list[Certifier], level: float = 1.0
) -> list[Certificate]:
    """Bound and candidates of every section (positions in samples of the record), from the residual of the whole record."""
    gradient = problem.unpadded(losses.gradient(particles.residual, problem.root))
    found = []
    for number, certifier in enumerate(certifiers):
        part, start, _ = problem.piece(number)
        sup, position, eta = certifier.supremum(part.padded(gradient[start : start + part.values.size]), level)
        found.append(Certificate(sup, -np.inf, position + start, eta))
    return found


def eta_at_spikes(problem: SectionedProblem, particles: Particles) -> FloatArray:
    """eta at the particles' positions, shape (K,)."""
    section, eta = problem.section_of(particles.position), np.empty(particles.position.size)
    residual = problem.unpadded(particles.residual)
    for number in np.unique(section):
        part, start, _ = problem.piece(int(number))
        own = section == number
        eta[own] = sample_eta(part, particles.position[own] - start, part.padded(residual[start : start + part.values.size]))
    return eta


def _round(problem: SectionedProblem, particles: Particles, found: list[Certificate]) -> Particles:
    tolerance = float(np.clip(0.02 * (found[0].sup - 1), 1e-10, 1e-3))
    none = np.empty(0)
    for _ in range(PASSES):
        particles, worst = _pass(problem, particles, found)
        if worst <= tolerance:
            break
        found = [replace(certificate, position=none, eta=none) for certificate in found]
    return joint_steps(problem, particles, 0.3 * tolerance)


def _pass(problem: SectionedProblem, particles: Particles, found: list[Certificate]) -> tuple[Particles, float]:
    """Every section once, in order; also how far from stationary a spike was when its turn came."""
    method, baseline = WindowedNewton(), particles.baseline.copy()
    section = problem.section_of(particles.position)
    total = problem.unpadded(problem.model(particles.position, particles.weight))
    positions, weights, worst = [], [], 0.0
    for number, certificate in enumerate(found):
        own = section == number
        x, w = particles.position[own], particles.weight[own]
        if not (x.size or certificate.position.size):
            continue
        mine = problem.unpadded(problem.model(x, w))
        part, start, columns = problem.piece(number, problem.values)
        frozen = baseline.copy()
        frozen[columns] = 0.0
        rest = problem.values - (total - mine) - problem.baseline @ frozen
        part = replace(part, values=rest[start : start + part.values.size])
        local = Particles.evaluate(part, x - start, w, baseline[columns])
        unrest = stationarity(part, local.position, local.weight, local.residual)
        worst = max(worst, float(unrest.max()) if x.size else np.inf)
        here = replace(certificate, position=certificate.position - start)
        local = method.advance(part, local, here)
        x, w = problem.inside(local.position + start, number), local.weight
        baseline[columns] = local.baseline
        total += problem.unpadded(problem.model(x, w)) - mine
        positions.append(x)
        weights.append(w)
    if not positions:
        return particles, 0.0
    return Particles.evaluate(problem, np.concatenate(positions), np.concatenate(weights), baseline), worst
