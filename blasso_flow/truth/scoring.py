"""Found spikes against known truth: an optimal assignment within a tolerance, and what follows from it.

Within each channel, found and true spikes are paired so that as many as possible lie within ``tolerance`` of their partner
and, among all such pairings, the sum of distances is least. Nothing here recovers or reads files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.json_ready import JsonReady
from blasso_flow.data.signals import FloatArray, IntArray, Truth
from blasso_flow.data.spikes import Spikes
from blasso_flow.errors import DataError, UsageError

NORMAL_95 = 1.959963984540054  # half width of the central 95 % of a unit normal
DENSE_ENTRIES = 4_000_000  # larger groups are assigned by the sparse algorithm
MOST_PAIRS = 20_000_000


@dataclass(frozen=True)
class Score(JsonReady):
    """Counts and errors of one channel, or of all of them together.

    Ratios with nothing to divide (0/0) are 1: no spike found means no false claim (precision 1), no true spike means none
    missed (recall 1), neither means a perfect F1 and Jaccard index. Errors without a pair to measure are NaN. Differences
    are found minus true; positions in axis units; relative weight errors are divided by the true |weight|. Coverage is
    the share of pairs whose truth lies within 1.96 standard errors, over the pairs whose error is known (their number is
    stated). RMSE: root of the mean square.
    """

    found: int
    true: int
    true_positives: int
    false_positives: int
    misses: int
    precision: float
    recall: float
    f1: float
    jaccard: float
    position_bias: float
    position_rmse: float
    weight_bias: float
    weight_rmse: float
    weight_relative_bias: float
    weight_relative_rmse: float
    position_coverage: float
    position_coverage_count: int
    weight_coverage: float
    weight_coverage_count: int


@dataclass(frozen=True)
class Scores:
    """One score a channel, and the overall score that pools all pairs. ``found_index`` and ``true_index`` (M,) are the pairs:
    rows of the found spikes and of the truth."""

    overall: Score
    channels: Sequence[Score]
    tolerance: float
    found_index: IntArray
    true_index: IntArray

    def as_dict(self) -> dict[str, object]:
        """JSON-ready: tolerance, overall, and a list of channels."""
        return {
            "tolerance": self.tolerance,
            "overall": self.overall.as_dict(),
            "channels": [score.as_dict() for score in self.channels],
        }


def score(found: Spikes, truth: Truth, tolerance: float, channels: int | None = None, period: float | None = None) -> Scores:
    """Score found spikes against the truth.

    Parameters
    ----------
    found : the spikes; columns (K,).
    truth : the true spikes; columns (T,); weight errors are NaN where its weights are unknown.
    tolerance : largest distance of a pair, axis units (included).
    channels : number of channels C; by default one more than the largest channel number among the spikes.
    period : period of the axis in axis units, None when it does not close.

    Raises
    ------
    UsageError : a tolerance that is not a finite number above 0, or so large that almost everything pairs with everything.
    DataError : positions that are not finite, or a channel that does not exist.
    """
    if not 0 < tolerance < math.inf:
        raise UsageError("score: the tolerance cannot be used", received=f"{tolerance:g}", allowed="a finite number above 0")
    named = max((int(column.max()) + 1 for column in (found.channel, truth.channel) if column.size), default=1)
    count = named if channels is None else channels
    for what, channel, position in (("found", found.channel, found.position), ("true", truth.channel, truth.position)):
        if not np.isfinite(position).all():
            raise DataError(f"score: {what} positions that are not finite", received=int((~np.isfinite(position)).sum()))
        if channel.size and (channel.min() < 0 or channel.max() >= count):
            wrong = channel[(channel < 0) | (channel >= count)][0]
            raise DataError(f"score: {what} spikes in a channel that does not exist", received=wrong, allowed=f"0 to {count - 1}")
    rows, partners, scores = [], [], []
    for number in range(count):
        own, real = np.flatnonzero(found.channel == number), np.flatnonzero(truth.channel == number)
        left, right = assign(found.position[own], truth.position[real], tolerance, period)
        rows.append(own[left])
        partners.append(real[right])
        scores.append(_summary(found, truth, own[left], real[right], own.size, real.size, period))
    found_index, true_index = np.concatenate(rows), np.concatenate(partners)
    overall = _summary(found, truth, found_index, true_index, len(found), truth.position.size, period)
    return Scores(overall, scores, tolerance, found_index, true_index)


def assign(found: FloatArray, true: FloatArray, tolerance: float, period: float | None = None) -> tuple[IntArray, IntArray]:
    """Pairs (M,), (M,) of indices into found (K,) and true (T,): most pairs within the tolerance, then least total distance.

    Points whose neighbours are farther away than the tolerance cannot pair across that gap: the line falls into
    independent groups, each solved on its own.
    """
    if not (found.size and true.size):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    points = np.concatenate([found, true])
    if period is not None:
        points = points % period
        ordered = np.sort(points)
        gaps = np.append(np.diff(ordered), ordered[0] + period - ordered[-1])
        points = (points - ordered[(np.argmax(gaps) + 1) % points.size]) % period
    order = np.argsort(points, kind="stable")
    group = np.empty(points.size, dtype=np.int64)
    group[order] = np.concatenate([[0], np.cumsum(np.diff(points[order]) > tolerance)])
    left_order = np.argsort(group[: found.size], kind="stable")
    right_order = np.argsort(group[found.size :], kind="stable")
    groups = np.arange(group.max() + 2)
    left_edge = np.searchsorted(group[: found.size][left_order], groups)
    right_edge = np.searchsorted(group[found.size :][right_order], groups)
    left_size, right_size = np.diff(left_edge), np.diff(right_edge)
    single = np.flatnonzero((left_size == 1) & (right_size == 1))
    pairs = [(left_order[left_edge[single]], right_order[right_edge[single]])]
    for number in np.flatnonzero((left_size > 0) & (right_size > 0) & (left_size * right_size > 1)):
        left = left_order[left_edge[number] : left_edge[number + 1]]
        right = right_order[right_edge[number] : right_edge[number + 1]]
        solver = _dense if left.size * right.size <= DENSE_ENTRIES else _sparse
        chosen, partner = solver(found[left], true[right], tolerance, period)
        pairs.append((left[chosen], right[partner]))
    rows, partners = (np.concatenate(part) for part in zip(*pairs, strict=True))
    keep = np.abs(_difference(found[rows], true[partners], period)) <= tolerance
    order = np.argsort(rows[keep], kind="stable")
    return rows[keep][order], partners[keep][order]


def _difference(found: FloatArray, true: FloatArray, period: float | None) -> FloatArray:
    difference = found - true
    return difference if period is None else difference - period * np.round(difference / period)


def _dense(found: FloatArray, true: FloatArray, tolerance: float, period: float | None) -> tuple[IntArray, IntArray]:
    """Every allowed pair earns more than all distances together can cost; pairs that are not allowed earn nothing."""
    from scipy.optimize import linear_sum_assignment

    distance = np.abs(_difference(found[:, None], true[None, :], period))
    reward = tolerance * (min(distance.shape) + 1)
    allowed = distance <= tolerance
    rows, columns = linear_sum_assignment(np.where(allowed, distance - reward, 0.0))
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]


def _sparse(found: FloatArray, true: FloatArray, tolerance: float, period: float | None) -> tuple[IntArray, IntArray]:
    """Assignment of a large group, by sparse matching.

    A found spike may also take a column of its own, which means it stays without a partner.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    shifts = (0.0,) if period is None else (-period, 0.0, period)
    order = np.argsort(true)
    rows, columns = [], []
    for shift in shifts:
        low = np.searchsorted(true[order], found + shift - tolerance, side="left")
        high = np.searchsorted(true[order], found + shift + tolerance, side="right")
        counts = high - low
        if counts.sum() > MOST_PAIRS:
            raise UsageError(
                "score: the tolerance pairs almost everything with everything",
                received=f"{tolerance:g}, {int(counts.sum())} possible pairs",
                allowed=f"at most {MOST_PAIRS} possible pairs",
                mend="lower the tolerance to a fraction of the filter's width",
            )
        row = np.repeat(np.arange(found.size), counts)
        rows.append(row)
        columns.append(order[np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts) + low[row]])
    # a tolerance beyond half a period finds a pair from both sides, and a sparse matrix would add the two up
    pairs = np.unique(np.concatenate(rows) * true.size + np.concatenate(columns))
    row, column = pairs // true.size, pairs % true.size
    cost = np.abs(_difference(found[row], true[column], period)) + tolerance  # above 0: zeros are not stored
    alone = np.arange(found.size)
    unmatched = np.full(found.size, 2 * tolerance * (min(found.size, true.size) + 2))
    found_end = np.append(row, alone).astype(np.int32)  # older versions of scipy match 32-bit indices only
    true_end = np.append(column, true.size + alone).astype(np.int32)
    graph = csr_array((np.append(cost, unmatched), (found_end, true_end)), shape=(found.size, true.size + found.size))
    chosen, partner = min_weight_full_bipartite_matching(graph)
    kept = partner < true.size
    return chosen[kept].astype(np.int64), partner[kept].astype(np.int64)


