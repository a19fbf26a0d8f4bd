"""Constant offsets between found and true positions, before they are scored: given, or fitted, for all or for each group.

A reference that was measured elsewhere (another clock, another surface of the target) often lies a constant away: found =
true + offset. Fitting that one number per group says nothing about single spikes. Nothing here recovers or reads files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from blasso_flow.data.json_ready import JsonReady
from blasso_flow.data.signals import FloatArray, IntArray, Truth
from blasso_flow.data.spikes import Spikes
from blasso_flow.errors import UsageError
from blasso_flow.truth.scoring import Scores, assign

SEARCH = 10.0  # tolerances: the largest offset that is looked for
CANDIDATES = 32
ROUNDS = 20
MOST_GROUPS = 50


@dataclass(frozen=True)
class Offset(JsonReady):
    """The offset of one group of true spikes (axis units), and how many of the group are found with it.

    ``mean_error`` is the mean distance of its pairs after the offset, NaN without a pair; ``recall`` is hits / true.
    """

    group: int
    offset: float
    true: int
    hits: int
    recall: float
    mean_error: float


def groups_by(truth: Truth, by: str | None) -> IntArray:
    """Group number of each true spike (T,): all 0 without ``by``; "group": as stored; "order": its number within its channel.

    Raises `UsageError` when the truth has no groups, or more than 50.
    """
    if by is None:
        return np.zeros(truth.position.size, dtype=np.int64)
    if by == "group":
        if truth.group is None:
            raise UsageError("score: the truth has no groups", mend="add /truth/group, or give `by=order`")
        group = truth.group
    else:
        group = truth.numbered()
    if np.unique(group).size > MOST_GROUPS:
        raise UsageError(
            "score: too many groups to have an offset each", received=np.unique(group).size, allowed=f"at most {MOST_GROUPS}"
        )
    return group


def fitted(found: Spikes, truth: Truth, tolerance: float, group: IntArray, period: float | None = None) -> dict[int, float]:
    """The offset of every group, axis units, that gives most pairs and, among these, the least total distance.

    Searched within 10 tolerances, from the best offsets of each group alone and from none; then every group's offset is the
    median difference of its pairs until nothing changes.
    """
    if not 0 < tolerance < math.inf:
        raise UsageError("score: the tolerance cannot be used", received=f"{tolerance:g}", allowed="a finite number above 0")
    numbers = [int(number) for number in np.unique(group)]
    alone = {}
    for number in numbers:
        own = group == number
        part = Truth(truth.channel[own], truth.position[own])
        zeros = np.zeros(part.position.size, dtype=np.int64)
        starts = _candidates(found, part, tolerance)
        alone[number] = max(_settled(found, part, tolerance, zeros, {0: start}, period) for start in starts)[2][0][1]
    if len(numbers) == 1:
        return alone
    begin = [alone, dict.fromkeys(numbers, 0.0)]
    best = max(_settled(found, truth, tolerance, group, start, period) for start in begin)
    return dict(best[2])


def shifted(truth: Truth, group: IntArray, offsets: dict[int, float]) -> Truth:
    """The truth with the offset of its group added to every position: where the found spikes should lie."""
    return replace(truth, position=truth.position + np.array([offsets[int(number)] for number in group]))


def summary(scores: Scores, found: Spikes, truth: Truth, group: IntArray, offsets: dict[int, float]) -> Sequence[Offset]:
    """One row a group; ``truth`` and ``scores`` with the offsets applied."""
    rows = []
    for number, offset in sorted(offsets.items()):
        own = group[scores.true_index] == number
        distance = np.abs(found.position[scores.found_index[own]] - truth.position[scores.true_index[own]])
        true, hits = int((group == number).sum()), int(own.sum())
        rows.append(
            Offset(number, offset, true, hits, hits / true if true else 1.0, float(distance.mean()) if hits else math.nan)
        )
    return rows


def _candidates(found: Spikes, truth: Truth, tolerance: float) -> list[float]:
    """Offsets at which many differences lie within the tolerance, at least a quarter of it apart, 0 among them."""
    parts = [np.empty(0)]
    for channel in np.unique(truth.channel):
        ours, theirs = np.sort(found.position[found.channel == channel]), truth.position[truth.channel == channel]
        low = np.searchsorted(ours, theirs - SEARCH * tolerance)
        high = np.searchsorted(ours, theirs + SEARCH * tolerance, side="right")
        parts += [ours[a:b] - x for a, b, x in zip(low, high, theirs, strict=True)]
    difference: FloatArray = np.sort(np.concatenate(parts))
    end = np.searchsorted(difference, difference + 2 * tolerance, side="right")
    order = np.argsort(-(end - np.arange(difference.size)), kind="stable")
    chosen = [0.0]
    for start in order:
        middle = float(np.median(difference[start : end[start]]))
        if all(abs(middle - other) >= tolerance / 4 for other in chosen):
            chosen.append(middle)
        if len(chosen) > CANDIDATES:
            break
    return chosen


def _settled(
    found: Spikes, truth: Truth, tolerance: float, group: IntArray, start: dict[int, float], period: float | None
) -> tuple[int, float, tuple[tuple[int, float], ...]]:
    """(pairs, minus total distance, offsets), the best seen while offsets and pairs are fitted in turn."""
    offsets, best = dict(start), (-1, 0.0, tuple(start.items()))
    for _ in range(ROUNDS):
        rows, partners = _pairs(found, shifted(truth, group, offsets), tolerance, period)
        difference = found.position[rows] - truth.position[partners]
        if period is not None:
            middle = np.array([offsets[int(number)] for number in group[partners]])
            difference -= period * np.round((difference - middle) / period)
        left = difference - np.array([offsets[int(number)] for number in group[partners]])
        state = (rows.size, -float(np.abs(left).sum()), tuple(offsets.items()))
        if state[:2] <= best[:2]:
            break
        best = state
        for number in offsets:
            own = group[partners] == number
            if own.any():
                offsets[number] = float(np.median(difference[own]))
    return best


def _pairs(found: Spikes, truth: Truth, tolerance: float, period: float | None) -> tuple[IntArray, IntArray]:
    rows, partners = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for channel in np.unique(truth.channel):
        own, real = np.flatnonzero(found.channel == channel), np.flatnonzero(truth.channel == channel)
        left, right = assign(found.position[own], truth.position[real], tolerance, period)
        rows.append(own[left])
        partners.append(real[right])
    return np.concatenate(rows), np.concatenate(partners)
