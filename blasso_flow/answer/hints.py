"""First hints that a model is wrong: what a slow curve, or a wider or narrower filter, would explain of a fit's residual.

To first order: linear least squares on responses, slopes and the baseline, with a few smooth columns or the derivative of the
model by the filter's stretch beside them, on some windows of the record. Cheap on a good fit; it decides whether another model
is worth a solve, never which one is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from blasso_flow.answer.peaks import column_norms, gram
from blasso_flow.answer.refit import Refit
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters.stretched import POWERS
from blasso_flow.problem.problem import Problem

WINDOW = 2500  # samples that are looked at together
WINDOWS = 6  # at most
COLUMNS = 6  # smooth ones on each
GAIN = 30.0  # of the sum of squares, in noise variances: a clear curve
NEEDLESS_LEVEL = 3.5  # standard errors: spikes that stand lower beside the curve, and higher without, are needless
NEEDLESS = 3  # spikes, and this share of those there are
SHARE = 0.2
MOST_SPIKES = 300  # on a window: with more, a curve hides for certain among them
RIDGE = 1e-9


@dataclass(frozen=True)
class Hints:
    """``curve``: a slow curve would explain much, or make several spikes needless. ``stretch_gain``: what a stretch of the
    filter explains of the sum of squares, in noise variances, on the window where that is most; 0 on whitened samples."""

    curve: bool = False
    stretch_gain: float = 0.0


def hints(problem: Problem, answer: Refit) -> Hints:
    """What richer models would explain of the residual of a refitted answer."""
    size, x = problem.values.size, answer.position
    count = -(-size // WINDOW)
    chosen = np.unique(np.linspace(0, count - 1, min(count, WINDOWS)).astype(int))
    bounds = np.linspace(0, size, count + 1).astype(int)
    residual = -problem.unpadded(problem.residual(x, answer.weight, answer.baseline))
    curve, stretch, needless, spikes = 0.0, 0.0, 0, 0
    for number in chosen:
        first, last = int(bounds[number]), int(bounds[number + 1])
        low, high = np.searchsorted(x, (first - problem.filter.taps, last))
        if problem.filter.period:
            low, high = 0, x.size
        if high - low > MOST_SPIKES:
            return Hints(curve=True)
        window = _Window(problem, residual[first:last], first, x[low:high], answer.weight[low:high])
        gain, few = window.slow_curve()
        curve, needless, spikes = max(curve, gain), needless + few, spikes + int(high - low)
        stretch = max(stretch, window.stretch())
    return Hints(curve > GAIN or needless > max(NEEDLESS, SHARE * spikes), stretch)


class _Window:
    """Normal equations of a window: responses, slopes, smooth columns, and the derivative by the stretch."""

    def __init__(self, problem: Problem, residual: FloatArray, first: int, position: FloatArray, weight: FloatArray) -> None:
        self.count, self.weight, self.variance = position.size, weight, problem.noise_sd**2
        size, filter = residual.size, problem.filter
        matrix = np.zeros((2 * self.count + COLUMNS + 1, size))
        matrix[2 * self.count : -1] = _smooth(size)
        if self.count:
            samples, rows = problem.rows(position, 2)
            place = samples - (problem.geometry.padding[0] + first)
            if filter.period:
                place = place % problem.values.size
            inside = (place >= 0) & (place < size)
            spike = np.broadcast_to(np.arange(self.count)[:, None], place.shape)[inside]
            at = place[inside]
            lag = (samples - problem.geometry.padding[0] - position[:, None])[inside]
            response, slope = rows[0][inside], rows[1][inside]
            matrix[spike, at], matrix[self.count + spike, at] = response, slope
            if not filter.period and not filter.whitener.size:
                wider = lag * slope - POWERS[filter.normalisation] * response
                matrix[-1] = np.bincount(at, weight[spike] * wider, size)
        matrix *= np.sqrt(problem.sample_weights[first : first + size])
        self.norms = column_norms(matrix.T)
        matrix /= self.norms[:, None]
        self.normal = gram(matrix.T)
        self.normal[np.diag_indices_from(self.normal)] += RIDGE
        self.right = matrix @ residual
        base = np.arange(2 * self.count + 1)
        self.alone, self.gained = self._heights(base)  # of spikes and a constant
        self.curved = self._heights(np.arange(self.right.size - 1))
        self.stretched = self._heights(np.append(base, self.right.size - 1))[1]

    def slow_curve(self) -> tuple[float, int]:
        """What smooth columns explain beside spikes and a constant, in noise variances, and how many spikes are then needless."""
        beside, more = self.curved
        gone = (self.alone >= NEEDLESS_LEVEL) & (beside < NEEDLESS_LEVEL)
        return more - self.gained, int(gone.sum())

    def _heights(self, columns: IntArray) -> tuple[FloatArray, float]:
        """How high each spike stands in standard errors beside these columns, and what they explain (noise variances)."""
        inverse = np.linalg.inv(self.normal[np.ix_(columns, columns)])
        right = self.right[columns]
        step = inverse @ right
        moved = self.weight * self.norms[: self.count] + step[: self.count]
        errors = np.sqrt(np.maximum(np.diag(inverse)[: self.count], RIDGE) * self.variance)
        return np.abs(moved) / errors, float(right @ step) / self.variance

    def stretch(self) -> float:
        """What the derivative by the stretch explains beside spikes and a constant, in noise variances."""
        return self.stretched - self.gained


@lru_cache(maxsize=4)
def _smooth(size: int) -> FloatArray:
    """Smooth columns on a window, (COLUMNS, size): Legendre's polynomials."""
    return np.ascontiguousarray(np.polynomial.legendre.legvander(np.linspace(-1, 1, size), COLUMNS - 1).T)
