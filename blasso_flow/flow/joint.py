"""Newton on all spikes and the baseline of a sectioned problem together, by one sparse factorisation.

Section after section with frozen neighbours crawls where two spikes share a peak across a cut; here they move together.
The step is that of the windows (`kernels.spikes.relax`): exact Hessian first, then Gauss-Newton with positive curvature and
Levenberg damping; positions stay in their sections; a weight that would cross zero is dropped; J must fall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.flow.particles import Particles
from blasso_flow.problem.parts import INSIDE, SectionedProblem

ITERATIONS = 8
TRIALS = 8
MOST_SPIKES = 20_000


@dataclass(frozen=True, eq=False)
class _System:
    """Gradient (2 K + B,) and Hessian parts at one iterate: interleaved (weight, position), then the baseline."""

    gauss: object  # sparse (2 K, 2 K)
    coupling: FloatArray  # (2 K, B)
    square: FloatArray  # (B, B)
    gradient: FloatArray
    mixed: FloatArray  # (K,) the Hessian's (weight, position) term beyond Gauss-Newton
    curvature: FloatArray  # (K,) the same for (position, position)
    fixed: NDArray[np.bool_]  # (K,) on a cut or an end, pulled outwards


def joint_steps(problem: SectionedProblem, particles: Particles, tolerance: float) -> Particles:
    """Newton steps until the spikes are stationary to ``tolerance``, or no step lowers the objective."""
    damping = 1e-12
    for _ in range(ITERATIONS):
        if not 0 < particles.position.size <= MOST_SPIKES:
            break
        system = _assembled(problem, particles)
        if _unrest(problem, particles, system) <= tolerance:
            break
        for trial in range(TRIALS):
            moved = _moved(problem, particles, system, damping, trial)
            if moved is not None:
                break
            damping = max(damping * 20, 1e-10)
        if moved is None:
            break
        particles, damping = moved, max(damping * 0.1, 1e-15)
    return particles


def _widths(problem: SectionedProblem, position: FloatArray) -> FloatArray:
    return np.array([table.width for table in problem.filters])[problem.section_of(position)]


def _rows(problem: SectionedProblem, position: FloatArray) -> tuple[IntArray, list[FloatArray]]:
    """Padded samples (K, W) that each spike reaches, and whitened response, slope and second derivative there."""
    section, taps = problem.section_of(position), problem.filter.taps
    index = np.zeros((position.size, taps), dtype=np.int64)
    rows = [np.zeros((position.size, taps)) for _ in range(3)]
    for number in np.unique(section):
        table, own = problem.filters[number], np.flatnonzero(section == number)
        sample = np.floor(position[own]).astype(np.int64)[:, None] + table.first + np.arange(table.taps)
        place = sample + problem.padding[0]
        index[own, : table.taps] = place
        for order in range(3):
            rows[order][own, : table.taps] = problem.root[place] * table.response(sample - position[own, None], order)
    return index, rows


def _assembled(problem: SectionedProblem, particles: Particles) -> _System:
    from scipy.sparse import csr_matrix

    x, w, residual = particles.position, particles.weight, particles.residual
    count = x.size
    index, (response, slope, second) = _rows(problem, x)
    near = residual[index]
    by_weight, by_position, by_second = ((near * row).sum(axis=1) for row in (response, slope, second))
    values = np.stack([response, slope * w[:, None]], axis=1)  # (K, 2, W)
    columns = np.repeat(index[:, None, :], 2, axis=1)
    starts = np.arange(0, values.size + 1, index.shape[1])
    jacobian = csr_matrix((values.ravel(), columns.ravel(), starts), shape=(2 * count, residual.size))
    gradient = np.empty(2 * count + particles.baseline.size)
    gradient[0 : 2 * count : 2] = by_weight + np.sign(w) * problem.strengths(x)
    gradient[1 : 2 * count : 2] = w * by_position
    gradient[2 * count :] = problem.whitened_baseline @ residual
    section = problem.section_of(x)
    first, last = (np.array([getattr(part, name) for part in problem.sections])[section] for name in ("first", "last"))
    pull = gradient[1 : 2 * count : 2]
    fixed = ((x <= first + 2 * INSIDE) & (pull > 0)) | ((x >= last - 2 * INSIDE) & (pull < 0))
    square = problem.whitened_baseline @ problem.whitened_baseline.T
    coupling = jacobian @ problem.whitened_baseline.T
    return _System(jacobian @ jacobian.T, coupling, square, gradient, by_position, w * by_second, fixed)


def _unrest(problem: SectionedProblem, particles: Particles, system: _System) -> float:
    """How far from stationary the spikes are, as `certificate.stationarity` measures it."""
    count = particles.position.size
    scale = problem.strengths(particles.position)
    off = np.abs(system.gradient[0 : 2 * count : 2]) / scale
    slope = np.abs(system.mixed) * _widths(problem, particles.position) / scale
    return float(np.maximum(off, np.where(system.fixed, 0.0, slope)).max())


def _moved(problem: SectionedProblem, particles: Particles, system: _System, damping: float, trial: int) -> Particles | None:
    """One step, or None if the system cannot be solved or the objective would rise."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    x, w, count = particles.position, particles.weight, particles.position.size
    width, strength = _widths(problem, x), problem.strengths(x)
    free = np.ones(2 * count)
    free[1::2] = ~system.fixed
    chosen = diags(free)
    diagonal = system.gauss.diagonal() * damping  # type: ignore[attr-defined]
    diagonal[0::2] += 1e-14 * problem.filter.norm**2
    curvature = system.curvature if trial == 0 else np.maximum(system.curvature, 0.0)
    diagonal[1::2] += curvature + damping * strength * np.abs(w) / width**2 + 1e-300
    beside = np.zeros(2 * count - 1)
    beside[0::2] = system.mixed
    hessian = chosen @ (system.gauss + diags([diagonal, beside, beside], [0, 1, -1])) @ chosen + diags(1 - free)
    gradient, coupling = system.gradient[: 2 * count] * free, system.coupling * free[:, None]
    try:
        factors = splu(hessian.tocsc())
        solved = factors.solve(np.column_stack([gradient, coupling]))
    except RuntimeError:  # singular
        return None
    rest = system.square - coupling.T @ solved[:, 1:]
    change = -np.linalg.lstsq(rest, system.gradient[2 * count :] - coupling.T @ solved[:, 0], rcond=1e-13)[0]
    step = -(solved[:, 0] + solved[:, 1:] @ change)
    if not np.isfinite(step).all():
        return None
    weight = w + step[0::2]
    weight[weight * w <= 0] = 0.0
    position = x + np.clip(step[1::2], -0.5 * width, 0.5 * width)
    section = problem.section_of(x)
    for number in np.unique(section):
        own = section == number
        position[own] = problem.inside(position[own], int(number))
    kept = weight != 0
    moved = Particles.evaluate(problem, position[kept], weight[kept], particles.baseline + change)
    rise = 0.5 * float(np.sum((moved.residual - particles.residual) * (moved.residual + particles.residual)))
    rise += float(problem.strengths(moved.position) @ np.abs(moved.weight) - strength @ np.abs(w))
    return moved if rise <= 1e-14 * float(strength @ np.abs(w)) else None
