"""Whether noise is white: differences of several orders compared with each other, block by block, beside what a filter adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.filters import Filter
from blasso_flow.noise.differences import DIFFERENCE_GAIN, NARROW, difference_sd, differences_of

WHITENESS_BLOCK = 32  # samples, at least
WHITENESS_BLOCKS = 12  # at least
WHITENESS_DEVIATION = 4.0  # standard errors
WHITENESS_EFFECT = 0.03  # of the variance
WHITE_GAINS = np.array([2.0, 6.0, 2.0, 6.0])  # variance that white noise has in what is compared
LOW_PASS = "the noise is not white: neighbouring samples move together, so its sd is underestimated; give noise_sd"


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


def whiteness(values: FloatArray, filter: Filter | None = None) -> Whiteness:
    """Whether the noise of values (N,), NaN where missing, is white.

    Mean squares of differences of order 0 (about a block's mean), 1 and 2 are compared with what white noise of the level of
    the eighth differences gives. A signal adds E0, E1 and E2 to them, and with c = 2 ||phi4|| / ||phi2|| (derivatives of
    order 4 and 2: above the square of any frequency that matters in the filter) E1 <= c E0 and E2 <= c E1. More than that is
    low-pass noise; E1 or E2 below 0 is noise stronger at high frequencies. Judged on quiet blocks, chosen by differences at a
    lag beyond 8 samples, which for white noise are uncorrelated with those of lower order.
    """
    values = np.asarray(values, dtype=np.float64)
    differences = differences_of(values)
    first, second, fourth = (difference_sd(differences[order], order) for order in (1, 2, 4))
    return Whiteness(first, second, fourth, *judged(differences, filter))


def judged(differences: Sequence[FloatArray], filter: Filter | None) -> tuple[bool | None, str]:
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
