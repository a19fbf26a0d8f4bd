"""How high white noise rises: levels that it crosses a given number of times on average (Rice 1945).

For white noise of sd 1 the correlation with the filter, divided by its own sd, is a smooth process Z(x) of variance 1. The
expected number of excursions above u is the chance to start above it plus the integral of the rate of up-crossings. Where the
noise sd itself is an estimate, the level is Student's instead of the normal one. Numbers in, numbers out; nothing here knows a
signal or a strength. Lengths are in samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter

FEWEST = 1e-300  # false alarms: below it, the normal tail is too small for a floating-point number
MOST_EXPONENT = 300.0  # keeps a Student's level finite where there are hardly any degrees of freedom
DIRECT = 300_000_000  # products up to which a direct convolution is quicker than importing a faster one


@lru_cache(maxsize=64)
def rice_level(false_alarms: float, length: float, correlation_length: float, signed: bool, periodic: bool = False) -> float:
    """Level u that white noise crosses ``false_alarms`` times on average; the arguments are those of `crossings`.

    Raises `UsageError` when there is no such level above 0.
    """
    return solve_level(crossings(length, correlation_length, periodic), false_alarms, signed)


def crossings(length: float, correlation_length: float, periodic: bool = False) -> Callable[[float], float]:
    """How often white noise exceeds a level u on average, on one side, as a function of u.

    Phi(-u) + L / (2 pi l) exp(-u^2 / 2); l = ||phi|| / ||phi'||, L the length of the domain. A periodic domain has no beginning
    to start above the level at, so no Phi(-u).
    """
    rate = length / (2 * math.pi * correlation_length)

    def expected(u: float) -> float:
        return (0.0 if periodic else upper_tail(u)) + rate * math.exp(-0.5 * u * u)

    return expected


def rice_level_weighted(
    false_alarms: float, weights: FloatArray, filter: Filter, domain: tuple[float, float], signed: bool
) -> tuple[float, float]:
    """Level u for sample weights (N,), 0 where missing, and the largest s(x) of `weighted_crossings`."""
    expected, largest = weighted_crossings(weights, filter, domain)
    return (solve_level(expected, false_alarms, signed), largest) if largest else (1.0, 0.0)


def weighted_crossings(
    weights: FloatArray, filter: Filter, domain: tuple[float, float]
) -> tuple[Callable[[float], float], float]:
    """How often noise exceeds a level u, for sample weights (N,), 0 where missing; and the largest s(x): a strength is
    u sd max s.

    With weights the noise in <W e, phi_x> has sd s(x) times the median sd, s(x)^2 = sum W phi_x^2. The level at x is then
    u(x) = u max s / s(x), and the expected number of false crossings the integral over the domain of the rate for a moving
    level: density(u(x)) [d f(u'/d) - u' Phi(-u'/d)], d^2 the variance of the slope of the normalised process, f and Phi the
    normal density and distribution. Where nothing was recorded s = 0, and nothing is counted.
    """
    from scipy.special import ndtr

    step, square, mixed, slope = _weighted_norms(weights, filter, domain)
    largest = float(np.sqrt(square.max(initial=0.0)))
    if largest == 0.0:
        return lambda u: 0.0, 0.0
    seen = square > 1e-9 * largest**2
    square, mixed, slope = square[seen], mixed[seen], slope[seen]
    ratio = largest / np.sqrt(square)  # u(x) / u
    bend = -ratio * mixed / square  # its derivative
    speed = np.sqrt(np.maximum(slope / square - (mixed / square) ** 2, 1e-12 * filter.norm1**2 / filter.norm**2))
    first = float(ratio[0])

    def expected(u: float) -> float:
        drift = u * bend / speed
        density = np.exp(-0.5 * (u * ratio) ** 2) / math.sqrt(2 * math.pi)
        rate = density * speed * (np.exp(-0.5 * drift**2) / math.sqrt(2 * math.pi) - drift * ndtr(-drift))
        return float(rate.sum()) * step + (0.0 if filter.period else upper_tail(u * first))

    return expected, largest


def student_level(level: float, freedom: float) -> float:
    """The level t, in estimated noise sd, that is crossed as often as ``level`` = u is in true ones.

    An estimate s of a sd of 1 with nu = ``freedom`` degrees of freedom has nu s^2 distributed as chi^2, and the rate at t s
    then averages to E exp(-t^2 s^2 / 2) = (1 + t^2 / nu)^(-nu / 2). Equal to exp(-u^2 / 2) where t^2 = nu (exp(u^2 / nu) - 1).
    """
    if not math.isfinite(freedom):
        return level
    return math.sqrt(freedom * math.expm1(min(level**2 / freedom, MOST_EXPONENT)))


def normal_level(level: float, freedom: float) -> float:
    """The level u, in true noise sd, of which ``level`` is the `student_level`."""
    return math.sqrt(freedom * math.log1p(level**2 / freedom)) if math.isfinite(freedom) else level


def upper_tail(level: float) -> float:
    """Phi(-u): the probability that a standard normal exceeds u."""
    return 0.5 * math.erfc(level / math.sqrt(2))


def solve_level(expected: Callable[[float], float], false_alarms: float, signed: bool) -> float:
    """The u > 0 with ``expected(u)`` = false alarms on one side; ``expected`` falls.

    The logarithm is nearly linear in u^2, where the Illinois form of regula falsi needs few evaluations.
    """
    sides = 2.0 if signed else 1.0
    most = sides * expected(0.0)
    if not (math.isfinite(false_alarms) and FEWEST < false_alarms < most):
        raise UsageError(
            "false alarms out of range", received=f"{false_alarms:g}", allowed=f"above 0 and below {most:.3g} for this record"
        )
    target = math.log(false_alarms / sides)

    def excess(square: float) -> float:
        return math.log(max(expected(math.sqrt(square)), 1e-320)) - target

    low, high = 0.0, 4.0
    above, below = math.log(most / sides) - target, excess(high)
    while below > 0:
        low, above, high = high, below, 2 * high
        below = excess(high)
    side = 0
    for _ in range(100):
        square = (low * below - high * above) / (below - above)
        value = excess(square)
        if abs(value) < 1e-11 or high - low < 1e-12 * high:
            break
        if value > 0:
            low, above, below = square, value, below / 2 if side > 0 else below
            side = 1
        else:
            high, below, above = square, value, above / 2 if side < 0 else above
            side = -1
    return math.sqrt(square)


def _weighted_norms(
    weights: FloatArray, filter: Filter, domain: tuple[float, float]
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """Step (samples) of a grid over the domain and on it sum W phi^2, sum W phi phi', sum W phi'^2, each (M,)."""
    phases = max(1, int(np.ceil(2 / filter.width)))
    low, high = int(np.floor(domain[0])), int(np.ceil(domain[1]))
    lag = filter.first + np.arange(filter.taps, dtype=np.float64)
    sample = np.arange(low + filter.first, high + filter.first + filter.taps)
    reached = weights[sample % weights.size]
    if not filter.period:
        reached = np.where((sample >= 0) & (sample < weights.size), reached, 0.0)
    sums = np.empty((3, high - low + 1, phases))
    for phase in range(phases):
        response, slope = (filter.response(lag - phase / phases, order) for order in (0, 1))
        for row, taps in enumerate((response**2, response * slope, slope**2)):
            sums[row, :, phase] = _correlate(reached, taps)
    grid = (np.arange(low, high + 1)[:, None] + np.arange(phases) / phases).ravel()
    kept = (grid >= domain[0] - 1e-9) & (grid <= domain[1] + 1e-9)
    square, mixed, slope_square = sums.reshape(3, -1)[:, kept]
    return 1 / phases, np.maximum(square, 0.0), mixed, np.maximum(slope_square, 0.0)


def _correlate(values: FloatArray, taps: FloatArray) -> FloatArray:
    """sum_k values[n + k] taps[k] for all n with every tap inside."""
    if values.size * taps.size <= DIRECT:
        return np.convolve(values, taps[::-1], "valid")
    from scipy.signal import oaconvolve

    result: FloatArray = oaconvolve(values, taps[::-1], "valid")
    return result
