"""The whole road for one channel: noise, strength, certified solve, refit, answer. Used by the API, the CLI and batches.

Positions come in and go out in axis units; everything between is in samples. Reads no files and draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from blasso_flow import baselines, filters
from blasso_flow.certificate import Certifier
from blasso_flow.deviance import choose_count_strength, mean_background, refit_counts
from blasso_flow.errors import BlassoFlowError, DataError, UsageError
from blasso_flow.filters import Filter
from blasso_flow.flow import MAX_ROUNDS, TOLERANCE, TOLERANCE_NOISE, Particles, Solution, solve
from blasso_flow.flow.poisson import check, solve_counts
from blasso_flow.inference import Refit, refit
from blasso_flow.noise import (
    NARROW,
    NoiseEstimate,
    StrengthChoice,
    StrengthRule,
    choose_strength,
    estimate_from_residual,
    estimate_noise,
)
from blasso_flow.problem import Problem, filter_length
from blasso_flow.signals import FilterDescription, FloatArray, Signal
from blasso_flow.spikes import ChannelReport, Fit, Optimum, Recovery, Spikes, Status, TraceRow

RATES = 8  # first guesses of an exponential baseline's rate
RATE_TOLERANCE = 1e-5  # of the solves that fit it
SLOWEST_DECAY = 0.1  # of a time constant over the record
LOSSES = ("squared", "poisson")
MISFIT = 2.0  # mean square residual in noise variances
FIRST_FIT_TOLERANCE = 1e-3  # of the fit that only measures the noise of a narrow filter's signal

OnRound = Callable[[int, TraceRow], None]


@dataclass(frozen=True)
class Settings:
    """How to recover. Lengths are in axis units; see the command line's help for each.

    ``filter`` None means the signal's own; ``noise_sd`` None means the signal's own, else estimated from the data.
    ``exposure`` is the share of the spacing that a sample averages over, None for the filter's own; ``stamp`` ("start",
    "middle", "end") the moment of the exposure that the axis denotes; ``origin`` is added to the axis.
    """

    filter: FilterDescription | None = None
    normalisation: str = "peak"
    positive: bool = True
    baseline: str = "const"
    margin: tuple[float, float] = (0.0, 0.0)
    noise_sd: float | None = None
    strength: str = "auto"
    false_alarms: float = 0.05
    tol: float = TOLERANCE
    tol_noise: float = TOLERANCE_NOISE
    max_rounds: int = MAX_ROUNDS
    refit: bool = True
    exposure: float | None = None
    stamp: str = "middle"
    origin: float = 0.0
    loss: str = "squared"
    max_spikes: int | None = None

    def __post_init__(self) -> None:
        StrengthRule.parse(self.strength)
        baselines.parse(self.baseline)
        for name, value in (("tol", self.tol), ("tol_noise", self.tol_noise), ("false_alarms", self.false_alarms)):
            if not (np.isfinite(value) and value > 0):
                raise UsageError(f"{name} is out of range", received=value, allowed="a finite number above 0")
        if self.noise_sd is not None and not (np.isfinite(self.noise_sd) and self.noise_sd > 0):
            raise UsageError("noise_sd is out of range", received=self.noise_sd, allowed="a finite number above 0")
        self._check_counts()
        if self.max_rounds < 1:
            raise UsageError("max_rounds is out of range", received=self.max_rounds, allowed="a whole number from 1")

    def time_shift(self, filter: Filter) -> float:
        """What is added to the axis (axis units): from the stamp to the middle of the exposure, and the origin."""
        return filters.time_shift(self.stamp, self.origin, filters.exposure_of(filter.description), filter.spacing)

    def _check_counts(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError("unknown loss", received=self.loss, allowed=", ".join(LOSSES))
        if self.loss == "poisson" and not self.positive:
            raise UsageError("the Poisson loss needs spikes of one sign", received="--signed", mend="leave out --signed")
        if self.loss == "poisson" and self.baseline != "const":
            raise UsageError(
                "the Poisson loss needs a constant background",
                received=f"--baseline {self.baseline}",
                mend="use --baseline const, or --loss squared",
            )
        if self.max_spikes is not None and self.max_spikes < 1:
            raise UsageError("max_spikes is out of range", received=self.max_spikes, allowed="a whole number from 1")
        if self.max_spikes is not None and not self.refit:
            raise UsageError("max_spikes is kept by the refit", received="--no-refit", mend="leave out --no-refit")

    def described(self, filter: Filter) -> dict[str, object]:
        """JSON-ready settings, with the filter as it was tabulated."""
        words = asdict(self)
        words.pop("positive")
        return {
            **words,
            "penalty": "positive" if self.positive else "signed",
            "margin": list(self.margin),
            "time_shift": self.time_shift(filter),
            "filter": {
                "kind": filter.description.kind,
                "parameters": dict(filter.description.parameters),
                "normalisation": filter.normalisation,
                "table_error": filter.error,
            },
        }


@dataclass(frozen=True)
class ChannelRecovery:
    """One channel's answer, certified measure, report and curves (``fit``, shapes (N,))."""

    spikes: Spikes
    optimum: Optimum
    report: ChannelReport
    fit: Fit


