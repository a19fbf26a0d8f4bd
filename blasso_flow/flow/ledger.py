"""What is proven as a flow goes on: the best iterate, the largest dual value, the trace, when to stop, and the solution.

The measure that is returned is the one whose own certificate proves most, so that anyone can prove it again from the
measure alone; the dual value is the largest one seen. The gap between them holds whatever the method did, and whatever
the loss is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, TypeVar

import numpy as np

from blasso_flow.data.reports import Paths, Status, TraceRow
from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.particles import Particles
from blasso_flow.proof.evidence import Evidence

STALLED_ROUNDS = 6


@dataclass(frozen=True)
class Remedies:
    """Words for how a run ended: what its rounds are called, and what helps when they were too few or did not progress."""

    unit: str
    more: str
    stalled: str


ROUNDS = Remedies("rounds", "raise `max_rounds=` or `tol=`", "accept it with a larger `tol=`")

Iterate = TypeVar("Iterate", bound=Particles)


@dataclass(frozen=True, eq=False)
class Solution:
    """The certified measure in internal units, and its proof.

    ``objective`` - ``dual_value`` is at least the excess of the objective over the optimum. ``violation`` is the proven
    bound of sup|eta| minus 1 for this measure (0 when below). Positions in samples, sorted.
    """

    position: FloatArray
    weight: FloatArray
    baseline: FloatArray
    eta: FloatArray
    objective: float
    dual_value: float
    violation: float
    gap: float
    gap_noise: float
    status: Status
    message: str
    rounds: int
    trace: tuple[TraceRow, ...]
    paths: Paths | None = None


def relative_gap(objective: float, dual_value: float) -> float:
    """(J - D) / J, 0 when J = 0."""
    return 0.0 if objective <= 0 else max(0.0, objective - dual_value) / objective


@dataclass(frozen=True, eq=False)
class Seen(Generic[Iterate]):
    """An iterate and what was proven of it."""

    iterate: Iterate
    evidence: Evidence

    @property
    def excess(self) -> float:
        """J - D with the iterate's own dual value, so that it can be proven again from the iterate alone."""
        return self.evidence.objective - self.evidence.dual_value + self.evidence.rounding


class Ledger(Generic[Iterate]):
    """Bookkeeping of one run. ``target(objective)`` is the largest J - D that counts as converged."""

    def __init__(
        self,
        target: Callable[[float], float],
        max_rounds: int,
        on_round: Callable[[TraceRow], None] | None,
        remedies: Remedies = ROUNDS,
    ) -> None:
        self.remedies = remedies
        self.target = target
        self.max_rounds = max_rounds
        self.on_round = on_round
        self.begun = perf_counter()
        self.seen: Seen[Iterate] | None = None
        self.lowest = np.inf
        self.largest_dual = 0.0  # of the zero dual point: no objective is negative
        self.stalled = 0
        self.trace: list[TraceRow] = []

    @property
    def best(self) -> Seen[Iterate]:
        """The iterate that proves most."""
        assert self.seen is not None
        return self.seen

    @property
    def dual_value(self) -> float:
        """Largest dual value seen, less what rounding can hide in the best iterate's objective."""
        return max(0.0, self.largest_dual - self.best.evidence.rounding)

    @property
    def reached(self) -> bool:
        """Whether the best iterate alone proves the target."""
        return self.best.excess <= self.target(self.best.evidence.objective)

    def record(self, iterate: Iterate, evidence: Evidence) -> bool:
        """Enter one iterate with what is proven of it; True when the run is to stop."""
        seen, objective, dual_value = Seen(iterate, evidence), evidence.objective, evidence.dual_value
        better = self.seen is None or seen.excess < self.seen.excess
        falls = objective < self.lowest * (1 - 1e-13)
        self.stalled = 0 if better or falls or dual_value > self.largest_dual else self.stalled + 1
        self.lowest, self.largest_dual = min(self.lowest, objective), max(self.largest_dual, dual_value)
        if better:
            self.seen = seen
        gap = relative_gap(self.best.evidence.objective, self.dual_value)
        spikes = iterate.position.size
        self.trace.append(TraceRow(iterate.rounds, objective, gap, spikes, perf_counter() - self.begun))
        if self.on_round is not None:
            self.on_round(self.trace[-1])
        return self.reached or len(self.trace) > self.max_rounds or self.stalled >= STALLED_ROUNDS

    def solution(self, eta: FloatArray, *, noise_variance: float, tol: float, tol_noise: float) -> Solution:
        """The best iterate's measure, where the certificate is ``eta``, with its proof; ``noise_variance`` is the unit of the gap
        in noise units."""
        best, objective, rounds = self.best.iterate, self.best.evidence.objective, self.trace[-1].round
        gap = relative_gap(objective, self.dual_value)
        gap_noise = max(0.0, objective - self.dual_value) / noise_variance
        return Solution(
            position=best.position,
            weight=best.weight,
            baseline=best.baseline,
            eta=eta,
            objective=objective,
            dual_value=self.dual_value,
            violation=max(0.0, self.best.evidence.sup - 1),
            gap=gap,
            gap_noise=gap_noise,
            status=Status.CONVERGED if self.reached else Status.GAP_ABOVE_TOLERANCE,
            message=message(self.reached, gap, gap_noise, rounds, self.stalled, tol, tol_noise, self.remedies),
            rounds=rounds,
            trace=tuple(self.trace),
        )


def message(
    reached: bool,
    gap: float,
    gap_noise: float,
    rounds: int,
    stalled: int,
    tol: float,
    tol_noise: float,
    remedies: Remedies = ROUNDS,
) -> str:
    """How it ended, and the remedy where it did not reach the tolerance."""
    if reached:
        return f"proven gap {gap:.1e} after {rounds} {remedies.unit}"
    demand = f"gap {gap:.1e}, asked {tol:.1e}" if gap > tol else f"gap {gap_noise:.2g} noise units, asked {tol_noise:g}"
    if stalled >= STALLED_ROUNDS:
        return f"{demand}: no progress any more after {rounds} {remedies.unit}; {remedies.stalled}"
    return f"{demand}: stopped after {rounds} {remedies.unit}; {remedies.more}"
