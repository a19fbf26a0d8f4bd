"""How loud the noise is, and the strength that follows from it.

The noise level comes from differences of the samples, or from a residual; the strength from the expected number of false
crossings of the certificate (Rice 1945), averaged over the scatter of an estimated noise level. Plain arrays and a `Filter` in,
numbers and sentences out: nothing here knows a problem or a solver. Lags, positions and widths are in samples, levels in the
units of the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter
from blasso_flow.noise.rice import rice_level, rice_level_weighted, student_level

NORMAL_QUARTILE = 0.6744897501960817  # median of |z| for a standard normal z
DIFFERENCE_GAIN = {1: 2.0, 2: 6.0, 4: 70.0, 8: 12870.0}  # variance of the k-th difference of unit white noise: binomial(2k, k)
# degrees of freedom a difference: 1 / (2 nu) is the relative variance of a sd taken from the median absolute difference of order
# k of unit white noise, sum_j c_j^2 / j! sum_lag rho(lag)^j / (2 f(q) q)^2 with c_j the Hermite coefficients of |z| < q, rho the
# differences' autocorrelation, f the normal density and q its quartile
FREEDOM = {0: 0.3675, 1: 0.3030, 2: 0.2529, 4: 0.1967}
ENOUGH = 16  # differences needed for a median that means something
SMALLEST = 1e-300  # values and ranges below it are taken as zero: fractions of them would be
RANGE_FLOOR = 1e-3  # of the signal's range, when the data show no noise
NOISE_FREE = 1e-5  # of the signal's range: below this, differences hold no noise worth the name
NARROW = 3.0  # samples: a narrower filter's signal reaches into the fourth differences
QUANTISATION_SAMPLES = 20_000
COLOURED = (
    2.0  # times the differences' sd: a residual this much larger whose neighbours go together is coloured noise, not shrinkage
)
TOGETHER = 0.3  # correlation of neighbours in such a residual
UNEVEN = 0.6  # times the differences' sd: eighth differences so much smaller are no chance (0 of 4,000 draws of 60 samples)
WHITENESS_BLOCK = 32  # samples, at least
WHITENESS_BLOCKS = 12  # at least
WHITENESS_DEVIATION = 4.0  # standard errors
WHITENESS_EFFECT = 0.03  # of the variance
WHITE_GAINS = np.array([2.0, 6.0, 2.0, 6.0])  # variance that white noise has in what is compared
LOW_PASS = "the noise is not white: neighbouring samples move together, so its sd is underestimated; give noise_sd"
RULE_ALLOWED = "a number above 0, auto, a multiple such as 0.5auto, or a fraction such as 0.05max"


@dataclass(frozen=True)
class NoiseEstimate:
    """Noise standard deviation in the units of the values, the rule in words, and warnings of one line each.

    ``floor`` says that the data showed less noise than the stated floor, which was taken in its place. ``freedom`` is the
    estimate's degrees of freedom nu: its relative standard error is 1 / sqrt(2 nu), none for a sd that is given. ``uneven``
    says that differences of several orders disagree: most often there is low-pass noise, more than they show.
    """

    sd: float
    rule: str
    notes: Sequence[str] = ()
    floor: bool = False
    freedom: float = np.inf
    uneven: bool = False

    def hides_from_differences(self, filter: Filter) -> bool:
        """Whether a fit's residual says more: a narrow filter's signal is in the differences, low-pass noise is not.

        Never of a sd that is given or a floor.
        """
        return bool(np.isfinite(self.freedom)) and (filter.width < NARROW or self.uneven)


@dataclass(frozen=True)
class Whiteness:
    """Noise sd from differences of order 1, 2 and 4, and what they say together.

    ``white`` is None when there are too few samples to tell. For white noise without signal the three agree; a signal adds
    to the low orders. ``sentence`` is for people.
    """

    first: float
    second: float
    fourth: float
    white: bool | None
    sentence: str


@dataclass(frozen=True)
class StrengthRule:
    """How the strength is chosen: ``kind`` is "absolute", "auto" (a multiple of the Rice rule) or "max" (a fraction of the
    smallest strength that leaves no spikes); ``factor`` is the number before it."""

    kind: str
    factor: float

    @classmethod
    def parse(cls, text: str) -> StrengthRule:
        """Read the text of ``--strength``. Raises `UsageError` on anything that is no rule."""
        match = re.fullmatch(r"\s*([^a-z\s]\S*?)?\s*(auto|max)?\s*", str(text))
        try:
            if match is None or not any(match.groups()):
                raise ValueError
            factor = float(match[1]) if match[1] else 1.0
        except ValueError:
            raise UsageError("strength cannot be read", received=repr(str(text)), allowed=RULE_ALLOWED) from None
        kind = match[2] or "absolute"
        if not (np.isfinite(factor) and factor > 0):
            raise UsageError("strength must be finite and above 0", received=str(text).strip(), allowed=RULE_ALLOWED)
        if kind == "max" and factor > 1:
            raise UsageError(
                "strength above the largest useful value leaves no spikes",
                received=str(text).strip(),
                allowed="a fraction of max above 0 and at most 1",
            )
        return cls(kind, factor)


@dataclass(frozen=True)
class StrengthChoice:
    """The strength, where it came from in words, and the Rice level u (in noise units) that pruning uses too."""

    strength: float
    rule: str
    level: float


def estimate_noise(values: FloatArray, filter: Filter | None = None) -> NoiseEstimate:
    """Noise sd of one channel, values (N,) with NaN where missing.

    Median absolute fourth difference over windows without a missing sample: four differences remove a signal of width 3
    samples or more, the median what a sparse signal leaves. Quantised data have at least the noise of rounding, quantum /
    sqrt(12); data without visible noise get 1e-3 of their range. Both floors are told in the rule.
    """
    values = np.asarray(values, dtype=np.float64)
    present = _present(values)
    size = float(np.ptp(present)) if present.size else 0.0
    if size < SMALLEST:
        return _constant(present)
    quantum = find_quantum(present)
    differences = _differences(values)
    sd, rule, notes, freedom = _from_differences(differences, present, quantum)
    if quantum and sd < quantum / np.sqrt(12):
        return NoiseEstimate(
            quantum / float(np.sqrt(12)), f"floor: rounding noise of data quantised in steps of {quantum:.6g}", tuple(notes), True
        )
    finest = min(sd, _difference_sd(differences[8], 8, quantum) or sd)
    if not quantum and finest < NOISE_FREE * size:
        return NoiseEstimate(RANGE_FLOOR * size, "floor: 0.001 of the signal's range, the data show no noise", tuple(notes), True)
    if filter is not None and filter.width < NARROW and finest < 0.8 * sd:
        notes.append(
            f"the filter is narrow ({filter.width:.2g} samples): its signal inflates the noise sd of the fourth differences"
        )
    white, sentence = _judged(differences, filter)
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
    present = _present(residual)
    free = present.size - parameters
    if previous.floor or present.size < ENOUGH or free < present.size / 2:
        return previous
    sd = _median_sd(present) * float(np.sqrt(present.size / free))
    freedom = FREEDOM[0] * free
    kept = tuple(note for note in previous.notes if "inflates the noise sd" not in note)
    if 0 < sd < previous.sd:
        return NoiseEstimate(sd, "median absolute residual of a first fit", kept, freedom=freedom)
    if sd > COLOURED * previous.sd and _neighbours_correlation(residual) > TOGETHER:
        note = "the noise is not white: neighbouring samples go together in a first fit's residual, whose sd is taken"
        kept = tuple(note for note in kept if note != LOW_PASS)
        return NoiseEstimate(sd, "median absolute residual of a first fit: low-pass noise", (*kept, note), freedom=freedom)
    return previous


def _present(values: FloatArray) -> FloatArray:
    """Values without NaN, the array itself where it has none."""
    missing = np.isnan(values)
    return values[~missing] if missing.any() else values


def _median_sd(values: FloatArray) -> float:
    """sd of normal values from their median absolute deviation."""
    return _median(np.abs(values - _median(values))) / NORMAL_QUARTILE


def _median(values: FloatArray) -> float:
    """Median of at least one value without NaN: numpy's, without what it checks."""
    half = values.size // 2
    parts = np.partition(values, half)
    return float(parts[half] if values.size % 2 else (parts[:half].max() + parts[half]) / 2)


