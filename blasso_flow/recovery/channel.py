"""The whole road for one channel: noise, strength, certified solve, refit, answer. Used by the API, the CLI and batches.

Positions come in and go out in axis units; everything between is in samples. Reads no files and draws nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from blasso_flow import filters, threads
from blasso_flow.data.reports import ChannelReport, Paths, Section, Status
from blasso_flow.data.results import ChannelRecovery, Fit
from blasso_flow.data.signals import Axis, FilterDescription, FloatArray, Signal
from blasso_flow.data.spikes import Optimum, Spikes
from blasso_flow.errors import BlassoFlowError, UsageError
from blasso_flow.filters import Filter
from blasso_flow.filters.stretched import check_stretch
from blasso_flow.problem import baselines
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.width_law import WidthLaw
from blasso_flow.recovery.own_rate import at_own_rate, likeliest
from blasso_flow.recovery.posing import seen
from blasso_flow.recovery.report import answered
from blasso_flow.recovery.routes import OnRow, solve_as_counts, solve_squared
from blasso_flow.recovery.settings import CONSTANT, Settings

PROVEN = ("status", "message", "objective", "dual_value", "gap", "gap_noise", "violation", "rounds", "baseline", "trace")


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
            ways, notes = at_own_rate(channel, filter, settings)
            if ways:
                tried = [(way, _recovered(way.channel, number, way.filter, settings, begun, on_row)) for way in ways]
                done = likeliest(tried, channel)
            else:
                done = _recovered(channel, number, filter, settings, begun, on_row)
            return replace(done, report=replace(done.report, notes=(*notes, *done.report.notes))) if notes else done
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
    asked, recorded, channel = settings, channel, seen(channel, settings)
    if removed.any():  # everything from here on works on what is left, on a constant
        baselines.check_length(settings.baseline, filter.length)
        channel, settings = replace(channel, values=channel.values - removed), replace(settings, baseline=CONSTANT)
    route = solve_as_counts if settings.loss == "poisson" else solve_squared
    if settings.width_law is not None:
        from blasso_flow.recovery.sections import solve_in_sections

        route = solve_in_sections
    solved = route(channel, filter, settings, on_row)
    problem, solution = solved.problem, solved.solution
    assert solution is not None
    record = problem.record
    sections = problem.sections if isinstance(problem, PartedProblem) else ()
    flow = settings.flow()
    found = answered(solved, channel, filter, number, removed)
    notes = (
        *solved.noise.notes,
        *(flow.notes(record) if flow is not None else ()),
        *_axis_notes(recorded.axis, settings),
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
            whitener=solved.noise.whitener,
            noise_freedom=solved.noise.freedom,
            seconds=perf_counter() - begun,
            notes=notes,
            baseline_rule="" if solved.settings.baseline == settings.baseline else str(solved.settings.baseline),
            paths=in_axis_units(solution.paths, recorded.axis),
            sections=sections,
        ),
    )


def in_axis_units(paths: Paths | None, axis: Axis) -> Paths | None:
    """Paths of particles from samples to axis units."""
    return None if paths is None else Paths(axis.from_samples(paths.position), paths.weight)


def _axis_notes(axis: Axis, settings: Settings) -> tuple[str, ...]:
    if axis.bend is None:
        return ()
    spacing = axis.spacing_at(np.arange(axis.size))
    taken = "baseline" if settings.width_law is not None else "filter and baseline"
    return (
        f"the axis bends, with a spacing from {spacing.min():.6g} to {spacing.max():.6g}: lengths of {taken} are taken at the "
        f"median spacing {axis.spacing:.6g}, and are that share longer or shorter elsewhere",
    )


def _baseline_notes(asked: Settings, used: Settings) -> tuple[str, ...]:
    baseline = asked.baseline
    if baseline.fits_rate:
        rate = used.baseline.parameters["rate"]
        return (f"the baseline decays at the fitted rate {rate:.6g} per axis unit; the proof holds at this rate",)
    if baseline.kind == "percentile":
        return (f"a running percentile ({asked.baseline}) was taken off the signal beforehand; the proof is about what is left",)
    if baseline.kind == "auto" and used.loss == "squared" and used.baseline != CONSTANT:
        return (f"the samples ask for more than a constant baseline: {used.baseline}",)
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


def nothing(values: FloatArray, status: Status, message: str, begun: float) -> ChannelRecovery:
    """What is reported of a channel with these values (N,) that has no answer."""
    curve = np.full(values.shape, np.nan)
    report = ChannelReport(status, message, seconds=perf_counter() - begun)
    return ChannelRecovery(Spikes.empty(), Optimum.empty(), report, Fit(curve, curve, curve))
