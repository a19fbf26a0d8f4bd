"""The route of a width law: from one channel to its certified optimum in sections, and its refit. Everything in samples.

A loose solve shows where spikes are; the cuts move into the gaps between them, and the sections that result are the filter
of the proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from blasso_flow.answer.refit import Refit, refit
from blasso_flow.data.reports import Section
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.filters import Filter, gaussian_like
from blasso_flow.flow import solve
from blasso_flow.noise.level import NoiseEstimate, estimate_from_residual
from blasso_flow.noise.strength import StrengthChoice, choose_strength
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem
from blasso_flow.problem.width_law import WidthLaw, cut, move_cuts
from blasso_flow.proof.parts import PartsExaminer
from blasso_flow.recovery.posing import FIRST_FIT_TOLERANCE, channel_noise, posed
from blasso_flow.recovery.routes import ChannelSolution, OnRow, unchanged
from blasso_flow.recovery.settings import AUTO, Settings

LOOSE_TOLERANCE = 1e-3  # of the solve that moves the cuts
REFIT_PASSES = 3
COLUMNS = ("position", "weight", "position_errors", "weight_errors", "group", "significance")  # of an answer


def solve_in_sections(channel: Signal, filter: Filter, settings: Settings, on_round: OnRow | None) -> ChannelSolution:
    """Noise, a strength for each section, one certified optimum of the whole record, and the refit section by section.

    ``filter`` is a Gaussian whose exposure and normalisation the sections share.
    """
    settings = settings.as_first_tried()
    assert settings.width_law is not None
    law = WidthLaw(*settings.width_law)
    draft = Problem.from_signal(channel, filter, strength=1.0, noise_sd=1.0, baseline="none", margin=settings.margin)
    low, high = draft.domain
    parts = cut(channel.axis, law, (int(low), int(high)))
    tables = tables_of(parts, filter, channel)
    narrowest = min(tables, key=lambda table: table.width)
    noise = channel_noise(channel, narrowest, settings)
    if noise.hides_from_differences(narrowest):
        problem = posed_in_sections(channel, parts, tables, replace(settings, strength=AUTO), noise)[0]
        first = solve(problem, tol=FIRST_FIT_TOLERANCE, tol_noise=np.inf, max_rounds=settings.max_rounds)
        record = problem.record
        left = -record.unpadded(record.residual_of(problem.model(first.position, first.weight), first.baseline))
        left = np.where(np.isfinite(channel.values), left, np.nan)
        noise = estimate_from_residual(left, noise, parameters=2 * first.position.size)
    problem, _, _ = posed_in_sections(channel, parts, tables, settings, noise)
    loose = solve(problem, tol=LOOSE_TOLERANCE, tol_noise=np.inf, max_rounds=settings.max_rounds)
    parts = move_cuts(parts, loose.position, channel.axis, law)
    problem, rule, levels = posed_in_sections(channel, parts, tables_of(parts, filter, channel), settings, noise)
    solution = solve(problem, **settings.stop, start=(loose.position, loose.weight), on_round=on_round)
    answer = unchanged(solution.position, solution.weight, solution.baseline)
    if settings.refit:
        answer = refit_in_sections(problem, replace(answer, level=rule.level), levels, settings.max_spikes)
    return ChannelSolution(settings, noise, problem, rule, solution, answer)


def tables_of(parts: Sequence[Section], filter: Filter, channel: Signal) -> list[Filter]:
    middles = (float(channel.axis.spacing_at((part.first + part.last) / 2)) for part in parts)
    at_median = [part.sd * (channel.axis.spacing / spacing) for part, spacing in zip(parts, middles, strict=True)]
    return [gaussian_like(filter, sd, channel.axis) for sd in at_median]


def posed_in_sections(
    channel: Signal, parts: Sequence[Section], tables: Sequence[Filter], settings: Settings, noise: NoiseEstimate
) -> tuple[PartedProblem, StrengthChoice, list[float]]:
    """The problem with a strength in every section, how that of the middle one was chosen, and the sections' Rice levels."""
    whole = posed(channel, max(tables, key=lambda table: table.taps), settings, noise)
    draft = PartedProblem(whole, tuple(replace(part, strength=1.0) for part in parts), tuple(tables))
    rule = settings.strength
    auto = rule if rule.kind == "auto" else AUTO
    total = parts[-1].last - parts[0].first
    chosen = []
    for number, part in enumerate(parts):
        piece = draft.part(number)[0]
        chosen.append(
            choose_strength(
                auto,
                filter=piece.filter,
                noise_sd=noise.sd,
                weights=piece.sample_weights,
                domain=piece.domain,
                positive=settings.positive,
                false_alarms=settings.false_alarms * (part.last - part.first) / total,
                freedom=noise.freedom,
            )
        )
    strengths = np.array([choice.strength for choice in chosen])
    middle = chosen[len(chosen) // 2]
    times = "" if auto.factor == 1 else f"{auto.factor:g} times "
    words = (
        f"{times}{middle.level:.4g} noise sd x filter norm, in each of {len(parts)} sections its own: "
        f"{settings.false_alarms:g} false crossings expected (Rice)"
    )
    if rule.kind == "absolute":
        strengths, words = np.full(strengths.size, rule.factor), f"given: {rule.factor:.6g}"
    elif rule.kind == "max":
        strengths = rule.factor * _largest(draft, strengths) * strengths
        words = f"{rule.factor:g} of the smallest that leaves no spikes, in each of {len(parts)} sections its own"
    sections = tuple(replace(part, strength=float(own)) for part, own in zip(parts, strengths, strict=True))
    problem = PartedProblem(whole, sections, tuple(tables))
    return problem, StrengthChoice(problem.strength, words, middle.level), [choice.level for choice in chosen]


def _largest(draft: PartedProblem, strengths: FloatArray) -> float:
    """The factor of ``strengths`` at which the zero measure is the optimum; ``draft`` has strengths of 1."""
    bounds = np.array(PartsExaminer(draft).suprema(Particles.none(draft), np.inf)[0])
    return float((bounds / strengths).max()) or 1.0


def refit_in_sections(problem: PartedProblem, answer: Refit, levels: Sequence[float], most: int | None) -> Refit:
    """Refit and prune section after section, the others frozen, until they agree; then keep the ``most`` significant."""
    answer = _refit_passes(problem, answer, levels)
    while most is not None and answer.position.size > most:
        kept = np.sort(np.argsort(-answer.significance, kind="stable")[:most])
        few = replace(answer, **{name: getattr(answer, name)[kept] for name in COLUMNS})
        gone = np.stack([np.delete(column, kept) for column in (answer.position, answer.weight, answer.significance)])
        few = replace(few, dropped=np.concatenate([answer.dropped, gone], axis=1))
        answer = _refit_passes(problem, few, levels)
    return answer


def _refit_passes(problem: PartedProblem, answer: Refit, levels: Sequence[float]) -> Refit:
    for _ in range(REFIT_PASSES):
        answer = _refit_pass(problem, answer, levels)
    settled = Particles.evaluate(problem, answer.position, answer.weight, answer.baseline)
    return replace(answer, baseline=settled.baseline)


def _refit_pass(problem: PartedProblem, answer: Refit, levels: Sequence[float]) -> Refit:
    baseline, record = answer.baseline.copy(), problem.record
    section = problem.section_of(answer.position)
    total = record.unpadded(problem.model(answer.position, answer.weight))
    done: list[Refit] = []
    dropped = [answer.dropped]
    groups = 0
    for number in np.unique(section):
        own = section == number
        x, w = answer.position[own], answer.weight[own]
        mine = record.unpadded(problem.model(x, w))
        part, start, columns = problem.part(int(number), record.values)
        frozen = baseline.copy()
        frozen[columns] = 0.0
        rest = record.values - (total - mine) - record.baseline @ frozen
        part = replace(part, values=rest[start : start + part.values.size])
        found = refit(part, x - start, w, baseline[columns], level=levels[int(number)])
        baseline[columns] = found.baseline
        position = problem.within(found.position + start, int(number))
        total += record.unpadded(problem.model(position, found.weight)) - mine
        dropped.append(found.dropped + np.array([[start], [0.0], [0.0]]))
        done.append(replace(found, position=position, group=found.group + groups))
        groups += int(found.group.max(initial=-1)) + 1
    if not done:
        return answer
    own = {name: np.concatenate([getattr(part, name) for part in done]) for name in COLUMNS}
    return Refit(baseline=baseline, dropped=np.concatenate(dropped, axis=1), level=answer.level, **own)
