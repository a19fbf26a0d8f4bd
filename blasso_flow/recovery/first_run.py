"""The first run: kernels that a recovery needs, compiled by two processes at once into the cache that both share.

Half of the time goes into one kernel, the Newton steps. Where anything of this fails, a kernel is compiled when it is
first called, as any other.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from blasso_flow import filters
from blasso_flow.data.signals import Axis, Signal
from blasso_flow.filters import Filter
from blasso_flow.flow.newton import WindowedNewton
from blasso_flow.kernels import can_be_cached, is_cached
from blasso_flow.problem.geometry.covariance import nothing_fixed
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.evidence import kkt_residuals
from blasso_flow.proof.examiner import examiner

SAMPLES = 64
FINITE, ENDING_IN_EXPONENTIALS = "gaussian:sd=2", "decay:rise=0.5,decay=2"


def prepare(filter: Filter, cores: int) -> None:
    """Compile what least squares with such a filter call, unless that was done before or cannot be kept.

    Filters that have kinks or are periodic call other kernels: nothing is compiled for those.
    """
    tail = filter.tail.size > 0
    if not sys.executable or cores < 2 or is_cached(tail) or not can_be_cached() or filter.kinks.size or filter.period:
        return
    example = ENDING_IN_EXPONENTIALS if tail else FINITE
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import compile_newton; compile_newton({example!r})"
    silent = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-c", code], stdin=silent, stdout=silent, stderr=silent) as other:
        try:
            compile_others(example)
            other.wait()
        finally:
            other.kill()


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Compiling makes many small objects that stay: looking for garbage among them is a sixth of its time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@collecting_nothing()
def compile_newton(filter: str = FINITE) -> None:
    """Compile the Newton steps of a small problem."""
    problem = _example(filter)
    position, weight, residual = np.array([20.0, 40.0]), np.ones(2), np.zeros(problem.root.size)
    problem.relax(position, weight, np.zeros(1), residual, tolerance=1.0, iterations=1)


@collecting_nothing()
def compile_others(filter: str = FINITE) -> None:
    """Compile what else a small problem calls, from the certificate to the error bars."""
    problem, method = _example(filter), WindowedNewton()
    examine, particles = examiner(problem), method.start(problem)
    for _ in range(2):
        evidence = examine(particles, lambda objective: 1e-6 * objective)
        particles = method.birth(problem, particles, evidence.births)
    position, weight = particles.position, particles.weight
    kkt_residuals(problem, position, weight, particles.curve)
    problem.residual(position, weight, particles.baseline)
    covariance = problem.covariance(position, nothing_fixed(position.size))
    covariance.least_increase(position, weight, problem.filter.width)
    errors, _, common = covariance.standard_errors(weight, problem.noise_sd)
    problem.geometry.groups(position, errors, common, problem.filter.width)


def _example(filter: str) -> Problem:
    """Two spikes on a constant."""
    axis = Axis(0.0, 1.0, SAMPLES)
    table = filters.build(filters.describe(filter), axis)
    samples = np.arange(SAMPLES, dtype=np.float64)
    signal = Signal(table.response(samples - 20.3) + table.response(samples - 40.6), axis)
    return Problem.from_signal(signal, table, strength=0.1, noise_sd=0.1)
