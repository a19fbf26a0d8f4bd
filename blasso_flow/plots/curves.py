"""What a figure of one channel draws, collected from a recovery. Nothing here imports matplotlib or draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.reports import ChannelReport
from blasso_flow.data.results import Recovery
from blasso_flow.data.signals import Axis, FilterDescription, FloatArray, Signal
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter, build, completed, stretched
from blasso_flow.filters.prewhitened import whitened_samples
from blasso_flow.noise.colour import Colour
from blasso_flow.noise.counts import with_noise_of_counts
from blasso_flow.noise.slower import as_reported
from blasso_flow.plots.evaluate import COLUMNS
from blasso_flow.plots.parts import Parts
from blasso_flow.problem import baselines
from blasso_flow.problem.problem import Problem


@dataclass(frozen=True)
class Curves:
    """One channel, ready to be drawn. Positions in axis units; curves have shape (N,).

    ``noise_sd`` is (N,) or a scalar, None when unknown. ``position`` to ``unresolved`` are the answer's columns (K,),
    ``optimum_*`` those of the certified measure. ``eta`` samples the certificate at ``eta_position`` over the domain; both
    are empty where nothing was solved. ``domain`` is where spikes may sit; ``peak`` (K,) what a weight of one adds to the signal
    at each spike's peak, ``widening`` (K,) its width over the filter's where widths were fitted, else ones.
    Where samples were interpolated, all is at the rate of the slower ones, which the answer is about.
    ``parts`` hold the filter at every position; where the width follows a law, ``filter`` is that of the record's middle.
    """

    number: int
    signal: Signal
    report: ChannelReport
    settings: Mapping[str, Any]
    filter: Filter
    parts: Parts
    peak: FloatArray
    widening: FloatArray
    domain: tuple[float, float]
    noise_sd: float | FloatArray | None
    model: FloatArray
    baseline: FloatArray
    residual: FloatArray
    position: FloatArray
    position_errors: FloatArray
    weight: FloatArray
    weight_errors: FloatArray
    unresolved: NDArray[np.bool_]
    optimum_position: FloatArray
    optimum_weight: FloatArray
    eta_position: FloatArray
    eta: FloatArray
    eta_at_optimum: FloatArray

    @property
    def axis(self) -> Axis:
        """The signal's axis."""
        return self.signal.axis

    @property
    def positive(self) -> bool:
        """Whether weights were restricted to be non-negative."""
        return is_positive(self.settings)


def is_positive(settings: Mapping[str, Any]) -> bool:
    """Whether a recovery with these settings restricted weights to be non-negative."""
    return bool(settings.get("penalty", "positive") == "positive")


def signal_of(recovery: Recovery) -> Signal:
    """The signal of a recovery. Raises `UsageError` when it was read without it."""
    if recovery.signal is None:
        raise UsageError("the figure needs the signal of this result", mend="give the signal file too")
    return recovery.signal


def filter_of(recovery: Recovery) -> Filter:
    """The filter a recovery was made with, tabulated for its signal. Raises `UsageError` when it cannot be known."""
    signal = signal_of(recovery)
    stored = recovery.settings.get("filter")
    if not isinstance(stored, Mapping):
        raise UsageError("the result does not say which filter it was made with", mend="make it again with `blasso-flow recover`")
    description = completed(FilterDescription(str(stored["kind"]), dict(stored.get("parameters", {}))), signal.filter)
    if description.kind == "measured" and description.response is None:
        raise UsageError(
            "the result was made with a measured filter, which the signal does not hold",
            received=signal.name,
            mend="give the signal file with its impulse response",
        )
    return build(description, signal.axis, str(stored.get("normalisation", "peak")))


