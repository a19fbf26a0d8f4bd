"""The curves that figures draw: one channel's signal, model and certificate, and envelopes of long ones.

Everything is evaluated from the filter's table. Nothing here imports matplotlib or draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter, build
from blasso_flow.signals import Axis, FilterDescription, FloatArray, IntArray, Signal
from blasso_flow.spikes import ChannelReport, Recovery

COLUMNS = 1200  # bins of an envelope: about one a pixel of the widest panel
BATCH = 1_000_000  # table entries evaluated at once
DIRECT = 50_000_000  # multiplications above which a correlation goes by FFT


@dataclass(frozen=True)
class Curves:
    """One channel, ready to be drawn. Positions in axis units; curves have shape (N,).

    ``noise_sd`` is (N,) or a scalar, None when unknown. ``spike_*`` columns are the answer's (K,), ``optimum_*`` those of
    the certified measure. ``eta_position`` and ``eta`` sample the certificate over the domain; both are empty where it
    is not defined (nothing was solved). ``domain`` is where spikes may sit.
    """

    number: int
    signal: Signal
    report: ChannelReport
    settings: Mapping[str, Any]
    filter: Filter
    peak: float
    domain: tuple[float, float]
    noise_sd: float | FloatArray | None
    model: FloatArray
    baseline: FloatArray
    residual: FloatArray
    position: FloatArray
    position_errors: FloatArray
    weight: FloatArray
    weight_errors: FloatArray
    unresolved: FloatArray
    optimum_position: FloatArray
    optimum_weight: FloatArray
    optimum_eta: FloatArray
    eta_position: FloatArray
    eta: FloatArray

    @property
    def axis(self) -> Axis:
        """The signal's axis."""
        return self.signal.axis

    @property
    def positive(self) -> bool:
        """Whether weights were restricted to be non-negative."""
        return self.settings.get("penalty", "positive") == "positive"

    @property
    def normalisation(self) -> str:
        """Normalisation of the filter, which fixes what a weight means."""
        return self.filter.normalisation


def filter_of(recovery: Recovery) -> Filter:
    """The filter a recovery was made with, tabulated for its signal. Raises `UsageError` when it cannot be known."""
    signal = signal_of(recovery)
    stored = recovery.settings.get("filter")
    if not isinstance(stored, Mapping):
        raise UsageError("the result does not say which filter it was made with", mend="make it again with `blasso-flow recover`")
    description = FilterDescription(str(stored["kind"]), dict(stored.get("parameters", {})))
    if description.kind == "measured":
        own = signal.filter
        if own is None or own.response is None:
            raise UsageError(
                "the result was made with a measured filter, which the signal file does not hold",
                received=signal.name,
                mend="give the signal file with its impulse response",
            )
        description = FilterDescription(description.kind, description.parameters, own.lag, own.response)
    return build(description, signal.axis, str(stored.get("normalisation", "peak")))


def signal_of(recovery: Recovery) -> Signal:
    """The signal of a recovery. Raises `UsageError` when it was read without it."""
    if recovery.signal is None:
        raise UsageError("the figure needs the signal of this result", mend="give the signal file too")
    return recovery.signal


