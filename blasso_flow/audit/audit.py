"""The independent check behind `certify`: is a stored result really as good as it claims?

Everything is computed again from the signal and the filter's table, in plain numpy: the model, the baseline (weighted least
squares), the objective, a bound of the certificate over the whole domain, the dual value and the gap. No stored residual or
model is trusted, and no code of the solver or of its proof is used: `audit` may import filters as data, never the problem,
the certificate, the flow or the kernels. The bound of the certificate is in `blasso_flow.audit.bound`, the sections of a
width law are checked in `blasso_flow.audit.parts`.

    J = 1/2 sum W (m - y)^2 + strength sum |w|,    u = W (m - y),    eta(x) = -<u, phi(. - x)> / strength
    D(t) = -t^2/2 sum u^2 / W - t sum u y   is a lower bound of every objective for 0 <= t <= 1 / sup eta (sup |eta| if signed)

The floating-point u is taken as an exact vector; what rounding can add to J, D and sup eta is allowed for in the gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from blasso_flow.audit.bound import Bound, bound_certificate
from blasso_flow.audit.counts import prove_counts
from blasso_flow.audit.parts import Part, section_parts
from blasso_flow.data.reports import ChannelReport, Status
from blasso_flow.data.signals import FilterDescription, FloatArray, Signal
from blasso_flow.data.spikes import Optimum
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import Filter, build

OBJECTIVE_TOLERANCE = 1e-9  # relative, of the stored objective
STORED_TOLERANCE = 1e-9  # by how much the stored gap may contradict the stored objective and dual value
SLACK_SHARE = 0.02  # of the allowed gap that the bound of the certificate may add
ROUNDING = 8 * np.finfo(np.float64).eps
BLOCK = 500_000  # responses evaluated at once


@dataclass(frozen=True)
class Verdict:
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

    def as_dict(self) -> dict[str, bool | str | float | None]:
        """JSON-ready: NaN and infinities become None."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class _Measured:
    """The signal as the loss sees it, and the measure to be checked; ``columns`` (N, B)."""

    values: FloatArray
    sample_weights: FloatArray
    columns: FloatArray
    parts: Sequence[Part]
    positive: bool


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
        verdicts.append(audit_channel(channel, filter, report, optimum.position[own], optimum.weight[own], settings))
    return verdicts


def stored_filter(signal: Signal, settings: Mapping[str, object]) -> Filter:
    """The filter that a result's settings describe, tabulated for the signal's axis. A measured one comes from the signal."""
    stored = settings.get("filter")
    if not isinstance(stored, Mapping) or "kind" not in stored:
        raise UsageError("certify: the stored settings name no filter", received=stored)
    description = FilterDescription(str(stored["kind"]), dict(stored.get("parameters") or {}))
    if signal.filter is not None and signal.filter.lag is not None and signal.filter.kind == description.kind:
        description = FilterDescription(description.kind, description.parameters, signal.filter.lag, signal.filter.response)
    return build(description, signal.axis, str(stored.get("normalisation", "peak")))


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
    if not reason and (report.baseline.shape != (columns.shape[1],) or not np.isfinite(report.baseline).all()):
        reason = f"the stored baseline has {report.baseline.size} coefficients, not {columns.shape[1]}"
    if reason:
        return _refusal(reason, report, allowed)
    measured = _Measured(values, sample_weights, columns, parts, positive)
    if settings.get("loss", "squared") == "poisson":
        clean, _ = filtered_spikes(filter, place, weight, values.size)
        objective, dual_value, gap, bound, rounding = prove_counts(
            filter,
            values,
            (sample_weights > 0).astype(np.float64),
            clean,
            columns,
            report.baseline,
            report.strength * float(weight.sum()),
            report.strength,
            domain,
            SLACK_SHARE * allowed,
        )
    else:
        objective, dual_value, gap, bound, rounding = _prove(measured, report.baseline, allowed)
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


