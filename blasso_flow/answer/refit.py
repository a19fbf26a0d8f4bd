"""From the certified measure to statements: refit without penalty, and prune.

BLASSO's weights are shrunk and one true spike may be two close ones; on its support the plain least-squares fit has neither
fault. One level decides what is noise: the strength's Rice level u also prunes (a spike stays if leaving it out costs at
least u^2 in twice the loss in noise units). Positions in samples, weights in signal units. No files, no figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.flow.newton import BIRTH_WEIGHT, ITERATIONS, WindowedNewton
from blasso_flow.problem.geometry.covariance import LineCovariance, nothing_fixed
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import dot
from blasso_flow.proof.evidence import kkt_residuals

PENALTY_LEFT = 1e-4  # of noise sd times the filter's norm: biases a weight by as much of its own standard error
TOLERANCE = 2e-3  # of that penalty
TRIAL_TOLERANCE = 0.05  # of that penalty, where only the loss is asked for: off by no more than the square of it
STEPS = 8
RELAXATIONS = 48
REACH = 6.0  # widths: spikes this close answer for one that is left out
MEMBERS = 24  # of them on each side at most
APART = 18.0  # widths between spikes dropped together: along a chain of vague ones, the first to go changes what others are worth
CLOSE = 2.0  # widths: nearer spikes take over more of each other than a linear model says
CLEAR = 4.0  # times u^2: a spike so far above the level needs no test of its own
SHORT_RECORD = 4096  # samples: so short a record is tested whole, baseline included
TRIAL_ITERATIONS = 30
EXCHANGES = 12
EXCHANGE_GAIN = 0.01  # of the price of a spike: the least that an exchange must bring
PLACES = 3  # tried for one spike more


@dataclass(frozen=True, eq=False)
class Refit:
    """The answer in internal units: columns (K,) sorted by position (samples), baseline coefficients (B,).

    Errors are standard errors, NaN where a parameter is not identifiable or sits on an end of the domain; all of them NaN
    when the noise is unknown. ``group`` counts from 0 in the order of position; spikes not resolved from each other share one.
    """

    position: FloatArray
    weight: FloatArray
    baseline: FloatArray
    position_errors: FloatArray
    weight_errors: FloatArray
    group: IntArray


def refit(
    problem: Problem, position: FloatArray, weight: FloatArray, baseline: FloatArray, *, level: float, most: int | None = None
) -> Refit:
    """Least squares on the support, pruned at ``level``.

    Parameters
    ----------
    problem : its strength only matters as a scale when the noise is unknown.
    position, weight, baseline : the optimum: (K,) in samples, (K,), (B,).
    level : u, the Rice level of the strength; a spike is dropped if twice the loss rises by less than u^2 noise_sd^2 when it
        is left out and its neighbours are fitted again (a likelihood ratio).
    most : how many spikes may stay; the least significant ones by the same ratio go first, and on a short record those left
        are exchanged for others as long as the fit gets better.

    Notes
    -----
    Weights keep their sign: a weight that would cross zero is dropped. Each step of a position is at most half a width.
    """
    sd = noise_scale(problem, level)
    free = problem.with_strength(PENALTY_LEFT * sd * problem.filter.norm)
    particles = _settle(free, Particles.evaluate(free, position, weight, baseline))
    price, covariance = (level * sd) ** 2, None
    tested: NDArray[np.bool_] = np.zeros(particles.position.size, dtype=np.bool_)
    while particles.position.size:
        covariance = free.covariance(particles.position, nothing_fixed(particles.position.size))
        least = covariance.least_increase(particles.position, particles.weight, CLOSE * free.filter.width)
        doubtful = ~tested & (least < CLEAR * price)
        dropped = _insignificant(free, particles, doubtful, price)
        if not dropped.any():
            break
        gone = particles.position[dropped]
        kept = Particles.evaluate(free, particles.position[~dropped], particles.weight[~dropped], particles.baseline)
        particles = _settle(free, kept)
        # what was spared for a neighbour that went, or has lost one, is tested again; on a short record everybody
        again = np.inf if _tests_whole(free, particles.position.size) else (APART + CLOSE) * free.filter.width
        tested = free.geometry.distance(particles.position, gone) > again
    if most is not None:
        pruned, particles = particles, _thinned(free, particles, most)
        if _tests_whole(free, most):
            particles = _exchanged(free, particles, most, price)
        covariance = covariance if particles is pruned else None
    return _with_errors(problem, particles, covariance)


def _exchanged(free: Problem, particles: Particles, most: int, price: float) -> Particles:
    """Fewer spikes than the data would justify can sit in the wrong places, as those dropped first are judged beside all others.

    One spike more is inserted where the residual asks for it, all move, and the least significant go, as long as half the
    squared error with ``price`` / 2 a spike falls.
    """

    def cost(these: Particles) -> float:
        return dot(these.curve, these.curve) + price * these.position.size

    for _ in range(EXCHANGES):
        trials = [_thinned(free, more, most) for more in _with_one_more(free, particles)]
        better = min(trials, key=cost, default=particles)
        if not cost(better) < cost(particles) - EXCHANGE_GAIN * price:
            break
        particles = better
    return particles


def _thinned(free: Problem, particles: Particles, most: int) -> Particles:
    while particles.position.size > most:
        everyone = np.ones(particles.position.size, dtype=np.bool_)
        kept = ~_insignificant(free, particles, everyone, np.inf, particles.position.size - most)
        particles = _settle(free, Particles.evaluate(free, particles.position[kept], particles.weight[kept], particles.baseline))
    return particles


def _with_one_more(free: Problem, particles: Particles) -> list[Particles]:
    """The particles and one more, settled: a trial for each of the best places."""
    _, (position, eta) = free.geometry.bound(free.strength, free.positive)(free.root * particles.curve)
    norms = free.geometry.squared_norms(position, free.root)
    weight = BIRTH_WEIGHT * eta * free.strength / np.where(norms > 0, norms, np.inf)
    best = np.argsort(-np.abs(weight * eta), kind="stable")[:PLACES]
    return [
        _settle(
            free,
            Particles.evaluate(
                free,
                np.append(particles.position, position[place]),
                np.append(particles.weight, weight[place]),
                particles.baseline,
            ),
        )
        for place in best[weight[best] != 0]
    ]


def noise_scale(problem: Problem, level: float) -> float:
    """The noise sd, or where that is unknown what the strength takes it for at the level u."""
    return problem.noise_sd if np.isfinite(problem.noise_sd) else problem.strength / (max(level, 1.0) * problem.filter.norm)


def _settle(free: Problem, particles: Particles) -> Particles:
    """The nearest minimum of the (all but) unpenalised loss."""
    if _tests_whole(free, particles.position.size):
        return _settle_together(free, particles)
    for _ in range(STEPS):
        if not particles.position.size:
            break
        if kkt_residuals(free, particles.position, particles.weight, particles.curve).max() <= TOLERANCE:
            break
        particles = WindowedNewton().relaxed(free, particles.copied(), particles)
    return particles


def _settle_together(free: Problem, particles: Particles) -> Particles:
    """The nearest minimum by one system of all spikes and the baseline."""
    own = particles.copied()
    x, w, baseline, residual = own.position, own.weight, own.baseline, own.curve
    for _ in range(RELAXATIONS):
        if not x.size:
            break
        count, kkt = free.relax(x, w, baseline, residual, tolerance=0.2 * TOLERANCE, iterations=ITERATIONS)
        x, w = x[:count], w[:count]
        if kkt <= TOLERANCE:
            break
    return Particles(x, w, baseline, residual)


def _insignificant(
    free: Problem, particles: Particles, doubtful: NDArray[np.bool_], threshold: float, most: int | None = None
) -> NDArray[np.bool_]:
    """Spikes to drop together: the least significant ``doubtful`` ones of each neighbourhood, ``most`` at most, (K,) masks.

    ``threshold`` = u^2 sd^2; infinite when all are to be compared.
    """
    x = particles.position
    dropped = np.zeros(x.size, dtype=np.bool_)
    candidates = np.flatnonzero(doubtful)
    if not candidates.size:
        return dropped
    increase = np.array([_increase(free, particles, int(i)) for i in candidates])
    below = np.flatnonzero(increase < threshold)
    reach = APART * free.filter.width
    for i in candidates[below[np.argsort(increase[below], kind="stable")]]:
        neighbours = free.geometry.around(x, float(x[i]), reach)
        if not dropped[neighbours].any() and (most is None or dropped.sum() < most):
            dropped[i] = True  # its neighbours are tested again without it
    return dropped


def _tests_whole(problem: Problem, count: int) -> bool:
    """Whether leaving out one of ``count`` spikes is tested with all others and the baseline free."""
    return problem.geometry.endless or (problem.root.size <= SHORT_RECORD and count <= 2 * MEMBERS)


def _increase(free: Problem, particles: Particles, i: int) -> float:
    """What leaving spike i out costs in twice the loss, its neighbours (and on a short record everything) fitted again."""
    geometry, x, w, columns = free.geometry, particles.position, particles.weight, free.whitened_baseline
    whole, domain, first, last = _tests_whole(free, x.size), free.domain, 0, free.root.size
    if not whole:
        members = _members(x, i, REACH * free.filter.width)
        x, w, i = x[members], w[members], i - members.start
        domain, (first, last) = geometry.surroundings(x)
        columns = np.empty((0, last - first))
    gone = np.zeros(last - first)
    geometry.add(x[i : i + 1], -w[i : i + 1], gone, first)
    before = particles.curve[first:last]
    residual = before + gone * free.root[first:last]
    positions, weights = (np.concatenate([of[:i], of[i + 1 :]]) for of in (x, w))
    if positions.size:
        geometry.relax(
            positions, weights, particles.baseline[: columns.shape[0]].copy(), residual, free.root, columns,
            strength=free.strength, tolerance=TRIAL_TOLERANCE, iterations=TRIAL_ITERATIONS, first=first, domain=domain,
        )  # fmt: skip
    elif whole:
        _, residual = free.refitted(np.zeros(residual.size), particles.baseline)
    return dot(residual - before, residual + before)


def _members(x: FloatArray, i: int, reach: float) -> slice:
    """Spikes within ``reach`` of spike i, at most `MEMBERS` on each side."""
    begin, end = int(np.searchsorted(x, x[i] - reach)), int(np.searchsorted(x, x[i] + reach, side="right"))
    return slice(max(begin, i - MEMBERS), min(end, i + MEMBERS + 1))


def _with_errors(problem: Problem, particles: Particles, covariance: LineCovariance | None) -> Refit:
    """The particles with their standard errors; ``covariance`` is theirs with nothing fixed, where it is known."""
    x, w = particles.position, particles.weight
    if not x.size:
        return Refit(x, w, particles.baseline, np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))
    fixed = nothing_fixed(x.size)
    fixed[1::2] = problem.geometry.at_ends(x)
    if covariance is None or fixed.any():
        covariance = problem.covariance(x, fixed)
    position_errors, weight_errors, common = covariance.standard_errors(w, problem.noise_sd)
    group = problem.geometry.groups(x, position_errors, common, problem.filter.width)
    return Refit(x, w, particles.baseline, position_errors, weight_errors, group)
