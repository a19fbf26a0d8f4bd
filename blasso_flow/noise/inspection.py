"""What a recording's samples show before anything is recovered: gaps, counts, saturation, drift, and what can be resolved.

Plain arrays and a `Filter` in, small facts out; `inspect` puts them into words. Nothing here recovers or reads files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.filters import Filter

UNRESOLVED = 0.25  # widths of position error: above, `recover` calls spikes a group
FAR = 6.0  # widths: spikes farther apart than this do not disturb each other
DISTANCES = 48  # tried, from FAR down
FEW_LEVELS = 8  # distinct values: with fewer, many samples at the largest one mean nothing
PILED = 4  # samples at the largest value, at least
FANO = (0.6, 1.6)  # between these limits of variance over mean, whole numbers are taken for counts
BLOCKS = 12  # that a record is cut into to see a drift
BLOCK = 16  # samples of a block, at least
CLEAR = 20.0  # F statistic from which a drift is clear


@dataclass(frozen=True)
class Gaps:
    """Missing samples: number of runs between the first and last present sample, the longest of them, and at the ends."""

    runs: int
    longest: int
    leading: int
    trailing: int


def gaps(values: FloatArray) -> Gaps:
    """Runs of NaN in values (N,); where all are missing, all are leading."""
    missing = np.isnan(values)
    present = np.flatnonzero(~missing)
    if not present.size:
        return Gaps(0, 0, values.size, 0)
    inside = np.diff(present) - 1
    runs = inside[inside > 0]
    return Gaps(int(runs.size), int(runs.max(initial=0)), int(present[0]), int(values.size - 1 - present[-1]))


def are_counts(values: FloatArray) -> bool:
    """Whether values (N,) are counts: whole numbers, not negative, and with a variance near their mean.

    The variance is half the mean square difference of neighbours, which a slow change of the rate does not raise.
    """
    present = values[~np.isnan(values)]
    if present.size < 16 or (present < 0).any() or (present != np.round(present)).any():
        return False
    difference = np.diff(values)
    difference = difference[~np.isnan(difference)]
    mean = float(present.mean())
    return bool(mean > 0 and difference.size and FANO[0] < float(np.mean(difference**2)) / 2 / mean < FANO[1])


def saturated(values: FloatArray) -> int:
    """Number of samples that are piled up at the largest value, 0 where no more have it than have values a little below.

    They are piled up where at least 4 samples have the largest value, and more than three times the average number at each of
    the four levels below it.
    """
    present = values[~np.isnan(values)]
    levels, number = np.unique(present, return_counts=True)
    if levels.size < FEW_LEVELS:
        return 0
    top = int(number[-1])
    return top if top >= PILED and top > 3 * float(number[-5:-1].mean()) else 0


def drift(values: FloatArray, sd: float, positive: bool) -> float:
    """How far the baseline under the spikes moves along the record, units of the values; 0.0 where it stays.

    The baseline of a block is a low quantile of its samples (the median, where spikes have both signs). A parabola through
    twelve blocks is a drift when it moves by more than the noise sd and explains far more of their differences than chance
    would (F above 20 with 2 and 9 degrees of freedom: p = 0.0005).
    """
    blocks = [block for block in np.array_split(values, BLOCKS) if np.count_nonzero(~np.isnan(block)) >= BLOCK]
    if len(blocks) < BLOCKS - 2:
        return 0.0
    level = np.array([np.nanquantile(block, 0.1 if positive else 0.5) for block in blocks])
    place = np.linspace(-1, 1, level.size)
    curve = np.polyval(np.polyfit(place, level, 2), place)
    explained, left = float(np.sum((curve - level.mean()) ** 2)), float(np.sum((level - curve) ** 2))
    clear = explained / 2 > CLEAR * left / (level.size - 3)
    size = float(np.ptp(curve))
    return size if clear and size > sd else 0.0


def largest_snr(values: FloatArray, filter: Filter, sd: float) -> float:
    """Weight times the filter's norm over the noise sd, for the largest spike of values (N,).

    From the highest sample, or from the highest correlation with the filter where that says less: a single count stands high
    above samples without any.
    """
    from scipy.signal import oaconvolve

    above = np.where(np.isnan(values), 0.0, np.abs(values - np.nanmedian(values)))
    taps = filter.response(np.arange(filter.first, filter.first + filter.taps, dtype=np.float64), 0)
    height = float(above.max()) / max(float(np.abs(taps).max()), 1e-300) * filter.norm
    return min(height, float(np.max(oaconvolve(above, np.abs(taps[::-1])))) / filter.norm) / sd


def resolution(filter: Filter, snr: float) -> float:
    """Distance in widths below which two equal spikes are not resolved: their positions' standard error exceeds 1/4 width.

    ``snr`` is weight times the filter's norm over the noise sd. The error is that of least squares with four unknowns:
    sigma_x^2 = (J^T J)^-1, J = (phi_1, phi_2, w phi_1', w phi_2') over sd, white noise. Infinite where even a lone spike is
    vaguer than that.
    """
    if not snr * filter.norm1 / filter.norm * filter.width > 1 / UNRESOLVED:
        return float("inf")
    closest = FAR
    for distance in np.geomspace(FAR, 0.02, DISTANCES):
        away = distance * filter.width
        sample = np.arange(filter.first, filter.first + filter.taps + int(np.ceil(away)) + 1)
        columns = np.stack([filter.response(sample - place, order) for order in (0, 1) for place in (0.0, away)])
        columns /= np.sqrt(np.sum(columns**2, axis=1))[:, None]
        variance = float(np.linalg.pinv(columns @ columns.T, rcond=1e-14, hermitian=True)[2, 2])
        if not np.sqrt(variance) / (snr * filter.norm1 / filter.norm) <= UNRESOLVED * filter.width:
            break
        closest = float(distance)
    return closest
