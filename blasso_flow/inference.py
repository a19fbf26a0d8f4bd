"""From the certified measure to statements: refit without penalty, prune, error bars, groups that are not resolved.

BLASSO's weights are shrunk and one true spike may be two close ones; on its support the plain least-squares fit has neither
fault. One level decides what is noise: the strength's Rice level u also prunes (a spike stays if leaving it out costs at
least u^2 in twice the loss in noise units). Positions in samples, weights in signal units. No files, no figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blasso_flow import losses
from blasso_flow.certificate import Certificate, Certifier, stationarity
from blasso_flow.flow.newton import WindowedNewton, relax
from blasso_flow.flow.particles import Particles
from blasso_flow.problem import Problem, pseudo_inverse
from blasso_flow.signals import FloatArray, IntArray

PENALTY_LEFT = 1e-4  # of noise sd times the filter's norm: biases a weight by as much of its own standard error
TOLERANCE = 2e-3  # of that penalty
STEPS = 8
REACH = 6.0  # widths: spikes this close answer for one that is left out
MEMBERS = 24  # of them on each side at most
APART = 18.0  # widths between spikes dropped together: along a chain of vague ones, the first to go changes what others are worth
CLOSE = 2.0  # widths: nearer spikes take over more of each other than a linear model says
CLEAR = 4.0  # times u^2: a spike so far above the level needs no test of its own
SHORT_RECORD = 4096  # samples: so short a record is tested whole, baseline included
UNRESOLVED = 0.25  # widths of position error
MEMORY = 4e8  # bytes of banded matrix
ITERATIONS = 30
EXCHANGES = 12
EXCHANGE_GAIN = 0.01  # of the price of a spike: the least that an exchange must bring
PLACES = 3  # tried for one spike more
BIRTH_WEIGHT = 0.5  # of the exact one-step weight


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
    tested: NDArray[np.bool_] = np.zeros(particles.position.size, dtype=np.bool_)
    while particles.position.size:
        dropped = _insignificant(free, particles, ~tested, (level * sd) ** 2)
        if not dropped.any():
            break
        gone = particles.position[dropped]
        kept = Particles.evaluate(free, particles.position[~dropped], particles.weight[~dropped], particles.baseline)
        particles = _settle(free, kept)
        # what was spared for a neighbour that went, or has lost one, is tested again; on a short record everybody
        again = np.inf if _tests_whole(free, particles.position.size) else (APART + CLOSE) * free.filter.width
        tested = _distance(free, particles.position, gone) > again
    if most is not None:
        particles = _thinned(free, particles, most)
    if most is not None and _tests_whole(free, most):
        particles = _exchanged(free, particles, most, (level * sd) ** 2)
    return _with_errors(problem, particles)


def _exchanged(free: Problem, particles: Particles, most: int, price: float) -> Particles:
    """Fewer spikes than the data would justify can sit in the wrong places, as those dropped first are judged beside all others.

    One spike more is inserted where the residual asks for it, all move, and the least significant go, as long as half the
    squared error with ``price`` / 2 a spike falls.
    """

    def cost(these: Particles) -> float:
        return losses.dot(these.residual, these.residual) + price * these.position.size

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
    _, position, eta = Certifier(free).supremum(free.root * particles.residual)
    norms = free.squared_norms(position)
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
    anywhere = Certificate(sup=np.inf, dual_value=-np.inf, position=np.empty(0), eta=np.empty(0))
    for _ in range(STEPS):
        if not particles.position.size:
            break
        if stationarity(free, particles.position, particles.weight, particles.residual).max() <= TOLERANCE:
            break
        particles = WindowedNewton().step(free, particles, anywhere)
    return particles


def _distance(problem: Problem, position: FloatArray, others: FloatArray) -> FloatArray:
    """Distance (samples) of each position (K,) to the nearest of ``others`` (sorted, at least one)."""
    period = float(problem.filter.period)
    if period:
        others = np.concatenate([[others[-1] - period], others, [others[0] + period]])
    others = np.concatenate([[-np.inf], others, [np.inf]])
    right = np.searchsorted(others, position)
    nearest: FloatArray = np.minimum(position - others[right - 1], others[right] - position)
    return nearest


def _insignificant(
    free: Problem, particles: Particles, candidates: NDArray[np.bool_], threshold: float, most: int | None = None
) -> NDArray[np.bool_]:
    """Spikes to drop together: the least significant of each neighbourhood, ``most`` of them at most, (K,) mask.

    ``threshold`` = u^2 sd^2; infinite when all are to be compared.
    """
    x, w = particles.position, particles.weight
    doubtful = np.nonzero(candidates & (_lower_increase(free, x, w) < CLEAR * threshold))[0]
    increase = np.array([_increase(free, particles, int(i)) for i in doubtful])
    below = np.nonzero(increase < threshold)[0]
    dropped = np.zeros(x.size, dtype=np.bool_)
    reach = APART * free.filter.width
    for i in doubtful[below[np.argsort(increase[below], kind="stable")]]:
        neighbours = _within(free, x, float(x[i]), reach)
        if not dropped[neighbours].any() and (most is None or dropped.sum() < most):
            dropped[i] = True  # its neighbours are tested again without it
    return dropped


def _tests_whole(problem: Problem, count: int) -> bool:
    """Whether leaving out one of ``count`` spikes is tested with all others and the baseline free."""
    return bool(problem.filter.period) or (problem.root.size <= SHORT_RECORD and count <= 2 * MEMBERS)


def _within(problem: Problem, x: FloatArray, centre: float, reach: float) -> slice | NDArray[np.bool_]:
    """Spikes within ``reach`` of ``centre`` (both samples)."""
    if problem.filter.period:
        away = np.abs(x - centre)
        return np.asarray(np.minimum(away, problem.filter.period - away) <= reach)
    return slice(int(np.searchsorted(x, centre - reach)), int(np.searchsorted(x, centre + reach, side="right")))


def _lower_increase(free: Problem, x: FloatArray, w: FloatArray) -> FloatArray:
    """What leaving each spike out costs in twice the loss, shape (K,): the linear model's value, lowered for close neighbours.

    Neighbours of weight S in reach take over a spike of weight w by moving together: at least (S / (S + w))^2 of the linear
    cost remains. 0 where the linear model says nothing.
    """
    blocks, norms, lost, _ = _inverse(free, x, np.zeros((x.size, 2), dtype=np.bool_))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = blocks[:, 0] - blocks[:, 1] ** 2 / blocks[:, 2]
        cost = (w * norms[:, 0]) ** 2 / variance
    sums = np.concatenate([[0.0], np.cumsum(np.abs(w))])
    reach = CLOSE * free.filter.width
    first, last = np.searchsorted(x, x - reach), np.searchsorted(x, x + reach, side="right")
    around = np.maximum(sums[last] - sums[first] - np.abs(w), 0.0)
    alone = last - first == 1
    with np.errstate(invalid="ignore"):  # an unbounded cost that neighbours of no weight take over
        cost = np.where(alone, cost, cost * (around / (around + np.abs(w))) ** 2)
    return np.where(np.isfinite(cost) & (variance > 0) & ~lost.any(axis=1), cost, 0.0)


def _increase(free: Problem, particles: Particles, i: int) -> float:
    """What leaving spike i out costs in twice the loss, its neighbours (and on a short record everything) fitted again."""
    from blasso_flow.kernels import spikes as kernel

    table, x = free.filter, particles.position
    low, high = free.domain
    whole = _tests_whole(free, x.size)
    columns = free.whitened_baseline
    if whole:
        members = np.delete(np.arange(x.size), i)
        first, last = 0, free.root.size
    else:
        reach = REACH * table.width
        begin, end = int(np.searchsorted(x, x[i] - reach)), int(np.searchsorted(x, x[i] + reach, side="right"))
        members = np.delete(np.arange(max(begin, i - MEMBERS), min(end, i + MEMBERS + 1)), i - max(begin, i - MEMBERS))
        around = np.append(x[members], x[i])
        low, high = max(low, float(around.min()) - table.width), min(high, float(around.max()) + table.width)
        first, last = int(np.floor(low)) + free.offset, int(np.floor(high)) + free.offset + table.taps
        columns = np.empty((0, last - first))
    before = particles.residual[first:last]
    gone = np.zeros(last - first)
    own = particles.position[i : i + 1], -particles.weight[i : i + 1]
    kernel.add_responses(*own, table.coefficients, table.edges, free.offset - (0 if table.period else first), table.period, gone)
    residual = before + gone * free.root[first:last]
    positions, weights, baseline = x[members], particles.weight[members], particles.baseline.copy()
    if members.size:
        relax(
            free, positions, weights, baseline[: columns.shape[0]], residual,
            tolerance=TOLERANCE, iterations=ITERATIONS, columns=columns, first=first, domain=(low, high),
        )  # fmt: skip
    elif whole:
        free.refit_baseline(residual)
    return float(np.sum((residual - before) * (residual + before)))


def _inverse(
    problem: Problem, x: FloatArray, fixed: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], FloatArray]:
    """Inverse of the Gauss-Newton matrix in units of each column's norm, the baseline as a border.

    Returns blocks (K, 3) of entries (w w), (w x), (x x), norms (K, 2) of response and slope, lost (K, 2) where not
    identifiable, and near (K,) the entry (x_i, x_i+1).
    """
    from blasso_flow.kernels import covariance

    table, count, columns = problem.filter, x.size, problem.whitened_baseline
    norms, lost = np.empty((count, 2)), np.zeros(2 * count, dtype=np.bool_)
    blocks, near = np.full((count, 3), np.nan), np.full(count, np.nan)
    coupling, solved = np.empty((columns.shape[0], 2 * count)), np.empty((columns.shape[0], 2 * count))
    tabulated = table.coefficients, table.edges
    if table.tail.size:
        from blasso_flow.kernels import tails

        tails.inverse_blocks(
            x, fixed.ravel(), problem.root, columns, *tabulated, table.tail, table.tail_tap, problem.offset,
            lost, norms, blocks, near, coupling, solved,
        )  # fmt: skip
    else:
        rows, begin = np.empty((count, 2, table.taps)), np.empty(count, dtype=np.int64)
        covariance.unit_rows(x, problem.root, *tabulated, problem.offset, table.period, rows, begin, norms)
        width = int(covariance.half_bandwidth(begin, table.taps))
        if 32.0 * count * (width + 1) > MEMORY:
            return blocks, norms, np.ones((count, 2), dtype=np.bool_), near
        covariance.inverse_blocks(rows, begin, fixed.ravel(), columns, width, lost, blocks, near, coupling, solved)
    if columns.size:
        rest = problem.baseline_products - np.array([losses.dots(solved, row) for row in coupling])
        told = np.diag(problem.baseline_products) > 0
        part = pseudo_inverse(rest[np.ix_(told, told)], 1e-12)
        by_weight, by_position = solved[told, 0::2], solved[told, 1::2]
        for entry, (a, b) in enumerate(((by_weight, by_weight), (by_weight, by_position), (by_position, by_position))):
            blocks[:, entry] += np.einsum("ak,ab,bk->k", a, part, b)
        near[:-1] += np.einsum("ak,ab,bk->k", by_position[:, :-1], part, by_position[:, 1:])
    return blocks, norms, lost.reshape(count, 2), near


def _with_errors(problem: Problem, particles: Particles) -> Refit:
    """Standard errors: noise_sd^2 times the inverse of J^T W J, J the Jacobian by weights, positions and baseline."""
    x, w = particles.position, particles.weight
    unknown = np.full(x.size, np.nan)
    if not x.size:
        return Refit(x, w, particles.baseline, unknown, unknown.copy(), np.empty(0, dtype=np.int64))
    low, high = problem.domain
    fixed = np.zeros((x.size, 2), dtype=np.bool_)
    if not problem.filter.period:
        fixed[:, 1] = (x <= low) | (x >= high)
    blocks, norms, lost, near = _inverse(problem, x, fixed)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = problem.noise_sd / np.abs(w) / norms[:, 1]  # of a position
        weight_errors = np.where(lost.any(axis=1), np.nan, problem.noise_sd * np.sqrt(blocks[:, 0]) / norms[:, 0])
        position_errors = np.where(lost.any(axis=1) | fixed[:, 1], np.nan, unit * np.sqrt(blocks[:, 2]))
        signed = unit * np.sign(w)
        common = near[:-1] * signed[:-1] * signed[1:]
    weight_errors[~np.isfinite(weight_errors)] = np.nan
    position_errors[~np.isfinite(position_errors)] = np.nan
    group = resolved_groups(x, position_errors, common, problem.filter.width)
    return Refit(x, w, particles.baseline, position_errors, weight_errors, group)


def resolved_groups(x: FloatArray, errors: FloatArray, common: FloatArray, width: float | FloatArray) -> IntArray:
    """Group numbers (K,): a spike whose position error exceeds a quarter of a width, or is unknown, joins the neighbours it
    cannot be told from: nearer than a width, or than twice the standard error of the distance. ``common`` (K - 1,) is the
    covariance of neighbouring positions; ``width`` one for all, or (K,)."""
    width = np.broadcast_to(width, x.shape)
    vague = ~(errors <= UNRESOLVED * width)
    spread = np.sqrt(np.maximum(errors[:-1] ** 2 + errors[1:] ** 2 - 2 * common, 0.0))
    distance = np.diff(x)
    linked = (vague[:-1] | vague[1:]) & ((distance < np.maximum(width[:-1], width[1:])) | (distance < 2 * spread))
    return np.concatenate([[0], np.cumsum(~linked)]).astype(np.int64)
