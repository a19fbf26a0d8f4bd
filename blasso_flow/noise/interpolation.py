"""Whether samples were interpolated from a slower record, and how: kind, distance and place of the slower samples.

Polynomials between knots have differences of zero wherever no knot lies between the samples, which tells distance and place
of the knots exactly. A band-limited interpolation leaves nothing above half the slower rate: the spectrum has an edge there
that no filter and no ordinary noise has. Plain arrays in, places and distances in samples out.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.noise.slower import DEGREES, Interpolation

FEWEST = 64  # samples of the longest run without missing ones
LEAST_RATIO = 1.15  # samples to one of the slower record
SLOWEST = 16  # cycles of the edge in the record, at least
QUIET = 0.05  # power in the highest tenth of the spectrum over the mean: more is there only as recorded
SINGLE, DOUBLE = 7e-8, 2e-13  # of the largest value, by which a sample may be rounded, times what sums of samples magnify
FEWEST_FLAT = 0.05  # share of the differences that are zero, at least
KNOTS = 8  # at least
AGREEMENT = 0.98  # share of the differences that must be zero where no knot is
STRAY = 0.1  # of the differences that are not zero, where no knot is
BENDING = 0.4  # and must not be where one is
CLOSE = 0.02  # samples: differences with a knot so close to their ends are no witness
SIMPLE = 24  # largest denominator of a ratio that is taken for a fraction
EXACT = 1e-3  # error of a spline through every second or third sample over that of one through others, or the curvature
PIECE = 256  # samples that are looked at for it
REACH = 12  # samples to either side that a cubic spline's value depends on
POLE = float(np.sqrt(3)) - 2  # of the cubic spline
EMPTY, EMPTIER = 1e-3, 1e-4  # power above an edge over the power below: at most, and as good as none
APART, FALLEN = 4, 0.05  # bands, and the power over that of the band before, of a fall that is worth a look
FLAT = 8.0  # times the power may fall over a sixth of the frequency before an edge
LEFT, LEFT_OF_A_PERIOD = 0.03, 1e-5  # of the power below an edge that any bin above may have


def find_interpolation(values: FloatArray) -> Interpolation | None:
    """How values (N,), NaN where missing, were interpolated from a slower record; None where they are as recorded."""
    begin, end = longest_run(values)
    run = values[begin:end]
    if run.size < FEWEST:
        return None
    wave = np.fft.rfft(run - run.mean())
    power = wave.real**2 + wave.imag**2
    if not power[-power.size // 10 :].mean() < QUIET * power[1:].mean():
        return None
    present = np.flatnonzero(~np.isnan(values))
    whole = present[-1] - present[0] + 1 == run.size
    single = bool((run.astype(np.float32) == run).all())
    rounding = (SINGLE if single else DOUBLE) * float(np.abs(run).max())
    found = _in_pieces(run, rounding) or _in_few(run, rounding) or (whole and _periodic(wave, power, run.size)) or _edged(run)
    if not found or found.ratio < LEAST_RATIO:
        return None
    first = (begin + found.first) % found.ratio if found.kind in DEGREES else float(present[0])
    return Interpolation(found.kind, found.ratio, first)


def longest_run(values: FloatArray) -> tuple[int, int]:
    """Begin and end of the longest run without NaN in values (N,)."""
    missing = np.isnan(values)
    if not missing.any():
        return 0, values.size
    ends = np.flatnonzero(np.concatenate([[True], missing, [True]]))
    longest = int(np.argmax(np.diff(ends)))
    return int(ends[longest]), int(ends[longest + 1]) - 1


def _in_pieces(run: FloatArray, rounding: float) -> Interpolation | None:
    """Straight lines or cubics between knots, which are found where differences are not zero."""
    for kind, degree in DEGREES.items():
        bends = np.abs(np.diff(run, degree + 1)) > 2 ** (degree + 1) * rounding
        number = int(np.count_nonzero(bends))
        if number >= KNOTS and bends.size - number > FEWEST_FLAT * bends.size:
            found = _knots(bends, degree)
            if found is not None:
                return Interpolation(kind, *found)
    return None


def _knots(bends: NDArray[np.bool_], degree: int) -> tuple[float, float] | None:
    """Distance and first place of knots such that differences of order ``degree + 1`` bend where they must and only there."""
    wave = np.abs(np.fft.rfft(bends - bends.mean()))
    wave[:KNOTS] = 0.0
    low = int(np.argmax(wave > 0.5 * wave.max()))  # a comb's harmonics are as high as its lowest frequency
    ratio = bends.size / (low + int(np.argmax(wave[low : low + 3])))
    middle = np.flatnonzero(bends) + (degree + 1) / 2
    for _ in range(3):
        first = float(np.angle(np.mean(np.exp(2j * np.pi * middle / ratio)))) / (2 * np.pi) * ratio
        number = np.round((middle - first) / ratio)
        away = number - number.mean()
        ratio = float(away @ middle / (away @ away))
        first = float(middle.mean() - ratio * number.mean())
    simple = Fraction(ratio).limit_denominator(SIMPLE)
    if ratio < LEAST_RATIO:
        return None
    if abs(ratio - simple) * bends.size < 0.5 * ratio:
        ratio, first = float(simple), round(first * simple.denominator) / simple.denominator
    whole = ratio.is_integer()
    after = (first - np.arange(bends.size)) % ratio  # from the first sample of each difference to the next knot
    after[after == 0] = ratio
    edge = 0.0 if whole else CLOSE
    inside, clear = after < degree + 1 - edge, after > degree + 1 + edge
    if whole:
        clear = ~inside
    else:
        near = (after < CLOSE) | (after > ratio - CLOSE)
        inside, clear = inside & ~near, clear & ~near
    bad, missed = np.count_nonzero(bends[clear]), np.count_nonzero(~bends[inside])
    agrees = clear.any() and bad <= (1 - AGREEMENT) * np.count_nonzero(clear) and bad <= STRAY * np.count_nonzero(bends)
    return (ratio, first % ratio) if agrees and missed <= (1 - BENDING) * np.count_nonzero(inside) else None


def _in_few(run: FloatArray, rounding: float) -> Interpolation | None:
    """Cubic splines through every second or third sample, where no difference need be zero."""
    middle = max(0, (run.size - PIECE) // 2)
    run = run[middle : middle + PIECE]
    curvature = float(np.abs(np.diff(run, 2)).mean())
    for ratio in (2, 3):
        errors = []
        for first in range(ratio):
            spline = np.convolve(run[first::ratio], _spline(ratio), "valid")  # after knots REACH, REACH + 1, ...
            between = run[first + 1 + REACH * ratio :: ratio][: spline.size]
            errors.append(float(np.abs(spline[: between.size] - between).mean()) if between.size > KNOTS else np.inf)
        first = int(np.argmin(errors))
        others = min(error for phase, error in enumerate(errors) if phase != first)
        if np.isfinite(others) and errors[first] < EXACT * min(others, curvature) + rounding and rounding < 0.03 * others:
            return Interpolation("cubic", float(ratio), float((first + middle) % ratio))
    return None


@cache
def _spline(ratio: int) -> FloatArray:
    """Weights of the samples around for the value of their cubic spline 1 / ratio after a sample."""
    lag = 1 / ratio + np.arange(-REACH, REACH + 1)
    total = np.zeros(lag.size)
    for shift in range(-2 * REACH, 2 * REACH + 1):
        away = np.abs(lag - shift)
        basis = np.where(away < 1, 2 / 3 - away**2 + away**3 / 2, np.clip(2 - away, 0, None) ** 3 / 6)
        total += np.sqrt(3) * POLE ** abs(shift) * basis
    return total


def _periodic(wave: NDArray[np.complex128], power: FloatArray, size: int) -> Interpolation | None:
    """An edge in the spectrum of the whole record: it is one period of what was interpolated."""
    edge = find_edge(power, 1)
    if edge is None:
        return None
    top, below, highest = edge
    if highest > LEFT_OF_A_PERIOD * below:  # what its ends leave where they do not meet
        return None
    even = wave[top].imag ** 2 < 1e-6 * below  # the highest frequency of an even number of samples has no phase
    return Interpolation("periodic", size / (2 * top + (0 if even else 1)), 0.0)


def _edged(run: FloatArray) -> Interpolation | None:
    """An edge in the spectrum of a piece of what was interpolated."""
    power = np.abs(np.fft.rfft((run - run.mean()) * _window(run.size))) ** 2
    edge = find_edge(power, 3)
    return None if edge is None else Interpolation("mirrored", run.size / (2 * edge[0] + 1), 0.0)


@lru_cache(4)
def _window(size: int) -> FloatArray:
    return np.hanning(size)


def _falls(power: FloatArray) -> bool:
    """Whether the power in bands falls as it would over an edge: a quick look, which lets more pass."""
    starts, counts = _bands(power.size)
    level = np.add.reduceat(power, starts) / counts
    return bool((level[APART:] < FALLEN * level[:-APART]).any() or level[-1] < FALLEN * level[-APART:].max())


@lru_cache(16)
def _bands(size: int) -> tuple[IntArray, IntArray]:
    """First bins of bands a twelfth wide, and how many bins each has."""
    starts = np.unique(np.geomspace(SLOWEST // 2, size - 1, int(np.log(2 * size / SLOWEST) * 12)).astype(np.int64))
    return starts, np.diff(np.append(starts, size))


def find_edge(power: FloatArray, blur: int) -> tuple[int, float, float] | None:
    """The last bin before a sharp and lasting fall of the power, and the mean power before and the highest after it, or None.

    The mean over a sixth of the frequency, ``blur`` bins above an edge, must be `EMPTY` times that over a twentieth below it,
    which is `FLAT` times lower than that before at most: a filter's own decline, or a noise's, steepens slowly.
    """
    if not _falls(power):
        return None
    total = np.concatenate([[0.0], np.cumsum(power[::-1])])[::-1]  # from the top: what is small there is not rounded away
    at = np.arange(SLOWEST, int((power.size - 1) / LEAST_RATIO))
    span = np.maximum(8, at // 6)
    fits = (at + blur + span < power.size) & (at - 2 * span >= 0)
    at, span = at[fits], span[fits]
    if not at.size:
        return None

    def mean(begin: NDArray[np.int64], count: NDArray[np.int64]) -> FloatArray:
        return np.asarray((total[begin] - total[begin + count]) / count)

    close = np.maximum(4, at // 20)
    above, below, before = mean(at + blur, span), mean(at - close + 1, close), mean(at - 2 * span + 1, span)
    share = np.maximum(above / np.maximum(below, 1e-300), EMPTIER)
    share[before > FLAT * below] = 1.0
    best = int(np.argmin(share))
    edge, low = int(at[best]), float(below[best])
    highest = float(power[edge + blur + 1 :].max())
    if share[best] > EMPTY or highest > LEFT * low:
        return None
    middle = float(np.sqrt(low * max(highest, EMPTIER**4 * low))) if blur == 1 else 0.25 * low
    return int(np.flatnonzero(power[: edge + blur + 2] > middle)[-1]), low, highest
