"""What the theorem asks of the start: its support must separate small from large in every direction.

Spikes (partially homogeneous): the support in the (position, weight) plane must separate weight -r from weight +r at every
position. ReLU neurons (fully homogeneous): it must enclose the origin, for output weights of both signs. Starts that do and
starts that do not are followed to their end, and the certificate tells which of them are optimal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.flow.descent import Cloud, Descent, certificates
from blasso_flow.flow.euclidean import Euclidean
from blasso_flow.flow.loop import run
from blasso_flow.proof.evidence import eta_and_slopes
from blasso_flow.study.deconvolution import Deconvolution, draw
from blasso_flow.study.networks import ACTIVATIONS, Network, descend
from blasso_flow.study.outcome import OnProgress, Outcome, table, unheard
from blasso_flow.study.workers import spread

PARTICLES = 60
ITERATIONS = 20_000
TOLERANCE = 1e-6
GRID = 41  # points of the level lines along each side
DIRECTIONS = 7200  # at which the network's certificate is looked at
CHUNK = 500  # iterations between two looks
PATIENCE = 10  # looks without progress
NETWORK_STRENGTH = 0.05  # of the smallest strength that leaves no neurons
RADIUS = 0.3  # |w| of the neurons at the start
TEACHER_ANGLES = (0.3, 1.6, 3.3, 4.7)
TEACHER_WEIGHTS = (1.0, -1.0, 0.8, -0.7)
SCALES = np.linspace(0, 1, 2001)  # of the dual point, tried in turn
SPIKE_STARTS = ("weight 0 everywhere", "a wave", "half of the period", "two positions")
NEURON_STARTS = ("circle, both signs", "shifted circle, both signs", "one sign only", "one direction only")


@dataclass(frozen=True)
class Placed(Euclidean):
    """The euclidean flow from given positions (samples) and weights (non-dimensional)."""

    places: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    def first(self, positions: FloatArray, positive: bool, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """The given positions and weights, whatever grid ``positions`` holds."""
        return np.array(self.places), np.array(self.weights)


@dataclass(frozen=True, eq=False)
class Ended:
    """One start and its end in the plane of the figure, shapes (m, 2) and (m,) for signs, with what is proven of the end."""

    begin: FloatArray
    end: FloatArray
    sign: FloatArray
    levels: tuple[FloatArray, FloatArray, FloatArray]
    gap: float
    violation: float
    iterations: int


def study_support(*, seed: int = 0, quick: bool = False, on_progress: OnProgress = unheard) -> Outcome:
    """Follow four starts of the deconvolution and four of a ReLU network; the first two of each satisfy the condition."""
    total = len(SPIKE_STARTS) + len(NEURON_STARTS)
    ended = spread(follow_one, [(seed, number) for number in range(total)], lambda done: on_progress((done + 1) / total))
    good = np.tile([1.0, 1.0, 0.0, 0.0], 2)
    gaps, violations = np.array([one.gap for one in ended]), np.array([one.violation for one in ended])
    particles = stacked((number, *row) for number, one in enumerate(ended) for row in np.c_[one.begin, one.end, one.sign])
    levels = stacked((number, *row) for number, one in enumerate(ended) for row in np.stack(one.levels, axis=-1).reshape(-1, 3))
    return Outcome(
        "support",
        {"seed": seed, "quick": quick, "particles": PARTICLES, "starts": [*SPIKE_STARTS, *NEURON_STARTS]},
        {
            "starts": table(
                "how each start ended, numbered as in the settings; satisfies = 1 where the theorem's condition holds",
                start=np.arange(total), satisfies=good, gap=gaps, violation=violations,
                iterations=[one.iterations for one in ended],
            ),
            "particles": table(
                "first and last places: spikes at (position in periods, weight), neurons at |a| w; sign of the weight at the end",
                start=particles[0], x=particles[1], y=particles[2], end_x=particles[3], end_y=particles[4], sign=particles[5],
            ),
            "levels": table(
                "derivative of the objective at the start, for a particle at (x, y); for neurons with a > 0",
                start=levels[0], x=levels[1], y=levels[2], value=levels[3],
            ),
        },
        (
            f"Starts that satisfy the condition end with a gap of at most {gaps[good == 1].max():.1e}.",
            f"Starts that violate it end with a gap of at least {gaps[good == 0].min():.2f} and a certificate that exceeds 1 "
            f"by at least {violations[good == 0].min():.2g}.",
        ),
    )  # fmt: skip


def follow_one(task: tuple[int, int]) -> Ended:
    """Follow one start to its end; a task is the seed of the draw and the number of the start."""
    seed, number = task
    if number < len(SPIKE_STARTS):
        return follow_spikes(draw(seed), number)
    return follow_neurons(small_teacher(seed), number - len(SPIKE_STARTS))


def stacked(rows: Iterable[tuple[float, ...]]) -> FloatArray:
    """Columns of a table, shape (columns, rows), from its rows."""
    return np.array(list(rows)).T


def spike_start(number: int, period: float) -> tuple[FloatArray, FloatArray]:
    """Positions (samples) and non-dimensional weights of a start."""
    share = (np.arange(PARTICLES) + 0.5) / PARTICLES
    if number == 0:
        return share * period, np.zeros(PARTICLES)
    if number == 1:
        return share * period, np.sin(2 * np.pi * share)
    if number == 2:
        return 0.5 * share * period, np.zeros(PARTICLES)
    return np.repeat([0.2, 0.7], PARTICLES // 2) * period, np.tile(np.linspace(-1, 1, PARTICLES // 2), 2)


def follow_spikes(drawn: Deconvolution, number: int) -> Ended:
    """The flow of the deconvolution from one start."""
    problem, period = drawn.problem, drawn.period
    places, weights = spike_start(number, period)
    clouds: list[Cloud] = []
    method = Descent(Placed(places=tuple(places), weights=tuple(weights)), PARTICLES)
    solution = run(
        problem, method, tol=TOLERANCE, tol_noise=np.inf, max_rounds=certificates(ITERATIONS), on_iterate=clouds.append
    )
    first, last = clouds[0], clouds[-1]
    reach = 1.3 * max(float(np.abs(last.weights).max()), float(np.abs(first.weights).max()))
    x, y = np.meshgrid(np.linspace(0, 1, 2 * GRID), np.linspace(-reach, reach, GRID))
    residual = problem.residual(first.places, first.weights, first.baseline)
    places = np.ascontiguousarray(x[0] * period * (1 - 1e-12))
    force = problem.strength * eta_and_slopes(problem, places, residual, orders=1)[0]
    value = -y * force + problem.strength * np.abs(y)
    return Ended(
        np.c_[first.places / period, first.weights], np.c_[last.places / period, last.weights], np.sign(last.weights),
        (x, y, value), solution.gap, solution.violation, solution.rounds,
    )  # fmt: skip


def small_teacher(seed: int, angles: tuple[float, ...] = TEACHER_ANGLES) -> Network:
    """Four neurons in the plane, two of each sign, turned by an angle of the seed."""
    turned = np.array(angles) + np.random.default_rng(seed).uniform(0, 2 * np.pi)
    return Network(np.array(TEACHER_WEIGHTS), directions(turned))


def directions(angles: FloatArray) -> FloatArray:
    """Unit vectors of the plane, shape (n, 2)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def neuron_start(number: int) -> Network:
    """Balanced neurons, |a| = |w|."""
    half = PARTICLES // 2
    around = directions(2 * np.pi * np.arange(half) / half)
    both = np.repeat([1.0, -1.0], half)
    inner = RADIUS * np.concatenate([around, around])
    if number == 1:
        inner = inner + 0.5 * RADIUS * np.array([1.0, 0.0])
    if number == 2:
        both = np.ones(PARTICLES)
    if number == 3:
        inner = np.linspace(0.2, 1, PARTICLES)[:, None] * RADIUS * np.array([[1.0, 0.0]])
        both = np.tile([1.0, -1.0], half)
    return Network(both * np.linalg.norm(inner, axis=1), inner)


