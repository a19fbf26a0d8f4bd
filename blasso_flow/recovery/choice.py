"""Which baseline and which noise a channel has: chosen by what its samples say, where the settings leave it open.

What a wrong filter leaves is coloured too: where a stretch of it would explain as much, noise stays white, as the verdict says.
A first fit on a constant and white noise stands unless its residual is coloured, or a slow curve beside its spikes would
explain much, or make spikes needless. Then baselines from coarse to fine and autoregressive noise compete by

    n log(mean squared innovation) + (2 K + B / 2 + p) log n

with K spikes, B coefficients and order p, after loose solves that are refitted and pruned. A coefficient costs half, since an
autoregressive noise imitates a drift, and weak spikes on it, with fewer numbers than a curve. Everything in samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from blasso_flow.answer.hints import Hints, hints
from blasso_flow.answer.refit import Refit, refit
from blasso_flow.answer.stretch_test import stretch_test
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.filters import Filter
from blasso_flow.filters.prewhitened import whitened_samples
from blasso_flow.flow import solve
from blasso_flow.noise.colour import WHITE, Colour, colour_of, lost_to_spikes
from blasso_flow.noise.differences import median_sd, present_values
from blasso_flow.noise.level import FREEDOM, NoiseEstimate
from blasso_flow.problem import baselines
from blasso_flow.problem.baselines import MOST_KNOTS, SHORTEST, Baseline
from blasso_flow.problem.problem import Problem
from blasso_flow.recovery.posing import FIRST_FIT_TOLERANCE, posed, posed_problem
from blasso_flow.recovery.settings import AUTO, Settings

CLEAR_GAIN = 10.0  # of the criterion, to leave a constant
COLOUR_ROUNDS = 8
SETTLED = 0.02  # change of a coefficient from which the colour is looked at again
WORSE = 2  # baselines in a row that are no better than the best end the search


@dataclass(frozen=True, eq=False)
class Trial:
    """A loose fit: its settings and noise, the problem, the refitted spikes, the residual (N,) of the samples as recorded, NaN
    where missing, and what it costs by the criterion."""

    settings: Settings
    noise: NoiseEstimate
    problem: Problem
    answer: Refit
    residual: FloatArray
    cost: float

    @cached_property
    def hints(self) -> Hints:
        """What richer models would explain."""
        return hints(self.problem, self.answer)


def better(channel: Signal, filter: Filter, settings: Settings, trial: Trial) -> Trial | None:
    """A trial with another baseline or with coloured noise that explains the channel better, or None.

    ``settings`` as asked, "auto" where something is open; ``trial`` is the first fit, on what "auto" stands for first.
    """
    seeks_colour, seeks_baseline = settings.seeks_colour(channel), settings.baseline.kind == "auto"
    colour = colour_behind(trial, filter)
    slow = seeks_baseline and (colour.whitener.size > 0 or trial.hints.curve)
    if not slow and not (seeks_colour and colour.whitener.size):
        return None
    best = _best_baseline(channel, filter, trial) if slow else trial
    if seeks_colour and (colour if best is trial else colour_behind(best, filter)).whitener.size:
        needed = CLEAR_GAIN + (stretch_test(trial.problem, trial.answer, np.inf).gain if best is trial else 0.0)
        for start in (trial,) if best is trial else (best, trial):
            rival = _coloured(channel, filter, start)
            if rival is not None and rival.cost < best.cost - needed:
                best = rival
    return None if best is trial else best


def first_trial(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate) -> Trial:
    """A loose fit of the channel with these settings and this noise, refitted and pruned."""
    problem, strength = posed_problem(channel, filter, replace(settings, strength=AUTO), noise)
    solution = solve(problem, tol=FIRST_FIT_TOLERANCE, tol_noise=np.inf, max_rounds=settings.max_rounds)
    answer = refit(problem, solution.position, solution.weight, solution.baseline, level=strength.level)
    return judged(channel, filter, settings, noise, problem, answer)


def judged(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate, problem: Problem, answer: Refit) -> Trial:
    """A fit with its residual and its cost."""
    plain = problem
    if noise.whitener.size:
        plain = posed(channel, filter, settings, replace(noise, whitener=WHITE.whitener))
    residual = -plain.unpadded(plain.residual(answer.position, answer.weight, answer.baseline))
    residual = np.where(plain.sample_weights > 0, residual, np.nan)
    innovation = present_values(whitened_samples(residual, noise.whitener, filter.period > 0))
    count = int((plain.sample_weights > 0).sum())
    numbers = 2 * answer.position.size + answer.baseline.size / 2 + noise.whitener.size
    square = float(innovation @ innovation) / max(innovation.size, 1)
    cost = criterion(square, count, numbers) if 2 * numbers < count else np.inf
    return Trial(settings, noise, problem, answer, residual, cost)


def criterion(mean_square: float, count: int, numbers: float) -> float:
    """Schwarz's: twice the negative logarithm of the likelihood of so many samples, and log n for each number fitted."""
    return float(count * np.log(max(mean_square, np.finfo(np.float64).tiny)) + numbers * np.log(max(count, 2)))


