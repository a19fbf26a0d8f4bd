"""Pruning of spikes fitted without penalty: who may be left out, at what cost, and how the rest settles.

What leaving a spike out costs is its increase: of twice the loss, when its neighbours (on a short record everything) are
fitted again. Positions in samples, weights in signal units; ``free`` is the problem with all but no penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray
from blasso_flow.flow.newton import BIRTH_WEIGHT, ITERATIONS, WindowedNewton
from blasso_flow.problem.geometry.covariance import LineCovariance, nothing_fixed
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import dot
from blasso_flow.proof.evidence import kkt_residuals

TOLERANCE = 2e-3  # of that penalty
TRIAL_TOLERANCE = 0.05  # of that penalty, where only the loss is asked for: off by no more than the square of it
STEPS = 8
RELAXATIONS = 48
REACH = 6.0  # widths: spikes this close answer for one that is left out
MEMBERS = 24  # of them on each side at most
APART = 18.0  # widths between spikes dropped together: along a chain of vague ones, the first to go changes what others are worth
CLOSE = 2.0  # widths: nearer spikes take over more of each other than a linear model says
ALONE = 3.0  # widths: of a clear spike with no other so near, the linear model tells the increase to some percent
CLEAR = 4.0  # times the price: a spike so far above it needs no test of its own
SHORT_RECORD = 4096  # samples: so short a record is tested whole, baseline included
TRIAL_ITERATIONS = 30
EXCHANGES = 12
EXCHANGE_GAIN = 0.01  # of the price of a spike: the least that an exchange must bring
PLACES = 3  # tried for one spike more


class Dropped:
    """Spikes that were left out, in this order: position (samples), weight, and what that cost each of them."""

    def __init__(self) -> None:
        self._rows: list[FloatArray] = [np.empty((3, 0))]

    def add(self, position: FloatArray, weight: FloatArray, increase: FloatArray) -> None:
        """Spikes (D,) that go."""
        self._rows.append(np.stack([position, weight, increase]))

    @property
    def rows(self) -> FloatArray:
        """Positions, weights and increases, (3, D)."""
        return np.concatenate(self._rows, axis=1)


@dataclass(frozen=True, eq=False)
class Pruned:
    """The particles that are left, what leaving each of them out costs, ``increase`` (K,), their covariance, and the price."""

    particles: Particles
    increase: FloatArray
    covariance: LineCovariance | None
    price: float


def pruned(
    free: Problem,
    particles: Particles,
    price: float,
    most: int | None,
    gone: Dropped,
    dearer: Callable[[FloatArray], float] = lambda increase: 0.0,
) -> Pruned:
    """Settled particles without those whose increase is below ``price``, and then ``most`` of them at most.

    Where that takes more away, the least significant go, and on a short record those left are exchanged for others as long
    as the fit gets better. ``gone`` takes what is dropped.
    ``dearer`` says what the price is for spikes of such increases (K,): where that is above ``price``, pruning goes on.
    """
    found = _pruned(free, particles, price, gone)
    while (higher := dearer(found.increase)) > price:
        price = higher
        found = _pruned(free, found.particles, price, gone)
    if most is not None and found.particles.position.size > most:
        particles = _thinned(free, found.particles, most, gone)
        if _tests_whole(free, most):
            particles = _exchanged(free, particles, most, price)
        found = _pruned(free, particles, price, gone)
    return replace(found, price=price)


def _pruned(free: Problem, particles: Particles, price: float, gone: Dropped) -> Pruned:
    count = particles.position.size
    tested, increase = np.zeros(count, dtype=np.bool_), np.full(count, np.nan)
    while True:
        if not particles.position.size:
            return Pruned(particles, np.empty(0), None, price)
        covariance = free.covariance(particles.position, nothing_fixed(particles.position.size))
        least = covariance.least_increase(particles.position, particles.weight, CLOSE * free.filter.width)
        doubtful = ~tested & (least < CLEAR * price)
        increase[doubtful] = _increases(free, particles, doubtful)
        dropped = _least(free, particles, increase, price)
        if not dropped.any():
            break
        places, known = particles.position[dropped], increase[~dropped]
        gone.add(places, particles.weight[dropped], increase[dropped])
        particles = _without(free, particles, dropped)
        # what was spared for a neighbour that went, or has lost one, is tested again; on a short record everybody
        again = np.inf if _tests_whole(free, particles.position.size) else (APART + CLOSE) * free.filter.width
        tested = free.geometry.distance(particles.position, places) > again
        increase = np.where(tested, known, np.nan) if known.size == tested.size else np.full(tested.size, np.nan)
    asked = np.isnan(increase) & ((least < CLEAR * price) | ~_alone(free, particles.position))
    increase[asked] = _increases(free, particles, asked)
    return Pruned(particles, np.where(np.isnan(increase), least, increase), covariance, price)


def _alone(free: Problem, x: FloatArray) -> NDArray[np.bool_]:
    """Which spikes (K,) have no other within `ALONE` widths."""
    gaps = np.diff(x)
    ends = x[:1] + free.root.size - x[-1:] if free.geometry.endless else np.array([np.inf])
    return np.minimum(np.concatenate([ends, gaps]), np.concatenate([gaps, ends])) > ALONE * free.filter.width


def _exchanged(free: Problem, particles: Particles, most: int, price: float) -> Particles:
    """Fewer spikes than the data would justify can sit in the wrong places, as those dropped first are judged beside all others.

    One spike more is inserted where the residual asks for it, all move, and the least significant go, as long as half the
    squared error with ``price`` / 2 a spike falls.
    """

    def cost(these: Particles) -> float:
        return dot(these.curve, these.curve) + price * these.position.size

    for _ in range(EXCHANGES):
        trials = [_thinned(free, more, most, Dropped()) for more in _with_one_more(free, particles)]
        better = min(trials, key=cost, default=particles)
        if not cost(better) < cost(particles) - EXCHANGE_GAIN * price:
            break
        particles = better
    return particles


def _thinned(free: Problem, particles: Particles, most: int, gone: Dropped) -> Particles:
    while particles.position.size > most:
        everyone = np.ones(particles.position.size, dtype=np.bool_)
        increase = _increases(free, particles, everyone)
        dropped = _least(free, particles, increase, np.inf, particles.position.size - most)
        gone.add(particles.position[dropped], particles.weight[dropped], increase[dropped])
        particles = _without(free, particles, dropped)
    return particles


def _with_one_more(free: Problem, particles: Particles) -> list[Particles]:
    """The particles and one more, settled: a trial for each of the best places."""
    _, (position, eta) = free.geometry.bound(free.strength, free.positive)(free.root * particles.curve)
    norms = free.geometry.squared_norms(position, free.root)
    weight = BIRTH_WEIGHT * eta * free.strength / np.where(norms > 0, norms, np.inf)
    best = np.argsort(-np.abs(weight * eta), kind="stable")[:PLACES]
    return [
        settled(
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


def settled(free: Problem, particles: Particles) -> Particles:
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


def _without(free: Problem, particles: Particles, dropped: NDArray[np.bool_]) -> Particles:
    """The particles that are left, settled."""
    kept = ~dropped
    return settled(free, Particles.evaluate(free, particles.position[kept], particles.weight[kept], particles.baseline))


def _least(free: Problem, particles: Particles, increase: FloatArray, price: float, most: int | None = None) -> NDArray[np.bool_]:
    """Spikes to drop together: those of least increase below ``price`` in each neighbourhood, ``most`` at most, (K,)."""
    x = particles.position
    dropped = np.zeros(x.size, dtype=np.bool_)
    below = np.flatnonzero(increase < price)
    reach = APART * free.filter.width
    for i in below[np.argsort(increase[below], kind="stable")]:
        neighbours = free.geometry.around(x, float(x[i]), reach)
        if not dropped[neighbours].any() and (most is None or dropped.sum() < most):
            dropped[i] = True  # its neighbours are tested again without it
    return dropped


def _increases(free: Problem, particles: Particles, asked: NDArray[np.bool_]) -> FloatArray:
    """The increase of those ``asked`` for (K,)."""
    return np.array([_increase(free, particles, int(i)) for i in np.flatnonzero(asked)])


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
