"""The independent check behind `certify`: is a stored result really as good as it claims?

Everything is computed again from the signal and the filter's table, in plain numpy: the model, the baseline (weighted least
squares), the objective, a bound of the certificate over the whole domain, the dual value and the gap. No stored residual or
model is trusted, and no code of the solver or of its proof is used: `audit` may import filters as data, never the problem,
the certificate, the flow or the kernels. Here a stored result is checked against its signal; the gap is proven in
`audit.squared` or `audit.poisson`, one for each loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from blasso_flow.audit.baselines import baseline_columns, running_percentile
from blasso_flow.audit.noise import variance_of_counts
from blasso_flow.audit.parts import Part, section_parts
from blasso_flow.audit.poisson import prove_poisson
from blasso_flow.audit.slower import slower_record
from blasso_flow.audit.squared import Measured, prove_squared
from blasso_flow.data.json_ready import JsonReady
from blasso_flow.data.reports import ChannelReport, Status
from blasso_flow.data.results import Recovery
from blasso_flow.data.signals import FilterDescription, FloatArray, Signal
from blasso_flow.data.spikes import Optimum
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import Filter, build, completed

OBJECTIVE_TOLERANCE = 1e-9  # relative, of the stored objective
STORED_TOLERANCE = 1e-9  # by how much the stored gap may contradict the stored objective and dual value
SLACK_SHARE = 0.02  # of the allowed gap that the bound of the certificate may add
ROUNDING = 8 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Verdict(JsonReady):
    """What the check of one channel found. ``reason`` says in a sentence why it agrees or does not.

    ``objective``, ``dual_value``, ``gap`` (relative) and ``supremum`` (proven bound of sup eta, or sup |eta| if signed) are
    the check's own numbers, NaN where there was nothing to compute; ``allowed_gap`` is what ``gap`` was held against.
    """

    agrees: bool
    reason: str
    objective: float
    dual_value: float
    gap: float
    supremum: float
    stored_objective: float
    stored_gap: float
    allowed_gap: float


def certify(recovery: Recovery, signal: Signal | None = None) -> list[Verdict]:
    """Check a recovery with code of its own, one verdict a channel; ``signal`` where the recovery does not hold it.

    A verdict ``agrees`` or gives its ``reason``. Raises `DataError` and `UsageError` as `audit` does.
    """
    signal = recovery.signal if signal is None else signal
    if signal is None:
        raise UsageError("certify: the recovery holds no signal", mend="give the one that it was made from")
    return audit(signal, recovery.optimum, recovery.channels, recovery.settings)


def audit(signal: Signal, optimum: Optimum, reports: Sequence[ChannelReport], settings: Mapping[str, object]) -> list[Verdict]:
    """Check every channel of a result against its signal; ``settings`` as stored with the result.

    Raises `DataError` when result and signal do not belong together, `UsageError` when the settings cannot be used.
    """
    if len(reports) != signal.channels:
        raise DataError(
            "certify: result and signal differ in their channels",
            received=f"{len(reports)} reports for {signal.channels} channels",
            mend="give the signal that the result was made from",
        )
    filter = stored_filter(signal, settings)
    verdicts = []
    for number, report in enumerate(reports):
        own = optimum.channel == number
        channel = signal.channel(number)
        table = filter
        if report.interpolation:
            channel, table = slower_record(channel, filter, report, settings)
        verdicts.append(audit_channel(channel, table, report, optimum.position[own], optimum.weight[own], settings))
    return verdicts


def stored_filter(signal: Signal, settings: Mapping[str, object]) -> Filter:
    """The filter that a result's settings describe, tabulated for the signal's axis. A measured one comes from the signal."""
    stored = settings.get("filter")
    if not isinstance(stored, Mapping) or "kind" not in stored:
        raise UsageError("certify: the stored settings name no filter", received=stored)
    description = FilterDescription(str(stored["kind"]), dict(stored.get("parameters") or {}))
    return build(completed(description, signal.filter), signal.axis, str(stored.get("normalisation", "peak")))


def audit_channel(
    channel: Signal,
    filter: Filter,
    report: ChannelReport,
    position: FloatArray,
    weight: FloatArray,
    settings: Mapping[str, object],
) -> Verdict:
    """Check one channel.

    It agrees when the measure is admissible, the stored objective is matched within 1e-9 relative, the check's own proven
    gap is at most max(2 x stored gap, tol), and the stored numbers do not contradict each other.

    Parameters
    ----------
    channel : values (N,), NaN where missing.
    filter : tabulated for the channel's axis, with the result's normalisation.
    report : the stored numbers.
    position, weight : (K,) the stored optimum, axis units.
    settings : the stored configuration: penalty, baseline, margin, noise_sd, tol.
    """
    tolerance = _number(settings, "tol", 1e-6)
    allowed = max(2 * report.gap, tolerance) if math.isfinite(report.gap) else tolerance
    if report.status is Status.FAILED:
        return _refusal("the channel failed: there is no optimum to check", report, allowed)
    if np.isnan(channel.values).all():
        return _audit_missing(report, position, allowed)
    if not (math.isfinite(report.strength) and report.strength > 0):
        return _refusal(f"the stored strength {report.strength:g} is not a finite number above 0", report, allowed)
    baseline = report.baseline_rule or str(settings.get("baseline", "const"))
    columns = baseline_columns(baseline, channel)
    domain = _domain(channel, filter, settings)
    values, sample_weights = _loss_data(channel, settings)
    values = np.where(sample_weights > 0, values - running_percentile(baseline, channel), 0.0)
    positive = settings.get("penalty", "positive") == "positive"
    reason, place = _admissible(channel, domain, position, weight, positive, bool(filter.period))
    parts = [Part(filter, domain, report.strength, place, weight)]
    if not reason and settings.get("width_law") is not None:
        reason, parts = section_parts(channel, parts[0], report.sections, settings["width_law"])
    if not reason and not np.isfinite(report.whitener).all():
        reason = "the stored colour of the noise has coefficients that are not finite"
    if not reason and (report.baseline.shape != (columns.shape[1],) or not np.isfinite(report.baseline).all()):
        reason = f"the stored baseline has {report.baseline.size} coefficients, not {columns.shape[1]}"
    if reason:
        return _refusal(reason, report, allowed)
    slack = SLACK_SHARE * allowed
    if settings.get("loss", "squared") == "poisson":
        present = (sample_weights > 0).astype(np.float64)
        objective, dual_value, gap, bound, rounding = prove_poisson(parts[0], values, present, columns, report.baseline, slack)
    else:
        periodic = filter.period > 0
        sample_weights = predicted_weights(sample_weights, report.whitener.size, periodic)
        measured = Measured(values, sample_weights, columns, parts, positive, report.whitener, periodic)
        objective, dual_value, gap, bound, rounding = prove_squared(measured, report.baseline, slack)
    reason = _disagreement(report, objective, gap, allowed, tolerance, rounding)
    return Verdict(
        agrees=not reason,
        reason=reason or f"objective matches and the gap is proven: {gap:.1e} is at most {allowed:.1e}",
        objective=objective,
        dual_value=dual_value,
        gap=gap,
        supremum=bound.supremum,
        stored_objective=report.objective,
        stored_gap=report.gap,
        allowed_gap=allowed,
    )


def _loss_data(channel: Signal, settings: Mapping[str, object]) -> tuple[FloatArray, FloatArray]:
    """Values (N,), 0 where missing, and sample weights (N,): 0 where missing, else (median sd / sd)^2."""
    present = ~np.isnan(channel.values)
    weights = present.astype(np.float64)
    known = channel.noise_sd
    if settings.get("noise") == "counts":
        known = np.sqrt(variance_of_counts(channel.values))
    if isinstance(known, np.ndarray) and settings.get("noise_sd") is None:
        sd = np.where(present, known, 1.0)
        weights *= (np.median(sd[present]) / sd) ** 2
    return np.where(present, channel.values, 0.0), weights


def predicted_weights(weights: FloatArray, order: int, periodic: bool) -> FloatArray:
    """Sample weights (N,), 0 too where one of the ``order`` samples before is missing or, at the start, was never taken."""
    result = weights.copy()
    for lag in range(1, order + 1):
        result[np.roll(weights, lag) == 0] = 0.0
        if not periodic:
            result[:lag] = 0.0
    return result


def _domain(channel: Signal, filter: Filter, settings: Mapping[str, object]) -> tuple[float, float]:
    """First and last position of a spike, in samples; margins are rounded up to whole samples."""
    samples = channel.axis.size
    if filter.period:
        if filter.period != samples:
            raise UsageError("certify: the period is not the record", received=f"{filter.period} of {samples} samples")
        return 0.0, float(samples)
    margin = settings.get("margin", (0.0, 0.0))
    if not (isinstance(margin, Sequence) and len(margin) == 2):
        raise UsageError("certify: the stored margin cannot be used", received=margin, allowed="two numbers")
    ends = channel.axis.spacing_at([0.0, samples - 1.0])
    before, after = (math.ceil(float(part) / float(spacing) - 1e-9) for part, spacing in zip(margin, ends, strict=True))
    return -float(before), float(samples - 1 + after)


def _admissible(
    channel: Signal, domain: tuple[float, float], position: FloatArray, weight: FloatArray, positive: bool, periodic: bool
) -> tuple[str, FloatArray]:
    """A sentence on what is wrong with the measure ("" if nothing), and its positions in samples."""
    if position.shape != weight.shape or not (np.isfinite(position).all() and np.isfinite(weight).all()):
        return "the stored optimum has values that are not finite, or columns of different length", position
    place = channel.axis.to_samples(position)
    reach = abs(channel.axis.first / channel.axis.spacing) + abs(domain[0]) + abs(domain[1])
    outside = (place < domain[0] - ROUNDING * reach) | (place > domain[1] + ROUNDING * reach)
    if outside.any():
        return f"{int(outside.sum())} spikes lie outside the domain, the first at {position[outside][0]:.6g}", place
    if positive and (weight < 0).any():
        return f"{int((weight < 0).sum())} weights are negative although the penalty is positive", place
    return "", place % domain[1] if periodic else np.clip(place, *domain)


def _disagreement(report: ChannelReport, objective: float, gap: float, allowed: float, tolerance: float, rounding: float) -> str:
    """Why the stored numbers do not hold, "" if they do."""
    difference = abs(objective - report.objective)
    if not difference <= (OBJECTIVE_TOLERANCE + rounding) * max(abs(objective), abs(report.objective)):
        return f"the objective is {objective:.12g}, not {report.objective:.12g} as stored"
    if not math.isfinite(report.gap):
        return f"the stored gap {report.gap:g} is not a number to check"
    if math.isfinite(report.dual_value) and report.objective > 0:
        implied = (report.objective - report.dual_value) / report.objective
        if report.gap < implied - STORED_TOLERANCE or implied < -STORED_TOLERANCE - rounding:
            return f"the stored gap {report.gap:.1e} contradicts the stored objective and dual value, which give {implied:.1e}"
    if report.status is Status.CONVERGED and report.gap > tolerance:
        return f"stored as converged, but the stored gap {report.gap:.1e} is above the tolerance {tolerance:.1e}"
    if not gap <= allowed:
        return f"the proven gap is {gap:.1e}, above {allowed:.1e} (the larger of twice the stored gap and the tolerance)"
    return ""


def _audit_missing(report: ChannelReport, position: FloatArray, allowed: float) -> Verdict:
    """A channel without samples: the only result is the empty measure."""
    if report.status is Status.ALL_MISSING and position.size == 0:
        return Verdict(
            True, "all samples are missing and no spike is claimed", 0.0, 0.0, 0.0, 0.0, report.objective, report.gap, allowed
        )
    return _refusal("all samples are missing, but the result does not say so", report, allowed)


def _refusal(reason: str, report: ChannelReport, allowed: float) -> Verdict:
    nan = math.nan
    return Verdict(False, reason, nan, nan, nan, nan, report.objective, report.gap, allowed)


def _number(settings: Mapping[str, object], name: str, default: float) -> float:
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"certify: the stored {name} cannot be used", received=value, allowed="a finite number above 0")
    return float(value)
