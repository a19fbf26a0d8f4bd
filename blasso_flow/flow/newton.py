"""The default method: forward-backward in the metric of the Hessian, on windows of spikes, with births from the certificate.

Inside a window weights and positions move together by damped Newton steps; a weight that would cross zero is dropped,
which is the prox of the penalty. Everything outside the window is frozen in the residual. Where there is a baseline, or
a filter whose tail couples everything, one more system holds all spikes and the baseline's coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from blasso_flow import threads
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.flow.particles import Particles
from blasso_flow.kernels.line import newton
from blasso_flow.kernels.line import spikes as kernel
from blasso_flow.problem.losses import EPSILON
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.certificate import Certificate, stationarity

REACH = 6.0  # widths: spikes this close to an unconverged one move with it
TAPS_PIECE = 10_000  # samples that the spikes reach in the windows that a thread takes at a time
WINDOW = 48  # spikes; longer runs are cut, at alternating places
LONG_TAIL = 30.0  # widths: filters with longer windows couple everything, as do those that end in exponentials
LONG_TAIL_WINDOW = 1000
SWEEPS = 6
ITERATIONS = 8
ROOM = 4.0  # widths a spike may travel in one sweep
BIRTH_DISTANCE = 0.5  # widths
BIRTH_WEIGHT = 0.5  # of the exact one-step weight
JOINT_BYTES = 800e6  # the joint system keeps six rows a spike
LEAST = 1e-11  # KKT residual that is not sought to be bettered
SWEPT, SWEPT_SHARE = 1e-3, 0.1  # KKT residual at which sweeps end: at most, and of what candidates exceed 1 by
ALONE, ALONE_SHARE = 3e-6, 0.006  # the same for one system of all spikes, whose last steps cost less than another round


@dataclass(frozen=True)
class WindowedNewton:
    """Start from nothing, insert at every maximum of the certificate, relax windows until they are stationary."""

    def start(self, problem: Problem) -> Particles:
        """The zero measure with the best baseline."""
        none = np.empty(0)
        return Particles.evaluate(problem, none, none, np.zeros(problem.baseline.shape[1]))

    def advance(
        self, problem: Problem, particles: Particles, certificate: Certificate, spare: FloatArray | None = None
    ) -> Particles:
        """Births, sweeps over windows of spikes that are not stationary, then the joint system where there is one."""
        born = self.birth(problem, particles, certificate, spare)
        x, w, baseline, residual = born.position, born.weight, born.baseline, born.residual
        unrest = None
        if self._alone(problem, x.size):
            goal, most = min(max(ALONE_SHARE * (certificate.sup - 1), LEAST), ALONE), SWEEPS * ITERATIONS
            count, _ = relax(problem, x, w, baseline, residual, tolerance=goal, iterations=most)
            x, w = x[:count], w[:count]
        else:
            tolerance = goal_of_sweeps(problem, certificate)
            x, w, unrest = self._sweeps(problem, x, w, residual, tolerance, particles)
            if baseline.size > 0 and self._joint_fits(problem, born.position.size):
                count, _ = relax(problem, x, w, baseline, residual, tolerance=0.3 * tolerance, iterations=ITERATIONS)
                x, w, unrest = x[:count], w[:count], None
        moved = Particles.evaluate(problem, x, w, baseline, particles.rounds + 1, particles, residual)
        return moved if unrest is None else replace(moved, unrest=unrest)

    def birth(
        self, problem: Problem, particles: Particles, certificate: Certificate, spare: FloatArray | None = None
    ) -> Particles:
        """Insert all candidates at once with half their one-step weight, except beside a same-sign spike still on its way.

        The arrays of what is returned are its own: steps may be made in place.
        """
        position, eta = certificate.position, certificate.eta
        if particles.position.size and position.size:
            free = ~_beside_unconverged(problem, particles, position, eta)
            position, eta = position[free], eta[free]
        norms = problem.squared_norms(position)
        excess = eta - np.sign(eta)
        usable = (norms > 0) & (excess != 0)
        if not usable.any():
            return particles.copied()
        weight = excess[usable] / norms[usable] * (problem.strength * BIRTH_WEIGHT)
        position = position[usable]
        if particles.baseline.size and self._alone(problem, particles.position.size + position.size):
            return particles.joined_by(problem, position, weight)
        positions, weights = np.concatenate([particles.position, position]), np.concatenate([particles.weight, weight])
        return Particles.evaluate(problem, positions, weights, particles.baseline, particles.rounds, particles, spare)

    def _alone(self, problem: Problem, count: int) -> bool:
        """Whether one system of all spikes and the baseline takes the place of sweeps."""
        return self._joint_fits(problem, count) and (count <= WINDOW or self._couples_everything(problem))

    @staticmethod
    def _couples_everything(problem: Problem) -> bool:
        table = problem.filter
        return bool(table.period or table.tail.size or table.taps > LONG_TAIL * table.width)

    def _joint_fits(self, problem: Problem, count: int) -> bool:
        if problem.filter.period or problem.filter.tail.size:
            return True
        return 48.0 * problem.filter.taps * count <= JOINT_BYTES

    def _sweeps(
        self, problem: Problem, x: FloatArray, w: FloatArray, residual: FloatArray, tolerance: float, before: Particles
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Positions, weights and KKT residuals of the spikes that are left, after sweeps that end when all are stationary."""
        table = problem.filter
        limit = LONG_TAIL_WINDOW if self._couples_everything(problem) else WINDOW
        reach = np.inf if self._couples_everything(problem) else REACH * table.width
        unrest = kkt_residuals(problem, x, w, residual, before)
        for number in range(SWEEPS):
            bad = unrest > tolerance
            if not bad.any():
                break
            starts, ends = windows(bad, x, reach, float(table.taps), limit, number % 2 == 1)
            far = ROOM * table.width + table.taps + 1  # a spike further from a window has none of its samples
            low, high = x[starts] - far, x[ends - 1] + far
            keep = np.ones(x.size, dtype=np.bool_)
            _sweep(problem, x, w, keep, residual, starts, ends, tolerance * 0.3)
            left = np.nonzero(keep)[0]
            left = left[np.argsort(x[left], kind="stable")]
            x, w, unrest = x[left], w[left], unrest[left]
            touched = np.nonzero(_within(x, low, high))[0]
            unrest[touched] = stationarity(problem, x[touched], w[touched], residual)
        return x, w, unrest


