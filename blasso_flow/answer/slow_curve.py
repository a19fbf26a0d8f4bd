"""Whether a slow curve hides among the spikes of a fit: what one beside them would explain, and which spikes it would replace.

To first order: linear least squares on responses, slopes, the baseline and a few smooth columns, on some stretches of the
record. It decides whether other baselines are worth a solve, never which one is right.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.answer.refit import Refit
from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.problem import Problem

STRETCH = 3000  # samples that are looked at together
STRETCHES = 8  # at most
COLUMNS = 6  # smooth ones on each
GAIN = 30.0  # of the sum of squares, in noise variances: a clear curve
NEEDLESS_LEVEL = 3.5  # standard errors: spikes that stand lower beside the curve are needless
NEEDLESS = 3  # spikes, and this share of those there are
SHARE = 0.2
MOST_SPIKES = 300  # on a stretch: with more, it hides for certain what the spikes are
RIDGE = 1e-9


def hides_slow_curve(problem: Problem, answer: Refit) -> bool:
    """Whether a slow curve would explain much of the residual, or make several of the spikes needless."""
    size = problem.values.size
    count = -(-size // STRETCH)
    chosen = np.unique(np.linspace(0, count - 1, min(count, STRETCHES)).astype(int))
    bounds = np.linspace(0, size, count + 1).astype(int)
    residual = -problem.unpadded(problem.residual(answer.position, answer.weight, answer.baseline))
    gain, needless, spikes = 0.0, 0, 0
    for number in chosen:
        first, last = bounds[number], bounds[number + 1]
        own = (answer.position >= first - problem.filter.taps) & (answer.position < last)
        if own.sum() > MOST_SPIKES:
            return True
        found = _gain(problem, residual[first:last], (int(first), int(last)), answer.position[own], answer.weight[own])
        gain, needless, spikes = max(gain, found[0]), needless + found[1], spikes + int(own.sum())
    return gain > GAIN or needless > max(NEEDLESS, SHARE * spikes)


def _gain(
    problem: Problem, residual: FloatArray, stretch: tuple[int, int], position: FloatArray, weight: FloatArray
) -> tuple[float, int]:
    """What the columns explain of the residual (noise variances), and how many spikes are needless beside them."""
    first, last = stretch
    root = np.sqrt(problem.sample_weights[first:last])
    lag = np.arange(first, last)[:, None] - position
    place = np.linspace(-1, 1, last - first)
    parts = [problem.filter.response(lag), problem.filter.response(lag, 1), np.polynomial.legendre.legvander(place, COLUMNS - 1)]
    matrix = np.hstack(parts) * root[:, None]
    size = np.sqrt((matrix**2).sum(axis=0))
    matrix = matrix / np.where(size > 0, size, 1.0)
    normal = matrix.T @ matrix
    normal[np.diag_indices_from(normal)] += RIDGE
    inverse = np.linalg.inv(normal)
    step = inverse @ (matrix.T @ residual)
    left = residual - matrix @ step
    variance = problem.noise_sd**2
    count = position.size
    moved = weight * size[:count] + step[:count]
    errors = np.sqrt(np.diag(inverse)[:count] * variance)
    before = np.abs(weight * size[:count])
    needless = int(((np.abs(moved) < NEEDLESS_LEVEL * errors) & (before > 0)).sum())
    return float(residual @ residual - left @ left) / variance, needless
