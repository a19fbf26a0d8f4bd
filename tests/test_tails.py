"""Filters that end in exponentials: the fast kernel does what the general ones do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blasso_flow import filters
from blasso_flow.data.signals import Axis, FloatArray, Signal
from blasso_flow.filters import Filter
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.evidence import eta_and_slopes

SPIKES = 40
CASES = [(1, 1), (0, 1), (1, 3)]


def whole(table: Filter) -> Filter:
    """The same filter for the general kernels, which know nothing of its tail."""
    return replace(table, tail=np.zeros((2, 0)), tail_tap=table.taps)


def problem(exposure: float, order: int = 1, seed: int = 0) -> tuple[Problem, FloatArray, FloatArray]:
    """A record with missing samples and a drift, and the positions and weights in it; some spikes share a sample."""
    random = np.random.default_rng(seed)
    axis = Axis(first=0.0, spacing=0.01, size=1200, name="time", units="s")
    rise = 0.05 if order == 1 else 0.01  # the higher the order, the smoother the onset: spikes in one sample must stay apart
    text = f"decay:rise={rise},decay=0.3,exposure={exposure},order={order}"
    table = filters.build(filters.describe(text), axis, "peak")
    position = random.uniform(0, axis.size - 1, SPIKES)
    position[1:4] = position[0] + np.array([0.4, 0.9, 2.5])
    position = np.clip(np.sort(position), 0, axis.size - 1)
    weight = random.uniform(0.5, 1.5, SPIKES)
    samples = np.arange(axis.size)
    values = sum(w * table.response(samples - x) for x, w in zip(position, weight, strict=True))
    values = values + 0.05 * random.standard_normal(axis.size) + 0.3 * samples / axis.size
    values[300:340] = np.nan
    channel = Signal(values=values, axis=axis, name="y", units="")
    return Problem.from_signal(channel, table, strength=0.3, noise_sd=0.05, baseline="poly:degree=1"), position, weight


@pytest.mark.parametrize(("exposure", "order"), CASES)
@pytest.mark.parametrize("iterations", [1, 6])
def test_newton_steps_are_those_of_the_general_kernel(exposure: float, order: int, iterations: int) -> None:
    fast, position, weight = problem(exposure, order)
    assert fast.filter.tail.shape == (2, order + 1)
    assert fast.filter.tail_tap <= 3
    random = np.random.default_rng(1)
    start = np.clip(np.sort(position + random.normal(0, 0.5, SPIKES)), *fast.domain)
    ends = []
    for case in (fast, replace(fast, filter=whole(fast.filter))):
        x, w, baseline = start.copy(), 1.1 * weight, np.zeros(2)
        residual = case.residual(x, w, baseline)
        count, kkt = case.relax(x, w, baseline, residual, tolerance=1e-12, iterations=iterations)
        assert residual == pytest.approx(
            case.residual(x[:count], w[:count], baseline), abs=1e-8
        )  # leaving a kink moves a spike by 1e-9
        ends.append((x[:count], w[:count], baseline, [kkt]))
    for ours, theirs in zip(*ends, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("exposure", "order"), CASES)
def test_the_inverse_is_that_of_the_general_kernel(exposure: float, order: int) -> None:
    fast, position, _ = problem(exposure, order)
    fixed = np.zeros(2 * SPIKES, dtype=bool)
    fixed[7] = True
    position[20] = position[19] + 1e-7  # not to be told apart
    ours, theirs = (case.covariance(position, fixed) for case in (fast, replace(fast, filter=whole(fast.filter))))
    for name in ("lost", "norms", "blocks", "near"):
        mine, general = (getattr(inverse, name).astype(float) for inverse in (ours, theirs))
        assert mine == pytest.approx(general, rel=1e-6, abs=1e-100, nan_ok=True)
        assert np.isfinite(mine).sum() > 0


def test_the_certificate_at_spikes_is_that_of_the_general_kernel() -> None:
    fast, position, weight = problem(1)
    residual = fast.residual(position, 0.9 * weight, np.zeros(2))
    general = eta_and_slopes(replace(fast, filter=whole(fast.filter)), position, residual, orders=3)
    assert eta_and_slopes(fast, position, residual, orders=3) == pytest.approx(general, rel=1e-7, abs=1e-7)