def recover(
    signal: Signal,
    *,
    filter: FilterDescription | str | None = None,
    on_channel: Callable[[int, ChannelRecovery], None] | None = None,
    on_round: OnRound | None = None,
    **settings: object,
) -> Recovery:
    """Recover the spikes of every channel.

    Parameters
    ----------
    signal : values (N,) or (C, N).
    filter : text such as "gaussian:sd=0.02", a description, or None for the filter stored with the signal.
    on_channel : called with the channel's number and `ChannelRecovery` as each is done.
    on_round : called with the channel's number and a `TraceRow` at the start of each of its rounds.
    settings : any other field of `Settings`.

    Positions and the signal that the result holds are on the axis of the middles of the exposures, counted from the origin.
    Raises `UsageError` for settings that cannot be used. A channel that fails is reported with its status, not raised.
    """
    description = filters.describe(filter) if isinstance(filter, str) else filter
    chosen = Settings(filter=description, **settings)  # type: ignore[arg-type]
    table = tabulated(signal, chosen)
    signal = signal.shifted(chosen.time_shift(table))
    done: list[ChannelRecovery] = []
    for number, channel in enumerate(signal):
        done.append(recover_channel(channel, number, table, chosen, on_round))
        if on_channel is not None:
            on_channel(number, done[-1])
    return assemble(done, signal, chosen.described(table))


def tabulated(signal: Signal, settings: Settings) -> Filter:
    """The filter of the settings, or the signal's own, tabulated for the signal's axis."""
    description = settings.filter or signal.filter
    if description is None:
        raise UsageError(
            f"{signal.name}: no filter is stored with the signal",
            mend="give one with --filter, for example --filter gaussian:sd=0.02 (axis units); see `blasso-flow filters`",
        )
    description = filters.exposed(filters.completed(description, signal.filter), settings.exposure)
    return filters.build(description, signal.axis, settings.normalisation)


def recover_channel(
    channel: Signal, number: int, filter: Filter, settings: Settings, on_round: OnRound | None = None
) -> ChannelRecovery:
    """Recover one channel (values of shape (N,)). Data errors and numerical failures end in the report's status."""
    begun = perf_counter()
    if np.isnan(channel.values).all():
        return _nothing(channel, Status.ALL_MISSING, "every sample is missing", begun)
    try:
        return _recovered(channel, number, filter, settings, begun, on_round)
    except UsageError:
        raise
    except (BlassoFlowError, ArithmeticError, np.linalg.LinAlgError) as error:
        return _nothing(channel, Status.FAILED, str(error), begun)