def gather(recovery: Recovery, number: int = 0, filter: Filter | None = None, certificate: bool = True) -> Curves:
    """Collect one channel's curves, with or without its certificate; ``filter`` is the table, built here when not given."""
    signal = signal_of(recovery).channel(number)
    filter = filter_of(recovery) if filter is None else filter
    report, settings, spikes, optimum = recovery.channels[number], recovery.settings, recovery.spikes, recovery.optimum
    signal, filter = as_reported(signal, filter, report, str(settings.get("stamp", "middle")))
    if settings.get("noise") == "counts" and np.isfinite(signal.values).any():
        signal = with_noise_of_counts(signal)
    problem = problem_of(signal, filter, report, settings)
    parts = Parts.of(filter, report.sections, signal.axis, problem.domain, problem.strength)
    poisson = settings.get("loss", "squared") == "poisson"
    answer, best = spikes.channel == number, optimum.channel == number
    model, baseline = _fit(recovery, signal, problem, parts, number)
    place = problem.axis.to_samples(optimum.position[best])
    sampled = _Certificate(problem, parts, report, place, optimum.weight[best], poisson)
    widened = widening(recovery, filter)[answer]
    solved = certificate and np.isfinite(report.strength) and report.strength > 0
    eta_position, eta = sampled.curve() if solved else (np.empty(0), np.empty(0))
    group = spikes.group[answer]
    return Curves(
        number=number,
        signal=signal,
        report=report,
        settings=settings,
        filter=filter,
        parts=parts,
        peak=parts.peaks(problem.axis.to_samples(spikes.position[answer])) * stretched.lowered(filter, widened),
        widening=widened,
        domain=(float(signal.axis.from_samples(problem.domain[0])), float(signal.axis.from_samples(problem.domain[1]))),
        noise_sd=np.sqrt(np.maximum(model, 0.0)) if poisson else _noise(signal, report, settings),
        model=model,
        baseline=baseline,
        residual=signal.values - model,
        position=spikes.position[answer],
        position_errors=spikes.position_errors[answer],
        weight=spikes.weight[answer],
        weight_errors=spikes.weight_errors[answer],
        unresolved=np.bincount(group)[group] > 1 if group.size else np.zeros(0, dtype=np.bool_),
        optimum_position=optimum.position[best],
        optimum_weight=optimum.weight[best],
        eta_position=eta_position,
        eta=eta,
        eta_at_optimum=sampled.at_spikes if solved else np.full(int(best.sum()), np.nan),
    )


def widening(recovery: Recovery, filter: Filter) -> FloatArray:
    """Width of every spike over the filter's, (K,): ones unless widths were fitted."""
    width = recovery.spikes.width
    if width is None:
        return np.ones(len(recovery.spikes))
    axis = signal_of(recovery).axis
    return np.asarray(width / (filter.width * axis.spacing_at(axis.to_samples(recovery.spikes.position))))


def problem_of(signal: Signal, filter: Filter, report: ChannelReport, settings: Mapping[str, Any]) -> Problem:
    """The problem that was solved for one channel; of no use for a certificate where the report has no strength."""
    given = settings.get("noise_sd")
    before, after = settings.get("margin", (0.0, 0.0))
    return Problem.from_signal(
        signal,
        filter,
        strength=report.strength if np.isfinite(report.strength) and report.strength > 0 else 1.0,
        noise_sd=None if given is None else float(given),
        positive=is_positive(settings),
        baseline=report.baseline_rule or str(settings.get("baseline", "const")),
        margin=(float(before), float(after)),
    )


def _fit(recovery: Recovery, signal: Signal, problem: Problem, parts: Parts, number: int) -> tuple[FloatArray, FloatArray]:
    """Model and baseline of the answer at the samples that it is about, as stored, else evaluated."""
    if recovery.fit is not None and not recovery.channels[number].interpolation:
        stored = (recovery.fit.model, recovery.fit.baseline)
        model, baseline = (curve if curve.ndim == 1 else curve[number] for curve in stored)
        return model, baseline
    own = recovery.spikes.channel == number
    report = recovery.channels[number]
    columns = problem.baseline
    if report.refit_baseline_rule:
        columns = baselines.columns(report.refit_baseline_rule, problem.axis, np.isfinite(signal.values))
    baseline = columns @ report.refit_baseline if report.refit_baseline.size else np.zeros(problem.axis.size)
    baseline = baseline + baselines.removed(str(recovery.settings.get("baseline", "const")), signal.values, problem.axis)
    position = problem.axis.to_samples(recovery.spikes.position[own])
    weight, samples = recovery.spikes.weight[own], problem.axis.size
    if recovery.spikes.width is not None:
        widened = widening(recovery, problem.filter)[own]
        return baseline + stretched.filtered(problem.filter, position, weight, widened, samples), baseline
    return baseline + parts.filtered(position, weight, samples), baseline