def _neighbours_correlation(residual: FloatArray) -> float:
    """Correlation of neighbouring samples (N,), NaN where missing, from median absolute sums and differences."""
    pairs = residual[:-1] + residual[1:], residual[:-1] - residual[1:]
    squares = [_median_sd(_present(pair)) ** 2 if not np.isnan(pair).all() else 0.0 for pair in pairs]
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
    """All present samples equal, or none present: any positive level is as good, so take one and say so."""
    if present.size == 0:
        return NoiseEstimate(1.0, "1: no sample is present", ("no sample is present: the noise is unknown",), True)
    largest = float(np.abs(present[0]))
    sd, words = (RANGE_FLOOR * largest, "0.001 of their value") if largest > SMALLEST else (1.0, "1")
    return NoiseEstimate(sd, f"floor: {words}, all samples are equal", ("all samples are equal: the noise is unknown",), True)


def _differences(values: FloatArray) -> list[FloatArray]:
    """Differences of order 0 to 8 of neighbouring values (N,), each one shorter than the one before."""
    differences = [values]
    for _ in range(8):
        differences.append(differences[-1][1:] - differences[-1][:-1])
    return differences


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
            sd = _difference_sd(differences[order], order, quantum)
            return sd, f"median absolute {name} difference", notes, FREEDOM[order] * windows
    note = f"only {present.size} samples, too few to tell noise from signal"
    if present.size >= ENOUGH:  # many gaps: neighbours across a gap are the best there is
        return (
            _difference_sd(np.diff(present), 1, quantum),
            "median absolute difference across missing samples",
            ["no runs of samples: the noise sd is measured across missing ones"],
            FREEDOM[1] * present.size,
        )
    sd = _median_sd(present)
    if sd > 0:
        return sd, "median absolute deviation of the samples", [note], FREEDOM[0] * present.size
    return RANGE_FLOOR * float(np.ptp(present)), "0.001 of the signal's range, too few samples", [note], np.inf


