"""Decay filter: a difference of exponentials that starts at lag zero, averaged over the exposure of a sample.

Before averaging the response is ``exp(-lag/decay) - exp(-lag/rise)`` for lag >= 0, else 0; the constant in front is
``1/(1/rise - 1/decay)``, so that equal times give the limit ``lag exp(-lag/decay)``. A camera or a histogram adds up
what arrives while its shutter is open: the average over ``exposure`` (a fraction of the spacing), centred on the sample.
It also removes the kink at the onset, on which spikes would otherwise stick.

An ``order`` n above 1 makes the onset smooth: ``exp(-lag/decay) (1 - exp(-lag (1/rise - 1/decay)))^n``, over the same factor to
the power n. A cooperative calcium indicator answers so, n being the number of ions it takes: a delay, then a steep rise. For
GCaMP6s n is about 3 (Hill coefficient 2.9, Chen et al. 2013).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import comb

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters.exposure import average
from blasso_flow.filters.kinds import EXPOSURE, Design, FilterKind, Parameter, tail_end

SIMILAR = 0.5  # rise/decay above this: the difference of the exponentials is not left to cancel
TAIL_RATIO = 1.05  # decay/rise from which the tail's two exponentials can be distinguished
ONSET = 3.0  # in rise times: from there on the exponentials of a higher order are summed without cancelling
HIGHEST = 5  # order: the sum's coefficients stay below 11
TINY = 1e-12  # stands for a length of zero, where the quotients below have reached their limits


def response(lag: FloatArray, rise: float, decay: float, exposure: float, order: int = 1) -> FloatArray:
    """Response at lags of any shape; all parameters in the units of lag (``exposure`` too), 0 < rise <= decay.

    The box of length ``exposure`` around a lag is cut at the onset; the average of each exponential over what is left is
    written so that it neither cancels (long decays) nor divides by zero (equal times).
    """
    lag = np.asarray(lag, dtype=np.float64)
    if order > 1:
        return _of_order(lag, rise, decay, exposure, order)
    result = np.zeros(lag.shape)
    whole = lag >= exposure / 2
    result[whole] = _difference(1 / decay, 1 / rise, lag[whole] - exposure / 2, np.array(exposure))
    cut = (lag > -exposure / 2) & ~whole
    length = lag[cut] + exposure / 2
    result[cut] = _difference(1 / decay, 1 / rise, np.array(0.0), length) * (length / max(exposure, TINY))
    return result


def _difference(slow: float, fast: float, first: FloatArray, length: FloatArray) -> FloatArray:
    """Average of (exp(-slow t) - exp(-fast t)) / (fast - slow) over first <= t <= first + length."""
    if fast * SIMILAR < slow:
        return _similar(slow, fast, first, length)
    return (_average(slow, first, length) - _average(fast, first, length)) / (fast - slow)


def _average(rate: float, first: FloatArray, length: FloatArray) -> FloatArray:
    z = np.maximum(rate * length, TINY)
    return np.asarray(np.exp(-rate * first) * (-np.expm1(-z) / z))


def _similar(slow: float, fast: float, first: FloatArray, length: FloatArray) -> FloatArray:
    """Average as in `_difference`, for rates that are close or equal.

    Over a box of middle c and half length g, the average of exp(-k t) is exp(-k c) S(k g) with S(z) = sinh(z)/z. With m
    and q half the sum and half the difference of the two k g,
    S(fast g) - S(slow g) = 2 (m cosh(m) sinh(q) - q sinh(m) cosh(q)) / (fast g slow g), and the rest is an expm1.
    """
    half = np.maximum(length / 2, TINY)
    middle = first + length / 2
    difference = fast - slow
    m, q = (slow + fast) / 2 * half, np.maximum(difference / 2 * half, TINY)
    change = (m * np.cosh(m) * (np.sinh(q) / q) - np.sinh(m) * np.cosh(q)) / (slow * fast * half)
    growth = middle if difference == 0 else -np.expm1(-difference * middle) / difference
    return np.asarray(np.exp(-slow * middle) * (np.sinh(fast * half) / (fast * half) * growth - change))


def _of_order(lag: FloatArray, rise: float, decay: float, exposure: float, order: int) -> FloatArray:
    """Response of an order n above 1, averaged over the exposure.

    Near the onset by quadrature over the box, elsewhere as the sum over k from 0 to n of
    (-1)^k binomial(n, k) exp(-(1/decay + k speed) t), every exponential averaged in closed form.
    """
    speed = 1 / rise - 1 / decay

    def sharp(lag: FloatArray) -> FloatArray:
        t = np.maximum(lag, 0.0)
        growth = t if speed == 0 else -np.expm1(-speed * t) / speed
        return np.asarray(growth**order * np.exp(-t / decay))

    result = np.zeros(lag.shape)
    far = (speed * lag > ONSET) & (lag > exposure / 2)
    for k in range(order + 1 if far.any() else 0):
        part = _average(1 / decay + k * speed, lag[far] - exposure / 2, np.array(exposure))
        result[far] += (-1) ** k * comb(order, k) * part / speed**order
    near = (lag > -exposure / 2) & ~far
    if exposure == 0:
        result[near] = sharp(lag[near])
    else:
        onset = Design(response=sharp, support=(0.0, np.inf), width=_width(rise, 0.0, order), knots=(0.0,))
        result[near] = average(onset, lag[near], exposure)
    return result


def _width(rise: float, exposure: float, order: int) -> float:
    """Resolution length for a decay that is much longer than the rise; within a factor 1.5 for any.

    Of order n above 1 without exposure, from integrals of s = exp(-lag/rise): ||phi'||^2 / ||phi''||^2 = rise^2 (2 n - 3) / n.
    """
    if order > 1:
        return float(np.sqrt(1.5 * rise**2 * (2 * order - 3) / order + exposure**2 / 12))
    if exposure == 0:
        return float(np.sqrt(1.5) * rise)
    lost = -np.expm1(-exposure / rise)
    return float(np.sqrt(1.5 * rise * (exposure - rise * lost) / lost))


def design(description: FilterDescription, parameters: Mapping[str, float], spacing: float, samples: int) -> Design:
    """Support, width, knots and response for one spacing. Raises `UsageError` if the rise is longer than the decay."""
    rise, decay, exposure = parameters["rise"] / spacing, parameters["decay"] / spacing, parameters["exposure"]
    order = int(parameters["order"])
    if rise > decay:
        raise UsageError(
            "filter decay: the rise is longer than the decay",
            received=f"rise={parameters['rise']:g}, decay={parameters['decay']:g}",
            allowed="rise at most decay",
            mend="exchange the two",
        )

    def in_samples(lag: FloatArray) -> FloatArray:
        return response(lag, rise, decay, exposure, order)

    ratio = decay / rise
    top = decay * (np.log1p(order * (ratio - 1)) / (ratio - 1) if ratio > 1 else order)
    apart = ratio > (TAIL_RATIO if order == 1 else 1 / SIMILAR)
    return Design(
        response=in_samples,
        support=(-exposure / 2, tail_end(in_samples, top, decay)),
        width=_width(rise, exposure, order),
        knots=(-exposure / 2, exposure / 2) if exposure > 0 else (0.0,),
        tail_rates=(1 / decay, *(1 / rise + k * (1 / rise - 1 / decay) for k in range(order))) if apart else (),
        tail_from=exposure / 2,
        advice="a longer rise makes it wider" + (", and so does exposure=1" if exposure < 1 else ""),
    )


KIND = FilterKind(
    name="decay",
    summary="fast rise, slow exponential decay: calcium imaging, scintillation, synaptic currents",
    parameters=(
        Parameter("rise", "rise time, at most decay"),
        Parameter("decay", "decay time"),
        Parameter(
            "order",
            "steps of the rise: above 1 it starts with a delay",
            dimension="count",
            low=1,
            low_included=True,
            high=HIGHEST,
            default=1.0,
        ),
        replace(EXPOSURE, default=1.0),
    ),
    design=design,
    causal=True,
    example="decay:rise=0.05,decay=1.5",
)


def decay(*, rise: float, decay: float, order: float = 1.0, exposure: float = 1.0) -> FilterDescription:
    """Fast ``rise`` and slow exponential ``decay`` (axis units); a rise of several steps, ``order``, starts with a delay.

    ``exposure`` is the share of the spacing that a sample averages over. Raises `UsageError` for what cannot be used.
    """
    return KIND.described(rise=rise, decay=decay, order=order, exposure=exposure)
