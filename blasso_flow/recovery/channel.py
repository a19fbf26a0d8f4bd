"""The whole road for one channel: noise, strength, certified solve, refit, answer. Used by the API, the CLI and batches.

Positions come in and go out in axis units; everything between is in samples. Reads no files and draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from blasso_flow import filters, threads
from blasso_flow.answer.peaks import NARROWEST, STRETCHES
from blasso_flow.answer.refit import Refit
from blasso_flow.answer.widths import WidthRefit
from blasso_flow.data.reports import ChannelReport, Paths, Section, Status
from blasso_flow.data.results import ChannelRecovery, Fit
from blasso_flow.data.signals import Axis, FilterDescription, FloatArray, Signal
from blasso_flow.data.spikes import Candidates, Optimum, Spikes
from blasso_flow.errors import BlassoFlowError, UsageError
from blasso_flow.filters import Filter
from blasso_flow.filters.stretched import check_stretch
from blasso_flow.problem import baselines
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import combined, dot
from blasso_flow.problem.width_law import WidthLaw
from blasso_flow.recovery.routes import OnRow, solve_as_counts, solve_squared
from blasso_flow.recovery.settings import CONSTANT, Settings

PROVEN = ("status", "message", "objective", "dual_value", "gap", "gap_noise", "violation", "rounds", "baseline", "trace")
MISSES, WIDTHS = "the fit misses the samples", "widths were fitted"
RATE, LIMIT = "the baseline of the refit with widths", "a width ended at the limit"
OF_THE_ANSWER = (MISSES, WIDTHS, RATE, LIMIT)  # how its notes begin
MISFIT = 2.0  # mean square residual in noise variances


def tabulated(signal: Signal, settings: Settings) -> Filter:
    """The filter of the settings, or the signal's own, tabulated for the signal's axis."""
    description = settings.filter or signal.filter
    if settings.width_law is not None:
        middle = WidthLaw(*settings.width_law).middle(signal.axis.first, signal.axis.last)
        description = FilterDescription("gaussian", {"sd": middle})
    if description is None:
        raise UsageError(
            f"{signal.name}: no filter is stored with the signal",
            mend="give one with `filter=`, for example `filter=gaussian:sd=0.02` (axis units); see `blasso-flow filters`",
        )
    description = filters.exposed(filters.completed(description, signal.filter), settings.exposure)
    table = filters.build(description, signal.axis, settings.normalisation)
    if settings.refit_width:
        check_stretch(table)
    return table


def recover_channel(
    channel: Signal, number: int, filter: Filter, settings: Settings, on_row: OnRow | None = None
) -> ChannelRecovery:
    """Recover one channel (values of shape (N,)). Data errors and numerical failures end in the report's status.

    ``on_row`` is called with each row of the trace.
    """
    begun = perf_counter()
    if np.isnan(channel.values).all():
        return nothing(channel.values, Status.ALL_MISSING, "every sample is missing", begun)
    try:
        with threads.using(settings.threads):
            return _recovered(channel, number, filter, settings, begun, on_row)
    except UsageError:
        raise
    except (BlassoFlowError, ArithmeticError, np.linalg.LinAlgError) as error:
        return nothing(channel.values, Status.FAILED, str(error), begun)


def failed_channel(samples: int, message: str) -> ChannelRecovery:
    """What is reported of a channel whose samples could not be had."""
    return nothing(np.full(samples, np.nan), Status.FAILED, message, perf_counter())


def _recovered(
    channel: Signal, number: int, filter: Filter, settings: Settings, begun: float, on_row: OnRow | None
) -> ChannelRecovery:
    removed = baselines.removed(settings.baseline, channel.values, channel.axis)
    asked, recorded = settings, channel
    if removed.any():  # everything from here on works on what is left, on a constant
        baselines.check_length(settings.baseline, filter.length)
        channel, settings = replace(channel, values=channel.values - removed), replace(settings, baseline=CONSTANT)
    route = solve_as_counts if settings.loss == "poisson" else solve_squared
    if settings.width_law is not None:
        from blasso_flow.recovery.sections import solve_in_sections

        route = solve_in_sections
    solved = route(channel, filter, settings, on_row)
    problem, solution, answer = solved.problem, solved.solution, solved.answer
    record = problem.record
    sections = problem.sections if isinstance(problem, PartedProblem) else ()
    flow = settings.flow()
    found = answered(problem, channel, number, answer, removed)
    notes = (
        *solved.noise.notes,
        *(flow.notes(record) if flow is not None else ()),
        *_baseline_notes(asked, solved.settings),
        *_section_notes(sections, channel, settings),
        *found.report.notes,
    )
    return replace(
        found,
        optimum=Optimum(
            channel=np.full(solution.position.size, number, dtype=np.int64),
            position=recorded.axis.from_samples(solution.position),
            weight=solution.weight,
            eta=solution.eta,
        ),
        report=replace(
            found.report,
            **{name: getattr(solution, name) for name in PROVEN},
            strength=problem.strength,
            strength_rule=solved.strength.rule,
            noise_sd=record.noise_sd,
            noise_rule=solved.noise.rule,
            noise_freedom=solved.noise.freedom,
            seconds=perf_counter() - begun,
            notes=notes,
            baseline_rule="" if solved.settings.baseline == settings.baseline else str(solved.settings.baseline),
            paths=in_axis_units(solution.paths, recorded.axis),
            sections=sections,
        ),
    )


def answered(
    problem: Problem | PartedProblem, channel: Signal, number: int, answer: Refit, removed: FloatArray
) -> ChannelRecovery:
    """All that an answer says, beside an empty optimum: spikes, curves, candidates, and of the report what depends on it.

    ``removed`` (N,) was taken off the channel's values beforehand.
    """
    fit = _fit(problem, channel, answer)
    widths = answer if isinstance(answer, WidthRefit) else None
    return ChannelRecovery(
        spikes=_spikes(answer, channel, number),
        optimum=Optimum.empty(),
        report=ChannelReport(
            Status.CONVERGED,
            "",
            level=answer.level,
            refit_baseline=answer.baseline,
            notes=(*_misfit(problem.record, fit.model), *(_width_notes(widths) if widths is not None else ())),
            **_width_report(widths),
        ),
        fit=Fit(model=fit.model + removed, residual=fit.residual, baseline=fit.baseline + removed) if removed.any() else fit,
        candidates=_candidates(answer, channel, number),
    )


def in_axis_units(paths: Paths | None, axis: Axis) -> Paths | None:
    """Paths of particles from samples to axis units."""
    return None if paths is None else Paths(axis.from_samples(paths.position), paths.weight)


def _baseline_notes(asked: Settings, used: Settings) -> tuple[str, ...]:
    baseline = asked.baseline
    if baseline.fits_rate:
        rate = used.baseline.parameters["rate"]
        return (f"the baseline decays at the fitted rate {rate:.6g} per axis unit; the proof holds at this rate",)
    if baseline.kind == "percentile":
        return (f"a running percentile ({asked.baseline}) was taken off the signal beforehand; the proof is about what is left",)
    if used.loss == "poisson" and used.baseline != asked.baseline:
        return ("the background is a polynomial in Bernstein's form with coefficients of at least 0",)
    return ()


def _section_notes(sections: Sequence[Section], channel: Signal, settings: Settings) -> tuple[str, ...]:
    if settings.width_law is None or not sections:
        return ()
    off = WidthLaw(*settings.width_law).strays(sections, channel.axis)
    return (
        f"width law: the filter has one width in each of {len(sections)} sections, within {100 * off:.2g} % of the law's; "
        "the proof holds for this filter, over the whole record",
    )


def _width_notes(answer: WidthRefit) -> tuple[str, ...]:
    notes = [f"{WIDTHS} after the proof, which is about the filter as given"]
    if np.isfinite(answer.rate):
        error = f" +- {answer.rate_error:.2g}" if np.isfinite(answer.rate_error) else ""
        notes.append(f"{RATE} decays at {answer.rate:.6g}{error} per axis unit")
    if answer.limited:
        low, high = STRETCHES
        notes.append(f"{LIMIT} of {low:g} or {high:g} times the filter's, or at {NARROWEST:g} samples")
    return tuple(notes)


def _width_report(answer: WidthRefit | None) -> dict[str, Any]:
    if answer is None:
        return {}
    rule = f"exp:rate={answer.rate!r}" if np.isfinite(answer.rate) else ""
    return {"refit_noise_sd": answer.noise_sd, "refit_baseline_rule": rule, "refit_rate_error": answer.rate_error}


def _spikes(answer: Refit, channel: Signal, number: int) -> Spikes:
    return Spikes(
        channel=np.full(answer.position.size, number, dtype=np.int64),
        position=channel.axis.from_samples(answer.position),
        position_errors=answer.position_errors * channel.axis.spacing,
        weight=answer.weight,
        weight_errors=answer.weight_errors,
        group=answer.group,
        significance=answer.significance,
        width=answer.width * channel.axis.spacing if isinstance(answer, WidthRefit) else None,
        width_errors=answer.width_errors * channel.axis.spacing if isinstance(answer, WidthRefit) else None,
    )


def _candidates(answer: Refit, channel: Signal, number: int) -> Candidates:
    """Those that were dropped and those that stay, in the order of their positions."""
    kept = np.stack([answer.position, answer.weight, answer.significance])
    position, weight, significance = np.concatenate([answer.dropped, kept], axis=1)
    stays = np.repeat(np.array([0, 1], dtype=np.int64), [answer.dropped.shape[1], kept.shape[1]])
    order = np.argsort(position, kind="stable")
    return Candidates(
        channel=np.full(position.size, number, dtype=np.int64),
        position=channel.axis.from_samples(position[order]),
        weight=weight[order],
        significance=significance[order],
        kept=stays[order],
    )


def _fit(problem: Problem | PartedProblem, channel: Signal, answer: Refit) -> Fit:
    if isinstance(answer, WidthRefit):
        return Fit(model=answer.model, residual=channel.values - answer.model, baseline=answer.baseline_curve)
    baseline = combined(answer.baseline, problem.record.baseline.T)
    model = problem.record.unpadded(problem.model(answer.position, answer.weight)) + baseline
    return Fit(model=model, residual=channel.values - model, baseline=baseline)


def _misfit(problem: Problem, model: FloatArray) -> tuple[str, ...]:
    """A note where the model (N,) misses the samples by far more than the noise: its error bars are then too small."""
    present = np.count_nonzero(problem.sample_weights)
    squares = dot(problem.sample_weights, ((problem.values - model) / problem.noise_sd) ** 2)
    if not squares > MISFIT * present:
        return ()
    return (
        f"{MISSES} by far more than the noise: the filter, the baseline or the noise sd does not describe "
        "them, and the error bars are too small",
    )


def nothing(values: FloatArray, status: Status, message: str, begun: float) -> ChannelRecovery:
    """What is reported of a channel with these values (N,) that has no answer."""
    curve = np.full(values.shape, np.nan)
    report = ChannelReport(status, message, seconds=perf_counter() - begun)
    return ChannelRecovery(Spikes.empty(), Optimum.empty(), report, Fit(curve, curve, curve))
