"""The Poisson objective on counts: damped Newton on all spikes and the baseline together, births from the certificate.

    J(mu, b) = sum m - y + y log(y / m) + strength |mu|,   m = phi * mu + B b,   weights and coefficients b >= 0

Proof: with z the present model, r = y / z and u = 1 - a r, the dual value sum y log(1 - u) is a lower bound of every J as
long as -<u, phi_x> <= strength on the whole domain and <u, B> >= 0 for every (non-negative) baseline column. The largest
value over the domain is convex in a, so one proven bound at a = 1 and one at a = 0 give an a that is feasible.
Everything is in samples; missing samples take no part. No files, no figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from blasso_flow import losses
from blasso_flow.certificate import Certifier, sample_eta
from blasso_flow.errors import DataError, UsageError
from blasso_flow.flow.ledger import Ledger, Solution
from blasso_flow.flow.loop import BIRTH_SHARE
from blasso_flow.problem import Problem
from blasso_flow.signals import FloatArray
from blasso_flow.spikes import TraceRow

NEGATIVE = 1e-9  # of the filter's peak: a table's rounding, no negative response
EPSILON = float(np.finfo(np.float64).eps)
FIRST_BASELINE_STEPS = 200
ITERATIONS = 40
STATIONARY = 1e-11
BIRTH_WEIGHT = 0.5  # of the exact one-step weight
MERGE = 0.05  # widths
DAMPING = 1e-10
MOST_DAMPING = 1e12


@dataclass(frozen=True, eq=False)
class State:
    """Positions (K,) in samples, sorted, weights (K,) > 0, baseline coefficients (B,) >= 0, and the objective."""

    position: FloatArray
    weight: FloatArray
    baseline: FloatArray
    objective: float


class CountProblem:
    """A problem seen with the Poisson loss; curves are on the padded record (M,)."""

    def __init__(self, problem: Problem) -> None:
        check(problem)
        weights = (problem.sample_weights > 0).astype(np.float64)
        self.problem = replace(problem, sample_weights=weights, noise_sd=1.0)
        self.present = self.problem.root
        self.values = self.problem.whitened_values
        self.columns = self.problem.whitened_baseline

    @cached_property
    def column_sums(self) -> FloatArray:
        """<1, B> of each baseline column (B,)."""
        return np.asarray(self.columns.sum(axis=1))

    def model(self, position: FloatArray, weight: FloatArray, baseline: FloatArray) -> FloatArray:
        """phi * mu + B b where samples are present, 0 elsewhere, shape (M,)."""
        return self.present * self.problem.model(position, weight) + baseline @ self.columns

    def ratio(self, model: FloatArray) -> FloatArray:
        """y / m, 0 where nothing was counted."""
        return np.divide(self.values, model, out=np.zeros_like(model), where=self.values > 0)

    def state(self, position: FloatArray, weight: FloatArray, baseline: FloatArray) -> State:
        """Sort, and evaluate the objective: infinite where the model cannot have made the counts."""
        order = np.argsort(position, kind="stable")
        position, weight = position[order], weight[order]
        model = self.model(position, weight, baseline)
        value = losses.poisson_value(model, self.values) + self.problem.strength * float(weight.sum())
        return State(position, weight, baseline, value)

    def empty(self) -> State:
        """No spikes, and the baseline of largest likelihood (by expectation maximisation, which is exact for one column)."""
        none, total = np.empty(0), float(self.values.sum())
        baseline = total / (self.columns.shape[0] * np.maximum(self.column_sums, EPSILON))
        for _ in range(FIRST_BASELINE_STEPS if baseline.size > 1 else 1):
            ratio = self.ratio(baseline @ self.columns)
            baseline = baseline * (self.columns @ ratio) / np.maximum(self.column_sums, EPSILON)
        return self.state(none, none, baseline)

    def windows(self, position: FloatArray, orders: int = 1) -> tuple[np.ndarray, FloatArray]:
        """Padded indices (K, W), and responses with their derivatives by position (orders, K, W), 0 where missing."""
        table = self.problem.filter
        start = np.floor(position).astype(np.int64)
        target = start[:, None] + table.first + np.arange(table.taps)
        responses = np.array([table.response(target - position[:, None], order) for order in range(orders)])
        index = target % table.period if table.period else target + self.problem.padding[0]
        return index, responses * self.present[index]

    def relax(self, state: State, enough: float = 0.0) -> State:
        """Newton on weights, positions and baseline until stationary; weights that reach 0 are dropped.

        Also ends when a step lowers the objective by less than ``enough``.
        """
        damping = DAMPING
        for _ in range(ITERATIONS):
            newton = _Newton(self, state)
            if newton.stationary() or not newton.gradient.size:
                break
            accepted = None
            while damping <= MOST_DAMPING and accepted is None:
                trial = newton.trial(damping)
                if trial is not None and trial.objective <= state.objective * (1 + 4 * EPSILON):
                    accepted = trial
                else:
                    damping = max(damping, 1e-8) * 20
            if accepted is None:
                break
            damping = max(damping / 10, DAMPING)
            fall, state = state.objective - accepted.objective, accepted
            if fall < enough:
                break
        return self._merged(state)

    def _merged(self, state: State) -> State:
        """Neighbours so close that they are one, made one where the objective does not rise."""
        number = 0
        while number + 1 < state.position.size:
            pair = slice(number, number + 2)
            if np.diff(state.position[pair])[0] < MERGE * self.problem.filter.width:
                weight = float(state.weight[pair].sum())
                centre = float(state.position[pair] @ state.weight[pair]) / weight
                position, weights = np.delete(state.position, number), np.delete(state.weight, number)
                position[number], weights[number] = np.clip(centre, *self.problem.domain), weight
                trial = self.state(position, weights, state.baseline)
                if trial.objective <= state.objective:
                    state = trial
                    continue
            number += 1
        return state


class _Newton:
    """Gradient and Hessian of the objective at one state, in the parameters (weights, positions, baseline)."""

    def __init__(self, counts: CountProblem, state: State) -> None:
        self.counts, self.problem, self.old = counts, counts.problem, state
        x, w = state.position, state.weight
        count = x.size
        model = counts.model(x, w, state.baseline)
        ratio = counts.ratio(model)
        u = counts.present - ratio
        self.index, (response, slope, bend) = counts.windows(x, 3)
        by_window = u[self.index]
        pull, turn, curve = ((by_window * part).sum(axis=1) for part in (response, slope, bend))
        self.pull, self.turn = pull + self.problem.strength, turn
        self.by_baseline = counts.columns @ u
        self.gradient = np.concatenate([self.pull, w * turn, self.by_baseline])
        matrix = jacobian(counts, self.index, response, slope * w[:, None])
        curvature = np.divide(ratio, model, out=np.zeros_like(model), where=counts.values > 0)
        self.hessian = (matrix * curvature) @ matrix.T
        fisher = np.divide(counts.present, model, out=np.zeros_like(model), where=model > 0)
        self.scale = np.maximum((matrix**2) @ np.minimum(fisher, 1 / EPSILON), 1e-300)
        spikes = np.arange(count)
        self.hessian[count + spikes, count + spikes] += w * curve
        self.hessian[spikes, count + spikes] += turn
        self.hessian[count + spikes, spikes] += turn
        self.scale[count : 2 * count] += np.abs(w * curve)
        self.free = self._free()

    def _free(self) -> np.ndarray:
        """Parameters that no bound holds: positions on an end only move inwards, coefficients at 0 only grow."""
        old, (low, high) = self.old, self.problem.domain
        slope = self.old.weight * self.turn
        held = ((old.position <= low) & (slope > 0)) | ((old.position >= high) & (slope < 0))
        if self.problem.filter.period:
            held[:] = False
        empty = (old.baseline <= 0) & (self.by_baseline > 0)
        return np.concatenate([np.ones(old.weight.size, dtype=np.bool_), ~held, ~empty])

    def stationary(self) -> bool:
        """Whether every free component is as good as zero, in units of the terms it is a difference of."""
        count = self.old.weight.size
        reach = self.problem.filter.response_bound * np.sqrt(self.problem.filter.taps) + self.problem.strength
        free = self.free
        worst = np.abs(np.where(free[:count], self.pull, 0.0)).max(initial=0.0) / reach
        moved = np.abs(np.where(free[count : 2 * count], self.turn, 0.0)).max(initial=0.0) * self.problem.filter.width / reach
        based = np.abs(np.where(free[2 * count :], self.by_baseline, 0.0)) / np.maximum(self.counts.column_sums, EPSILON)
        return bool(max(worst, moved, based.max(initial=0.0)) <= STATIONARY)

    def trial(self, damping: float) -> State | None:
        """The state after one damped step, bounds kept; None where the damped Hessian is not positive."""
        free, count = self.free, self.old.weight.size
        unit = np.sqrt(self.scale[free])
        matrix = self.hessian[np.ix_(free, free)] / np.outer(unit, unit)
        matrix[np.diag_indices_from(matrix)] += damping
        try:
            factor = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return None
        inner = np.linalg.solve(factor, self.gradient[free] / unit)
        step = np.zeros(self.gradient.size)
        step[free] = -np.linalg.solve(factor.T, inner) / unit
        if not np.isfinite(step).all():
            return None
        width, (low, high) = self.problem.filter.width, self.problem.domain
        position = self.old.position + np.clip(step[count : 2 * count], -width / 2, width / 2)
        position = position % high if self.problem.filter.period else np.clip(position, low, high)
        weight = np.maximum(self.old.weight + step[:count], 0.0)
        baseline = np.maximum(self.old.baseline + step[2 * count :], 0.0)
        return self.counts.state(position[weight > 0], weight[weight > 0], baseline)


def jacobian(counts: CountProblem, index: np.ndarray, response: FloatArray, slope: FloatArray) -> FloatArray:
    """Derivatives of the model by weights, positions and baseline: rows (2 K + B, M); ``index`` and both parts (K, W)."""
    count, rows = index.shape[0], np.arange(index.shape[0])[:, None]
    matrix = np.zeros((2 * count + counts.columns.shape[0], counts.values.size))
    matrix[rows, index] = response
    matrix[count + rows, index] = slope
    matrix[2 * count :] = counts.columns
    return matrix


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


def check(problem: Problem) -> None:
    """Raise where the Poisson objective has no meaning for this problem."""
    if not problem.positive:
        raise UsageError("the Poisson loss needs spikes of one sign", received="--signed", mend="leave out --signed")
    table = problem.filter.coefficients[0]
    lag = np.arange(problem.filter.first, problem.filter.first + problem.filter.taps, 0.125)
    values = problem.filter.response(lag)
    if values.min() < -NEGATIVE * np.abs(table).max():
        raise UsageError(
            f"the Poisson loss needs a filter that is nowhere negative: {problem.filter.description}",
            received=f"{values.min():.3g} at its lowest",
            mend="use --loss squared",
        )
    if problem.baseline.shape[1] == 0:
        raise UsageError(
            "the Poisson loss needs a background: without one a count beside every spike is impossible",
            received="--baseline none",
            mend="use --baseline const",
        )
    if problem.baseline.min() < 0:
        raise UsageError(
            "the Poisson loss needs a baseline made of non-negative columns",
            received=f"a column as low as {problem.baseline.min():.3g}",
            mend="use --baseline const",
        )
    if problem.values.min() < 0:
        raise DataError(
            "the Poisson loss needs counts", received=f"{problem.values.min():.6g} as the lowest sample", allowed="0 and above"
        )


def solve_counts(
    problem: Problem,
    *,
    tol: float = 1e-6,
    tol_noise: float = 0.5,
    max_rounds: int = 60,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Minimise the Poisson objective and prove the gap; ``tol_noise`` is in units of the log-likelihood.

    Raises `UsageError` for a signed penalty, a filter or baseline that is negative somewhere or no baseline, `DataError` for
    negative counts.
    """
    counts = CountProblem(problem)
    ledger: Ledger[State] = Ledger(
        lambda objective: min(tol * objective, tol_noise) if objective != 0 else np.inf, max_rounds, on_round
    )
    certifier = CountCertifier(counts)
    state = counts.empty()
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
    return each * size + 8 * EPSILON * (np.log2(model.size + 1) + 4) * (abs(state.objective) + size)