def _difference_sd(differences: FloatArray, order: int, quantum: float = 0.0) -> float:
    """sd of white noise from the median absolute one of differences of one order; 0.0 with too few complete windows."""
    size = _present(np.abs(differences))
    if size.size < (ENOUGH if order > 1 else 1):
        return 0.0
    middle = _median(size)
    if quantum:  # median of grouped data: a level stands for all values that round to it
        level = quantum * round(middle / quantum)
        below = int(np.count_nonzero(size < level - quantum / 2))
        at = int(np.count_nonzero(size < level + quantum / 2)) - below
        low = max(level - quantum / 2, 0.0)
        if at:
            middle = low + (level + quantum / 2 - low) * (size.size / 2 - below) / at
    return middle / NORMAL_QUARTILE / float(np.sqrt(DIFFERENCE_GAIN[order]))


def whiteness(values: FloatArray, filter: Filter | None = None) -> Whiteness:
    """Whether the noise of values (N,), NaN where missing, is white.

    Mean squares of differences of order 0 (about a block's mean), 1 and 2 are compared with what white noise of the level of
    the eighth differences gives. A signal adds E0, E1 and E2 to them, and with c = 2 ||phi4|| / ||phi2|| (derivatives of
    order 4 and 2: above the square of any frequency that matters in the filter) E1 <= c E0 and E2 <= c E1. More than that is
    low-pass noise; E1 or E2 below 0 is noise stronger at high frequencies. Judged on quiet blocks, chosen by differences at a
    lag beyond 8 samples, which for white noise are uncorrelated with those of lower order.
    """
    values = np.asarray(values, dtype=np.float64)
    differences = _differences(values)
    first, second, fourth = (_difference_sd(differences[order], order) for order in (1, 2, 4))
    return Whiteness(first, second, fourth, *_judged(differences, filter))