def _noise(signal: Signal, report: ChannelReport, settings: Mapping[str, Any]) -> float | FloatArray | None:
    """Noise sd of one channel, in the order the recovery used: given, stored with the signal, estimated."""
    given = settings.get("noise_sd")
    if given is not None:
        return float(given)
    if isinstance(signal.noise_sd, np.ndarray):
        return signal.noise_sd
    if report.whitener.size:
        return report.noise_sd * Colour(report.whitener).sd_ratio
    sd = report.noise_sd if signal.noise_sd is None else signal.noise_sd
    return float(sd) if np.isfinite(sd) else None


@dataclass(frozen=True, eq=False)
class _Certificate:
    """The certificate of one channel's optimum, whose spikes lie at ``position`` (K,), samples: eta(x) = -<u, response at x> /
    strength, where u is the loss's gradient by the model."""

    problem: Problem
    parts: Parts
    report: ChannelReport
    position: FloatArray
    weight: FloatArray
    poisson: bool

    @cached_property
    def gradient(self) -> FloatArray:
        """Gradient of the loss, shape (N,), at the optimum: W (model - y) for least squares, 1 - y / model for Poisson."""
        problem = self.problem
        model = self.parts.filtered(self.position, self.weight, problem.axis.size)
        if self.report.baseline.size:
            model = model + problem.baseline @ self.report.baseline
        if self.poisson:
            ratio = np.divide(problem.values, model, out=np.zeros_like(model), where=problem.values > 0)
            return (problem.sample_weights > 0) - ratio
        if self.report.whitener.size:
            return self._whitened(model - problem.values)
        return problem.sample_weights * (model - problem.values)

    def _whitened(self, residual: FloatArray) -> FloatArray:
        """That of coloured noise: of the whitened residual, by what each sample has to do with those after it."""
        whitener, periodic = self.report.whitener, self.problem.filter.period > 0
        seen = np.where(self.problem.sample_weights > 0, residual, np.nan)
        innovation = np.nan_to_num(whitened_samples(seen, whitener, periodic))
        later = np.concatenate([innovation, innovation if periodic else np.zeros(innovation.size)])
        result = innovation.copy()
        for lag, share in enumerate(whitener.tolist(), 1):
            result -= share * later[lag : lag + innovation.size]
        return result

    @cached_property
    def at_spikes(self) -> FloatArray:
        """Certificate at the optimum's spikes, shape (K,)."""
        return self.parts.eta(self.position, self.gradient)

    def curve(self) -> tuple[FloatArray, FloatArray]:
        """Positions (axis units) over the domain, the optimum's spikes among them, and the certificate there."""
        problem = self.problem
        density = 16 if problem.axis.size <= 4 * COLUMNS else 6
        at, eta = self.parts.eta_curve(self.gradient, density)
        at = np.concatenate([at, self.position])
        eta = np.concatenate([eta, self.at_spikes])
        order = np.argsort(at, kind="stable")
        return problem.axis.from_samples(at[order]), eta[order]


def model_at(curves: Curves, at: FloatArray) -> FloatArray:
    """The answer's model between the samples too: positions (M,) in axis units; for short ranges."""
    samples, position = curves.axis.to_samples(at), curves.axis.to_samples(curves.position)
    low, high = np.array([part.filter.support for part in curves.parts.each]).T
    low, high = low.min() * curves.widening, high.max() * curves.widening
    near = (position >= samples.min() - high) & (position <= samples.max() - low) | (curves.filter.period > 0)
    result = np.interp(at, curves.axis.positions(), curves.baseline)
    for place, weight, wider in zip(position[near], curves.weight[near], curves.widening[near], strict=True):
        result = result + weight * _response(curves, place, samples, wider)
    return result


def _response(curves: Curves, position: float, samples: FloatArray, wider: float) -> FloatArray:
    """Response at ``samples`` of a spike at ``position``, both in samples."""
    if wider == 1:
        return curves.parts.response(position, samples)
    return stretched.response(curves.filter, samples - position, wider)
