"""Scores: the assignment against brute force, the counts, the errors, the empty cases."""

from __future__ import annotations

import json
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blasso_flow.data.signals import Truth
from blasso_flow.data.spikes import Spikes
from blasso_flow.errors import DataError, UsageError
from blasso_flow.truth import scoring
from blasso_flow.truth.scoring import assign, score


def spikes(position, weight=None, position_errors=None, weight_errors=None, channel=None):
    position = np.asarray(position, dtype=float)
    filled = [
        np.ones(position.size) if column is None else np.asarray(column, dtype=float)
        for column in (weight, position_errors, weight_errors)
    ]
    channel = np.zeros(position.size, dtype=int) if channel is None else np.asarray(channel)
    return Spikes(channel, position, filled[1], filled[0], filled[2], np.arange(position.size), filled[0])


def truth(position, weight=None, channel=None):
    position = np.asarray(position, dtype=float)
    channel = np.zeros(position.size, dtype=int) if channel is None else np.asarray(channel)
    return Truth(channel, position, None if weight is None else np.asarray(weight, dtype=float))


def distances(found, true, period):
    difference = np.abs(np.subtract.outer(found, true))
    return difference if period is None else np.minimum(difference % period, period - difference % period)


def brute_force(found, true, tolerance, period):
    """(number of pairs, total distance) of the best assignment, over all of them."""
    distance = distances(found, true, period)
    for size in range(min(distance.shape), 0, -1):
        totals = [
            sum(distance[i, j] for i, j in zip(rows, columns, strict=True))
            for rows in combinations(range(found.size), size)
            for columns in permutations(range(true.size), size)
            if all(distance[i, j] <= tolerance for i, j in zip(rows, columns, strict=True))
        ]
        if totals:
            return size, min(totals)
    return 0, 0.0


places = st.lists(st.floats(0, 10), max_size=4).map(np.array)


@example(found=np.array([0.0, 6.0]), true=np.array([2.0, 9.5]), tolerance=6.0, period=10.0, sparse=True)
@settings(max_examples=150, deadline=None)
@given(found=places, true=places, tolerance=st.floats(0.05, 6), period=st.sampled_from([None, 10.0]), sparse=st.booleans())
def test_assignment_is_the_best_one(found, true, tolerance, period, sparse):
    if sparse and found.size and true.size:
        rows, columns = scoring._sparse(found, true, tolerance, period)
    else:
        rows, columns = assign(found, true, tolerance, period)
    distance = distances(found, true, period)[rows, columns] if rows.size else np.empty(0)
    assert len(set(rows)) == rows.size == len(set(columns))
    assert (distance <= tolerance * (1 + 1e-12)).all()
    size, total = brute_force(found, true, tolerance * (1 - 1e-12), period)
    assert rows.size >= size
    if rows.size == size:
        assert distance.sum() <= total + 1e-9


def test_thousands_of_spikes_and_one_group_of_thousands():
    random = np.random.default_rng(3)
    true = np.sort(random.uniform(0, 1e5, 5000))
    found = random.permutation(true) + random.normal(0, 0.01, 5000)
    rows, columns = assign(found, true, 3.0)
    assert rows.size == 5000
    assert np.abs(found[rows] - true[columns]).max() <= 3
    true, found = np.sort(random.uniform(0, 100, 1500)), random.uniform(0, 100, 1400)
    dense, sparse = scoring._dense(found, true, 0.1, None), scoring._sparse(found, true, 0.1, None)
    assert dense[0].size == sparse[0].size
    totals = [np.abs(found[rows] - true[columns]).sum() for rows, columns in (dense, sparse)]
    assert totals[0] == pytest.approx(totals[1])