def gather(
    recovery: Recovery,
    number: int = 0,
    filter: Filter | None = None,
    eta_position: FloatArray | None = None,
    eta: FloatArray | None = None,
    certificate: bool = True,
) -> Curves:
    """Collect one channel's curves; the certificate is evaluated unless it is given or not wanted."""
    signal = signal_of(recovery).channel(number)
    filter = filter_of(recovery) if filter is None else filter
    report = recovery.channels[number]
    answer, best = recovery.spikes.channel == number, recovery.optimum.channel == number
    position, weight = recovery.spikes.position[answer], recovery.spikes.weight[answer]
    if recovery.fit is None:
        baseline = np.full(signal.axis.size, report.refit_baseline[0] if report.refit_baseline.size else 0.0)
        model = baseline + filtered(filter, signal.axis, position, weight)
        residual = signal.values - model
    else:
        fit = recovery.fit
        own = (fit.model, fit.residual, fit.baseline)
        model, residual, baseline = (curve if curve.ndim == 1 else curve[number] for curve in own)
    settings: Mapping[str, Any] = recovery.settings
    before, after = settings.get("margin", (0.0, 0.0))
    domain = (signal.axis.first - before, signal.axis.last + after)
    noise = _noise(signal, report, settings)
    best_position, best_weight, best_eta = (
        column[best] for column in (recovery.optimum.position, recovery.optimum.weight, recovery.optimum.eta)
    )
    if eta_position is None or eta is None:
        eta_position = eta = np.empty(0)
        if certificate and np.isfinite(report.strength) and report.strength > 0:
            eta_position, eta = _certificate(signal, filter, report, noise, domain, best_position, best_weight)
    group = recovery.spikes.group[answer]
    return Curves(
        number=number,
        signal=signal,
        report=report,
        settings=settings,
        filter=filter,
        peak=signed_peak(filter),
        domain=domain,
        noise_sd=noise,
        model=model,
        baseline=baseline,
        residual=residual,
        position=position,
        position_errors=recovery.spikes.position_errors[answer],
        weight=weight,
        weight_errors=recovery.spikes.weight_errors[answer],
        unresolved=np.bincount(group, minlength=1)[group] > 1 if group.size else np.zeros(0, dtype=bool),
        optimum_position=best_position,
        optimum_weight=best_weight,
        optimum_eta=best_eta,
        eta_position=eta_position,
        eta=eta,
    )


def _noise(signal: Signal, report: ChannelReport, settings: Mapping[str, Any]) -> float | FloatArray | None:
    """Noise sd of one channel, in the order the recovery used: given, stored with the signal, estimated."""
    given = settings.get("noise_sd")
    if given is not None:
        return float(given)
    if isinstance(signal.noise_sd, np.ndarray):
        return signal.noise_sd
    sd = report.noise_sd if signal.noise_sd is None else signal.noise_sd
    return float(sd) if np.isfinite(sd) else None


def sample_weights(values: FloatArray, noise_sd: float | FloatArray | None) -> FloatArray:
    """Weights W (N,): 0 where missing, else (median sd / sd_n)^2."""
    present = ~np.isnan(values)
    weights = present.astype(np.float64)
    if isinstance(noise_sd, np.ndarray) and present.any():
        weights[present] = (np.median(noise_sd[present]) / noise_sd[present]) ** 2
    return weights


