"""The proof of a problem that holds parts: a bound in every section, the largest of which proves the whole record."""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.geometry import Births
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.proof.evidence import Evidence, Target, birth_level, eta_and_slopes
from blasso_flow.proof.squares import Sums, dual_value, objective_rounding


class PartsExaminer:
    """Evidence on iterates of one problem with parts, whose sections scale their certificates by their own strengths."""

    def __init__(self, problem: PartedProblem) -> None:
        self.problem = problem
        self.parts = [problem.part(number)[:2] for number in range(len(problem.sections))]
        self.bounds = [part.geometry.bound(part.strength, part.positive) for part, _ in self.parts]
        bounds = [table.response_bound for table in problem.filters]
        self.longest = max(bounds)
        prices = [(bound, section.strength) for bound, section in zip(bounds, problem.sections, strict=True)]
        self.worst = max(prices, key=lambda price: price[0] / price[1])

    def __call__(self, particles: Particles, target: Target) -> Evidence:
        """Evidence on an iterate from the residual of the whole record; births of all sections, in order."""
        problem, record = self.problem, self.problem.record
        sums = Sums.of(record, particles)
        objective = 0.5 * sums.square + problem.penalty(particles.position, particles.weight)
        sups, births = self.suprema(particles, birth_level(objective, target))
        sup = max(sups)
        value = dual_value(record, sums, objective, sup, self.worst)
        rounding = objective_rounding(record, sums, particles.baseline, self.longest, problem.strength)
        return Evidence(objective, value, sup, rounding, births)

    def suprema(self, particles: Particles, level: float) -> tuple[list[float], Births]:
        """Proven bound of every section, and the births of all of them (positions in samples of the record)."""
        gradient = self.problem.record.unpadded(self.problem.record.gradient(particles.curve))
        sups, positions, etas = [], [], []
        for number, ((part, start), bound) in enumerate(zip(self.parts, self.bounds, strict=True)):
            sup, (position, eta) = bound(part.padded(gradient[start : start + part.values.size]), level)
            sups.append(sup)
            positions.append(self.problem.within(position + start, number))
            etas.append(eta)
        return sups, Births(np.concatenate(positions), np.concatenate(etas))

    def eta(self, particles: Particles) -> FloatArray:
        """The certificate at the particles' positions, shape (K,)."""
        section, eta = self.problem.section_of(particles.position), np.empty(particles.position.size)
        residual = self.problem.record.unpadded(particles.curve)
        for number in np.unique(section):
            part, start = self.parts[number]
            own = section == number
            curve = part.padded(residual[start : start + part.values.size])
            eta[own] = eta_and_slopes(part, particles.position[own] - start, curve, orders=1)[0]
        return eta
