"""Signals with known truth: spikes drawn off the grid, filtered exactly, on an offset, with white noise or as Poisson counts.

The model is the filter's own table (`Filter.response`), evaluated only at samples within a spike's reach. Everything follows
from the seed, with independent random streams for each channel and, within it, for positions, weights, noise and missing
samples. Nothing here recovers, reads files or draws.
"""

from __future__ import annotations

import math

import numpy as np

from blasso_flow.data.signals import Axis, FilterDescription, FloatArray, Signal, Truth
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter, build, describe, exposed, kind_of
from blasso_flow.filters.superposition import filtered

ROUNDING = 1e-9  # of the largest mean count: a table's rounding
MOST_COUNTS = 1e15  # a sample, in the mean: whole numbers are exact up to here
ENDS = ("anywhere", "on")


def simulate(
    filter: FilterDescription | str,
    *,
    samples: int,
    first: float = 0.0,
    last: float | None = None,
    spikes: int,
    min_separation: float = 0.0,
    end_distance: float = 0.0,
    ends: str = "anywhere",
    snr: float | None = None,
    noise_sd: float | None = None,
    positive: bool = True,
    weights: tuple[float, float] = (0.5, 1.5),
    channels: int = 1,
    missing: float = 0.0,
    offset: float = 0.0,
    seed: int = 0,
    normalisation: str = "peak",
    name: str = "position",
    axis_units: str = "",
    units: str = "",
    exposure: float | None = None,
    counts: bool = False,
) -> Signal:
    """Draw a signal whose spikes are known.

    Parameters
    ----------
    filter : description, or text such as ``"gaussian:sd=0.02"`` (axis units).
    samples : number of samples N of each channel.
    first, last : positions of the first and the last sample; the default ``last`` gives spacing 1. For a periodic filter
        ``last`` is the end of the period, where the first sample would come again: it is not a sample, and the axis closes.
    spikes : number of spikes K of each channel.
    min_separation : least distance between two spikes, axis units. Positions are uniform among all sets that keep it.
    end_distance : least distance of a spike from either end, axis units.
    ends : "anywhere", or "on" to put the outermost spikes exactly on the two ends.
    snr : 10 log10 of mean square of the filtered spikes (offset not counted) over noise variance, dB; or
    noise_sd : standard deviation of the noise, units of the values. Neither: no noise.
    positive : weights all positive, otherwise each sign is drawn.
    weights : range of the uniformly drawn magnitudes.
    missing : share of samples that are missing (NaN), drawn anywhere.
    offset : constant added to every sample.
    seed : of all random streams; the same seed gives the same bytes, and more channels leave the first ones as they were.
    normalisation : "peak", "area" or "energy": the meaning of a weight.
    exposure : share of the spacing, centred on each sample, that it averages over; None: as the filter says.
    counts : draw each sample from the Poisson distribution whose mean is the filtered spikes plus ``offset``, the background.

    Returns
    -------
    Signal : values (N,) for one channel, else (C, N), with truth, noise_sd (None without noise, and for counts) and filter.

    Raises
    ------
    UsageError : an argument out of range, or spikes that do not fit at their separation.
    """
    description = exposed(describe(filter) if isinstance(filter, str) else filter, exposure)
    _check(samples, spikes, channels, seed, missing, weights, snr, noise_sd, offset)
    if counts:
        _check_counts(snr, noise_sd, positive, offset)
    axis = _axis(description, samples, first, last, name, axis_units)
    table = build(description, axis, normalisation)
    low, high = axis.first, axis.first + (axis.size if axis.periodic else axis.size - 1) * axis.spacing
    _check_room(spikes, min_separation, end_distance, ends, high - low, axis.periodic)
    rows = np.zeros((channels, samples))
    noise = np.zeros(channels)
    positions, heights = np.empty((2, channels, spikes))
    for number, stream in enumerate(np.random.SeedSequence(seed).spawn(channels)):
        place, weigh, disturb, lose = (np.random.default_rng(part) for part in stream.spawn(4))
        positions[number] = _draw(place, spikes, low, high, min_separation, end_distance, ends, axis.periodic)
        heights[number] = weigh.uniform(*weights, spikes)
        if not positive:
            heights[number] *= weigh.choice([-1.0, 1.0], spikes)
        rows[number] = filtered(table, axis.to_samples(positions[number]), heights[number], samples)
        noise[number] = _noise_sd(rows[number], snr, noise_sd)
        rows[number] += offset
        if counts:
            rows[number] = _counted(rows[number], disturb, table)
        else:
            rows[number] += noise[number] * disturb.standard_normal(samples)
        rows[number, lose.permutation(samples)[: round(missing * samples)]] = np.nan
    truth = Truth(np.repeat(np.arange(channels), spikes), positions.ravel(), heights.ravel())
    return Signal(
        values=rows[0] if channels == 1 else rows,
        axis=axis,
        units=units,
        noise_sd=_stored_noise(noise),
        filter=description,
        truth=truth,
        name="simulated signal",
    )