def assemble(channels: Sequence[ChannelRecovery], signal: Signal, settings: Mapping[str, object]) -> Recovery:
    """All channels' results as one, in the order given, which is the order of their numbers."""

    def joined(parts: Sequence[Spikes] | Sequence[Optimum], name: str) -> FloatArray:
        return np.concatenate([getattr(part, name) for part in parts])

    spikes, optima = [part.spikes for part in channels], [part.optimum for part in channels]
    several = signal.values.ndim == 2
    curves = {
        name: np.stack([getattr(part.fit, name) for part in channels]) if several else getattr(channels[0].fit, name)
        for name in ("model", "residual", "baseline")
    }
    return Recovery(
        spikes=Spikes(**{name: joined(spikes, name) for name in Spikes.__dataclass_fields__}),  # type: ignore[arg-type]
        optimum=Optimum(**{name: joined(optima, name) for name in Optimum.__dataclass_fields__}),  # type: ignore[arg-type]
        channels=[part.report for part in channels],
        settings=settings,
        fit=Fit(**curves),
        signal=signal,
    )


def largest_strength(problem: Problem) -> float:
    """The smallest strength at which the optimum is the zero measure: sup <W (y - baseline), phi_x> (|.| when signed)."""
    probe = replace(problem, strength=1.0)
    none = np.empty(0)
    empty = Particles.evaluate(probe, none, none, np.zeros(problem.baseline.shape[1]))
    bound, _, _ = Certifier(probe).supremum(probe.root * empty.residual)
    return bound


def _recovered(
    channel: Signal, number: int, filter: Filter, settings: Settings, begun: float, on_round: OnRound | None
) -> ChannelRecovery:
    removed = baselines.removed(settings.baseline, channel.values, channel.axis)
    asked, recorded = settings, channel
    if removed.any():  # everything from here on works on what is left, on a constant
        baselines.check_length(settings.baseline, filter_length(filter))
        channel, settings = replace(channel, values=channel.values - removed), replace(settings, baseline="const")
    if settings.loss == "poisson":
        noise, problem, strength, solution, answer = _solve_counts(channel, number, filter, settings, on_round)
    else:
        settings, noise, problem, strength, solution, answer = _solve_squared(channel, number, filter, settings, on_round)
    fit = _fit(problem, channel, answer)
    notes = (*noise.notes, *_misfit(problem, channel, fit), *_baseline_notes(asked, settings))
    if removed.any():
        fit = Fit(model=fit.model + removed, residual=fit.residual, baseline=fit.baseline + removed)
    return ChannelRecovery(
        spikes=_spikes(answer, channel, number),
        optimum=Optimum(
            channel=np.full(solution.position.size, number, dtype=np.int64),
            position=recorded.axis.from_samples(solution.position),
            weight=solution.weight,
            eta=solution.eta,
        ),
        report=ChannelReport(
            status=solution.status,
            message=solution.message,
            strength=problem.strength,
            strength_rule=strength.rule,
            noise_sd=problem.noise_sd,
            noise_rule=noise.rule,
            objective=solution.objective,
            dual_value=solution.dual_value,
            gap=solution.gap,
            gap_noise=solution.gap_noise,
            violation=solution.violation,
            rounds=solution.rounds,
            baseline=solution.baseline,
            refit_baseline=answer.baseline,
            trace=solution.trace,
            seconds=perf_counter() - begun,
            notes=notes,
            baseline_rule=settings.baseline if baselines.parse(asked.baseline).fits_rate else "",
        ),
        fit=fit,
    )


def _solve_squared(
    channel: Signal, number: int, filter: Filter, settings: Settings, on_round: OnRound | None
) -> tuple[Settings, NoiseEstimate, Problem, StrengthChoice, Solution, Refit]:
    """Noise, strength, certified least squares and refit; the settings come back with a fitted baseline's rate."""
    noise = _noise(channel, filter, settings)
    estimated = settings.noise_sd is None and channel.noise_sd is None
    if estimated and filter.width < NARROW:
        noise = _noise_behind_narrow_signal(channel, filter, settings, noise)
    if baselines.parse(settings.baseline).fits_rate:
        settings = replace(settings, baseline=_with_fitted_rate(channel, filter, settings, noise))
    problem, strength = _problem(channel, filter, settings, noise)
    solution = solve(
        problem,
        tol=settings.tol,
        tol_noise=settings.tol_noise,
        max_rounds=settings.max_rounds,
        on_round=None if on_round is None else partial(on_round, number),
    )
    answer = (
        refit(problem, solution.position, solution.weight, solution.baseline, level=strength.level, most=settings.max_spikes)
        if settings.refit
        else _unchanged(solution)
    )
    return settings, noise, problem, strength, solution, answer