def colour_behind(trial: Trial, filter: Filter) -> Colour:
    """The colour of a trial's residual, with what its spikes took of it."""
    lost = lost_to_spikes(filter, trial.answer.position.size, trial.answer.baseline.size, trial.residual.size)
    return colour_of(trial.residual, lost)


def noise_of(trial: Trial, filter: Filter, colour: Colour) -> NoiseEstimate:
    """The noise of a trial's residual, if it has this colour: the sd is that of the innovations."""
    innovation = present_values(whitened_samples(trial.residual, colour.whitener, filter.period > 0))
    free = innovation.size - 2 * trial.answer.position.size - trial.answer.baseline.size - colour.whitener.size
    free = max(free, innovation.size // 2)
    sd = median_sd(innovation) * float(np.sqrt(innovation.size / free))
    order = colour.whitener.size
    rule = (
        f"median absolute residual, whitened by an autoregressive model of order {order}" if order else "median absolute residual"
    )
    note = (
        f"the noise is coloured (order {order}, a sd of {sd * colour.sd_ratio:.4g} a sample, {sd:.4g} of its innovations): "
        "samples and filter were whitened together"
    )
    return NoiseEstimate(sd, rule, (note,) if order else (), freedom=FREEDOM[0] * free, whitener=colour.whitener)


def _coloured(channel: Signal, filter: Filter, start: Trial) -> Trial | None:
    """The fit with coloured noise that explains itself: fit and colour in turn, from few spikes to more."""
    # differences see little of low-pass noise: begin with what the samples scatter in all
    loud = median_sd(present_values(channel.values))
    trial = start
    if loud > start.noise.sd:
        trial = first_trial(channel, filter, start.settings, NoiseEstimate(loud, "scatter of the samples"))
    best: Trial | None = None
    for _ in range(COLOUR_ROUNDS):
        colour = colour_behind(trial, filter)
        if not colour.whitener.size:
            break
        before = trial.noise.whitener
        trial = first_trial(channel, filter, trial.settings, noise_of(trial, filter, colour))
        if best is None or trial.cost < best.cost or before.size == 0:
            best = trial
        if before.size == colour.whitener.size and float(np.abs(before - colour.whitener).max()) < SETTLED:
            break
    return best


def _best_baseline(channel: Signal, filter: Filter, start: Trial) -> Trial:
    """The cheapest of the baselines from coarse to fine, until finer ones stop paying."""
    best, worse = start, 0
    for baseline in ladder(channel, filter):
        trial = first_trial(channel, filter, replace(start.settings, baseline=baseline), start.noise)
        if trial.cost < best.cost - CLEAR_GAIN * (best is start):
            best, worse = trial, 0
        else:
            worse += 1
            if (worse > WORSE and best is not start) or worse > 2 * WORSE:
                break
    return best


def ladder(channel: Signal, filter: Filter) -> list[Baseline]:
    """Baselines from coarse to fine: polynomials, then splines with knots down to 4 lengths of the filter."""
    there = np.flatnonzero(~np.isnan(channel.values))
    extent = float(there[-1] - there[0]) * channel.axis.spacing if there.size else 0.0
    finest = min(int(extent / (SHORTEST * filter.length)), MOST_KNOTS)
    found = ["poly:degree=1", "poly:degree=2"] if extent > SHORTEST * filter.length else []
    intervals = [2**power for power in range(1, 9) if 2**power < finest] + ([finest] if finest >= 2 else [])
    found += [f"spline:knot={extent / count:.12g}" for count in intervals]
    return [baselines.parse(text) for text in found]