def _summary(
    found: Spikes, truth: Truth, rows: IntArray, partners: IntArray, found_count: int, true_count: int, period: float | None
) -> Score:
    matched = rows.size
    shift = _difference(found.position[rows], truth.position[partners], period)
    true_weight = np.full(matched, np.nan) if truth.weight is None else truth.weight[partners]
    error = found.weight[rows] - true_weight
    relative = np.divide(error, np.abs(true_weight), out=np.full(matched, np.nan), where=true_weight != 0)
    position_coverage, position_count = _coverage(shift, found.position_errors[rows])
    weight_coverage, weight_count = _coverage(error, found.weight_errors[rows])
    return Score(
        found=found_count,
        true=true_count,
        true_positives=matched,
        false_positives=found_count - matched,
        misses=true_count - matched,
        precision=_ratio(matched, found_count),
        recall=_ratio(matched, true_count),
        f1=_ratio(2 * matched, found_count + true_count),
        jaccard=_ratio(matched, found_count + true_count - matched),
        position_bias=_mean(shift),
        position_rmse=math.sqrt(_mean(shift**2)),
        weight_bias=_mean(error),
        weight_rmse=math.sqrt(_mean(error**2)),
        weight_relative_bias=_mean(relative),
        weight_relative_rmse=math.sqrt(_mean(relative**2)),
        position_coverage=position_coverage,
        position_coverage_count=position_count,
        weight_coverage=weight_coverage,
        weight_coverage_count=weight_count,
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _coverage(difference: FloatArray, errors: FloatArray) -> tuple[float, int]:
    known = ~(np.isnan(difference) | np.isnan(errors))
    return _mean((np.abs(difference[known]) <= NORMAL_95 * errors[known]).astype(np.float64)), int(known.sum())
