"""How loud the noise is: its standard deviation from differences of the samples, or from a fit's residual.

Plain arrays and a `Filter` in, numbers and sentences out: nothing here knows a problem or a solver. Levels are in the units of
the values, widths in samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.filters import Filter
from blasso_flow.noise.differences import ENOUGH, NARROW, difference_sd, differences_of, median_sd, present_values
from blasso_flow.noise.whiteness import LOW_PASS, judged

# degrees of freedom a difference: 1 / (2 nu) is the relative variance of a sd taken from the median absolute difference of order
# k of unit white noise, sum_j c_j^2 / j! sum_lag rho(lag)^j / (2 f(q) q)^2 with c_j the Hermite coefficients of |z| < q, rho the
# differences' autocorrelation, f the normal density and q its quartile
FREEDOM = {0: 0.3675, 1: 0.3030, 2: 0.2529, 4: 0.1967}
SMALLEST = 1e-300  # values and ranges below it are taken as zero: fractions of them would be
RANGE_FLOOR = 1e-3  # of the signal's range, when the data show no noise
NOISE_FREE = 1e-5  # of the signal's range: below this, differences hold no noise worth the name
QUANTISATION_SAMPLES = 20_000
# A residual whose sd is COLOURED times the differences' and whose neighbours have a correlation of TOGETHER is coloured noise
COLOURED = 2.0
TOGETHER = 0.3
UNEVEN = 0.6  # times the differences' sd: eighth differences so much smaller are no chance (0 of 4,000 draws of 60 samples)


@dataclass(frozen=True)
class NoiseEstimate:
    """Noise standard deviation in the units of the values, how it was found, and warnings of one line each.

    ``floor`` says that the data showed less noise than the stated floor, which was taken in its place. ``freedom`` is the
    estimate's degrees of freedom nu: its relative standard error is 1 / sqrt(2 nu), none for a sd that is given. ``uneven``
    says that differences of several orders disagree: most often there is low-pass noise, more than they show. Of coloured
    noise, ``sd`` is that of the innovations, and ``whitener`` (p,) holds the coefficients: see `noise.colour`.
    """

    sd: float
    rule: str
    notes: Sequence[str] = ()
    floor: bool = False
    freedom: float = np.inf
    uneven: bool = False
    whitener: FloatArray = field(default_factory=lambda: np.empty(0))

    def hides_from_differences(self, filter: Filter) -> bool:
        """Whether a fit's residual says more of the noise than differences of the samples do.

        A narrow filter's signal is in the differences, low-pass noise is not. False for a sd that is given or a floor.
        """
        return bool(np.isfinite(self.freedom)) and (filter.width < NARROW or self.uneven)


def estimate_noise(values: FloatArray, filter: Filter | None = None) -> NoiseEstimate:
    """Noise sd of one channel, values (N,) with NaN where missing.

    Median absolute fourth difference over windows without a missing sample: four differences remove a signal of width 3
    samples or more, the median what a sparse signal leaves. Quantised data have at least the noise of rounding, quantum /
    sqrt(12); data without visible noise get 1e-3 of their range. The rule says where a floor was taken.
    """
    values = np.asarray(values, dtype=np.float64)
    present = present_values(values)
    size = float(np.ptp(present)) if present.size else 0.0
    if size < SMALLEST:
        return _constant(present)
    quantum = find_quantum(present)
    differences = differences_of(values)
    sd, rule, notes, freedom = _from_differences(differences, present, quantum)
    if quantum and sd < quantum / np.sqrt(12):
        return NoiseEstimate(
            quantum / float(np.sqrt(12)), f"floor: rounding noise of data quantised in steps of {quantum:.6g}", tuple(notes), True
        )
    finest = min(sd, difference_sd(differences[8], 8, quantum) or sd)
    if not quantum and finest < NOISE_FREE * size:
        return NoiseEstimate(RANGE_FLOOR * size, "floor: 0.001 of the signal's range, the data show no noise", tuple(notes), True)
    if filter is not None and filter.width < NARROW and finest < 0.8 * sd:
        sharp = filter.length >= NARROW * filter.spacing
        shape = "has a sharp onset" if sharp else f"is narrow ({filter.width:.2g} samples)"
        notes.append(f"the filter {shape}: its signal inflates the noise sd of the fourth differences")
    white, sentence = judged(differences, filter)
    if white is False:
        notes.append(sentence)
    uneven = (white is False and sentence == LOW_PASS) or finest < UNEVEN * sd
    return NoiseEstimate(sd, rule, tuple(notes), freedom=freedom, uneven=uneven)


def estimate_from_residual(residual: FloatArray, previous: NoiseEstimate, parameters: int = 0) -> NoiseEstimate:
    """Noise sd again, from a fit's residual (N,) with NaN where missing; for noise that `hides_from_differences`.

    Median absolute residual with the degrees of freedom of ``parameters`` fitted numbers. A signal inflates differences, so an
    estimate below the previous one is taken; a poor fit inflates residuals, so a larger one is not, unless neighbouring samples
    of the residual go together: low-pass noise hides from differences, and spikes must stand out from all of it. A floor stays.
    """
    residual = np.asarray(residual, dtype=np.float64)
    present = present_values(residual)
    free = present.size - parameters
    if previous.floor or present.size < ENOUGH or free < present.size / 2:
        return previous
    sd = median_sd(present) * float(np.sqrt(present.size / free))
    freedom = FREEDOM[0] * free
    kept = tuple(note for note in previous.notes if "inflates the noise sd" not in note)
    if 0 < sd < previous.sd:
        return NoiseEstimate(sd, "median absolute residual of a first fit", kept, freedom=freedom)
    if sd > COLOURED * previous.sd and _neighbours_correlation(residual) > TOGETHER:
        note = "the noise is not white: neighbouring samples go together in a first fit's residual, whose sd is taken"
        kept = tuple(note for note in kept if note != LOW_PASS)
        return NoiseEstimate(sd, "median absolute residual of a first fit: low-pass noise", (*kept, note), freedom=freedom)
    return previous


def _neighbours_correlation(residual: FloatArray) -> float:
    """Correlation of neighbouring samples (N,), NaN where missing, from median absolute sums and differences."""
    pairs = residual[:-1] + residual[1:], residual[:-1] - residual[1:]
    squares = [median_sd(present_values(pair)) ** 2 if not np.isnan(pair).all() else 0.0 for pair in pairs]
    return (squares[0] - squares[1]) / sum(squares) if sum(squares) > 0 else 0.0


def find_quantum(present: FloatArray) -> float:
    """Step of quantised data, values (M,) without NaN; 0.0 when they are not quantised.

    The smallest gap between distinct values, if every value is a multiple of it away from the smallest. Steps below 1e-5
    of the range are rounding of the numbers themselves and do not count.
    """
    some = np.sort(present[:: max(1, present.size // QUANTISATION_SAMPLES)])
    gaps = some[1:] - some[:-1]
    gaps = gaps[gaps > 0]
    if not gaps.size:
        return 0.0
    quantum = float(gaps.min())
    if quantum < NOISE_FREE * (some[-1] - some[0]):
        return 0.0
    distinct, counts = np.unique(some, return_counts=True)
    if distinct.size < 6 and (present.size < 4 * distinct.size or np.sort(counts)[-2] < 5):
        return 0.0
    offset = distinct - distinct[0]
    # the step from the whole range: the smallest gap alone carries the rounding of two numbers
    quantum = float(offset[-1] / np.round(offset[-1] / quantum))
    steps = offset / quantum
    return quantum if float(np.abs(steps - np.round(steps)).max()) < 0.02 else 0.0


def _constant(present: FloatArray) -> NoiseEstimate:
    """The estimate where all present samples are equal, or none is present: any positive level is as good, so one is taken."""
    if present.size == 0:
        return NoiseEstimate(1.0, "1: no sample is present", ("no sample is present: the noise is unknown",), True)
    largest = float(np.abs(present[0]))
    sd, words = (RANGE_FLOOR * largest, "0.001 of their value") if largest > SMALLEST else (1.0, "1")
    return NoiseEstimate(sd, f"floor: {words}, all samples are equal", ("all samples are equal: the noise is unknown",), True)


def _from_differences(
    differences: Sequence[FloatArray], present: FloatArray, quantum: float
) -> tuple[float, str, list[str], float]:
    """sd, rule, notes and degrees of freedom from the highest order of differences that has enough windows."""
    orders = {4: "fourth", 2: "second", 1: "first"}
    for order, name in orders.items():
        windows = int(np.count_nonzero(~np.isnan(differences[order])))
        if windows >= ENOUGH:
            notes = (
                [] if order == 4 else [f"too few runs of 5 samples: the noise sd comes from {name} differences and holds signal"]
            )
            sd = difference_sd(differences[order], order, quantum)
            return sd, f"median absolute {name} difference", notes, FREEDOM[order] * windows
    note = f"only {present.size} samples, too few to tell noise from signal"
    if present.size >= ENOUGH:  # many gaps: neighbours across a gap are the best there is
        return (
            difference_sd(np.diff(present), 1, quantum),
            "median absolute difference across missing samples",
            ["no runs of samples: the noise sd is measured across missing ones"],
            FREEDOM[1] * present.size,
        )
    sd = median_sd(present)
    if sd > 0:
        return sd, "median absolute deviation of the samples", [note], FREEDOM[0] * present.size
    return RANGE_FLOOR * float(np.ptp(present)), "0.001 of the signal's range, too few samples", [note], np.inf