def test_counts_and_errors():
    found = spikes(
        [1.1, 2.0, 5.0, 9.0],
        weight=[1.1, 2.0, 1.0, 1.0],
        position_errors=[0.1, 0.1, np.nan, 1],
        weight_errors=[0.01, np.nan, 1, 1],
    )
    scores = score(found, truth([1.0, 2.2, 7.0], weight=[1.0, -2.0, 1.0]), 0.5)
    overall = scores.overall
    assert (overall.true_positives, overall.false_positives, overall.misses) == (2, 2, 1)
    assert (overall.precision, overall.recall) == (0.5, pytest.approx(2 / 3))
    assert overall.f1 == pytest.approx(4 / 7)
    assert overall.jaccard == pytest.approx(2 / 5)
    assert overall.position_bias == pytest.approx((0.1 - 0.2) / 2)
    assert overall.position_rmse == pytest.approx(np.sqrt((0.01 + 0.04) / 2))
    assert overall.weight_bias == pytest.approx((0.1 + 4) / 2)
    assert overall.weight_relative_bias == pytest.approx((0.1 + 2) / 2)
    assert overall.weight_relative_rmse == pytest.approx(np.sqrt((0.01 + 4) / 2))
    assert (overall.position_coverage, overall.position_coverage_count) == (0.5, 2)
    assert (overall.weight_coverage, overall.weight_coverage_count) == (0, 1)
    assert np.array_equal(scores.found_index, [0, 1])
    assert np.array_equal(scores.true_index, [0, 1])


@pytest.mark.parametrize(
    ("found", "true", "expected"),
    [
        ([], [], (1, 1, 1, 1)),
        ([], [1.0], (1, 0, 0, 0)),
        ([1.0], [], (0, 1, 0, 0)),
        ([1.0], [5.0], (0, 0, 0, 0)),
        ([1.0], [1.0], (1, 1, 1, 1)),
    ],
)
def test_empty_cases_have_definite_values(found, true, expected):
    overall = score(spikes(found), truth(true), 0.5).overall
    assert (overall.precision, overall.recall, overall.f1, overall.jaccard) == expected
    assert np.isnan(overall.position_rmse) == (overall.true_positives == 0)


def test_channels_are_kept_apart_and_pooled():
    found = spikes([1, 2, 3], channel=[0, 2, 2])
    scores = score(found, truth([1, 2, 30], weight=[1, 1, 1], channel=[1, 2, 2]), 0.5, channels=4)
    assert [row.true_positives for row in scores.channels] == [0, 0, 1, 0]
    assert [row.misses for row in scores.channels] == [0, 1, 1, 0]
    assert [row.f1 for row in scores.channels] == [0, 0, 0.5, 1]
    assert scores.overall.true_positives == 1
    assert np.array_equal(scores.found_index, [1])


def test_unknown_weights_and_json():
    scores = score(spikes([1.0, 4.0]), truth([1.0]), 0.5, channels=2)
    assert np.isnan(scores.overall.weight_rmse)
    assert scores.overall.weight_coverage_count == 0
    words = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert words["overall"]["weight_rmse"] is None
    assert words["overall"]["true_positives"] == 1
    assert len(words["channels"]) == 2


def test_pairs_over_the_seam_of_a_periodic_axis():
    scores = score(spikes([0.99, 0.5]), truth([0.01, 0.48], weight=[1, 1]), 0.05, period=1.0)
    assert scores.overall.true_positives == 2
    assert scores.overall.position_bias == pytest.approx(0.0, abs=1e-12)
    assert score(spikes([0.99]), truth([0.01]), 0.05).overall.true_positives == 0


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_tolerances(tolerance):
    with pytest.raises(UsageError, match="tolerance"):
        score(spikes([1.0]), truth([1.0]), tolerance)


def test_bad_data(monkeypatch):
    with pytest.raises(DataError, match="not finite"):
        score(spikes([np.nan]), truth([1.0]), 1.0)
    with pytest.raises(DataError, match="channel that does not exist"):
        score(spikes([1.0]), truth([1.0], channel=[3]), 1.0, channels=2)
    monkeypatch.setattr(scoring, "MOST_PAIRS", 3)
    monkeypatch.setattr(scoring, "DENSE_ENTRIES", 1)
    with pytest.raises(UsageError, match="pairs almost everything"):
        score(spikes([1.0, 1.1]), truth([1.0, 1.1]), 1.0)
