"""Another line between spikes and noise for a result that is there: its optimum is refitted and pruned anew, nothing is solved.

The optimum, its strength and its proof stay as they are. A looser line can bring back what pruning dropped, never what the
penalty kept out of the optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blasso_flow.answer.counts import background, choose_count_strength
from blasso_flow.answer.refit import Refit
from blasso_flow.data.reports import ChannelReport, Status
from blasso_flow.data.results import ChannelRecovery
from blasso_flow.data.signals import FilterDescription, Signal
from blasso_flow.data.spikes import Optimum
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import Filter
from blasso_flow.noise.discoveries import Discoveries
from blasso_flow.noise.level import NoiseEstimate
from blasso_flow.noise.slower import Interpolation, as_reported
from blasso_flow.noise.strength import StrengthChoice, StrengthRule
from blasso_flow.problem import baselines
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem
from blasso_flow.recovery.channel import failed_channel
from blasso_flow.recovery.own_rate import on_files_axis
from blasso_flow.recovery.posing import posed, posed_problem, seen
from blasso_flow.recovery.report import OF_THE_ANSWER, answered
from blasso_flow.recovery.routes import LOOSE, ChannelSolution, refit_as_counts, refit_squared, unchanged
from blasso_flow.recovery.sections import posed_in_sections, refit_in_sections, tables_of
from blasso_flow.recovery.settings import AUTO, CONSTANT, FALSE_ALARMS, Settings

ROUNDING = 1e-9
ANSWERED = ("fit", "fit_reasons", "level", "refit_baseline", "refit_noise_sd", "refit_baseline_rule", "refit_rate_error")
BELOW = "pruned below the level of the strength: spikes that the penalty kept out of the optimum are no candidates"


@dataclass(frozen=True)
class Line:
    """Where to draw it: by an expected number of false spikes, by their share, or at a significance. One of them is given."""

    false_alarms: float | None = None
    false_discoveries: float | None = None
    significance: float | None = None

    def __post_init__(self) -> None:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1:
            names = "`false_alarms=`, `false_discoveries=` and `significance=`"
            raise UsageError(f"{names} exclude each other" if given else "nothing to prune by", mend=f"give one of {names}")
        if self.significance is not None and not (np.isfinite(self.significance) and self.significance > 0):
            raise UsageError("significance is out of range", received=self.significance, allowed="a finite number above 0")

    def of(self, settings: Settings) -> Settings:
        """The settings with this line in place of theirs."""
        alarms = FALSE_ALARMS if self.false_alarms is None else self.false_alarms
        return replace(settings, refit=True, false_alarms=alarms, false_discoveries=self.false_discoveries)


def stored_settings(stored: Mapping[str, Any]) -> Settings:
    """The settings of a result, from what its provenance says of them. Raises `DataError` where they cannot be read."""
    names = set(Settings.__dataclass_fields__) - {"filter", "positive", "threads"}
    try:
        words = {name: stored[name] for name in names if name in stored}
        for name in ("margin", "width_law"):
            words[name] = tuple(stored[name]) if stored.get(name) is not None else words.get(name)
        described = stored["filter"]
        kind = FilterDescription(str(described["kind"]), dict(described["parameters"]))
        return Settings(**words, filter=None if words["width_law"] else kind, positive=stored["penalty"] == "positive")
    except (KeyError, TypeError) as error:
        raise DataError("the result does not say how it was made", received=str(error), mend="recover again") from None


def pruned_again(
    channel: Signal, number: int, filter: Filter, settings: Settings, line: Line, optimum: Optimum, report: ChannelReport
) -> ChannelRecovery:
    """The answer for one channel (values of shape (N,)) with another line; ``optimum`` and ``report`` are the channel's.

    ``settings`` are those of the result, and ``filter`` its table.
    """
    if report.status in {Status.FAILED, Status.ALL_MISSING}:
        return replace(failed_channel(channel.values.size, ""), report=report)
    recorded = channel
    channel, filter = as_reported(channel, filter, report, settings.stamp)
    channel = seen(channel, settings)
    removed = baselines.removed(settings.baseline, channel.values, channel.axis)
    fitted, settings = settings.baseline.fits_rate, line.of(settings)
    if removed.any():
        channel, settings = replace(channel, values=channel.values - removed), replace(settings, baseline=CONSTANT)
    if report.baseline_rule:
        settings = replace(settings, baseline=baselines.parse(report.baseline_rule))
    start = unchanged(channel.axis.to_samples(optimum.position), optimum.weight, report.baseline)
    noise = NoiseEstimate(report.noise_sd, report.noise_rule, freedom=report.noise_freedom, whitener=report.whitener)
    known = settings.noise_sd is not None or channel.noise_sd is not None
    loose = replace(settings, strength=StrengthRule("absolute", report.strength), false_discoveries=None)
    problem: Problem | PartedProblem
    chosen = StrengthChoice(report.strength, report.strength_rule, report.level)
    if report.sections:
        tables = tables_of(report.sections, filter, channel)
        problem, rule, levels = posed_in_sections(channel, report.sections, tables, replace(loose, strength=AUTO), noise)
        if line.significance is not None:
            levels = [line.significance] * len(levels)
        answer = replace(start, level=rule.level if line.significance is None else line.significance)
        answer = refit_in_sections(problem, answer, levels, settings.max_spikes)
    elif settings.loss == "poisson":
        problem = replace(posed(channel, filter, settings, noise).with_strength(report.strength), noise_sd=noise.sd)
        chosen = choose_count_strength(loose.strength, problem, background(problem), loose.false_alarms)
        answer = refit_as_counts(problem, start, settings, _at(chosen, line, start))
    else:
        problem, chosen = posed_problem(channel, filter, loose, noise)
        chosen = _at(chosen, line, start)
        answer = refit_squared(problem, start, settings, chosen, noise_known=known, rate_fitted=fitted)
    solved = ChannelSolution(settings, noise, problem, chosen, None, answer)
    found = answered(solved, channel, filter, number, removed)
    if report.interpolation:
        slower = Interpolation(report.interpolation, report.ratio, report.first_sample)
        found = on_files_axis(found, recorded, slower)
    told = {name: getattr(found.report, name) for name in ANSWERED}
    kept = tuple(note for note in report.notes if not note.startswith((*OF_THE_ANSWER, BELOW)))
    one_level = settings.loss == "squared" and not report.sections
    below = one_level and answer.level * noise.sd * filter.norm < (1 - ROUNDING) * report.strength
    notes = (*kept, *found.report.notes, *((BELOW,) if below else ()))
    return replace(found, optimum=optimum, report=replace(report, **{**told, "notes": notes}))


def _at(chosen: StrengthChoice, line: Line, optimum: Refit) -> StrengthChoice:
    """The choice with the level that pruning begins at: where a share of false spikes is asked for, a loose one."""
    if line.significance is not None:
        return replace(chosen, level=line.significance)
    if line.false_discoveries is not None:
        return replace(chosen, level=Discoveries(line.false_discoveries, chosen.expected).of(LOOSE * optimum.position.size))
    return chosen
