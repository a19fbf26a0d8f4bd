"""The colour of noise: an autoregressive model of a fit's residual, its order by an information criterion.

The residual of a fit has lost what the fitted parameters took; `lost` says how much of each autocovariance, so that white
noise stays white however many spikes were fitted. Plain arrays and a `Filter` in, coefficients out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.filters import Filter

MOST_ORDER = 32
SAMPLES_AN_ORDER = 40  # at least, for each coefficient that is considered
CLEAR_GAIN = 4.0  # of the criterion: what a colour must gain beyond the price of its coefficients
FEWEST = 60  # samples: with fewer, noise is taken as white
STABLE = 0.999  # the largest partial correlation that is believed


@dataclass(frozen=True, eq=False)
class Colour:
    """Noise e_n = sum_k a_k e_(n-k) + innovation with coefficients ``whitener`` (p,); none of white noise.

    ``gain`` is what the criterion gains over white noise, twice a log likelihood less the price of the coefficients.
    """

    whitener: FloatArray
    gain: float = 0.0

    @property
    def sd_ratio(self) -> float:
        """The noise's standard deviation over that of its innovations."""
        density = spectrum(self.whitener, np.linspace(0, 0.5, 4097))
        return float(np.sqrt((density[:-1] + density[1:]).mean() / 2))


WHITE = Colour(np.empty(0))


def spectrum(whitener: FloatArray, frequency: FloatArray) -> FloatArray:
    """Power of the noise at frequencies (cycles a sample), times that of its innovations: 1 / |1 - sum a_k e^(-2 pi i k f)|^2."""
    lags = np.arange(1, whitener.size + 1)
    transfer = 1 - (whitener * np.exp(-2j * np.pi * np.multiply.outer(frequency, lags))).sum(axis=-1)
    return np.asarray(1 / np.maximum(np.abs(transfer) ** 2, 1e-300))


def colour_of(residual: FloatArray, lost: FloatArray | None = None, most: int = MOST_ORDER) -> Colour:
    """The colour of a residual (N,), NaN where missing: the order of the least n log v + p log n, v the innovations' variance.

    ``lost`` (L,) are the shares of the autocovariances at lags 0 to L - 1 that fitted parameters took, of the noise's variance.
    """
    present = ~np.isnan(residual)
    count = int(present.sum())
    most = min(most, count // SAMPLES_AN_ORDER)
    if count < FEWEST or most < 1:
        return WHITE
    correlation = correlations(residual, np.zeros(1) if lost is None else lost, most + 1)
    if correlation is None:
        return WHITE
    best, coefficients, variance = WHITE, np.empty(0), 1.0
    for order in range(1, most + 1):
        partial = (correlation[order] - coefficients @ correlation[order - 1 : 0 : -1]) / variance
        if not abs(partial) < STABLE:
            break
        coefficients = np.append(coefficients - partial * coefficients[::-1], partial)
        variance *= 1 - partial**2
        gain = -count * np.log(variance) - order * np.log(count)
        if gain > max(best.gain, CLEAR_GAIN):
            best = Colour(coefficients, float(gain))
    return best


def correlations(residual: FloatArray, lost: FloatArray, lags: int) -> FloatArray | None:
    """Autocorrelations (lags,) of the noise behind a residual (N,), NaN where missing, 1 at lag 0.

    ``lost`` (L,) as in `colour_of`, 0 beyond. None where there is no noise, or where half of it was fitted: nothing can be said.
    """
    share = np.zeros(lags)
    share[: min(lost.size, lags)] = lost[:lags]
    covariance = autocovariance(residual, lags)
    if share[0] >= 0.5 or not covariance[0] > 0:
        return None
    covariance = covariance + share * covariance[0] / (1 - share[0])
    return np.asarray(covariance / covariance[0])


def autocovariance(values: FloatArray, lags: int) -> FloatArray:
    """Mean products (lags,) of values (N,), NaN where missing, at lags 0, 1, ... over the pairs that are there."""
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    size = values.size
    if there.all():
        products = np.array([filled[: size - lag] @ filled[lag:] for lag in range(lags)])
        return products / (size - np.arange(lags))
    weight = there.astype(np.float64)
    products = np.array([filled[: size - lag] @ filled[lag:] for lag in range(lags)])
    pairs = np.array([weight[: size - lag] @ weight[lag:] for lag in range(lags)])
    return np.asarray(products / np.maximum(pairs, 1.0))


def lost_to_spikes(filter: Filter, spikes: int, baseline: int, samples: int, lags: int = MOST_ORDER + 1) -> FloatArray:
    """Shares of autocovariances (lags,) that fitted positions, weights and baseline coefficients take of white noise.

    Each lone spike takes the projection on its response and on its slope: over N samples, the autocorrelations of both.
    """
    taken = np.zeros(lags)
    overlaps = filter.overlaps[:lags]
    taken[: overlaps.size] = overlaps
    return (spikes * taken + baseline) / max(samples, 1)
