"""Problems for the tests: every filter, with missing samples, sample weights, baselines, margins, both penalties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow import filters
from blasso_flow.data.signals import Axis, FilterDescription, Signal
from blasso_flow.problem.problem import Problem

LAG = np.arange(-12.0, 40.0)
MEASURED = FilterDescription("measured", {}, LAG, np.exp(-0.5 * (LAG / 3) ** 2) + 0.3 * np.exp(-0.5 * ((LAG - 11) / 5) ** 2))
FILTERS = {
    "gaussian": filters.describe("gaussian:sd=4"),
    "narrow": filters.describe("gaussian:sd=0.8"),
    "wide": filters.describe("gaussian:sd=25"),
    "ricker": filters.describe("ricker:frequency=0.06"),
    "decay": filters.describe("decay:rise=2,decay=15"),
    "kinked": filters.describe("decay:rise=2,decay=15,exposure=0"),
    "cooperative": filters.describe("decay:rise=1.5,decay=12,order=3"),
    "lorentzian": filters.describe("lorentzian:fwhm=6"),
    "emg": filters.describe("emg:sd=3,decay=8"),
    "lowpass": filters.describe("lowpass:order=7"),
    "measured": MEASURED,
}


@dataclass(frozen=True)
class Made:
    """A problem and the measure that made it (positions in samples)."""

    problem: Problem
    position: np.ndarray
    weight: np.ndarray


def make(
    name="gaussian",
    *,
    seed=0,
    samples=160,
    spikes=5,
    positive=True,
    baseline="none",
    missing=0.0,
    weighted=False,
    margin=(0.0, 0.0),
    ends=False,
    noise=0.05,
    strength=None,
):
    """A random problem of the named filter; ``strength`` defaults to a few noise sd times the filter's norm."""
    random = np.random.default_rng([seed, samples, spikes])
    description = FILTERS[name]
    axis = Axis(0.0, 1.0, samples, periodic=description.kind == "lowpass")
    table = filters.build(description, axis)
    low, high = (0.0, float(samples)) if table.period else (-margin[0], samples - 1.0 + margin[1])
    position = np.sort(random.uniform(low, high, spikes))
    if ends and spikes:
        position[[0, -1]] = low, high
    weight = random.uniform(0.5, 1.5, spikes) * (1 if positive else random.choice([-1, 1], spikes))
    clean = (table.response(np.arange(samples)[:, None] - position) @ weight) if spikes else np.zeros(samples)
    values = clean + noise * random.standard_normal(samples) + (2.0 if baseline == "const" else 0.0)
    sd = noise * random.uniform(0.5, 2.0, samples) if weighted else noise
    values[random.random(samples) < missing] = np.nan
    strength = 4 * noise * table.norm if strength is None else strength
    signal = Signal(values, axis, noise_sd=sd)
    problem = Problem.from_signal(signal, table, strength=strength, positive=positive, baseline=baseline, margin=margin)
    return Made(problem, position, weight)
