"""The paper's deconvolution problem: spikes of both signs on a period, a low-pass filter of order 7, weak noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blasso_flow import filters
from blasso_flow.data.signals import FloatArray
from blasso_flow.flow import Solution, solve
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.evidence import largest_strength
from blasso_flow.truth.simulation import simulate

SAMPLES = 100
SPIKES = 5
ORDER = 7
SEPARATION = 0.1  # of the period
NOISE = 0.02  # of the signal's root mean square
STRENGTH = 0.05  # of the largest
ATTEMPTS = 1000  # seeds of `simulate` that are set aside for each seed of a study
PROVEN = 1e-9  # gap of the optimum that flows are compared with


@dataclass(frozen=True, eq=False)
class Deconvolution:
    """A drawn problem with its truth and its certified optimum; positions in samples, ``period`` of them."""

    problem: Problem
    position: FloatArray
    weight: FloatArray
    optimum: Solution

    @property
    def period(self) -> int:
        """Samples a period."""
        return self.problem.filter.period


def draw(seed: int) -> Deconvolution:
    """The problem of a seed: the first draw that has spikes of both signs."""
    truth, attempt = None, 0
    while truth is None or truth.weight is None or abs(np.sign(truth.weight).sum()) == SPIKES:
        channel = simulate(
            f"lowpass:order={ORDER}", samples=SAMPLES, first=0.0, last=1.0, spikes=SPIKES, min_separation=SEPARATION,
            snr=-20 * float(np.log10(NOISE)), positive=False, seed=ATTEMPTS * seed + attempt,
        ).channel(0)  # fmt: skip
        truth, attempt = channel.truth, attempt + 1
    table = filters.build(filters.describe(f"lowpass:order={ORDER}"), channel.axis)
    draft = Problem.from_signal(channel, table, strength=1.0, positive=False, baseline="none")
    problem = replace(draft, strength=STRENGTH * largest_strength(draft))
    optimum = solve(problem, tol=PROVEN, tol_noise=np.inf)
    return Deconvolution(problem, channel.axis.to_samples(truth.position), truth.weight, optimum)