def _solve_counts(
    channel: Signal, number: int, filter: Filter, settings: Settings, on_round: OnRound | None
) -> tuple[NoiseEstimate, Problem, StrengthChoice, Solution, Refit]:
    """Background, Bernstein strength, certified Poisson optimum, and the largest likelihood on its support."""
    draft = Problem.from_signal(channel, filter, strength=1.0, noise_sd=1.0, baseline=settings.baseline, margin=settings.margin)
    check(draft)
    background = mean_background(draft)
    strength = choose_count_strength(StrengthRule.parse(settings.strength), draft, background, settings.false_alarms)
    noise = NoiseEstimate(float(np.sqrt(background)), "Poisson: square root of the mean count")
    problem = replace(draft, strength=strength.strength, noise_sd=noise.sd)
    solution = solve_counts(
        problem,
        tol=settings.tol,
        tol_noise=settings.tol_noise,
        max_rounds=settings.max_rounds,
        on_round=None if on_round is None else partial(on_round, number),
    )
    answer = _unchanged(solution)
    if settings.refit:
        support = solution.position, solution.weight, solution.baseline
        answer = refit_counts(problem, *support, level=strength.level, most=settings.max_spikes)
    return noise, problem, strength, solution, answer


def _noise(channel: Signal, filter: Filter, settings: Settings) -> NoiseEstimate:
    if settings.noise_sd is not None:
        return NoiseEstimate(settings.noise_sd, "given")
    if channel.noise_sd is None:
        return estimate_noise(channel.values, filter)
    present = np.broadcast_to(np.asarray(channel.noise_sd), channel.values.shape)[np.isfinite(channel.values)]
    return NoiseEstimate(float(np.median(present)), "stored with the signal")


def _noise_behind_narrow_signal(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate) -> NoiseEstimate:
    """A narrow filter's signal survives fourth differences: measure the noise again in the residual of a first fit."""
    problem, _ = _problem(channel, filter, replace(settings, strength="auto"), noise)
    solution = solve(problem, tol=FIRST_FIT_TOLERANCE, tol_noise=np.inf, max_rounds=settings.max_rounds)
    left = -problem.unpadded(problem.residual(solution.position, solution.weight, solution.baseline))
    return estimate_from_residual(
        np.where(np.isfinite(channel.values), left, np.nan), noise, parameters=2 * solution.position.size
    )


def _with_fitted_rate(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate) -> str:
    """``exp:rate=R`` with the rate of the least penalised objective, by loose solves over the logarithm of the rate.

    A strength in units of max would change with the rate, so the one of a slow decay is used throughout.
    """
    from scipy.optimize import minimize_scalar

    length = (channel.axis.size - 1) * channel.axis.spacing
    fastest = max(1 / (baselines.SHORTEST * filter_length(filter)), 1 / length)
    range_ = np.log([SLOWEST_DECAY / length, fastest])

    def with_rate(log_rate: float) -> str:
        return f"exp:rate={float(np.exp(log_rate))!r}"

    strength = _problem(channel, filter, replace(settings, baseline=with_rate(range_[0])), noise)[1].strength

    def least(log_rate: float) -> float:
        trial = _problem(channel, filter, replace(settings, baseline=with_rate(log_rate), strength="1"), noise)[0]
        trial = replace(trial, strength=strength)
        return solve(trial, tol=RATE_TOLERANCE, tol_noise=np.inf, max_rounds=settings.max_rounds).objective

    grid = np.linspace(range_[0], range_[1], RATES)
    best = int(np.argmin([least(rate) for rate in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, RATES - 1)])
    found = minimize_scalar(least, bounds=bounds, method="bounded", options={"xatol": 1e-6, "maxiter": 30})
    return with_rate(float(found.x))


