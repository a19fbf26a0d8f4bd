"""Forward-backward iterations on a fixed number of particles, in the metric that a flow brings: what the paper's flows share.

Everything is non-dimensional: positions in ||phi|| / ||phi'||, the length at which a shift costs as much as the response
itself (1.4 widths of a Gaussian; for a decay it is far longer than its onset), weights in largest strength / ||phi||^2, the
objective in largest strength times that unit. Seconds or milliseconds, volts or millivolts give the same path. One
iteration costs time linear in the number of particles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.flow import starts
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import EPSILON, dot
from blasso_flow.proof.evidence import Evidence, eta_and_slopes, largest_strength

PARTICLES = 100
ITERATIONS = 20_000
INTERVAL = 0.1  # certificates are taken each time the number of iterations has grown by this share
GROWTH = 1.05  # of an accepted step
SHRINK = 0.5  # of a refused one
TRIALS = 40
POWER_STEPS = 20  # of the estimate of the curvature
DROPPED = 0.01  # of the violation: what one particle left out may change in the certificate
LEAST_VIOLATION = 1e-9


@dataclass(frozen=True)
class Units:
    """What makes a problem non-dimensional: ``length`` (samples), ``weight``, ``ratio`` = strength / largest strength,
    ``objective`` = largest strength times ``weight``."""

    length: float
    weight: float
    ratio: float
    objective: float

    @classmethod
    def of(cls, problem: Problem, share: float = 1.0) -> Units:
        """The units of a problem; ``share`` scales that of weight."""
        largest = max(largest_strength(problem), problem.strength)
        weight = share * largest / problem.filter.norm**2
        length = problem.filter.norm / problem.filter.norm1
        return cls(length, weight, problem.strength / largest, largest * weight)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cloud(Particles):
    """All particles behind the measure, zero weights included.

    ``position`` and ``weight`` are the measure that is written: particles that the objective does better without are
    left out, close ones are one. ``places`` (samples) and ``weights`` are the (m,) particles of the flow, in the order of
    the start; ``flow_time`` is the sum of the steps so far.
    """

    places: FloatArray
    weights: FloatArray
    units: Units
    step_size: float
    flow_time: float


class Metric(Protocol):
    """What makes a flow: first weights, its step, and the metric that the step is a gradient step of.

    Weights are non-dimensional, shape (m,). ``force`` = ratio * eta and ``drift`` = ratio * eta' * length at the particles.
    """

    def first(self, positions: FloatArray, positive: bool, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Positions and weights of all particles at the start."""

    def move(
        self, weight: FloatArray, force: FloatArray, drift: FloatArray, ratio: float, step: float, positive: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Weights after the step, and the change of position in lengths."""

    def divergence(self, before: FloatArray, after: FloatArray, shift: FloatArray) -> float:
        """Distance between two clouds, half a square to first order, of which the step is the proximal step."""


@dataclass(frozen=True)
class Descent:
    """A method of the loop: the flow of a ``metric`` from a start, certified each time the iterations have grown by a tenth.

    ``step_size`` None takes the step from the curvature at the start, halves it whenever the loss rises by more than the
    step's model of it, and lets it grow again by a twentieth an iteration; a number is taken as it is, always. ``share``
    scales the unit of weight: 1 for weights that add up, 1/m for the paper's average over particles. ``every`` fixes the
    number of iterations between two certificates.
    """

    metric: Metric
    particles: int = PARTICLES
    start_rule: str = "uniform"
    step_size: float | None = None
    seed: int = 0
    share: float = 1.0
    every: int | None = None

    def start(self, problem: Problem) -> Cloud:
        """The particles of the start and the step that the curvature allows there."""
        random = np.random.default_rng(self.seed)
        places = starts.positions(problem, self.particles, self.start_rule, random)
        places, weights = self.metric.first(places, problem.positive, random)
        units = Units.of(problem, self.share)
        step = self.step_size or _curvature_step(problem, places, units)
        none = np.zeros(problem.baseline.shape[1])
        return _cloud(problem, places, weights * units.weight, none, 0, units, step, 0.0)

    def advance(self, problem: Problem, particles: Cloud, evidence: Evidence, spare: FloatArray | None = None) -> Cloud:
        """Iterations until the next certificate is due. No births: the particles of the start have to do."""
        return self.iterated(problem, particles, self.every or interval(particles.rounds), evidence.sup - 1)

    def iterated(self, problem: Problem, cloud: Cloud, iterations: int, violation: float = np.inf) -> Cloud:
        """The cloud after so many forward-backward iterations; ``violation`` before them limits what is left out."""
        units = cloud.units
        frame = _Frame(problem)
        places, weights = cloud.places, cloud.weights / units.weight
        residual = frame.residual(places, cloud.weights)
        energy = float(np.sqrt(dot(problem.whitened_values, problem.whitened_values)))
        step, flow_time = cloud.step_size, cloud.flow_time
        for _ in range(iterations):
            eta, slope = eta_and_slopes(problem, places, residual)
            force, drift = units.ratio * eta, units.ratio * units.length * slope
            noise = EPSILON * energy * float(np.sqrt(dot(residual, residual))) / units.objective
            for _trial in range(TRIALS):
                after, shift = self.metric.move(weights, force, drift, units.ratio, step, problem.positive)
                moved, shift = frame.moved(places, shift, units.length)
                new = frame.residual(moved, after * units.weight)
                if self.step_size is not None:
                    break
                change = new - residual
                linear = -dot(force, after - weights) - dot(weights * drift, shift)
                excess = (dot(residual, change) + 0.5 * dot(change, change)) / units.objective - linear
                allowed = self.metric.divergence(weights, after, shift) / step
                if excess <= allowed + noise:
                    break
                step *= SHRINK
            flow_time += step
            places, weights, residual = moved, after, new
            if self.step_size is None:
                step *= GROWTH
        return _cloud(
            problem, places, weights * units.weight, cloud.baseline, cloud.rounds + iterations, units, step, flow_time, violation
        )


def interval(iterations: int) -> int:
    """Iterations until the next certificate."""
    return max(1, int(INTERVAL * iterations))


def certificates(iterations: int, every: int | None = None) -> int:
    """Number of certificates after the first one until so many iterations are done."""
    done = count = 0
    while done < iterations:
        done += every or interval(done)
        count += 1
    return count


class _Frame:
    """Residuals with the best baseline taken out, and positions kept in the domain, of one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        columns = problem.whitened_baseline
        self.columns = np.linalg.qr(columns[columns.any(axis=1)].T)[0].T
        self.values = self._without_baseline(problem.whitened_values)

    def residual(self, places: FloatArray, weights: FloatArray) -> FloatArray:
        """Whitened residual (M,) of the particles with the best baseline."""
        model = self.problem.root * self.problem.model(places, weights)
        return self._without_baseline(model) - self.values

    def moved(self, places: FloatArray, shift: FloatArray, length: float) -> tuple[FloatArray, FloatArray]:
        """Positions after a shift in lengths, turned or stopped at the ends of the domain, and the shift that was made."""
        moved = places + shift * length
        inside = self.problem.geometry.inside(moved)
        return inside, shift if self.problem.geometry.endless else (inside - places) / length

    def _without_baseline(self, curve: FloatArray) -> FloatArray:
        return curve - (self.columns @ curve) @ self.columns if self.columns.size else curve


def _curvature_step(problem: Problem, places: FloatArray, units: Units) -> float:
    """One over the largest curvature of the loss in the weights at given positions, by power iteration."""
    vector = np.ones(places.size)
    size = 1.0
    for _ in range(POWER_STEPS):
        response = problem.root * problem.model(places, vector / np.linalg.norm(vector))
        vector = problem.geometry.correlation(places, response, problem.root)[0]
        size = float(np.linalg.norm(vector))
        if not size > 0:
            return 1.0
    return units.objective / (size * units.weight**2)


def _cloud(
    problem: Problem,
    places: FloatArray,
    weights: FloatArray,
    baseline: FloatArray,
    iterations: int,
    units: Units,
    step_size: float,
    flow_time: float,
    violation: float = np.inf,
) -> Cloud:
    """Particles with the measure that is written for them; what it leaves out moves the certificate by far less than
    ``violation``."""
    order = problem.geometry.order(places)
    position, weight = places[order], weights[order]
    every = Particles.evaluate(problem, position, weight, baseline)
    most = DROPPED * max(violation, LEAST_VIOLATION)
    count = problem.geometry.condense(position, weight, every.curve.copy(), problem.root, problem.strength, most)
    measure = Particles.evaluate(problem, position[:count], weight[:count], every.baseline)
    return Cloud(
        measure.position,
        measure.weight,
        measure.baseline,
        measure.curve,
        iterations,
        places=places,
        weights=weights,
        units=units,
        step_size=step_size,
        flow_time=flow_time,
    )