def follow_neurons(teacher: Network, number: int) -> Ended:
    """The flow of the penalised network from one start."""
    activation = ACTIVATIONS["relu"]
    circle = directions(2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS)
    strength = NETWORK_STRENGTH * float(np.abs(activation.kernel(circle, teacher.inner) @ teacher.outer).max())
    first = network = neuron_start(number)
    iterations, best, idle = 0, np.inf, 0
    gap, violation = network_gap(network, teacher, strength, circle)
    while gap > TOLERANCE and iterations < ITERATIONS and idle < PATIENCE:
        network, used = descend(activation, network, teacher, mobility=1.0, strength=strength, iterations=CHUNK, target=-np.inf)
        iterations += used
        gap, violation = network_gap(network, teacher, strength, circle)
        idle = 0 if gap < 0.99 * best else idle + 1
        best = min(best, gap)
    begin, end = (np.abs(one.outer)[:, None] * one.inner for one in (first, network))
    reach = 1.2 * max(float(np.abs(end).max()), float(np.abs(begin).max()))
    x, y = np.meshgrid(np.linspace(-reach, reach, GRID), np.linspace(-reach, reach, GRID))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    inner = np.concatenate([first.inner, teacher.inner])
    slope = activation.kernel(points, inner) @ np.concatenate([first.outer, -teacher.outer])
    value = (slope + strength * np.linalg.norm(points, axis=1)).reshape(x.shape)
    return Ended(begin, end, np.sign(network.outer), (x, y, value), gap, violation, iterations)


def network_gap(network: Network, teacher: Network, strength: float, circle: FloatArray) -> tuple[float, float]:
    """Relative duality gap and violation of a network; the supremum is over the directions in ``circle``."""
    activation = ACTIVATIONS["relu"]
    inner = np.concatenate([network.inner, teacher.inner])
    outer = np.concatenate([network.outer, -teacher.outer])
    sup = float(np.abs(activation.kernel(circle, inner) @ outer).max()) / strength
    square = float(outer @ activation.kernel(inner, inner) @ outer)
    product = float(outer @ activation.kernel(inner, teacher.inner) @ teacher.outer)
    objective = 0.5 * square + strength * float((np.abs(network.outer) * np.linalg.norm(network.inner, axis=1)).sum())
    scales = SCALES / max(1.0, sup)
    dual_value = float((-0.5 * scales**2 * square - scales * product).max())
    return max(0.0, objective - dual_value) / objective, max(0.0, sup - 1)
