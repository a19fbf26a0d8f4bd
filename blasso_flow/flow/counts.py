"""The Poisson objective of a problem, and damped Newton on all spikes and the baseline together.

    J(mu, b) = sum m - y + y log(y / m) + strength |mu|,   m = phi * mu + B b,   weights, columns and coefficients b >= 0

Everything is in samples; missing samples take no part. No files, no figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import DataError, UsageError
from blasso_flow.problem import losses
from blasso_flow.problem.losses import EPSILON
from blasso_flow.problem.problem import Problem

NEGATIVE = 1e-9  # of the filter's peak: a table's rounding, no negative response
FIRST_STEPS = 200
FEWEST_COUNTS = 0.1  # of a spike to start with
SILENT = 1e-6  # counts that a spike makes: as good as none
ITERATIONS = 40
STATIONARY = 1e-11
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
        return np.divide(self.values, model, out=np.zeros_like(model), where=(self.values > 0) & (model > 0))

    def information(self, model: FloatArray) -> FloatArray:
        """Fisher information of each sample's mean, 1 / m (M,), 0 where missing or where nothing is expected."""
        return np.where(model > 0, self.present, 0.0) / np.maximum(model, EPSILON)

    def state(self, position: FloatArray, weight: FloatArray, baseline: FloatArray) -> State:
        """Sort, and evaluate the objective: infinite where the model cannot have made the counts."""
        order = np.argsort(position, kind="stable")
        position, weight = position[order], weight[order]
        model = self.model(position, weight, baseline)
        value = losses.poisson_value(model, self.values) + self.problem.strength * float(weight.sum())
        return State(position, weight, baseline, value)

    def empty(self) -> State:
        """No spikes, and the baseline of largest likelihood. Without a baseline that is infinite, unless nothing was counted."""
        none = np.empty(0)
        state = self.state(none, none, self.raised(self.columns, self.column_sums, FIRST_STEPS))
        return self.relax(state) if state.objective < np.inf and state.baseline.size > 1 else state

    def first(self) -> State:
        """Where to start: no spikes, or without a baseline spikes that make all counts.

        Raises `DataError` for counts that nothing in the model can make.
        """
        state = self.empty()
        if not state.objective < np.inf and not self.columns.size:
            state = self._covering()
        if not state.objective < np.inf:
            raise DataError("counts that neither background nor spikes can make", mend="use --baseline const, or give a --margin")
        return state

    def _covering(self) -> State:
        """Spikes a width apart with the weights of largest penalised likelihood, without those that make next to nothing."""
        low, high = self.problem.domain
        width = self.problem.filter.width
        position = np.arange(low, high if self.problem.filter.period else high + width, width).clip(low, high)
        state = self.state(np.empty(0), np.empty(0), np.empty(0))
        for _ in range(2):
            index, (response,) = self.windows(position)
            rows = np.zeros((position.size, self.values.size))
            rows[np.arange(position.size)[:, None], index] = response
            weight = self.raised(rows, rows.sum(axis=1) + self.problem.strength, FIRST_STEPS)
            made = weight * rows.sum(axis=1)
            for least in (SILENT, 0.0):
                trial = self.state(position[made > least], weight[made > least], np.empty(0))
                if trial.objective < np.inf:
                    state = trial
                    break
            position = position[made > FEWEST_COUNTS]
        return state

    def raised(self, rows: FloatArray, price: FloatArray, steps: int) -> FloatArray:
        """Coefficients >= 0 (R,) of ``rows`` (R, M) for the counts, each at its ``price`` (R,), by expectation maximisation."""
        price = np.maximum(price, EPSILON)
        coefficients = float(self.values.sum()) / (max(rows.shape[0], 1) * price)
        for _ in range(steps if coefficients.size > 1 else 1):
            coefficients = coefficients * (rows @ self.ratio(coefficients @ rows)) / price
        return coefficients

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
        self.scale = np.maximum((matrix**2) @ counts.information(model), 1e-300)
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
    if problem.baseline.min(initial=0.0) < 0:
        raise UsageError(
            "the Poisson loss needs a baseline made of non-negative columns",
            received=f"a column as low as {problem.baseline.min():.3g}",
            mend="use const, bernstein, spline or exp:rate=R",
        )
    if problem.values.min() < 0:
        raise DataError(
            "the Poisson loss needs counts", received=f"{problem.values.min():.6g} as the lowest sample", allowed="0 and above"
        )