def _baseline_notes(asked: Settings, used: Settings) -> tuple[str, ...]:
    baseline = baselines.parse(asked.baseline)
    if baseline.fits_rate:
        rate = baselines.parse(used.baseline).parameters["rate"]
        return (f"the baseline decays at the fitted rate {rate:.6g} per axis unit; the proof holds at this rate",)
    if baseline.kind == "percentile":
        return (f"a running percentile ({asked.baseline}) was taken off the signal beforehand; the proof is about what is left",)
    return ()


def _problem(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate) -> tuple[Problem, StrengthChoice]:
    stored = isinstance(channel.noise_sd, np.ndarray) and settings.noise_sd is None
    draft = Problem.from_signal(
        channel,
        filter,
        strength=1.0,
        noise_sd=None if stored else noise.sd,
        positive=settings.positive,
        baseline=settings.baseline,
        margin=settings.margin,
    )
    strength = choose_strength(
        StrengthRule.parse(settings.strength),
        filter=filter,
        noise_sd=noise.sd,
        weights=draft.sample_weights,
        domain=draft.domain,
        positive=settings.positive,
        false_alarms=settings.false_alarms,
        strength_max=lambda: largest_strength(draft),
    )
    if not (np.isfinite(strength.strength) and strength.strength > 0):
        raise DataError("no usable strength", received=strength.strength, mend="give one with --strength")
    return replace(draft, strength=strength.strength), strength


def _unchanged(solution: Solution) -> Refit:
    """The optimum as the answer: no errors are known, every spike stands alone."""
    unknown = np.full(solution.position.size, np.nan)
    return Refit(
        position=solution.position,
        weight=solution.weight,
        baseline=solution.baseline,
        position_errors=unknown,
        weight_errors=unknown,
        group=np.arange(solution.position.size, dtype=np.int64),
    )


def _spikes(answer: Refit, channel: Signal, number: int) -> Spikes:
    return Spikes(
        channel=np.full(answer.position.size, number, dtype=np.int64),
        position=channel.axis.from_samples(answer.position),
        position_errors=answer.position_errors * channel.axis.spacing,
        weight=answer.weight,
        weight_errors=answer.weight_errors,
        group=answer.group,
    )


def _fit(problem: Problem, channel: Signal, answer: Refit) -> Fit:
    baseline = problem.baseline @ answer.baseline
    model = problem.unpadded(problem.model(answer.position, answer.weight)) + baseline
    return Fit(model=model, residual=channel.values - model, baseline=baseline)


def _misfit(problem: Problem, channel: Signal, fit: Fit) -> tuple[str, ...]:
    """A note where the answer misses the samples by far more than the noise: its error bars are then too small."""
    present = problem.sample_weights > 0
    squares = problem.sample_weights[present] * (fit.residual[present] / problem.noise_sd) ** 2
    if not squares.size or not squares.mean() > MISFIT:
        return ()
    return (
        "the fit misses the samples by far more than the noise: the filter, the baseline or the noise sd does not describe "
        "them, and the error bars are too small",
    )


def _nothing(channel: Signal, status: Status, message: str, begun: float) -> ChannelRecovery:
    nan = float("nan")
    curve = np.full(channel.values.shape, np.nan)
    report = ChannelReport(
        status=status,
        message=message,
        strength=nan,
        strength_rule="",
        noise_sd=nan,
        noise_rule="",
        objective=nan,
        dual_value=nan,
        gap=nan,
        gap_noise=nan,
        violation=nan,
        rounds=0,
        baseline=np.empty(0),
        refit_baseline=np.empty(0),
        seconds=perf_counter() - begun,
    )
    return ChannelRecovery(Spikes.empty(), Optimum.empty(), report, Fit(curve, curve, curve))
