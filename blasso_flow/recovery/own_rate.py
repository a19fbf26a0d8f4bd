"""Samples that were interpolated from a slower rate are worked on at that rate: a stage before a channel's route.

Between the slower samples nothing was measured: their noise is as smooth as the interpolation, which at the file's rate looks
like spikes. At their own rate the noise is white again. Whether a slower sample is the value at its moment, or averages over
all of its time as a camera's frame does, is what fits better, where the filter does not say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blasso_flow import filters
from blasso_flow.data.results import ChannelRecovery, Fit
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter, exposure_of
from blasso_flow.filters.slower import for_slower
from blasso_flow.filters.stretched import check_stretch
from blasso_flow.noise.interpolation import find_interpolation
from blasso_flow.noise.slower import Interpolation, slower_signal
from blasso_flow.recovery.settings import AS_GIVEN, AUTO_RATE, Settings

SAME = 0.03  # by which a rate that was found may miss the one that is given


@dataclass(frozen=True, eq=False)
class OwnRate:
    """A channel at its own rate: its samples there, a filter for them, and the share of their spacing that they average over."""

    found: Interpolation
    channel: Signal
    filter: Filter
    exposure: float


def at_own_rate(channel: Signal, filter: Filter, settings: Settings) -> list[OwnRate]:
    """The ways in which a channel can be worked on at the rate of its slower samples; none where it is taken as it is given."""
    if settings.sampling_rate == AS_GIVEN or why_not(filter, settings):
        return []
    found = interpolation_of(channel, settings.sampling_rate)
    ways: list[OwnRate] = []
    if found is None:
        return ways
    given = filter.description.parameters.get("exposure")
    refused = None
    for exposure in (given,) if given is not None else dict.fromkeys((exposure_of(filter.description), 0.0, 1.0)):
        slower = slower_signal(channel, found, stamp_shift(filter, settings.stamp, exposure, found.ratio))
        try:
            table = for_slower(filter, slower.axis, exposure)
            if settings.refit_width:
                check_stretch(table)
        except UsageError as error:
            refused = refused or error
            continue
        ways.append(OwnRate(found, slower, table, exposure))
    if not ways and refused is not None and settings.sampling_rate != AUTO_RATE:
        raise refused
    return ways


def why_not(filter: Filter, settings: Settings) -> str:
    """Why a channel has to be taken as it is given, "" where it has not."""
    if settings.loss == "poisson":
        return "`loss=poisson` is about counts, which are not interpolated"
    if settings.width_law is not None:
        return "`width_law=` works on the samples as they are given"
    return "a periodic filter works on the samples as they are given" if filter.period else ""


def interpolation_of(channel: Signal, rate: str | float) -> Interpolation | None:
    """What was found in the samples, or the rate that is given (per axis unit). Raises `UsageError` for one above the file's."""
    found = None if channel.axis.periodic else find_interpolation(channel.values)
    if isinstance(rate, str):
        return found
    ratio = 1 / (channel.axis.spacing * rate)
    if ratio < 1 - 1e-6:
        raise UsageError(
            "sampling_rate is above the rate of the samples",
            received=f"{rate:g}",
            allowed=f"at most {1 / channel.axis.spacing:.6g} per axis unit",
        )
    if ratio < 1 + 1e-6:
        return None
    if found is not None and abs(found.ratio / ratio - 1) < SAME:
        return found
    return Interpolation("mirrored", ratio, float(np.flatnonzero(~np.isnan(channel.values))[0]))


def stamp_shift(filter: Filter, stamp: str, exposure: float, ratio: float) -> float:
    """What is added to the axis (axis units) where the moment that it denotes is that of a longer exposure than the file's."""
    own = exposure_of(filter.description) if stamp != "middle" else 0.0
    return filters.STAMPS[stamp] * filter.spacing * (exposure * ratio - own)


def likeliest(tried: list[tuple[OwnRate, ChannelRecovery]], channel: Signal) -> ChannelRecovery:
    """The recovery that describes the slower samples best, with curves on the file's axis, what was done, and a note on it."""
    way, done = min(tried, key=lambda each: _criterion(each[1]))
    found = way.found
    report = replace(
        done.report,
        interpolation=found.kind,
        ratio=found.ratio,
        first_sample=found.first,
        sample_exposure=way.exposure,
        notes=(sentence(found, channel) + ": worked on at that rate", *done.report.notes),
    )
    place = found.places(channel.values.size)
    at = np.arange(channel.values.size, dtype=np.float64)
    residual, model, baseline = (_between(at, place, curve) for curve in (done.fit.residual, done.fit.model, done.fit.baseline))
    model = np.where(np.isnan(channel.values), model, channel.values - residual)
    return replace(done, report=report, fit=Fit(model=model, residual=channel.values - model, baseline=baseline))


def sentence(found: Interpolation, channel: Signal) -> str:
    """What was found, in words."""
    rate, unit = 1 / (found.ratio * channel.axis.spacing), channel.axis.units
    per = " Hz" if unit == "s" else f" per {unit}" if unit else " per axis unit"
    return f"the samples were interpolated from {rate:.4g}{per} ({found.ratio:.4g} to one)"


def _criterion(done: ChannelRecovery) -> float:
    """Schwarz's criterion of the answer: twice the negative logarithm of the likelihood, and log n for each number."""
    left = done.fit.residual[np.isfinite(done.fit.residual)]
    if not left.size:
        return np.inf
    return float(left.size * np.log(left @ left / left.size + 1e-300) + 2 * len(done.spikes) * np.log(left.size))


def _between(at: FloatArray, place: FloatArray, curve: FloatArray) -> FloatArray:
    """A curve at slower samples, by straight lines, at every sample; NaN where none of it is known."""
    known = np.isfinite(curve)
    return np.interp(at, place[known], curve[known]) if known.any() else np.full(at.size, np.nan)
