"""Whether the filter, a little wider or narrower, explains a channel better: the likelihood of one stretch common to all spikes.

Least squares over positions, weights, baseline and the logarithm of the stretch, from the refitted spikes. A filter that is too
narrow makes two spikes of one, so the fit is tried again with close spikes merged. Looks at the stretch of the record where
most happens; on samples whose noise was whitened, responses are stretched before that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.answer.peaks import column_norms, gram
from blasso_flow.answer.refit import Refit
from blasso_flow.data.signals import FloatArray
from blasso_flow.filters import stretched
from blasso_flow.problem.problem import Problem

SAMPLES = 2000  # that are looked at
MOST_SPIKES = 60  # among them
MERGED = 2.0  # widths between spikes that may be one
STEPS = 6
PAIRED = 0.2  # share of the spikes
LARGEST_STEP = 0.2  # of the logarithm of the stretch
RANGE = 3.0  # times wider or narrower: what is asked for
SETTLED = 0.08  # noise variances: a smaller gain ends the steps
WORTH_A_LOOK = 8.0  # gain of one linear step from which more are taken
RIDGE = 1e-9


@dataclass(frozen=True)
class StretchTest:
    """The ``stretch`` that explains the samples best, and what it gains: twice a log likelihood, less log n for each number."""

    stretch: float = 1.0
    gain: float = 0.0


def stretch_test(problem: Problem, answer: Refit, hint: float) -> StretchTest:
    """What another width of the filter gains; none where there is no spike or too many to tell.

    ``hint`` is what one linear step would gain, see `hints`: where that is little and no spikes are close, nothing is tried.
    """
    if hint < WORTH_A_LOOK and not _paired(problem, answer) and not problem.filter.whitener.size:
        return StretchTest()
    window = _liveliest(problem, answer)
    if window is None:
        return StretchTest()
    model = _Model(problem, answer, *window)
    position, weight = answer.position[model.own], answer.weight[model.own]
    start = model.squares(position)
    tried = [model.relaxed(position, least=WORTH_A_LOOK)]
    groups = np.concatenate([[0], np.cumsum(np.diff(position) > MERGED * problem.filter.plain.width)])
    if groups[-1] + 1 < position.size:
        mass = np.bincount(groups, weight)
        if (mass != 0).all():
            merged = np.bincount(groups, weight * position) / mass
            tried.append(model.relaxed(merged, least=0.0))
    best = StretchTest()
    price = float(np.log(max(model.samples, 2)))
    for squares, stretch, count in tried:
        gain = (start - squares) / problem.noise_sd**2 + (2 * (position.size - count) - 1) * price
        if gain > best.gain:
            best = StretchTest(stretch, float(gain))
    return best


def _paired(problem: Problem, answer: Refit) -> bool:
    """Whether far more spikes than at random have a neighbour that they may be one with."""
    count = answer.position.size
    if not count:
        return False
    beside, by_chance = neighbours(answer.position, MERGED * problem.filter.plain.width, problem.values.size)
    return count * beside > count * by_chance + max(1.0, PAIRED * count)


def neighbours(x: FloatArray, reach: float, size: int) -> tuple[float, float]:
    """Share of spikes at ``x`` (K,), K > 0, with another within ``reach`` (samples), and what it were at random in ``size``."""
    close = np.diff(x) <= reach
    beside = np.append(close, False) | np.insert(close, 0, False)
    return float(beside.mean()), float(1 - np.exp(-2 * reach * x.size / size))


def _liveliest(problem: Problem, answer: Refit) -> tuple[int, int] | None:
    """First and last sample of the window with the most weight, of at most so many spikes."""
    size, x = problem.values.size, answer.position
    if not x.size or problem.filter.period or not np.isfinite(problem.noise_sd):
        return None
    if size <= SAMPLES and x.size <= MOST_SPIKES:
        return 0, size
    length = min(SAMPLES, size)
    energy = np.concatenate([[0.0], np.cumsum(answer.weight**2)])
    first = np.floor(np.clip(x - 0.1 * length, 0, size - length))
    begin, end = np.searchsorted(x, first), np.searchsorted(x, first + length)
    crowd = end - begin
    score = np.where(crowd <= MOST_SPIKES, energy[end] - energy[begin], -1.0)
    best = int(np.argmax(score))
    if score[best] < 0:
        return None
    return int(first[best]), int(first[best] + length)


class _Model:
    """The samples of a window as stretched responses on the baseline; spikes outside it stay as they are."""

    def __init__(self, problem: Problem, answer: Refit, first: int, last: int) -> None:
        self.problem, self.first, self.last = problem, first, last
        self.own = (answer.position >= first) & (answer.position < last)
        self.root = np.sqrt(problem.sample_weights[first:last])
        self.samples = int((self.root > 0).sum())
        self.columns = problem.baseline[first:last] * self.root[:, None]
        others = problem.model(answer.position[~self.own], answer.weight[~self.own])
        self.values = self.root * (problem.values - problem.unpadded(others))[first:last]
        if problem.baseline.shape[1] > 12:  # a fine one is taken as it is
            self.values = self.values - self.columns @ answer.baseline
            self.columns = self.columns[:, :0]

    def matrix(self, position: FloatArray, log_stretch: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Responses, and their derivatives by position and by the logarithm of the stretch, each (n, K)."""
        stretch = float(np.exp(log_stretch))
        size = self.last - self.first
        found = np.zeros((3, size, position.size))
        for number, place in enumerate(position.tolist()):
            near = stretched.reached(self.problem.filter, place, stretch, self.problem.values.size)
            low, high = max(near.start, self.first), min(near.stop, self.last)
            if high > low:
                parts = stretched.derivatives(self.problem.filter, np.arange(low, high) - place, stretch)
                for row, part in zip(found, parts, strict=True):
                    row[low - self.first : high - self.first, number] = part
        found[2] *= stretch
        found *= self.root[:, None]
        return found[0], found[1], found[2]

    def squares(self, position: FloatArray) -> float:
        """Sum of squares of the filter as it is, with the best weights and baseline."""
        return self._weighed(self.matrix(position, 0.0)[0])[1]

    def _weighed(self, responses: FloatArray) -> tuple[FloatArray, float, FloatArray]:
        matrix = np.hstack([responses, self.columns])
        found = _least_squares(matrix, self.values)
        residual = self.values - matrix @ found
        return found, float(residual @ residual), residual

    def relaxed(self, position: FloatArray, least: float) -> tuple[float, float, int]:
        """Squares and stretch at the end of some steps, and the number of spikes.

        None is taken where the first promises to gain less than ``least``, in noise variances.
        """
        count, log_stretch, damping = position.size, 0.0, 1.0
        parts = self.matrix(position, log_stretch)
        coefficients, squares, residual = self._weighed(parts[0])
        variance = self.problem.noise_sd**2
        for step in range(STEPS):
            weight = coefficients[:count]
            slopes, wider = parts[1] * weight, (parts[2] * weight).sum(axis=1, keepdims=True)
            matrix = np.hstack([parts[0], self.columns, slopes, wider])
            move = _least_squares(matrix, residual)
            if step == 0 and least > 0:
                left = residual - matrix @ move
                if squares - float(left @ left) < least * variance:
                    break
            width = self.problem.filter.plain.width
            change = float(np.clip(move[-1], -LARGEST_STEP, LARGEST_STEP)) * damping
            shift = np.clip(move[-1 - count : -1], -width, width) * damping
            tried = float(np.clip(log_stretch + change, -np.log(RANGE), np.log(RANGE)))
            moved = position + shift
            new = self.matrix(moved, tried)
            other, lower, rest = self._weighed(new[0])
            if not lower < squares:
                damping /= 4
                continue
            done = squares - lower < SETTLED * variance
            position, log_stretch, parts, coefficients, squares, residual = moved, tried, new, other, lower, rest
            damping = 1.0
            if done:
                break
        return squares, float(np.exp(log_stretch)), count


def _least_squares(matrix: FloatArray, values: FloatArray) -> FloatArray:
    """Coefficients by the normal equations in units of the columns' norms, a little damped."""
    size = column_norms(matrix)
    scaled = matrix / size
    normal = gram(scaled)
    normal[np.diag_indices_from(normal)] += RIDGE
    found: FloatArray = np.linalg.solve(normal, scaled.T @ values) / size
    return found
