"""The slower record that samples were interpolated from: where its samples lie, and what they are.

Plain numpy, no fit and no choice: recovery works on these samples, and the audit has code of its own for them. Places and
distances in samples of the signal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.reports import ChannelReport
from blasso_flow.data.signals import FloatArray, IntArray, Signal
from blasso_flow.filters import Filter
from blasso_flow.filters.slower import for_slower, shift_of

DEGREES = {"linear": 1, "cubic": 3}
NEAR = 1e-6  # samples: a knot so close to a sample is on it
FILLINGS = 40  # rounds in which samples that are missing are filled in by what is band-limited


@dataclass(frozen=True)
class Interpolation:
    """How samples came from a slower record, whose sample m lies at sample ``first + m ratio``.

    ``kind`` is "linear" or "cubic" (polynomials between its samples), "periodic" (band-limited, what is present being one period)
    or "mirrored" (band-limited, a piece of what was interpolated: the places of the slower samples are then ours).
    """

    kind: str
    ratio: float
    first: float

    def places(self, size: int) -> FloatArray:
        """Places (M,) of the slower samples within ``size`` samples."""
        return np.asarray(
            self.first + self.ratio * np.arange(int((size - 1 - self.first) / self.ratio + NEAR) + 1), dtype=np.float64
        )


def slower_signal(channel: Signal, found: Interpolation) -> Signal:
    """One channel at the rate of its slower samples."""
    size = channel.axis.size
    places = found.places(size)
    noise = channel.noise_sd
    if isinstance(noise, np.ndarray):
        noise = noise[np.clip(np.round(places).astype(np.int64), 0, size - 1)]
    axis = replace(
        channel.axis,
        first=float(channel.axis.from_samples(found.first)),
        spacing=channel.axis.spacing * found.ratio,
        size=places.size,
    )
    return replace(channel, values=slower_samples(channel.values, found), axis=axis, noise_sd=noise, truth=None)


def as_reported(channel: Signal, filter: Filter, report: ChannelReport, stamp: str) -> tuple[Signal, Filter]:
    """The samples that a report is about and the filter for them: the channel's own unless they were interpolated."""
    if not report.interpolation:
        return channel, filter
    found = Interpolation(report.interpolation, report.ratio, report.first_sample)
    slower = slower_signal(channel, found)
    table = for_slower(filter, slower.axis, report.sample_exposure)
    return slower.shifted(shift_of(filter, table, stamp)), table


def slower_samples(values: FloatArray, found: Interpolation) -> FloatArray:
    """The samples (M,) of the slower record behind values (N,); NaN where those they follow from are missing."""
    if found.kind in DEGREES:
        return _at_knots(values, found.places(values.size), DEGREES[found.kind])
    present = np.flatnonzero(~np.isnan(values))
    first, last = int(present[0]), int(present[-1])
    inside = values[first : last + 1]
    places = found.places(values.size)
    result = np.full(places.size, np.nan)
    if found.kind == "periodic":
        own = resampled(inside, round(inside.size / found.ratio))[: places.size]
        result[: own.size] = own
        return result
    missing = np.isnan(inside)
    number = round(2 * inside.size / found.ratio)
    filled = np.interp(np.arange(inside.size), np.flatnonzero(~missing), inside[~missing])
    level = float(filled.mean())
    filled -= level
    for _ in range(FILLINGS if missing.any() else 0):
        filled[missing] = resampled(resampled(_mirrored(filled), number), 2 * inside.size)[: inside.size][missing]
    own = resampled(_mirrored(filled), number)
    own = own[: int((inside.size - 1) / found.ratio + NEAR) + 1] + level
    own[_in_gaps(missing, found.ratio, own.size)] = np.nan
    result[: own.size] = own[: places.size]
    return result


def resampled(values: FloatArray, size: int) -> FloatArray:
    """Values (N,) of one period at ``size`` points, band-limited."""
    spectrum = np.fft.rfft(values)
    cut = np.zeros(size // 2 + 1, dtype=np.complex128)
    common = min(cut.size, spectrum.size)
    cut[:common] = spectrum[:common]
    shorter = min(size, values.size)
    if shorter % 2 == 0 and size != values.size:  # half of what is at the highest frequency belongs to its mirror image
        cut[shorter // 2] *= 0.5 if size > values.size else 2.0
    return np.asarray(np.fft.irfft(cut, size) * (size / values.size))


def _mirrored(values: FloatArray) -> FloatArray:
    return np.concatenate([values, values[::-1]])


def _in_gaps(missing: NDArray[np.bool_], ratio: float, size: int) -> NDArray[np.bool_]:
    """Which of ``size`` slower samples lie in a run of missing ones longer than half their distance."""
    ends = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8)))
    place = ratio * np.arange(size)
    hidden = np.zeros(size, dtype=np.bool_)
    for begin, end in ends.reshape(-1, 2):
        if end - begin > ratio / 2:
            hidden |= (place > begin - 1) & (place < end)
    return hidden


def _at_knots(values: FloatArray, places: FloatArray, degree: int) -> FloatArray:
    """Values at knots: the sample there, else what the polynomials to the left and to the right are at it."""
    nearest = np.round(places).astype(np.int64)
    on = np.abs(places - nearest) < NEAR
    result = np.where(on, values[np.clip(nearest, 0, values.size - 1)], np.nan)
    sides = np.full((2, places.size), np.nan)
    below = np.floor(places).astype(np.int64)
    for side, start in zip(sides, (below - degree, below + 1), strict=True):
        usable = ~on & (start >= 0) & (start + degree < values.size)
        side[usable] = _extended(values, start[usable], places[usable] - start[usable], degree)
    both = np.isnan(sides).sum(axis=0)
    sides[:, both == 1] = np.nansum(sides[:, both == 1], axis=0)
    return np.where(on, result, sides.mean(axis=0))


def _extended(values: FloatArray, start: IntArray, at: FloatArray, degree: int) -> FloatArray:
    """The polynomial through samples ``start`` to ``start + degree``, at places counted from ``start``."""
    total = np.zeros(at.size)
    for node in range(degree + 1):
        share = np.ones(at.size)
        for other in range(degree + 1):
            if other != node:
                share *= (at - other) / (node - other)
        total += share * values[start + node]
    return total
