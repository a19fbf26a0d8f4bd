"""What a channel's answer says: spikes, candidates, curves, and of the report what depends on the answer alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from blasso_flow.answer.peaks import NARROWEST, STRETCHES
from blasso_flow.answer.refit import Refit
from blasso_flow.answer.widths import WidthRefit
from blasso_flow.data.reports import ChannelReport, Status, Verdict
from blasso_flow.data.results import ChannelRecovery, Fit
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.data.spikes import Candidates, Optimum, Spikes
from blasso_flow.filters import Filter
from blasso_flow.filters.prewhitened import whitened_samples
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.sums import combined
from blasso_flow.recovery.posing import posed
from blasso_flow.recovery.routes import ChannelSolution
from blasso_flow.recovery.verdict import Evidence, verdict_on

WIDTHS = "widths were fitted"
RATE, LIMIT = "the baseline of the refit with widths", "a width ended at the limit"
OF_THE_ANSWER = (WIDTHS, RATE, LIMIT)  # how its notes begin


def answered(solved: ChannelSolution, channel: Signal, filter: Filter, number: int, removed: FloatArray) -> ChannelRecovery:
    """All that an answer says, beside an empty optimum: spikes, curves, candidates, and of the report what depends on it.

    ``removed`` (N,) was taken off the channel's values beforehand.
    """
    answer = solved.answer
    fit = _fit(solved, channel, filter)
    verdict, reasons = judgement(solved, channel, filter, fit)
    widths = answer if isinstance(answer, WidthRefit) else None
    return ChannelRecovery(
        spikes=_spikes(answer, channel, number),
        optimum=Optimum.empty(),
        report=ChannelReport(
            Status.CONVERGED,
            "",
            fit=verdict,
            fit_reasons=reasons,
            level=answer.level,
            refit_baseline=answer.baseline,
            notes=_width_notes(widths) if widths is not None else (),
            **_width_report(widths),
        ),
        fit=Fit(model=fit.model + removed, residual=fit.residual, baseline=fit.baseline + removed) if removed.any() else fit,
        candidates=_candidates(answer, channel, number),
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
    spacing = channel.axis.spacing_at(answer.position)
    return Spikes(
        channel=np.full(answer.position.size, number, dtype=np.int64),
        position=channel.axis.from_samples(answer.position),
        position_errors=answer.position_errors * spacing,
        weight=answer.weight,
        weight_errors=answer.weight_errors,
        group=answer.group,
        significance=answer.significance,
        width=answer.width * spacing if isinstance(answer, WidthRefit) else None,
        width_errors=answer.width_errors * spacing if isinstance(answer, WidthRefit) else None,
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


def _fit(solved: ChannelSolution, channel: Signal, filter: Filter) -> Fit:
    """The answer's curves on the record, as it was recorded: where noise was whitened, not the whitened ones."""
    problem, answer = solved.problem, solved.answer
    if isinstance(answer, WidthRefit):
        return Fit(model=answer.model, residual=channel.values - answer.model, baseline=answer.baseline_curve)
    if solved.noise.whitener.size:
        problem = posed(channel, filter, solved.settings, replace(solved.noise, whitener=np.empty(0)))
    baseline = combined(answer.baseline, problem.record.baseline.T)
    model = problem.record.unpadded(problem.model(answer.position, answer.weight)) + baseline
    return Fit(model=model, residual=channel.values - model, baseline=baseline)


def judgement(solved: ChannelSolution, channel: Signal, filter: Filter, fit: Fit) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on the model, and its reasons."""
    record, whole = solved.problem.record, solved.problem
    if record.loss.counts:
        expected = np.sqrt(np.maximum(fit.model, 1e-300))
        residual = np.where(record.present & (fit.model > 0), fit.residual / expected, np.nan)
    else:
        left = whitened_samples(np.where(record.present, fit.residual, np.nan), record.filter.whitener, filter.period > 0)
        residual = np.sqrt(record.sample_weights) * left / record.noise_sd
        residual = np.where(record.sample_weights > 0, residual, np.nan)
    plain = isinstance(whole, Problem) and not record.loss.counts and not isinstance(solved.answer, WidthRefit)
    return verdict_on(
        Evidence(
            residual=residual,
            problem=record if plain and np.isfinite(record.noise_sd) else None,
            answer=solved.answer,
            filter=filter,
            values=channel.values,
            signal=fit.model - fit.baseline,
            freedom=solved.noise.freedom,
            hints=solved.hints,
        )
    )
