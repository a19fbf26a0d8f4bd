"""From one channel to its certified optimum and its refit, by least squares or as counts. Everything in samples.

A route brings noise, strength, the certified solve and the refit of one loss; `recovery` makes the answer and its report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from blasso_flow.answer.hints import Hints, hints
from blasso_flow.answer.refit import Refit, refit
from blasso_flow.data.reports import TraceRow
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.filters import Filter
from blasso_flow.flow import Solution, solve
from blasso_flow.noise.discoveries import Discoveries
from blasso_flow.noise.level import NoiseEstimate, estimate_from_residual
from blasso_flow.noise.strength import StrengthChoice, StrengthRule
from blasso_flow.problem import baselines
from blasso_flow.problem.baselines import Baseline
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem
from blasso_flow.recovery.choice import better, first_trial, judged
from blasso_flow.recovery.posing import FIRST_FIT_TOLERANCE, channel_noise, posed, posed_problem
from blasso_flow.recovery.settings import AUTO, Settings

RATES = 8  # first guesses of an exponential baseline's rate
RATE_TOLERANCE = 1e-5  # of the solves that fit it
SLOWEST_DECAY = 0.1  # of a time constant over the record
LOOSE = 2.0  # times the false spikes that are to stay: false alarms of a solve whose candidates are to be judged
FIRST_GUESS = 10  # spikes
ENOUGH = 1.25  # times its false alarms, a solve need not be repeated for
MOST_FALSE = 0.25  # of the maxima of noise, whatever their height: more candidates are fits of noise to noise

OnRound = Callable[[int, TraceRow], None]  # of the channel with this number
OnRow = Callable[[TraceRow], None]


@dataclass(frozen=True)
class ChannelSolution:
    """What a route found: the settings it used (a fitted baseline's rate filled in), and each step's outcome.

    There is no ``solution`` where a stored optimum was pruned again.
    """

    settings: Settings
    noise: NoiseEstimate
    problem: Problem | PartedProblem
    strength: StrengthChoice
    solution: Solution | None
    answer: Refit
    hints: Hints | None = None


def solve_squared(channel: Signal, filter: Filter, settings: Settings, on_round: OnRow | None) -> ChannelSolution:
    """Noise, strength, certified least squares and refit; the settings come back with the baseline that was chosen or fitted.

    Where the settings leave noise or baseline open, a first fit on what they most often are says whether to look further.
    """
    asked, settings = settings, settings.as_first_tried()
    noise = channel_noise(channel, filter, settings)
    if noise.hides_from_differences(filter):
        rated = settings
        if settings.baseline.fits_rate:
            rated = replace(settings, baseline=with_fitted_rate(channel, filter, settings, noise))
        noise = noise_behind_signal(channel, filter, rated, noise)
    if settings.baseline.fits_rate:
        settings = replace(settings, baseline=with_fitted_rate(channel, filter, settings, noise))
    if not asked.leaves_open(channel):
        return _certified(channel, filter, asked, settings, noise, on_round)
    certified = None
    if noise.uneven:  # most often the noise is coloured: a loose fit tells
        trial = first_trial(channel, filter, settings, noise)
    else:
        certified = _certified(channel, filter, asked, settings, noise, on_round)
        assert isinstance(certified.problem, Problem)
        trial = judged(channel, filter, settings, noise, certified.problem, certified.answer)
    chosen = better(channel, filter, asked, trial)
    if chosen is not None:
        certified = _certified(channel, filter, asked, chosen.settings, chosen.noise, on_round)
    elif certified is None:
        certified = _certified(channel, filter, asked, settings, noise, on_round)
    else:
        certified = replace(certified, hints=trial.hints)
    if asked.baseline.kind != "auto":
        return certified
    assert isinstance(certified.problem, Problem)
    found = certified.hints or hints(certified.problem, certified.answer)
    return replace(certified, hints=replace(found, curve=False))  # curves were tried: what was chosen stands against them


def _certified(
    channel: Signal, filter: Filter, asked: Settings, settings: Settings, noise: NoiseEstimate, on_round: OnRow | None
) -> ChannelSolution:
    """The certified optimum with this noise and baseline, and its refit."""
    estimated = settings.noise_sd is None and channel.noise_sd is None

    def solved(loose: Settings) -> ChannelSolution:
        problem, strength = posed_problem(channel, filter, loose, noise)
        solution = solve(problem, settings.flow() or settings.method, **settings.stop, on_round=on_round)
        answer = unchanged(solution.position, solution.weight, solution.baseline)
        if settings.refit:
            fitted = asked.baseline.fits_rate
            answer = refit_squared(problem, answer, settings, strength, noise_known=not estimated, rate_fitted=fitted)
        return ChannelSolution(settings, noise, problem, strength, solution, answer)

    return loosened(settings, solved, lambda: posed_problem(channel, filter, settings, noise)[1])


def refit_squared(
    problem: Problem, optimum: Refit, settings: Settings, strength: StrengthChoice, *, noise_known: bool, rate_fitted: bool
) -> Refit:
    """The answer by least squares on the optimum's support, pruned as the settings say, with widths where they ask for them.

    ``rate_fitted`` is whether the rate of the settings' exponential baseline is one that was fitted.
    """
    most = None if settings.refit_width else settings.max_spikes  # merging comes before counting
    support = optimum.position, optimum.weight, optimum.baseline
    share = discoveries(settings, strength)
    answer = refit(problem, *support, level=strength.level, most=most, share=share)
    if settings.refit_width:
        from blasso_flow.answer.widths import refit_widths

        rate = settings.baseline.parameters["rate"] if rate_fitted else None
        answer = refit_widths(problem, answer, level=answer.level, noise_known=noise_known, rate=rate, most=settings.max_spikes)
    return answer


def discoveries(settings: Settings, strength: StrengthChoice) -> Discoveries | None:
    """The share of false spikes that pruning is to keep to, None where their number decides."""
    return None if settings.false_discoveries is None else Discoveries(settings.false_discoveries, strength.expected)


def loosened(
    settings: Settings, solved: Callable[[Settings], ChannelSolution], strict: Callable[[], StrengthChoice]
) -> ChannelSolution:
    """One solve, or where a share of false spikes is asked for, solves with false alarms enough for all its candidates.

    Their number follows from that of the spikes found, at first from a guess. ``solved`` takes settings with other false alarms,
    ``strict`` gives the strength for the settings as they are.
    """
    share = settings.false_discoveries
    if share is None:
        return solved(settings)
    most = MOST_FALSE * strict().expected(0.0)
    false = min(LOOSE * share * FIRST_GUESS, most) if settings.strength.kind == "auto" else most
    while True:
        found = solved(replace(settings, false_alarms=false, false_discoveries=None))
        wanted = min(LOOSE * share * found.answer.position.size, most)
        if wanted <= ENOUGH * false:
            return found
        false = wanted


def solve_as_counts(channel: Signal, filter: Filter, settings: Settings, on_round: OnRow | None) -> ChannelSolution:
    """Background, Bernstein strength, certified Poisson optimum, and the largest likelihood on its support.

    The settings come back with the baseline in columns that are nowhere negative.
    """
    from blasso_flow.answer.counts import background, choose_count_strength

    settings = replace(settings, baseline=baselines.for_counts(settings.baseline))
    draft = posed(channel, filter, settings, NoiseEstimate(1.0, "counts"))
    expected = background(draft)
    noise = NoiseEstimate(
        float(np.sqrt(expected.mean())),
        "Poisson: square root of the mean count",
        ("objective, gap and proof are those of the Poisson likelihood",),
    )

    def chosen(loose: Settings) -> StrengthChoice:
        return choose_count_strength(settings.strength, draft, expected, loose.false_alarms)

    def solved(loose: Settings) -> ChannelSolution:
        strength = chosen(loose)
        problem = replace(draft.with_strength(strength.strength), noise_sd=noise.sd)
        solution = solve(problem, **settings.stop, on_round=on_round)
        answer = unchanged(solution.position, solution.weight, solution.baseline)
        if settings.refit:
            answer = refit_as_counts(problem, answer, settings, strength)
        return ChannelSolution(settings, noise, problem, strength, solution, answer)

    return loosened(settings, solved, lambda: chosen(settings))


def refit_as_counts(problem: Problem, optimum: Refit, settings: Settings, strength: StrengthChoice) -> Refit:
    """The answer of largest likelihood on the optimum's support, pruned as the settings say."""
    from blasso_flow.answer.counts import refit_counts

    support = optimum.position, optimum.weight, optimum.baseline
    share = discoveries(settings, strength)
    return refit_counts(problem, *support, level=strength.level, most=settings.max_spikes, share=share)


def noise_behind_signal(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate) -> NoiseEstimate:
    """Differences hold a narrow filter's signal, and no low-pass noise: measure it again in the residual of a first fit.

    Where that is louder, the fit had followed some of the noise: its residual is measured in a second fit.
    """
    first = noise
    for _ in range(2):
        problem, _ = posed_problem(channel, filter, replace(settings, strength=AUTO), noise)
        solution = solve(problem, tol=FIRST_FIT_TOLERANCE, tol_noise=np.inf, max_rounds=settings.max_rounds)
        left = -problem.unpadded(problem.residual(solution.position, solution.weight, solution.baseline))
        left = np.where(np.isfinite(channel.values), left, np.nan)
        noise = estimate_from_residual(left, first, parameters=2 * solution.position.size)
        if noise.sd <= first.sd:
            break
    return noise


def with_fitted_rate(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate) -> Baseline:
    """``exp:rate=R`` with the rate of the least penalised objective, by loose solves over the logarithm of the rate.

    A strength in units of max would change with the rate, so the one of a slow decay is used throughout.
    """
    from scipy.optimize import minimize_scalar

    length = (channel.axis.size - 1) * channel.axis.spacing
    fastest = max(1 / (baselines.SHORTEST * filter.length), 1 / length)
    range_ = np.log([SLOWEST_DECAY / length, fastest])

    def with_rate(log_rate: float) -> Baseline:
        return baselines.parse(f"exp:rate={float(np.exp(log_rate))!r}")

    strength = posed_problem(channel, filter, replace(settings, baseline=with_rate(range_[0])), noise)[1].strength

    def least(log_rate: float) -> float:
        rated = replace(settings, baseline=with_rate(log_rate), strength=StrengthRule("absolute", 1.0))
        trial = posed_problem(channel, filter, rated, noise)[0].with_strength(strength)
        return solve(trial, tol=RATE_TOLERANCE, tol_noise=np.inf, max_rounds=settings.max_rounds).objective

    grid = np.linspace(range_[0], range_[1], RATES)
    best = int(np.argmin([least(rate) for rate in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, RATES - 1)])
    found = minimize_scalar(least, bounds=bounds, method="bounded", options={"xatol": 1e-6, "maxiter": 30})
    return with_rate(float(found.x))


def unchanged(position: FloatArray, weight: FloatArray, baseline: FloatArray) -> Refit:
    """An optimum (K,), (K,), (B,) as the answer: no errors and no significances are known, every spike stands alone."""
    count = position.size
    unknown, alone = np.full(count, np.nan), np.arange(count, dtype=np.int64)
    return Refit(position, weight, baseline, unknown, unknown, alone, unknown, np.empty((3, 0)), np.nan)
