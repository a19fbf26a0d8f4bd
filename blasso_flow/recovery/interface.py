"""The Python interface: recover plain arrays or signals, solve a problem. Everything in axis units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from blasso_flow import filters, flow
from blasso_flow.data.reports import TraceRow
from blasso_flow.data.results import ChannelRecovery, Recovery
from blasso_flow.data.signals import Axis, FilterDescription, Signal
from blasso_flow.errors import UsageError
from blasso_flow.flow import MAX_ROUNDS, TOLERANCE, TOLERANCE_NOISE, Flow, Solution
from blasso_flow.noise.strength import StrengthRule
from blasso_flow.problem.baselines import Baseline
from blasso_flow.problem.problem import Problem
from blasso_flow.recovery.channel import in_axis_units, recover_channel, tabulated
from blasso_flow.recovery.routes import OnRound
from blasso_flow.recovery.settings import FALSE_ALARMS, Settings


def recover(
    signal: Signal | ArrayLike,
    *,
    spacing: float | None = None,
    first: float | None = None,
    filter: FilterDescription | str | None = None,
    normalisation: str = "peak",
    positive: bool = True,
    baseline: Baseline | str = "auto",
    noise: str = "auto",
    noise_sd: float | None = None,
    strength: StrengthRule | str | float = "auto",
    false_alarms: float = FALSE_ALARMS,
    false_discoveries: float | None = None,
    tol: float = TOLERANCE,
    tol_noise: float = TOLERANCE_NOISE,
    max_rounds: int = MAX_ROUNDS,
    refit: bool = True,
    refit_width: bool = False,
    max_spikes: int | None = None,
    margin: tuple[float, float] = (0.0, 0.0),
    width_law: tuple[float, float] | None = None,
    sampling_rate: str | float = "auto",
    loss: str = "squared",
    exposure: float | None = None,
    stamp: str = "middle",
    origin: float = 0.0,
    method: str = "newton",
    particles: int | None = None,
    start: str | None = None,
    step_size: float | None = None,
    seed: int | None = None,
    iterations: int | None = None,
    save_particles: bool = False,
    threads: int = 1,
    on_channel: Callable[[int, ChannelRecovery], None] | None = None,
    on_round: OnRound | None = None,
) -> Recovery:
    """Recover the spikes of every channel, with a proof of how close to optimal they are.

    Parameters
    ----------
    signal : samples (N,) or channels of them (C, N), NaN where missing; or a `Signal`, which has an axis of its own.
    spacing, first : distance of two samples and position of the first one, axis units, of plain samples: by default 1 and 0.
    filter : such as ``bf.filters.gaussian(sd=0.02)`` or the text "gaussian:sd=0.02" (axis units); None for the one stored with
        the signal.
    normalisation : "peak", "area" or "energy": what a weight of 1 means.
    positive : weights must be at least 0; else spikes of both signs are found.
    baseline : what spikes stand on: "auto" (a constant unless the samples ask for more), "const", "poly:degree=2",
        "spline:knot=LENGTH", "exp", "percentile:window=LENGTH" or "none".
    noise : "white", "coloured" (an autoregressive model, by which samples and filter are whitened) or "auto": white unless the
        residual of a first fit is coloured; "counts" where every sample's variance is the mean of the counts around it.
    noise_sd : of a sample, in its units; None for the signal's own, else it is estimated.
    strength : lambda as a number (signal units times the filter's norm), "auto" (from the noise), "0.5auto" or "0.05max".
    false_alarms : spikes that noise alone may make a channel, on average.
    false_discoveries : in place of it, the share of false ones among the spikes found, on average.
    tol, tol_noise : the gap that is to be proven, relative to the objective, (J - D) / J, and in noise variances.
    max_rounds : of the default method, at most.
    refit : least squares on the spikes' support, pruned, with standard errors; else the certified optimum is the answer.
    refit_width : a width for every spike, fitted after the proof.
    max_spikes : of a channel, at most, kept by the refit.
    margin : how far (axis units) before and after the record spikes may sit.
    width_law : (a, b) for Gaussians with sd^2 = a + b position, instead of a filter.
    sampling_rate : "auto" to work on samples that were interpolated from a slower rate at that rate, "as-given" not to look, or
        that rate, per axis unit.
    loss : "squared", or "poisson" for counts.
    exposure : share of the spacing over which a sample averages; None for the filter's own.
    stamp, origin : the moment of the exposure that the axis denotes, "start", "middle" or "end"; what is added to the axis.
    method : "newton", or one of the paper's flows, "euclidean" and "conic".
    particles, start, step_size, seed, iterations, save_particles : of these flows alone: how many particles, "uniform" or
        "random" positions, the step (non-dimensional; None to adapt it), and whether all particles are kept.
    threads : that work on one channel; results are the same for any number.
    on_channel : called with the channel's number and its `ChannelRecovery` as each is done.
    on_round : called with the channel's number and a `TraceRow` at the start of each of its rounds.

    Positions and the signal that the result holds are on the axis of the middles of the exposures, counted from the origin.
    Raises `UsageError` for options that cannot be used. A channel that fails is reported with its status, not raised.
    """
    given = {name: value for name, value in locals().items() if name in Settings.__dataclass_fields__}
    settings = Settings(**{**given, "filter": filters.describe(filter) if isinstance(filter, str) else filter})
    recording = _as_signal(signal, spacing, first)
    table = tabulated(recording, settings)
    recording = recording.shifted(settings.time_shift(table))
    done: list[ChannelRecovery] = []
    for number, channel in enumerate(recording):
        on_row = None if on_round is None else partial(on_round, number)
        done.append(recover_channel(channel, number, table, settings, on_row))
        if on_channel is not None:
            on_channel(number, done[-1])
    return Recovery.of(done, recording, settings.described(table))


def _as_signal(signal: Signal | ArrayLike, spacing: float | None, first: float | None) -> Signal:
    if isinstance(signal, Signal):
        if spacing is not None or first is not None:
            raise UsageError("a signal has an axis of its own", received="spacing or first", mend="give them with plain samples")
        return signal
    values = np.atleast_1d(np.asarray(signal, dtype=np.float64))
    return Signal(values, Axis(first or 0.0, 1.0 if spacing is None else spacing, values.shape[-1]))


def solve(
    problem: Problem,
    method: str | Flow = "newton",
    *,
    tol: float = TOLERANCE,
    tol_noise: float = TOLERANCE_NOISE,
    max_rounds: int = MAX_ROUNDS,
    on_round: Callable[[TraceRow], None] | None = None,
) -> Solution:
    """Minimise a problem and prove the gap: see `flow.solve`. The solution's positions are in axis units."""
    solution = flow.solve(problem, method, tol=tol, tol_noise=tol_noise, max_rounds=max_rounds, on_round=on_round)
    paths = in_axis_units(solution.paths, problem.axis)
    return replace(solution, position=problem.axis.from_samples(solution.position), paths=paths)
