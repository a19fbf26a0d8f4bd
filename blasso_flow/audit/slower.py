"""The slower record that a report is about, taken from the signal again by code of its own, in plain numpy, for `audit` only.

Kind, ratio and first place are stored with the report; the samples follow from them without any choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.reports import ChannelReport
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter
from blasso_flow.filters.exposure import STAMPS
from blasso_flow.filters.slower import for_slower, shift_of

DEGREES = {"linear": 1, "cubic": 3}
NEAR = 1e-6  # samples
ROUNDS = 40  # in which missing samples are filled in by what is band-limited


def slower_record(
    channel: Signal, filter: Filter, report: ChannelReport, settings: Mapping[str, object]
) -> tuple[Signal, Filter]:
    """The channel at the rate of its slower samples, and the filter for them. Raises `UsageError` for what cannot be meant."""
    stamp = str(settings.get("stamp", "middle"))
    numbers = (report.ratio, report.first_sample, report.sample_exposure)
    good = np.isfinite(numbers).all() and report.ratio > 1 and 0 <= report.first_sample < channel.axis.size
    known = report.interpolation in {*DEGREES, "periodic", "mirrored"} and stamp in STAMPS
    if not good or not known or report.sample_exposure < 0 or np.isnan(channel.values).all():
        raise UsageError(
            "certify: the stored interpolation cannot be used",
            received=f"{report.interpolation}, {', '.join(f'{number:g}' for number in numbers)}, {stamp}",
        )
    size = 1 + int((channel.axis.size - 1 - report.first_sample) / report.ratio + NEAR)
    place = report.first_sample + report.ratio * np.arange(size)
    sd = channel.noise_sd
    if isinstance(sd, np.ndarray):
        sd = sd[np.minimum(np.rint(place).astype(np.int64), channel.axis.size - 1)]
    axis = replace(
        channel.axis,
        first=channel.axis.first + report.first_sample * channel.axis.spacing,
        spacing=channel.axis.spacing * report.ratio,
        size=size,
    )
    table = for_slower(filter, axis, report.sample_exposure)
    if report.interpolation in DEGREES:
        values = np.array([_knot(channel.values, at, DEGREES[report.interpolation]) for at in place.tolist()])
    else:
        values = _band_limited(channel.values, report)
        values = np.append(values, np.full(max(0, size - values.size), np.nan))[:size]
    slower = replace(channel, values=values, axis=axis, noise_sd=sd, truth=None)
    return slower.shifted(shift_of(filter, table, stamp)), table


def _knot(values: FloatArray, place: float, degree: int) -> float:
    """The sample at a knot, or the mean of what Newton's polynomials on both sides of it are there."""
    nearest = round(place)
    if abs(place - nearest) < NEAR:
        return float(values[min(nearest, values.size - 1)])
    sides = []
    for start in (int(np.floor(place)) - degree, int(np.floor(place)) + 1):
        piece = values[max(start, 0) : start + degree + 1]
        if piece.size == degree + 1 and start >= 0 and not np.isnan(piece).any():
            total, binomial = 0.0, 1.0
            for order in range(degree + 1):
                total += binomial * float(np.diff(piece, order)[0])
                binomial *= (place - start - order) / (order + 1)
            sides.append(total)
    return float(np.mean(sides)) if sides else float("nan")


def _band_limited(values: FloatArray, report: ChannelReport) -> FloatArray:
    """Slower samples of what is present: of one period, or of a piece that is continued by its mirror image."""
    present = np.flatnonzero(~np.isnan(values))
    inside = values[present[0] : present[-1] + 1]
    if report.interpolation == "periodic":
        return _at_points(inside, round(inside.size / report.ratio))
    missing = np.isnan(inside)
    points = round(2 * inside.size / report.ratio)
    whole = np.interp(np.arange(inside.size), np.flatnonzero(~missing), inside[~missing])
    level = float(whole.mean())
    whole = whole - level
    for _ in range(ROUNDS if missing.any() else 0):
        smooth = _at_points(_at_points(np.append(whole, whole[::-1]), points), 2 * whole.size)
        whole = np.where(missing, smooth[: whole.size], whole)
    slower = _at_points(np.append(whole, whole[::-1]), points)[: 1 + int((whole.size - 1) / report.ratio + NEAR)] + level
    place = report.ratio * np.arange(slower.size)
    for begin, length in _runs(missing):
        if length > report.ratio / 2:
            slower[(place > begin - 1) & (place < begin + length)] = np.nan
    return slower


def _at_points(values: FloatArray, points: int) -> FloatArray:
    """One period of a band-limited signal at as many points, by its two-sided spectrum."""
    wave, least = np.fft.fft(values), min(values.size, points)
    frequency = np.arange(-((least - 1) // 2), (least - 1) // 2 + 1)
    result = np.zeros(points, dtype=np.complex128)
    result[frequency] = wave[frequency]
    if least % 2 == 0:  # the highest frequency, a cosine, is on both sides where there is room
        half = least // 2
        top = wave[half] + wave[-half] if values.size > points else wave[half]
        result[half] = top / (2 if points > least else 1)
        if points > least:
            result[-half] = np.conj(result[half])
    return np.asarray(np.fft.ifft(result).real * (points / values.size))


def _runs(missing: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and length of every run of missing samples."""
    found: list[tuple[int, int]] = []
    for place in np.flatnonzero(missing).tolist():
        if found and sum(found[-1]) == place:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((place, 1))
    return found