def _axis(description: FilterDescription, samples: int, first: float, last: float | None, name: str, units: str) -> Axis:
    periodic = kind_of(description.kind).periodic
    intervals = samples if periodic else samples - 1
    end = first + max(intervals, 1) if last is None else last
    if not (math.isfinite(first) and math.isfinite(end) and end > first):
        raise UsageError("the range is empty or not finite", received=f"{first:g} to {end:g}", allowed="first < last")
    return Axis(first, (end - first) / max(intervals, 1), samples, name, units, periodic)


def _check(
    samples: int,
    spikes: int,
    channels: int,
    seed: int,
    missing: float,
    weights: tuple[float, float],
    snr: float | None,
    noise_sd: float | None,
    offset: float,
) -> None:
    for what, received, good, allowed in (
        ("samples", samples, samples >= 2, "at least 2"),
        ("spikes", spikes, spikes >= 0, "at least 0"),
        ("channels", channels, channels >= 1, "at least 1"),
        ("seed", seed, seed >= 0, "a whole number from 0"),
        ("missing", missing, 0 <= missing < 1, "a share from 0 to below 1"),
        ("weights", weights, 0 < weights[0] <= weights[1] < math.inf, "a range LOW HIGH with 0 < LOW <= HIGH"),
        ("snr", snr, snr is None or math.isfinite(snr), "a finite number of dB"),
        ("noise_sd", noise_sd, noise_sd is None or 0 <= noise_sd < math.inf, "a finite number, at least 0"),
        ("offset", offset, math.isfinite(offset), "a finite number"),
    ):
        if not good:
            raise UsageError(f"simulate: {what} cannot be used", received=received, allowed=allowed)
    if snr is not None and noise_sd is not None:
        raise UsageError("simulate: the noise is given twice", received="snr and noise_sd", mend="give one of them")
    if snr is not None and spikes == 0:
        raise UsageError("simulate: snr has no meaning without spikes", received=f"snr {snr:g} dB", mend="give noise_sd instead")


def _check_counts(snr: float | None, noise_sd: float | None, positive: bool, offset: float) -> None:
    for what, wrong, received, mend in (
        ("have their own noise", snr is not None, f"snr {snr}", "leave out snr"),
        ("have their own noise", noise_sd is not None, f"noise_sd {noise_sd}", "leave out noise_sd"),
        ("come from spikes above zero", not positive, "signed", "leave out signed"),
        ("need a background of at least 0", offset < 0, f"offset {offset:g}", "give a larger offset"),
    ):
        if wrong:
            raise UsageError(f"simulate: counts {what}", received=received, mend=mend)


