"""Samples that were interpolated from a slower rate are worked on at that rate: a stage before a channel's route.

Between the slower samples nothing was measured: their noise is as smooth as the interpolation, which at the file's rate looks
like spikes. At their own rate the noise is white again. Whether a slower sample is the value at its moment, or averages over
all of its time as a camera's frame does, is what fits better, where the filter does not say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blasso_flow.data.results import ChannelRecovery, Fit
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter, exposure_of
from blasso_flow.filters.slower import for_slower, shift_of
from blasso_flow.filters.stretched import check_stretch
from blasso_flow.noise.interpolation import find_interpolation
from blasso_flow.noise.slower import Interpolation, slower_signal
from blasso_flow.recovery.choice import criterion
from blasso_flow.recovery.settings import AS_GIVEN, Settings

SHARP = (
    "the filter is too sharp for slower samples that are readings at a moment: they are taken to average over their time; if "
    "they do not, positions are off by up to half of it, more than their error bars say"
)
SAME = 0.03  # by which a rate that was found may miss the one that is given


@dataclass(frozen=True, eq=False)
class OwnRate:
    """A channel at its own rate: its samples there, a filter for them, and the share of their spacing that they average over."""

    found: Interpolation
    channel: Signal
    filter: Filter
    exposure: float


def at_own_rate(channel: Signal, filter: Filter, settings: Settings) -> tuple[list[OwnRate], tuple[str, ...]]:
    """The ways in which a channel can be worked on at the rate of its slower samples, and a note.

    There are none where it is taken as it is given: as asked, because nothing was found, or for a reason in the note.
    """
    ways: list[OwnRate] = []
    if settings.sampling_rate == AS_GIVEN or settings.loss == "poisson" or filter.period or channel.axis.bend is not None:
        return ways, ()
    found = interpolation_of(channel, settings.sampling_rate)
    if found is None:
        return ways, ()
    words = sentence(found, channel)
    if settings.width_law is not None:
        return ways, (f"{words}, but `width_law=` works on them as given: spurious spikes are likely",)
    slower = slower_signal(channel, found)
    given, refused = filter.description.parameters.get("exposure"), ""
    for exposure in (given,) if given is not None else dict.fromkeys((exposure_of(filter.description), 0.0, 1.0)):
        try:
            table = for_slower(filter, slower.axis, exposure)
            if settings.refit_width:
                check_stretch(table)
        except UsageError as error:
            refused = refused or str(error).partition("\n")[0].partition(";")[0]
            continue
        ways.append(OwnRate(found, slower.shifted(shift_of(filter, table, settings.stamp)), table, exposure))
    if ways:
        return ways, (f"{words}: worked on at that rate", *((SHARP,) if refused and ways[0].exposure else ()))
    return ways, (f"{words}, but are worked on as given, where spurious spikes are likely: {refused}",)


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


def likeliest(tried: list[tuple[OwnRate, ChannelRecovery]], channel: Signal) -> ChannelRecovery:
    """The recovery that describes the slower samples best, with curves on the file's axis and what was done."""
    way, done = min(tried, key=lambda each: _criterion(each[1]))
    found = way.found
    report = replace(
        done.report,
        interpolation=found.kind,
        ratio=found.ratio,
        first_sample=found.first,
        sample_exposure=way.exposure,
    )
    return replace(on_files_axis(done, channel, found), report=report)


def on_files_axis(done: ChannelRecovery, channel: Signal, found: Interpolation) -> ChannelRecovery:
    """The recovery of slower samples with curves at the samples of the file's channel."""
    place = found.places(channel.values.size)
    at = np.arange(channel.values.size, dtype=np.float64)
    residual, model, baseline = (_between(at, place, curve) for curve in (done.fit.residual, done.fit.model, done.fit.baseline))
    model = np.where(np.isnan(channel.values), model, channel.values - residual)
    return replace(done, fit=Fit(model=model, residual=channel.values - model, baseline=baseline))


def sentence(found: Interpolation, channel: Signal) -> str:
    """What was found, in words."""
    rate, unit = 1 / (found.ratio * channel.axis.spacing), channel.axis.units
    per = " Hz" if unit == "s" else f" per {unit}" if unit else " per axis unit"
    return f"the samples were interpolated from {rate:.3g}{per} ({found.ratio:.3g} to one)"


def _criterion(done: ChannelRecovery) -> float:
    """Schwarz's criterion of the answer."""
    left = done.fit.residual[np.isfinite(done.fit.residual)]
    if not left.size:
        return np.inf
    return criterion(float(left @ left) / left.size, left.size, 2 * len(done.spikes))


def _between(at: FloatArray, place: FloatArray, curve: FloatArray) -> FloatArray:
    """A curve at slower samples, by straight lines, at every sample; NaN where none of it is known."""
    known = np.isfinite(curve)
    return np.interp(at, place[known], curve[known]) if known.any() else np.full(at.size, np.nan)