def _prove(measured: _Measured, baseline: FloatArray, allowed: float) -> tuple[float, float, float, Bound, float]:
    """Own objective, dual value, relative gap, bound, and the relative rounding of the objective.

    The objective belongs to the stored measure with its stored baseline; the dual point to the best baseline, for which
    columns^T u = 0 holds by itself.
    """
    y, weights, columns = measured.values, measured.sample_weights, measured.columns
    curves = [filtered_spikes(part.filter, part.position, part.weight, y.size) for part in measured.parts]
    clean, magnitude = (np.sum(curve, axis=0) for curve in zip(*curves, strict=True))
    penalty = sum(part.strength * float(np.abs(part.weight).sum()) for part in measured.parts)
    stored = clean + columns @ baseline
    objective = 0.5 * float(np.sum(weights * (stored - y) ** 2)) + penalty
    best = _best_baseline(columns, weights, y - clean)
    fit = clean + columns @ best
    u = weights * (fit - y)
    bounds = [
        bound_certificate(part.filter, u, part.strength, part.domain, measured.positive, SLACK_SHARE * allowed)
        for part in measured.parts
    ]
    bound = max(bounds, key=lambda each: each.supremum)
    present = weights > 0
    square = float(np.sum(u[present] ** 2 / weights[present]))
    product = float(np.sum(u * y))
    scale = _best_scale(square, product, bound.supremum)
    dual_value = -0.5 * scale**2 * square - scale * product
    size = np.abs(u) * (magnitude + np.abs(columns) @ np.abs(best) + np.abs(y))
    leak = float(np.sum(np.abs(columns.T @ u) * np.abs(best))) if best.size else 0.0
    rounding = ROUNDING * (float(np.sum(size)) + objective) + leak
    if objective <= 0:
        return objective, dual_value, 0.0, bound, 0.0
    excess = max(objective - dual_value, 0.0) + rounding
    return objective, dual_value, excess / objective, bound, rounding / objective


def _best_scale(square: float, product: float, supremum: float) -> float:
    """The t >= 0 that makes -t^2/2 square - t product largest while t * supremum <= 1."""
    best = max(-product / square, 0.0) if square > 0 else 1.0
    return min(best, 1 / supremum) if supremum > 0 else best


def _best_baseline(columns: FloatArray, sample_weights: FloatArray, rest: FloatArray) -> FloatArray:
    """Weighted least squares coefficients (B,) of ``rest`` (N,), by orthogonal factors, corrected once for rounding."""
    if columns.shape[1] == 0:
        return np.empty(0)
    root = np.sqrt(sample_weights)
    u, sizes, v = np.linalg.svd(columns * root[:, None], full_matrices=False)
    told = sizes > 1e-13 * sizes.max(initial=0.0)  # columns without samples tell nothing
    coefficients = np.zeros(columns.shape[1])
    for _ in range(3):
        left = root * (rest - columns @ coefficients)
        coefficients += v[told].T @ ((u[:, told].T @ left) / sizes[told])
    return coefficients