def _sweep(
    problem: Problem,
    x: FloatArray,
    w: FloatArray,
    keep: NDArray[np.bool_],
    residual: FloatArray,
    starts: IntArray,
    ends: IntArray,
    tolerance: float,
) -> None:
    """Relax the windows [start, end) of spikes, everything in place; ``keep`` (K,) becomes False where a spike was dropped.

    Runs of neighbouring windows are swept one after the other, runs that do not touch each other on threads.
    """
    table = problem.filter
    room = ROOM * table.width
    curves = residual, problem.root, table.coefficients, table.edges, problem.offset, *problem.domain
    scales = problem.strength, table.width, table.norm, table.kinks if table.kinks.size else None
    cuts = np.nonzero(np.diff(np.cumsum(ends - starts) * table.taps // TAPS_PIECE, prepend=-1))[0]
    after = np.append(cuts[1:], starts.size)
    threads.alternating(
        lambda a, b: kernel.sweep(x, w, keep, *curves, *scales, starts[a:b], ends[a:b], room, ITERATIONS, tolerance),
        list(zip(cuts, after, strict=True)),
        np.floor(x[starts[cuts]] - room).astype(np.int64),
        np.floor(x[ends[after - 1] - 1] + room).astype(np.int64) + table.taps,
    )


def relax(
    problem: Problem,
    x: FloatArray,
    w: FloatArray,
    baseline: FloatArray,
    residual: FloatArray,
    *,
    tolerance: float,
    iterations: int = ITERATIONS,
    columns: FloatArray | None = None,
    first: int = 0,
    domain: tuple[float, float] | None = None,
) -> tuple[int, float]:
    """Newton on all spikes of one stretch and the baseline; everything in place.

    ``residual`` (L,) starts at padded sample ``first``, ``columns`` (B, L) are the whitened baseline there, by default the
    problem's. Returns the number of spikes left, which come first in ``x`` and ``w``, and the KKT residual.
    """
    table = problem.filter
    low, high = domain or problem.domain
    columns = problem.whitened_baseline if columns is None else columns
    ends_and_scales = low, high, problem.strength, table.width, table.norm
    root, offset = problem.root[first : first + residual.size], problem.offset - first
    curves, kinks = (table.coefficients, table.edges), table.kinks if table.kinks.size else None
    finite, tail = (None, (*curves, table.tail, table.tail_tap)) if table.tail.size else (curves, None)
    stretch = x, w, baseline, residual, root, columns, finite, tail, offset, table.period or None
    count, _, kkt = newton.relax(*stretch, *ends_and_scales, kinks, iterations, tolerance)
    return count, kkt


def windows(
    bad: NDArray[np.bool_], x: FloatArray, reach: float, taps: float, limit: int, shifted: bool
) -> tuple[IntArray, IntArray]:
    """Runs [start, end) of spikes to relax together: all within ``reach`` of a bad one, cut where responses no longer
    overlap and after ``limit`` spikes, with the cuts half a window further on when ``shifted``."""
    centres = x[bad]
    chosen = np.nonzero(_within(x, centres - reach, centres + reach))[0]
    fresh = np.nonzero((np.diff(chosen, prepend=-2) > 1) | (np.diff(x[chosen], prepend=-np.inf) > taps))[0]
    length = np.diff(fresh, append=chosen.size)
    inside = np.arange(chosen.size) - np.repeat(fresh, length)  # of its run
    first = limit // 2 if shifted else limit
    cut = np.repeat(length > limit, length) & (inside >= first) & ((inside - first) % limit == 0)
    starts = np.nonzero((inside == 0) | cut)[0]
    return chosen[starts], chosen[np.append(starts[1:], chosen.size) - 1] + 1


def goal_of_sweeps(problem: Problem, certificate: Certificate) -> float:
    """KKT residual at which sweeps end: a share of what every second candidate exceeds 1 by.

    A long record always has a few places that are far from settled; they do not hold up all the others. Positions are
    rounded, and so is what their slopes can be brought down to.
    """
    excess = certificate.sup - 1
    if certificate.eta.size:
        half = certificate.eta.size // 2
        excess = min(excess, float(np.partition(np.abs(certificate.eta), half)[half]) - 1)
    rounding = 8 * EPSILON * problem.values.size / problem.filter.width
    return min(max(SWEPT_SHARE * excess, LEAST, rounding), SWEPT)


def kkt_residuals(problem: Problem, x: FloatArray, w: FloatArray, residual: FloatArray, before: Particles) -> FloatArray:
    """KKT residuals (K,), those known ``before`` where no spike within reach is new, changed or gone."""
    if before.unrest is None or not before.unrest.size:
        return stationarity(problem, x, w, residual)
    known = np.minimum(np.searchsorted(before.position, x), before.position.size - 1)
    same = (before.position[known] == x) & (before.weight[known] == w)
    gone = np.ones(before.position.size, dtype=np.bool_)
    gone[known[same]] = False
    changed = np.sort(np.concatenate([x[~same], before.position[gone]]))
    reach = problem.filter.taps + 1.0
    unrest = before.unrest[known]
    touched = np.nonzero(_within(x, changed - reach, changed + reach))[0]
    unrest[touched] = stationarity(problem, x[touched], w[touched], residual)
    return unrest


def _within(x: FloatArray, low: FloatArray, high: FloatArray) -> NDArray[np.bool_]:
    """Which of the sorted positions (K,) lie in any of the ranges [low, high], sorted at both ends."""
    from blasso_flow.kernels.line.particles import within

    inside = np.empty(x.size, dtype=np.bool_)
    within(x, low, high, inside)
    return inside


def _beside_unconverged(problem: Problem, particles: Particles, position: FloatArray, eta: FloatArray) -> NDArray[np.bool_]:
    """Candidates within half a width of a same-sign spike that is far from stationary: relax that one first."""
    from blasso_flow.kernels.line.particles import beside

    x, w, table = particles.position, particles.weight, problem.filter
    neighbour = np.empty((2, position.size), dtype=np.int64)
    beside(position, eta, x, w, BIRTH_DISTANCE * table.width, table.period, neighbour)
    there = neighbour >= 0
    unrest = np.zeros(neighbour.shape)
    if there.any():
        close = neighbour[there]
        unrest[there] = stationarity(problem, x[close], w[close], particles.residual)
    return np.asarray(unrest.max(axis=0) > 0.3 * (np.abs(eta) - 1))