def filtered(filter: Filter, axis: Axis, position: FloatArray, weight: FloatArray) -> FloatArray:
    """Sum of weighted responses at the samples, shape (N,): positions (K,) in axis units, weights (K,)."""
    result = np.zeros(axis.size)
    taps = np.arange(filter.taps)
    step = max(1, BATCH // filter.taps)
    for start in range(0, position.size, step):
        at = axis.to_samples(position[start : start + step])[:, None]
        index = np.floor(at).astype(np.int64) + filter.first + taps
        values = weight[start : start + step, None] * filter.response(index - at)
        if filter.period:
            index = index % filter.period
        inside = (index >= 0) & (index < axis.size)
        result += np.bincount(index[inside], weights=values[inside], minlength=axis.size)
    return result


def model_at(curves: Curves, at: FloatArray) -> FloatArray:
    """The answer's model between the samples too: positions (M,) in axis units; use it on short stretches."""
    samples = curves.axis.to_samples(at)
    low, high = curves.filter.support
    position = curves.axis.to_samples(curves.position)
    near = np.ones(position.size, dtype=bool)
    if not curves.filter.period:
        near = (position >= samples.min() - high) & (position <= samples.max() - low)
    result = np.interp(at, curves.axis.positions(), curves.baseline)
    for place, weight in zip(position[near], curves.weight[near], strict=True):
        result = result + weight * curves.filter.response(samples - place)
    return result


def signed_peak(filter: Filter) -> float:
    """The largest response with its sign: what a weight of one adds to the signal."""
    low, high = filter.support
    lag = np.arange(np.floor(low), np.ceil(high) + 1, min(1.0, filter.width / 8))
    values = filter.response(lag)
    return float(values[np.argmax(np.abs(values))])


def _certificate(
    signal: Signal,
    filter: Filter,
    report: ChannelReport,
    noise_sd: float | FloatArray | None,
    domain: tuple[float, float],
    position: FloatArray,
    weight: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Certificate of the optimum over the domain, sampled a few times a width and at every spike of the optimum."""
    axis = signal.axis
    model = filtered(filter, axis, position, weight) + (report.baseline[0] if report.baseline.size else 0.0)
    weights = sample_weights(signal.values, noise_sd)
    gradient = weights * (model - np.where(weights > 0, signal.values, model))
    density = 16 if axis.size <= 4 * COLUMNS else 6
    phases = max(1, int(np.ceil(density / filter.width)))
    first, last = (float(end) for end in axis.to_samples(np.asarray(domain)))
    nodes = np.arange(int(np.floor(first)), int(np.floor(last)) + 1)
    eta = np.empty((nodes.size, phases))
    for phase in range(phases):
        eta[:, phase] = -correlated(gradient, filter, nodes, phase / phases) / report.strength
    at = (nodes[:, None] + np.arange(phases) / phases).ravel()
    inside = (at >= first - 1e-9) & (at <= last + 1e-9)
    at, values = at[inside], eta.ravel()[inside]
    spikes = axis.to_samples(position)
    exact = -np.array([_product(gradient, filter, place) for place in spikes]) / report.strength
    order = np.argsort(np.concatenate([at, spikes]), kind="stable")
    return axis.from_samples(np.concatenate([at, spikes])[order]), np.concatenate([values, exact])[order]


def _product(gradient: FloatArray, filter: Filter, place: float) -> float:
    """<gradient, response at one position> (samples)."""
    index = int(np.floor(place)) + filter.first + np.arange(filter.taps)
    response = filter.response(index - place)
    if filter.period:
        return float(gradient[index % filter.period] @ response)
    inside = (index >= 0) & (index < gradient.size)
    return float(gradient[index[inside]] @ response[inside])


def correlated(gradient: FloatArray, filter: Filter, nodes: IntArray, fraction: float) -> FloatArray:
    """<gradient, response at node + fraction> for consecutive whole nodes (M,): one correlation."""
    row = filter.response(filter.first + np.arange(filter.taps) - fraction)
    low, high = int(nodes[0]) + filter.first, int(nodes[-1]) + filter.first + filter.taps
    if filter.period:
        stretch = gradient[np.arange(low, high) % filter.period]
    else:
        stretch = np.zeros(high - low)
        a, b = max(low, 0), min(high, gradient.size)
        if a < b:
            stretch[a - low : b - low] = gradient[a:b]
    if stretch.size * row.size <= DIRECT:
        return np.correlate(stretch, row, "valid")
    size = 1 << (stretch.size - 1).bit_length()
    product = np.fft.rfft(stretch, size) * np.conj(np.fft.rfft(row, size))
    return np.fft.irfft(product, size)[: nodes.size]


def envelope(x: FloatArray, y: FloatArray, columns: int = COLUMNS) -> tuple[FloatArray, FloatArray]:
    """Thin a curve (N,) for drawing so that no peak is lost: the lowest and the highest point of each column, in order.

    Short curves come back whole. A column without any finite value becomes one NaN, which breaks the line.
    """
    if x.size <= 4 * columns:
        return x, y
    edges = np.linspace(0, x.size, columns + 1).astype(np.int64)
    starts = edges[:-1]
    finite = np.isfinite(y)
    low = np.minimum.reduceat(np.where(finite, y, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, y, -np.inf), starts)
    column = np.repeat(np.arange(columns), np.diff(edges))
    points = np.arange(x.size)

    def first_at(level: FloatArray) -> IntArray:
        hit = np.where(finite & (y == level[column]), points, x.size)
        found = np.minimum.reduceat(hit, starts)
        return np.where(found == x.size, starts, found)

    index = np.sort(np.stack([first_at(low), first_at(high)], axis=1), axis=1).ravel()
    return x[index], y[index]


def missing_runs(values: FloatArray) -> IntArray:
    """Runs of missing samples, shape (R, 2): first sample and the one after the last."""
    missing = np.concatenate([[False], np.isnan(values), [False]])
    return np.flatnonzero(missing[1:] != missing[:-1]).reshape(-1, 2).astype(np.int64)
