"""The simulated problems of the benchmarks, and a filtering pass of each: any method must look at the data about once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter, process_time
from typing import Generic, TypeVar

import numpy as np
from scipy.signal import fftconvolve

from blasso_flow import filters
from blasso_flow.data.signals import FloatArray
from blasso_flow.filters import Filter
from blasso_flow.noise.strength import StrengthRule, choose_strength
from blasso_flow.problem.problem import Problem
from blasso_flow.truth.simulation import simulate

CALLED_OFTEN = 50_000  # samples
T = TypeVar("T")


def problem_of(
    samples: int, spikes: int, width: float, positive: bool, *, decaying: bool = False, snr: float = 20.0, seed: int = 1
) -> Problem:
    """A simulated problem without a baseline, its strength by the Rice rule; width in samples, snr in dB.

    A Gaussian, or ``decaying``: a decay of that many samples behind a rise 30 times shorter.
    """
    spec = f"decay:rise={width / 30:g},decay={width:g}" if decaying else f"gaussian:sd={width:g}"
    distance = 0.0 if decaying else 4 * width
    made = simulate(spec, samples=samples, spikes=spikes, snr=snr, positive=positive, seed=seed, end_distance=distance)
    signal = made.channel(0)
    assert signal.filter is not None
    table = filters.build(signal.filter, signal.axis)
    draft = Problem.from_signal(signal, table, strength=1.0, positive=positive, baseline="none")
    strength = choose_strength(
        StrengthRule.parse("auto"),
        filter=table,
        noise_sd=draft.noise_sd,
        weights=draft.sample_weights,
        domain=draft.domain,
        positive=positive,
    )
    return replace(draft, strength=strength.strength)


@dataclass(frozen=True)
class Timed(Generic[T]):
    """One call: its seconds on all processors together, and on the wall, and what it returned."""

    cpu: float
    wall: float
    result: T


def timed(function: Callable[[], T], samples: int) -> Timed[T]:
    """Time of one call, warm: short ones, by the number of samples, are the mean of up to 20 in a row after another."""
    calls = min(20, CALLED_OFTEN // samples)
    if calls:
        function()
    begun, worked = perf_counter(), process_time()
    for _ in range(max(1, calls)):
        result = function()
    cpu, wall = process_time() - worked, perf_counter() - begun
    return Timed(cpu / max(1, calls), wall / max(1, calls), result)


def pass_seconds(values: FloatArray, filter: Filter) -> float:
    """CPU seconds of one filtering pass by FFT of these samples, shape (N,)."""
    taps = filter.response(filter.first + np.arange(float(filter.taps)))
    return timed(lambda: fftconvolve(values, taps, "same"), values.size).cpu