def filtered_spikes(filter: Filter, position: FloatArray, weight: FloatArray, samples: int) -> tuple[FloatArray, FloatArray]:
    """Sum of filtered spikes (N,), and the sum of their magnitudes (N,) for the rounding; positions (K,) in samples."""
    total, magnitude = np.zeros((2, samples))
    start = np.floor(position).astype(np.int64)
    taps = filter.first + np.arange(filter.taps)
    rows = max(1, BLOCK // filter.taps)
    for block in range(0, position.size, rows):
        part = slice(block, block + rows)
        target = start[part, None] + taps
        values = weight[part, None] * filter.response(target - position[part, None])
        if filter.period:
            target %= filter.period
        inside = (target >= 0) & (target < samples)
        target, values = target[inside], values[inside]
        if target.size:
            low, high = int(target.min()), int(target.max()) + 1
            total[low:high] += np.bincount(target - low, values)
            magnitude[low:high] += np.bincount(target - low, np.abs(values))
    return total, magnitude


def _loss_data(channel: Signal, settings: Mapping[str, object]) -> tuple[FloatArray, FloatArray]:
    """Values (N,), 0 where missing, and sample weights (N,): 0 where missing, else (median sd / sd)^2."""
    present = ~np.isnan(channel.values)
    weights = present.astype(np.float64)
    if isinstance(channel.noise_sd, np.ndarray) and settings.get("noise_sd") is None:
        sd = np.where(present, channel.noise_sd, 1.0)
        weights *= (np.median(sd[present]) / sd) ** 2
    return np.where(present, channel.values, 0.0), weights


def _parameters(baseline: str) -> tuple[str, dict[str, float]]:
    """Kind and parameters of a stored baseline's text."""
    kind, _, rest = baseline.partition(":")
    try:
        return kind, {name: float(value) for name, value in (part.split("=") for part in rest.split(",") if part)}
    except ValueError:
        raise UsageError("certify: the stored baseline cannot be read", received=baseline) from None


def baseline_columns(baseline: str, channel: Signal) -> FloatArray:
    """Columns (N, B): powers by Legendre's recursion, cubic B-splines by Cox and de Boor's, one exponential."""
    kind, parameters = _parameters(baseline)
    size, spacing = channel.axis.size, channel.axis.spacing
    if kind in {"none", "const", "percentile"}:
        return np.ones((size, 0 if kind == "none" else 1))
    there = np.flatnonzero(~np.isnan(channel.values))
    span = max(int(there[-1] - there[0]), 1)
    z = np.clip((np.arange(size) - there[0]) / span, 0.0, 1.0 if there[-1] > there[0] else 0.0)
    length = float(there[-1] - there[0]) * spacing
    if kind == "poly" and "degree" in parameters:
        legendre = [np.ones(size), 2 * z - 1]
        for n in range(1, int(parameters["degree"])):
            legendre.append(((2 * n + 1) * (2 * z - 1) * legendre[n] - n * legendre[n - 1]) / (n + 1))
        return np.stack(legendre[: int(parameters["degree"]) + 1], axis=1)
    if kind == "bernstein" and "degree" in parameters:
        n = int(parameters["degree"])
        return np.stack([math.comb(n, k) * z**k * (1 - z) ** (n - k) for k in range(n + 1)], axis=1)
    if kind == "spline" and "knot" in parameters:
        return _cubic_splines(z, max(1, math.floor(length / parameters["knot"] + 1e-9)))
    if kind == "exp" and "rate" in parameters:
        return np.exp(-parameters["rate"] * length * z)[:, None]
    raise UsageError("certify: unknown baseline", received=baseline)


def _cubic_splines(z: FloatArray, intervals: int) -> FloatArray:
    """B-splines on equal intervals of [0, 1] with fourfold end knots, shape (N, intervals + 3)."""
    knots = [0.0] * 3 + [i / intervals for i in range(intervals + 1)] + [1.0] * 3
    cell = np.minimum((z * intervals).astype(np.int64), intervals - 1) + 3
    splines = np.zeros((z.size, len(knots) - 1))
    splines[np.arange(z.size), cell] = 1.0
    for degree in (1, 2, 3):
        for i in range(len(knots) - 1 - degree):
            left, right = knots[i + degree] - knots[i], knots[i + degree + 1] - knots[i + 1]
            rising = (z - knots[i]) / left * splines[:, i] if left > 0 else 0.0
            falling = (knots[i + degree + 1] - z) / right * splines[:, i + 1] if right > 0 else 0.0
            splines[:, i] = rising + falling
    return splines[:, : intervals + 3]


def running_percentile(baseline: str, channel: Signal) -> FloatArray:
    """What was taken off the signal beforehand, shape (N,): see the option's description; 0 for other baselines."""
    kind, parameters = _parameters(baseline)
    y = channel.values
    if kind != "percentile":
        return np.zeros(y.size)
    half = max(1, round(parameters["window"] / channel.axis.spacing / 2))
    share = parameters.get("percentile", 10.0) / 100
    knots, levels = [], []
    for centre in [*range(0, y.size - 1, max(1, (2 * half + 1) // 100)), y.size - 1]:
        window = y[max(0, centre - half) : centre + half + 1]
        window = np.sort(window[~np.isnan(window)])
        if window.size:
            rank = share * (window.size - 1)
            below = min(int(rank), max(window.size - 2, 0))
            knots.append(centre)
            levels.append(window[below] + (rank - below) * (window[min(below + 1, window.size - 1)] - window[below]))
    return np.interp(np.arange(y.size), knots, levels)


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
    before, after = (math.ceil(float(part) / channel.axis.spacing - 1e-9) for part in margin)
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
