"""Offsets between a result and its reference: fitted for all or for groups, given, refused; correlation of rates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import DATA, run

from blasso_flow import read_signal, write_signal
from blasso_flow.answer.rates import correlations
from blasso_flow.data.signals import Axis, Signal, Truth
from blasso_flow.data.spikes import Spikes
from blasso_flow.errors import UsageError
from blasso_flow.truth.alignment import fitted, groups_by, shifted, summary
from blasso_flow.truth.scoring import score


def spikes(position, channel, weight=None):
    position = np.asarray(position, dtype=float)
    filled = np.ones(position.size) if weight is None else np.asarray(weight, dtype=float)
    return Spikes(
        np.asarray(channel), position, np.ones(position.size), filled, np.ones(position.size), np.asarray(channel), filled
    )


def two_surfaces(seed: int = 0) -> tuple[Spikes, Truth]:
    """60 channels, two surfaces 7 before and 87 after the reference, scatter 5, a tenth not found, a false one in each third."""
    random = np.random.default_rng(seed)
    channel = np.repeat(np.arange(60), 2)
    true = np.tile([300.0, 700.0], 60) + random.uniform(-50, 50, 120)
    found = true + np.tile([-7.0, 87.0], 60) + random.normal(0, 5, 120)
    kept = random.uniform(size=120) > 0.1
    false = random.uniform(0, 1000, 20)
    return spikes([*found[kept], *false], [*channel[kept], *range(0, 60, 3)]), Truth(channel, true)


def test_every_surface_gets_its_own_offset():
    found, truth = two_surfaces()
    group = groups_by(truth, "order")
    offsets = fitted(found, truth, 30.0, group)
    assert offsets[0] == pytest.approx(-7, abs=2) and offsets[1] == pytest.approx(87, abs=2)
    moved = shifted(truth, group, offsets)
    scores = score(found, moved, 30.0)
    assert scores.overall.recall > 0.85
    first, second = summary(scores, found, moved, group, offsets)
    assert first.true == second.true == 60
    assert first.hits + second.hits == scores.overall.true_positives
    assert first.mean_error < 8


def test_one_offset_is_the_best_of_a_fine_search():
    found, truth = two_surfaces(1)
    found = replace(found, position=found.position + 40)
    group = groups_by(truth, None)
    offset = fitted(found, truth, 12.0, group)[0]

    def matches(value: float) -> int:
        return score(found, shifted(truth, group, {0: value}), 12.0).overall.true_positives

    assert matches(offset) >= max(matches(value) for value in np.arange(-120, 120, 3.0)) - 1


def test_a_seam_is_no_obstacle():
    truth = Truth(np.zeros(3, dtype=int), np.array([1.0, 30.0, 99.0]))
    found = spikes([3.0, 32.0, 1.0], [0, 0, 0])
    assert fitted(found, truth, 1.5, groups_by(truth, None), period=100.0)[0] == pytest.approx(2)


def test_groups_that_are_not_there_or_too_many():
    with pytest.raises(UsageError, match="no groups"):
        groups_by(Truth(np.zeros(2, dtype=int), np.zeros(2)), "group")
    with pytest.raises(UsageError, match="too many groups"):
        groups_by(Truth(np.zeros(99, dtype=int), np.arange(99.0)), "order")


def test_a_surface_that_is_not_there_keeps_its_place(tmp_path):
    found, truth = two_surfaces(2)
    position = truth.position.copy()
    position[::6] = np.nan  # the first surface of every third channel
    write_signal(Signal(np.zeros((60, 4)), Axis(0.0, 1.0, 4), truth=Truth(truth.channel, position)), tmp_path / "a.h5")
    known = read_signal(tmp_path / "a.h5").truth
    assert known is not None and known.position.size == 100
    group = groups_by(known, "order")
    assert np.array_equal(group, np.tile([0, 1], 60)[np.isfinite(position)])
    assert fitted(found, known, 30.0, group)[1] == pytest.approx(87, abs=2)
    write_signal(Signal(np.zeros((60, 4)), Axis(0.0, 1.0, 4), truth=known), tmp_path / "b.h5")
    again = read_signal(tmp_path / "b.h5").truth
    assert again is not None and np.array_equal(again.numbered(), group)
    assert known.of_channel(3).numbered().tolist() == [1]


def test_correlation_of_rates():
    axis = Axis(0.0, 0.01, 1000, "time", "s")
    random = np.random.default_rng(2)
    true = np.sort(random.uniform(0, 10, 80))
    truth = Truth(np.zeros(80, dtype=int), true)
    assert correlations(spikes(true, np.zeros(80, dtype=int)), truth, axis, 0.04)[0] == pytest.approx((1, 1))
    shaken = spikes(true + random.normal(0, 0.03, 80), np.zeros(80, dtype=int), random.uniform(0.5, 2, 80))
    plain, smooth = (correlations(shaken, truth, axis, 0.04, smoothing)[0][1] for smoothing in (0.0, 0.03))
    assert 0.2 < plain < smooth < 1
    expected = np.corrcoef(*(np.histogram(x, np.arange(251) * 0.04 - 0.005)[0] for x in (shaken.position, true)))[0, 1]
    assert plain == pytest.approx(expected)
    present = np.ones((1, 1000), dtype=bool)
    present[0, 500:] = False  # the recording ended: its empty bins agree, but say nothing
    half = Truth(np.zeros(40, dtype=int), true[:40])
    cut = correlations(spikes(shaken.position[:40], np.zeros(40, dtype=int)), half, axis, 0.04, 0.0, present)[0][1]
    assert cut < correlations(spikes(shaken.position[:40], np.zeros(40, dtype=int)), half, axis, 0.04)[0][1]
    for bin_width in (0.001, 9.0, float("nan")):
        with pytest.raises(UsageError, match="bin of a rate"):
            correlations(shaken, truth, axis, bin_width)


def test_the_command(tmp_path: Path):
    signal = read_signal(DATA / "gaussian.h5")
    assert signal.truth is not None
    number = np.arange(10) % 2
    moved = Truth(signal.truth.channel, signal.truth.position + np.where(number, 0.03, -0.02), signal.truth.weight, number)
    write_signal(replace(signal, truth=moved), tmp_path / "moved.h5")
    result = tmp_path / "r.h5"
    assert run("recover", tmp_path / "moved.h5", "-o", result, "--no-plot", "-q").code == 0
    asked = run("score", result, "--tolerance", 0.005, "--offset-by", "group", "--rate-bin", 0.02, "--json")
    document = json.loads(asked.text)
    assert document["overall"]["recall"] == 1
    assert [row["offset"] for row in document["offsets"]] == pytest.approx([0.02, -0.03], abs=1e-3)
    assert document["rate"]["mean"]["count"] > 0.5
    plain = json.loads(run("score", result, "--tolerance", 0.005, "--json").text)
    assert set(plain) == set(document) and plain["offsets"] == [] and plain["rate"] is None
    assert "mean error [s]" in run("score", result, "--offset", "fit", "--rate-bin", 0.02).text
    assert json.loads(run("score", result, "--offset", 0.02, "--json").text)["offsets"][0]["offset"] == 0.02
    assert run("score", result, "--offset", "x").code == 2
    assert run("score", result, "--offset", "1", "--offset-by", "group").code == 2