def _counted(mean: FloatArray, random: np.random.Generator, filter: Filter) -> FloatArray:
    """Poisson counts of mean (N,); what a table's rounding leaves below 0 is 0."""
    if mean.min() < -ROUNDING * np.abs(mean).max():
        raise UsageError(
            f"simulate: counts need a mean of at least 0, and {filter.description} falls below",
            received=f"{mean.min():.3g}",
            mend="raise offset",
        )
    if mean.max() > MOST_COUNTS:
        raise UsageError(
            "simulate: too many counts a sample", received=f"{mean.max():.3g}", allowed=f"a mean of at most {MOST_COUNTS:.0g}"
        )
    return random.poisson(np.maximum(mean, 0.0)).astype(np.float64)


def _check_room(spikes: int, separation: float, end_distance: float, ends: str, length: float, periodic: bool) -> None:
    """Raise `UsageError` when the spikes do not fit on a range of that length (axis units)."""
    if ends not in ENDS:
        raise UsageError("simulate: ends cannot be used", received=ends, allowed=" or ".join(ENDS))
    for what, distance in (("min_separation", separation), ("end_distance", end_distance)):
        if not 0 <= distance < math.inf:
            raise UsageError(f"simulate: {what} cannot be used", received=f"{distance:g}", allowed="a finite number, at least 0")
    if (ends == "on" and (periodic or end_distance)) or (periodic and end_distance):
        given = "a periodic filter" if periodic else "end_distance"
        raise UsageError(
            "simulate: no ends to put spikes on or keep them from", received=given, mend="leave out ends and end_distance"
        )
    free = length - 2 * end_distance
    needed = separation * (spikes if periodic and spikes > 1 else max(spikes - 1, 0))
    if (spikes and free < 0) or needed > free:
        most = 0 if free < 0 else math.floor(free / separation + (0 if periodic else 1)) if separation else 1
        raise UsageError(
            "simulate: the spikes do not fit on the range",
            received=f"{spikes} spikes with min_separation {separation:g} on a length of {max(free, 0.0):g}",
            allowed=f"at most {most} spikes",
            mend="lower spikes or min_separation, or widen the range",
        )


def _draw(
    random: np.random.Generator,
    spikes: int,
    low: float,
    high: float,
    separation: float,
    end_distance: float,
    ends: str,
    periodic: bool,
) -> FloatArray:
    """Sorted positions (K,), uniform among all that keep the separation.

    Taking the separation out of every gap maps these sets one to one onto sorted points of a shorter interval, where
    independent uniform draws are uniform. On a circle one spike is put at 0, the others are drawn in what is left, and the
    whole is turned by a uniform angle: all gaps, that over the seam included, are then exchangeable.
    """
    if spikes == 0:
        return np.empty(0)
    if periodic:
        length = high - low
        free = np.concatenate(
            [[0.0], np.sort(random.uniform(0, length - spikes * separation if spikes > 1 else 0.0, spikes - 1))]
        )
        turned = free + np.arange(spikes) * separation + random.uniform(0, length)
        return np.sort(low + np.where(turned >= length, turned - length, turned) % length)
    if ends == "on":
        inner = _draw(random, max(spikes - 2, 0), low + separation, high - separation, separation, 0.0, "anywhere", False)
        return np.concatenate([[low], inner, [high]])[:spikes] if spikes > 1 else np.array([low])
    low, high = low + end_distance, high - end_distance
    free = np.sort(random.uniform(0, max(high - low - (spikes - 1) * separation, 0.0), spikes))
    return np.minimum(low + free + np.arange(spikes) * separation, high)


def _noise_sd(clean: FloatArray, snr: float | None, noise_sd: float | None) -> float:
    if snr is None:
        return noise_sd or 0.0
    return float(np.sqrt(np.mean(clean**2) * 10 ** (-snr / 10)))


def _stored_noise(noise: FloatArray) -> float | FloatArray | None:
    """One number where all channels share it, one a channel where they do not, None without noise."""
    if not noise.all():
        return None
    return float(noise[0]) if (noise == noise[0]).all() else noise
