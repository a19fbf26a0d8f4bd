"""The default method on a problem that holds parts: section after section with its neighbours frozen, then all together.

Each section in turn gets its births and Newton steps, together with the baseline columns that it feels, everything else frozen.
Section after section with frozen neighbours crawls where two spikes share a peak across a cut: then all of them move together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.flow.joint import relaxed
from blasso_flow.flow.newton import WindowedNewton
from blasso_flow.problem.geometry import Births
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.proof.evidence import Evidence, kkt_residuals

PASSES = 2  # over all sections in one round
JOINT_ITERATIONS = 8
MOST_SPIKES = 20_000  # that move together


@dataclass(frozen=True)
class PartsNewton:
    """Start from the spikes given, by default none; sweep over the sections, then move all spikes together."""

    spikes: tuple[FloatArray, FloatArray] | None = None  # positions (samples) and weights

    def start(self, problem: PartedProblem) -> Particles:
        """The measure to start from with the best baseline."""
        if self.spikes is None:
            return Particles.none(problem)
        return Particles.evaluate(problem, *self.spikes, np.zeros(problem.record.baseline.shape[1]))

    def advance(
        self, problem: PartedProblem, particles: Particles, evidence: Evidence, spare: FloatArray | None = None
    ) -> Particles:
        """Passes over the sections, the first with births, and joint steps."""
        tolerance = float(np.clip(0.02 * (evidence.sup - 1), 1e-10, 1e-3))
        rounds, none = particles.rounds + 1, np.empty(0)
        for _ in range(PASSES):
            particles, worst = _pass(problem, particles, evidence)
            if worst <= tolerance:
                break
            evidence = replace(evidence, births=Births(none, none))
        if particles.position.size <= MOST_SPIKES:
            particles = relaxed(problem, particles, tolerance=0.3 * tolerance, iterations=JOINT_ITERATIONS)
        return replace(particles, rounds=rounds)


def _pass(problem: PartedProblem, particles: Particles, evidence: Evidence) -> tuple[Particles, float]:
    """Every section once, in order; also how far from stationary a spike was when its turn came."""
    method, record, baseline = WindowedNewton(), problem.record, particles.baseline.copy()
    section, born = problem.section_of(particles.position), problem.section_of(evidence.births.position)
    total = record.unpadded(problem.model(particles.position, particles.weight))
    positions, weights, worst = [], [], 0.0
    for number in range(len(problem.sections)):
        own, new = section == number, born == number
        x, w = particles.position[own], particles.weight[own]
        if not (x.size or new.any()):
            continue
        mine = record.unpadded(problem.model(x, w))
        part, start, columns = problem.part(number, record.values)
        frozen = baseline.copy()
        frozen[columns] = 0.0
        rest = record.values - (total - mine) - record.baseline @ frozen
        part = replace(part, values=rest[start : start + part.values.size])
        local = Particles.evaluate(part, x - start, w, baseline[columns])
        kkt = kkt_residuals(part, local.position, local.weight, local.curve)
        worst = max(worst, float(kkt.max()) if x.size else np.inf)
        births = Births(evidence.births.position[new] - start, evidence.births.eta[new])
        local = method.advance(part, local, replace(evidence, births=births))
        x, w = problem.within(local.position + start, number), local.weight
        baseline[columns] = local.baseline
        total += record.unpadded(problem.model(x, w)) - mine
        positions.append(x)
        weights.append(w)
    if not positions:
        return particles, 0.0
    return Particles.evaluate(problem, np.concatenate(positions), np.concatenate(weights), baseline), worst
