"""Peaks whose widths are free: their model, its Jacobian, and least squares.

A peak is a spike with a stretch of the filter of its own. Parameters are ordered positions (samples), stretches, weights,
baseline coefficients, and the rate of an exponential baseline where that is free. Residuals are whitened as in `problem`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import stretched
from blasso_flow.problem import baselines
from blasso_flow.problem.problem import Problem

STRETCHES = 0.125, 8.0  # a width's range in widths of the filter
NARROWEST = 0.4  # samples: narrower peaks fall between the samples
SLOWEST, FASTEST = 1e-3, 1.0  # rates of the baseline: times the record's inverse length, and a spacing's
EDGE = 1e-6  # how close to the end of its range a parameter is taken to sit on it
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-14, 1e8
RIDGE = 1e-10  # of the diagonal, for guesses
SMALLEST_NORM = 1e-300
ONE_THREAD = 1 << 18  # multiplications
TRIAL_STEPS = 20
FINAL_STEPS = 200
POLISHING_STEPS = 30
SMALLEST_WEIGHT = 1e-3  # of the largest: where a weight starts that linear least squares would give the other sign


@dataclass(frozen=True, eq=False)
class Peaks:
    """Columns (K,) sorted by position (samples), baseline coefficients (B,), the baseline's rate, and the sum of squares of
    the whitened residual."""

    position: FloatArray
    stretch: FloatArray
    weight: FloatArray
    baseline: FloatArray
    rate: float
    squares: float = np.inf

    def __len__(self) -> int:
        return self.position.size


class PeakModel:
    """One channel's samples as peaks on a baseline. ``rate`` is where a free rate of an exponential baseline starts, None
    when the problem's own columns hold."""

    def __init__(self, problem: Problem, rate: float | None = None) -> None:
        self.problem = problem
        self.filter = problem.filter
        self.free_rate = rate is not None
        self.start_rate = 0.0 if rate is None else rate
        self.samples = problem.values.size
        self.root = np.sqrt(problem.sample_weights)
        low, high = STRETCHES
        self.stretches = max(low, NARROWEST / self.filter.width), high

    @cached_property
    def domain(self) -> tuple[float, float]:
        """First and last position: as far from the first and the last sample that is there as the problem's from the record."""
        present = np.flatnonzero(self.problem.sample_weights > 0)
        if not present.size:
            return self.problem.domain
        return self.problem.domain[0] + int(present[0]), self.problem.domain[1] - (self.samples - 1 - int(present[-1]))

    @cached_property
    def elapsed(self) -> FloatArray:
        """What the baseline's rate multiplies, (N,)."""
        return baselines.elapsed(self.problem.axis, self.problem.sample_weights > 0)

    def columns(self, rate: float) -> FloatArray:
        """Baseline columns (N, B)."""
        return np.exp(-rate * self.elapsed)[:, None] if self.free_rate else self.problem.baseline

    def packed(self, peaks: Peaks) -> FloatArray:
        """The parameters as one vector (P,)."""
        rate = [peaks.rate] if self.free_rate else []
        return np.concatenate([peaks.position, peaks.stretch, peaks.weight, peaks.baseline, rate])

    def unpacked(self, parameters: FloatArray) -> Peaks:
        """The peaks of a vector (P,), in its order; their sum of squares is not evaluated."""
        columns = self.problem.baseline.shape[1]
        count = (parameters.size - columns - self.free_rate) // 3
        position, stretch, weight, baseline = np.split(parameters[: 3 * count + columns], [count, 2 * count, 3 * count])
        return Peaks(position, stretch, weight, baseline, float(parameters[-1]) if self.free_rate else self.start_rate)

    def curves(self, peaks: Peaks) -> tuple[FloatArray, FloatArray]:
        """The model on the record, baseline included, and the baseline, each (N,)."""
        baseline = self.columns(peaks.rate) @ peaks.baseline
        return baseline + stretched.filtered(self.filter, peaks.position, peaks.weight, peaks.stretch, self.samples), baseline

    def residual(self, parameters: FloatArray) -> FloatArray:
        """Whitened residual (N,)."""
        residual: FloatArray = self.root * (self.curves(self.unpacked(parameters))[0] - self.problem.values)
        return residual

    def jacobian(self, parameters: FloatArray) -> FloatArray:
        """Derivatives of the whitened residual by the parameters, (N, P)."""
        peaks = self.unpacked(parameters)
        count = len(peaks)
        matrix = np.zeros((self.samples, parameters.size))
        if self.samples <= stretched.SHORT:
            weights, lag = peaks.weight[:, None], np.arange(self.samples) - peaks.position[:, None]
            values, slopes, spreads = stretched.derivatives(self.filter, lag, peaks.stretch[:, None])
            matrix[:, : 3 * count] = np.concatenate([weights * slopes, weights * spreads, values]).T
        else:
            for number, (position, stretch, weight) in enumerate(zip(peaks.position, peaks.stretch, peaks.weight, strict=True)):
                near = stretched.reached(self.filter, position, stretch, self.samples)
                value, slope, spread = stretched.derivatives(self.filter, np.arange(near.start, near.stop) - position, stretch)
                matrix[near, number] = weight * slope
                matrix[near, count + number] = weight * spread
                matrix[near, 2 * count + number] = value
        columns = self.columns(peaks.rate)
        matrix[:, 3 * count : 3 * count + columns.shape[1]] = columns
        if self.free_rate:
            matrix[:, -1] = -self.elapsed * (columns @ peaks.baseline)
        return matrix * self.root[:, None]

    def bounds(self, peaks: Peaks) -> tuple[FloatArray, FloatArray]:
        """Least and largest parameters, each (P,); weights keep their sign."""
        one, columns = np.ones(len(peaks)), np.full(self.problem.baseline.shape[1], np.inf)
        spacing = self.problem.axis.spacing
        rates = (SLOWEST / (self.samples * spacing), FASTEST / spacing) if self.free_rate else None
        above = peaks.weight > 0
        (first, last), (least, most) = self.domain, self.stretches
        low = [first * one, least * one, np.where(above, 0.0, -np.inf), -columns, rates[:1] if rates else ()]
        high = [last * one, most * one, np.where(above, np.inf, 0.0), columns, rates[1:] if rates else ()]
        return np.concatenate(low), np.concatenate(high)

    def at_bounds(self, peaks: Peaks) -> NDArray[np.bool_]:
        """Which parameters (P,) sit on an end of their range."""
        parameters = self.packed(peaks)
        ends = [np.where(np.isfinite(bound), bound, np.nan) for bound in self.bounds(peaks)]
        on = [np.abs(parameters - end) <= EDGE * np.maximum(np.abs(end), 1) for end in ends]
        return on[0] | on[1]

    def choices(self, peaks: Peaks, candidates: Sequence[IntArray]) -> list[Peaks]:
        """For each list of row numbers, those rows of ``peaks`` with the best weights and baseline, all else unchanged.

        A weight that linear least squares would give the other sign starts small.
        """
        count = len(peaks)
        matrix = np.empty((self.samples, count + self.problem.baseline.shape[1]))
        for number in range(count):
            own = slice(number, number + 1)
            place, stretch = peaks.position[own], peaks.stretch[own]
            matrix[:, number] = stretched.filtered(self.filter, place, np.ones(1), stretch, self.samples)
        matrix[:, count:] = self.columns(peaks.rate)
        matrix *= self.root[:, None]
        unit = column_norms(matrix)
        matrix /= unit
        values = self.root * self.problem.values
        square, product, energy = gram(matrix), np.einsum("np,n->p", matrix, values), float(np.sum(values**2))
        found = []
        for candidate in candidates:
            rows = candidate[np.argsort(peaks.position[candidate], kind="stable")]
            chosen = np.append(rows, np.arange(count, unit.size))
            part = square[np.ix_(chosen, chosen)] + RIDGE * np.eye(chosen.size)
            best = np.linalg.solve(part, product[chosen])
            squares = energy - float(best @ product[chosen])
            best = best / unit[chosen]
            sign = np.sign(peaks.weight[rows])
            wrong = best[: rows.size] * sign <= 0
            best[: rows.size][wrong] = SMALLEST_WEIGHT * sign[wrong] * np.abs(best[: rows.size]).max(initial=0.0)
            weight, baseline = best[: rows.size], best[rows.size :]
            found.append(Peaks(peaks.position[rows], peaks.stretch[rows], weight, baseline, peaks.rate, squares))
        return found

    def fit(self, peaks: Peaks, enough: float = 0.0) -> Peaks:
        """Least squares from ``peaks`` on, by Levenberg and Marquardt within the bounds; with ``enough`` above 0 a trial, ended
        by a step that gains less squares."""
        parameters = self.packed(peaks)
        low, high = self.bounds(peaks)
        parameters = np.clip(parameters, low, high)
        residual = self.residual(parameters)
        squares, damping = float(residual @ residual), FIRST_DAMPING
        for _ in range(TRIAL_STEPS if enough else FINAL_STEPS):
            step = Step(self.jacobian(parameters), residual)
            slope = step.slope
            free = ~(((parameters <= low) & (slope > 0)) | ((parameters >= high) & (slope < 0)))
            gained = 0.0
            while damping <= MOST_DAMPING:
                trial = parameters.copy()
                trial[free] -= step.solved(free, damping)
                trial = np.clip(trial, low, high)
                left = self.residual(trial)
                gained = squares - float(left @ left)
                if gained > 0:
                    break
                damping *= 10
            if not gained > 0:
                break
            parameters, residual, squares, damping = trial, left, squares - gained, max(damping / 10, LEAST_DAMPING)
            if gained <= max(enough, 1e-15 * squares):
                break
        return self._ordered(parameters, squares)

    def polished(self, peaks: Peaks) -> Peaks:
        """Gauss-Newton steps to the last digit, parameters on an end of their range held."""
        parameters, free = self.packed(peaks), ~self.at_bounds(peaks)
        low, high = self.bounds(peaks)
        residual = self.residual(parameters)
        squares, last = float(residual @ residual), np.inf
        for _ in range(POLISHING_STEPS):
            newton = Step(self.jacobian(parameters), residual)
            step = np.zeros(parameters.size)
            step[free] = newton.solved(free, LEAST_DAMPING)
            size = float(np.linalg.norm(newton.unit * step))
            trial = parameters - step
            left = self.residual(trial)
            now = float(left @ left)
            if not (size < last and now <= squares * (1 + 1e-12) and (trial >= low).all() and (trial <= high).all()):
                break
            parameters, residual, squares, last = trial, left, now, size
        return self._ordered(parameters, squares)

    def _ordered(self, parameters: FloatArray, squares: float) -> Peaks:
        done = self.unpacked(parameters)
        order = np.argsort(done.position, kind="stable")
        position, stretch, weight = done.position[order], done.stretch[order], done.weight[order]
        return Peaks(position, stretch, weight, done.baseline, done.rate, squares)