def _judged(differences: Sequence[FloatArray], filter: Filter | None) -> tuple[bool | None, str]:
    """Whether the noise is white, and the sentence for people: see `whiteness`."""
    if filter is None or filter.width < NARROW:
        return None, "whiteness cannot be judged without a filter of width 3 samples or more"
    squares = _block_squares(differences, max(9, round(filter.width)), max(WHITENESS_BLOCK, int(4 * filter.width)))
    if squares.shape[1] < WHITENESS_BLOCKS:
        return None, "too few samples to tell whether the noise is white"
    order = np.argsort(squares[4], kind="stable")
    quiet = int(np.count_nonzero(squares[4] <= 2 * squares[4, order[order.size // 4]]))
    zeroth, one, two, reference, _ = squares[:, order[: max(WHITENESS_BLOCKS, quiet)]]
    first, second = one - DIFFERENCE_GAIN[1] * reference, two - DIFFERENCE_GAIN[2] * reference
    bound = 2 * filter.norm4 / filter.norm2
    extra = np.array([first - bound * (zeroth - reference), second - bound * first, -first, -second])
    mean = extra.sum(axis=1) / reference.size
    variance = ((extra - mean[:, None]) ** 2).sum(axis=1) / (reference.size - 1)
    effect = WHITENESS_EFFECT * (reference.sum() / reference.size) * WHITE_GAINS
    beyond = np.greater(mean - WHITENESS_DEVIATION * np.sqrt(variance / reference.size), effect).tolist()
    if any(beyond[:2]):
        return False, LOW_PASS
    if any(beyond[2:]):
        return (
            False,
            "the noise is not white: it is stronger at high frequencies, so its sd is overestimated; give noise_sd",
        )
    return True, "differences of order 1, 2 and 8 agree with white noise and the filter's signal"


def _block_squares(differences: Sequence[FloatArray], lag: int, block: int) -> FloatArray:
    """Per block, shape (5, blocks), without blocks half missing: variance about the mean, mean squares of differences of order
    1 and 2, the noise variance by order 8, and the mean square of differences at a lag."""
    values = differences[0]
    blocks = (values.size - max(8, lag)) // block
    if blocks < 1:
        return np.empty((5, 0))
    span = blocks * block
    squares = np.empty((5, blocks, block))
    rows = squares.reshape(5, span)
    rows[0] = values[4 : 4 + span]
    for row, curve in zip(
        rows[1:], (differences[1][3:], differences[2][3:], differences[8], values[lag:] - values[:-lag]), strict=True
    ):
        np.multiply(curve[:span], curve[:span], out=row)
    counts, missing = np.full(blocks, block), None
    if np.isnan(values).any():
        missing = np.asarray(np.isnan(squares).any(axis=0))
        counts = block - missing.sum(axis=1)
        kept = counts >= block / 2
        squares, missing, counts = squares[:, kept], missing[kept], counts[kept]
        squares[:, missing] = 0.0
    centred = squares[0] - (squares[0].sum(axis=1) / counts)[:, None]
    if missing is not None:
        centred[missing] = 0.0
    np.multiply(centred, centred, out=squares[0])
    result: FloatArray = squares.sum(axis=2) / counts
    result[0] *= counts / (counts - 1)
    result[3] /= DIFFERENCE_GAIN[8]
    return result


def choose_strength(
    rule: StrengthRule,
    *,
    filter: Filter,
    noise_sd: float,
    weights: FloatArray,
    domain: tuple[float, float],
    positive: bool,
    false_alarms: float = 0.05,
    freedom: float = np.inf,
    strength_max: Callable[[], float] | None = None,
) -> StrengthChoice:
    """The strength of one channel.

    Parameters
    ----------
    noise_sd : median noise sd of the channel, in the units of the values.
    weights : (N,) sample weights, 0 where missing, 1 where the noise is ``noise_sd``.
    domain : first and last position (samples), margins included; for a periodic filter all of it is taken.
    freedom : degrees of freedom of ``noise_sd`` where it is an estimate: false alarms then stay what they should be.
    strength_max : gives the smallest strength at which there are no spikes; only called for a fraction of it.

    The baseline is taken as known: fitting a constant removes one of N degrees of freedom.
    """
    if filter.period:
        domain = (0.0, float(weights.size))
    if bool((weights == 1.0).all()) and domain[0] >= 0 and (filter.period or domain[1] <= weights.size - 1):
        level = rice_level(false_alarms, domain[1] - domain[0], filter.norm / filter.norm1, not positive, bool(filter.period))
        norm = filter.norm
    else:
        level, norm = rice_level_weighted(false_alarms, weights, filter, domain, not positive)
    level = student_level(level, freedom)
    if rule.kind == "absolute":
        return StrengthChoice(rule.factor, f"given: {rule.factor:.6g}", level)
    if rule.kind == "max":
        if strength_max is None:
            raise UsageError("a fraction of the largest strength needs the data", received=f"{rule.factor:g}max")
        largest = strength_max()
        if not largest > 0:  # nothing to recover at any strength: any positive one is right
            return StrengthChoice(noise_sd * max(norm, filter.norm), "any: no strength leaves a spike", level)
        return StrengthChoice(
            rule.factor * largest, f"{rule.factor:g} of {largest:.6g}, the smallest that leaves no spikes", level
        )
    times = "" if rule.factor == 1 else f"{rule.factor:g} times "
    words = f"{times}{level:.4g} noise sd x filter norm: {false_alarms:g} false crossings expected (Rice)"
    if np.isfinite(freedom):
        words += f", the sd known to {1 / np.sqrt(2 * freedom):.1%}"
    return StrengthChoice(rule.factor * level * noise_sd * (norm or filter.norm), words, level)
