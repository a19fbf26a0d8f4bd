"""Counts: births from the certificate of the Poisson objective, relaxed by Newton, until the gap is proven.

With z the present model, r = y / z and u = 1 - a r, the dual value sum y log(1 - u) is a lower bound of every J as long as
-<u, phi_x> <= strength on the whole domain and <u, B> >= 0 for every baseline column, if there is any. The largest value over
the domain is convex in a, so one proven bound at a = 1 and one at a = 0 give an a that is feasible. No files, no figures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from blasso_flow.data.reports import TraceRow
from blasso_flow.data.signals import FloatArray
from blasso_flow.flow.counts import CountProblem, State
from blasso_flow.flow.ledger import Ledger, Solution
from blasso_flow.flow.loop import BIRTH_SHARE
from blasso_flow.problem import losses
from blasso_flow.problem.losses import EPSILON
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.certificate import Certifier, sample_eta

BIRTH_WEIGHT = 0.5  # of the exact one-step weight


class CountCertifier:
    """Proves lower bounds of the Poisson objective of one problem."""

    def __init__(self, counts: CountProblem) -> None:
        self.counts = counts
        self.certifier = Certifier(counts.problem)
        self.at_zero = max(0.0, self.certifier.supremum(counts.present, np.inf)[0])  # the bound for a = 0: -<1, phi_x> / strength

    def __call__(self, state: State, birth_level: float) -> tuple[float, float, FloatArray]:
        """Proven sup eta, dual value and births (2, K): positions and eta of local maxima above ``birth_level``."""
        counts, problem = self.counts, self.counts.problem
        ratio = counts.ratio(counts.model(state.position, state.weight, state.baseline))
        sup, position, eta = self.certifier.supremum(counts.present - ratio, birth_level)
        sup += 2 * EPSILON * float(np.linalg.norm(counts.present + ratio)) * problem.filter.response_bound / problem.strength
        scale = 1.0 if sup <= 1 else (1 - self.at_zero) / (sup - self.at_zero)
        for column, total in zip(counts.columns, counts.column_sums, strict=True):
            along = float(column @ ratio)
            if along > 0:
                scale = min(scale, total / along)
        scale *= 1 - 4 * EPSILON * (np.log2(ratio.size + 1) + 8)
        value, allowance = losses.poisson_dual_value(scale * ratio, counts.values)
        return sup, value - allowance, np.array([position, eta])


def solve_counts(
    problem: Problem,
    *,
    tol: float = 1e-6,
    tol_noise: float = 0.5,
    max_rounds: int = 60,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Minimise the Poisson objective and prove the gap; ``tol_noise`` is in units of the log-likelihood.

    Raises `UsageError` for a signed penalty and a filter or baseline that is negative somewhere, `DataError` for negative
    counts and for counts that the model cannot make.
    """
    counts = CountProblem(problem)
    ledger: Ledger[State] = Ledger(
        lambda objective: min(tol * objective, tol_noise) if objective != 0 else np.inf, max_rounds, on_round
    )
    certifier = CountCertifier(counts)
    state = counts.first()
    while True:
        target = min(tol * state.objective, tol_noise)
        total = max(float(counts.values.sum()), EPSILON)
        sup, value, births = certifier(state, 1 + min(BIRTH_SHARE * target / total, 1e-3))
        stop = ledger.record(
            state,
            objective=state.objective,
            dual_value=value,
            sup=sup,
            rounding=_rounding(counts, state),
            spikes=state.position.size,
        )
        if stop:
            break
        state = counts.relax(_born(counts, state, births))
    best = ledger.best.iterate
    u = counts.present - counts.ratio(counts.model(best.position, best.weight, best.baseline))
    return ledger.solution(
        best.position,
        best.weight,
        best.baseline,
        sample_eta(problem, best.position, u),
        noise_variance=1.0,
        tol=tol,
        tol_noise=tol_noise,
    )


def _born(counts: CountProblem, state: State, births: FloatArray) -> State:
    """All candidates inserted with half of the weight that a Newton step along each alone would give it."""
    position, eta = births
    if not position.size:
        return state
    model = counts.model(state.position, state.weight, state.baseline)
    index, (response,) = counts.windows(position)
    ratio = counts.ratio(model)
    curvature = np.divide(ratio, model, out=np.zeros_like(model), where=counts.values > 0)
    along = (curvature[index] * response**2).sum(axis=1)
    weight = BIRTH_WEIGHT * (eta - 1) * counts.problem.strength / np.maximum(along, 1e-300)
    born = counts.state(np.append(state.position, position), np.append(state.weight, weight), state.baseline)
    while not born.objective < np.inf or born.objective > state.objective:
        weight = weight / 4
        if weight.max() < 1e-12:
            break
        born = counts.state(np.append(state.position, position), np.append(state.weight, weight), state.baseline)
    return born


def _rounding(counts: CountProblem, state: State) -> float:
    """Upper bound of what rounding can hide in the objective: every sample of the model is a sum of non-negative terms."""
    model = counts.model(state.position, state.weight, state.baseline)
    each = EPSILON * (state.position.size + counts.problem.filter.taps.bit_length() + 64)
    size = float(np.abs(model).sum() + counts.values.sum()) + counts.problem.strength * float(state.weight.sum())
    return each * size + losses.sum_rounding(model.size) * (abs(state.objective) + size)