class Step:
    """The normal equations at one point, each column in units of its norm: ``slope`` (P,) is J^T r."""

    def __init__(self, jacobian: FloatArray, residual: FloatArray) -> None:
        self.unit = column_norms(jacobian)
        self.normal = gram(jacobian / self.unit)
        self.slope = np.einsum("np,n->p", jacobian, residual)

    def solved(self, free: NDArray[np.bool_], damping: float) -> FloatArray:
        """(J^T J + damping diag(J^T J))^-1 J^T r over the free parameters."""
        normal = self.normal[np.ix_(free, free)] + damping * np.eye(int(free.sum()))
        solution: FloatArray = np.linalg.solve(normal, self.slope[free] / self.unit[free]) / self.unit[free]
        return solution


def column_norms(matrix: FloatArray) -> FloatArray:
    """Norms of the columns, (P,), never zero."""
    norms: FloatArray = np.maximum(np.linalg.norm(matrix, axis=0), SMALLEST_NORM)
    return norms


def gram(matrix: FloatArray) -> FloatArray:
    """J^T J, in pieces that BLAS does not share out among threads: the same bits whatever their number, and no waiting."""
    columns = matrix.shape[1]
    rows = max(1, ONE_THREAD // max(columns, 1) ** 2)
    total = np.zeros((columns, columns))
    for first in range(0, matrix.shape[0], rows):
        piece = matrix[first : first + rows]
        total += piece.T @ piece
    return total
