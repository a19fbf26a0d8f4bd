"""From the certified measure to statements: refit without penalty, and prune.

BLASSO's weights are shrunk and one true spike may be two close ones; on its support the plain least-squares fit has neither
fault. One level decides what is noise: the strength's Rice level u also prunes (a spike stays if leaving it out costs at
least u^2 in twice the loss in noise units). Positions in samples, weights in signal units. No files, no figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.answer.pruning import Dropped, Pruned, pruned, settled
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.noise.discoveries import Discoveries
from blasso_flow.problem.geometry.covariance import nothing_fixed
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem

PENALTY_LEFT = 1e-4  # of noise sd times the filter's norm: biases a weight by as much of its own standard error


@dataclass(frozen=True, eq=False)
class Refit:
    """The answer in internal units: columns (K,) sorted by position (samples), baseline coefficients (B,).

    Errors are standard errors, NaN where a parameter is not identifiable or sits on an end of the domain; all of them NaN
    when the noise is unknown. ``group`` counts from 0 in the order of position; spikes not resolved from each other share one.
    ``significance`` is the square root of twice the log of the likelihood ratio of leaving the spike out, NaN where unknown.
    ``level`` is the significance that a spike needed to stay.
    ``dropped`` (3, D) holds position, weight and significance of the spikes that pruning left out, when it did.
    """

    position: FloatArray
    weight: FloatArray
    baseline: FloatArray
    position_errors: FloatArray
    weight_errors: FloatArray
    group: IntArray
    significance: FloatArray
    dropped: FloatArray
    level: float


def refit(
    problem: Problem,
    position: FloatArray,
    weight: FloatArray,
    baseline: FloatArray,
    *,
    level: float,
    most: int | None = None,
    share: Discoveries | None = None,
) -> Refit:
    """Least squares on the support, pruned at ``level``.

    Parameters
    ----------
    problem : its strength only matters as a scale when the noise is unknown.
    position, weight, baseline : the optimum: (K,) in samples, (K,), (B,).
    level : u, the Rice level of the strength; a spike is dropped if twice the loss rises by less than u^2 noise_sd^2 when it
        is left out and its neighbours are fitted again (a likelihood ratio).
    share : the level rises until the share of false spikes that it states is kept.
    most : how many of the spikes that this leaves may stay; the least significant ones by the same ratio go first, and on a
        short record those left are exchanged for others as long as the fit gets better.

    Notes
    -----
    Weights keep their sign: a weight that would cross zero is dropped. Each step of a position is at most half a width.
    """
    sd = noise_scale(problem, level)
    free = problem.with_strength(PENALTY_LEFT * sd * problem.filter.norm)
    particles = settled(free, Particles.evaluate(free, position, weight, baseline))
    dropped = Dropped()

    def dearer(increase: FloatArray) -> float:
        return 0.0 if share is None else (share.level(np.sqrt(np.maximum(increase, 0.0)) / sd) * sd) ** 2

    found = pruned(free, particles, (level * sd) ** 2, most, dropped, dearer)
    return _with_errors(problem, found, sd, significant(dropped.rows, problem.noise_sd))


def noise_scale(problem: Problem, level: float) -> float:
    """The noise sd, or where that is unknown what the strength takes it for at the level u."""
    return problem.noise_sd if np.isfinite(problem.noise_sd) else problem.strength / (max(level, 1.0) * problem.filter.norm)


def significant(dropped: FloatArray, noise_sd: float) -> FloatArray:
    """Rows (3, D) of what was dropped, with significances in place of what leaving a spike out costs."""
    return np.stack([*dropped[:2], np.sqrt(np.maximum(dropped[2], 0.0)) / noise_sd])


def _with_errors(problem: Problem, found: Pruned, sd: float, dropped: FloatArray) -> Refit:
    """The particles with their standard errors."""
    level = float(np.sqrt(found.price)) / sd
    x, w, covariance = found.particles.position, found.particles.weight, found.covariance
    if covariance is None:
        none = np.empty(0)
        return Refit(x, w, found.particles.baseline, none, none, np.empty(0, dtype=np.int64), none, dropped, level)
    fixed = nothing_fixed(x.size)
    fixed[1::2] = problem.geometry.at_ends(x)
    if fixed.any():
        covariance = problem.covariance(x, fixed)
    position_errors, weight_errors, common = covariance.standard_errors(w, problem.noise_sd)
    group = problem.geometry.groups(x, position_errors, common, problem.filter.width)
    significance = np.sqrt(np.maximum(found.increase, 0.0)) / problem.noise_sd
    return Refit(x, w, found.particles.baseline, position_errors, weight_errors, group, significance, dropped, level)
