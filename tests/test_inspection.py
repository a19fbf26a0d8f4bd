"""What samples show: gaps, counts, saturation, drift, the limit of resolution; and what `inspect` says of them."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import DATA, run

from blasso_flow import filters, read_result, read_signal, write_signal
from blasso_flow.answer.refit import refit
from blasso_flow.cli.channels import channel_numbers
from blasso_flow.cli.look import hard_points
from blasso_flow.data.signals import Axis, FloatArray, Signal
from blasso_flow.noise import inspection
from blasso_flow.noise.inspection import Gaps
from blasso_flow.problem.problem import Problem
from blasso_flow.truth.simulation import simulate


def test_gaps():
    nan = np.nan
    assert inspection.gaps(np.array([nan, 1, nan, nan, 2, nan, 3, nan, nan, nan])) == Gaps(2, 2, 1, 3)
    assert inspection.gaps(np.arange(3.0)) == Gaps(0, 0, 0, 0)
    assert inspection.gaps(np.full(3, nan)) == Gaps(0, 0, 3, 0)


def test_counts_are_told_from_other_whole_numbers():
    random = np.random.default_rng(0)
    rate = 3 + 40 * np.exp(-0.5 * ((np.arange(800) - 300) / 40) ** 2)
    assert inspection.are_counts(random.poisson(rate).astype(float))
    assert inspection.are_counts(random.poisson(0.05, 1000).astype(float))
    assert not inspection.are_counts(random.poisson(rate) + 0.5)
    assert not inspection.are_counts(np.round(200 + random.normal(0, 2, 800)))
    assert not inspection.are_counts(random.poisson(rate) - 5.0)
    assert not inspection.are_counts(np.full(50, np.nan))


def test_a_filter_is_narrow_by_its_length():
    signal = Signal(np.zeros(2000), Axis(0.0, 1.0, 2000))

    def said(text: str) -> str:
        description = filters.describe(text)
        return " ".join(hard_points(filters.build(description, signal.axis), description, [signal]))

    assert "the filter is narrow (2 samples)" in said("gaussian:sd=2")
    assert "narrow" not in said("decay:rise=0.5,decay=20")


def test_saturation():
    values = simulate("gaussian:sd=9", samples=600, spikes=6, min_separation=60, snr=30, seed=1).values
    assert inspection.saturated(values) == 0
    assert inspection.saturated(np.minimum(values, 0.6)) > 10
    assert inspection.saturated(np.random.default_rng(0).poisson(0.05, 1000).astype(float)) == 0


def test_drift():
    signal = simulate("gaussian:sd=9", samples=1000, spikes=8, min_separation=60, snr=20, seed=3)
    sd = float(np.max(signal.noise_sd))
    slope = np.linspace(0, 20 * sd, 1000)
    assert inspection.drift(signal.values, sd, True) == 0
    assert inspection.drift(signal.values + slope, sd, True) == pytest.approx(20 * sd, rel=0.3)
    assert inspection.drift(np.where(np.arange(1000) < 900, signal.values, np.nan), sd, True) == 0
    assert inspection.drift(np.arange(5.0), sd, True) == 0


@pytest.mark.parametrize("spec", ["gaussian:sd=8", "ricker:frequency=0.02"])
def test_the_limit_of_resolution_is_where_the_errors_of_the_refit_say_so(spec):
    axis = Axis(0.0, 1.0, 1200)
    table = filters.build(filters.describe(spec), axis)
    snr = 30.0
    closest = inspection.resolution(table, snr)
    assert 0.1 < closest < 4
    for factor, vague in ((0.85, True), (1.15, False)):
        position = 600.3 + np.array([0.0, factor * closest * table.width])
        weight = np.full(2, snr / table.norm)
        values = weight @ np.stack([table.response(axis.positions() - x, 0) for x in position])
        problem = Problem.from_signal(Signal(values, axis), table, strength=1.0, noise_sd=1.0, baseline="none")
        answer = refit(problem, position, weight, np.empty(0), level=0.1)
        assert (answer.position_errors[0] > inspection.UNRESOLVED * table.width) == vague
    assert inspection.resolution(table, 1.0) == np.inf
    assert inspection.resolution(table, 300.0) < closest


def test_channels_in_words():
    assert channel_numbers([4]) == "channel 4"
    assert channel_numbers([*range(20), 23]) == "channels 0-19, 23"
    assert channel_numbers(range(0, 40, 2)) == "channels 0, 2, 4, 6, 8, 10 and 14 more"


def test_what_the_command_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    signal = read_signal(DATA / "channels.h5")
    values = signal.values.copy()
    for number in range(6):
        values[number, 110 - 2 * number :] = np.nan
    write_signal(replace(signal, values=values), tmp_path / "ends.h5")
    text = run("inspect", "ends.h5").text
    assert text.count("missing at the ends") == 1
    assert "channels 0-5: 11 to 20 samples are missing at the ends" in text
    assert "its weight is vague" in text
    assert "its exposure is not given" in text
    counted = Signal(np.random.default_rng(0).poisson(0.5, (2, 300)).astype(float), Axis(0.0, 1.0, 300))
    write_signal(counted, tmp_path / "counts.h5")
    text = run("inspect", "counts.h5", "--filter", "gaussian:sd=5").text
    assert "counts    channels 0-1: whole numbers" in text
    assert "channels 0-1: few counts a sample" in text


def said(folder: Path, values: FloatArray, *arguments: str) -> str:
    """What `inspect` prints of values (N,) on samples 0, 1, ..."""
    path = folder / "one.h5"
    write_signal(Signal(values, Axis(0.0, 1.0, values.size)), path, overwrite=True)
    return run("inspect", path, *arguments).text


def test_each_bias_comes_with_its_mend(tmp_path: Path):
    signal = simulate("gaussian:sd=9", samples=1000, spikes=8, min_separation=60, snr=30, seed=1)
    sd = float(np.max(signal.noise_sd))
    plain = said(tmp_path, signal.values, "--filter", "gaussian:sd=9")
    clipped = said(tmp_path, np.minimum(signal.values, 0.6), "--filter", "gaussian:sd=9")
    drifting = said(tmp_path, signal.values + np.linspace(0, 20 * sd, 1000), "--filter", "gaussian:sd=9")
    rising = said(tmp_path, signal.values, "--filter", "decay:decay=9,rise=2")
    for text, words in (
        (clipped, "come out too small"),
        (clipped, "as NaN"),
        (drifting, "spurious spikes"),
        (drifting, "(--baseline auto)"),
    ):
        assert words in text
        assert words not in plain
    assert "--exposure and --stamp" in rising
    assert "--stamp" not in plain


def test_where_the_baseline_drifts_the_default_follows(tmp_path: Path):
    signal = simulate("gaussian:sd=9", samples=1000, spikes=8, min_separation=60, snr=30, seed=1)
    drift = np.linspace(0, 20 * float(np.max(signal.noise_sd)), 1000)
    text = said(tmp_path, signal.values + drift, "--filter", "gaussian:sd=9")
    command = shlex.split(text.strip().splitlines()[-1])
    assert "--baseline" not in command
    done = run(*command[1:], "-o", tmp_path / "drift.h5", "--no-plot", "-q", "--require-fit", "good")
    assert done.code == 0, done.stderr
    (report,) = read_result(tmp_path / "drift.h5").recovery.channels
    assert report.baseline_rule.startswith(("poly", "spline"))
    assert f"than a constant baseline: {report.baseline_rule}" in " ".join(report.notes)


def test_drifting_counts_are_told_a_baseline(tmp_path: Path):
    counts = np.random.default_rng(0).poisson(np.linspace(0.5, 12, 2000)).astype(float)
    text = said(tmp_path, counts, "--filter", "gaussian:sd=9")
    assert text.strip().endswith("--baseline poly:degree=2 --loss poisson")
    assert "see --baseline poly:degree=2" in text


def test_smooth_noise_is_said_to_be_measured_in_a_residual(tmp_path: Path):
    noise = np.random.default_rng(0).normal(size=1200)
    smooth = np.convolve(noise, np.hanning(9), "valid")
    words = "in the residual of a first fit"
    assert words in said(tmp_path, smooth, "--filter", "gaussian:sd=9")
    assert "underestimated" not in said(tmp_path, smooth, "--filter", "gaussian:sd=9")  # said once
    assert words not in said(tmp_path, smooth, "--filter", "gaussian:sd=9", "--noise-sd", "1")
    assert words not in said(tmp_path, noise, "--filter", "gaussian:sd=9")


def test_the_suggested_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (["gaussian.h5"], ["ricker.h5", "--signed", "--false-alarms", "0.1"]):
        text = run("inspect", DATA / arguments[0], *arguments[1:]).text
        line = text.strip().splitlines()[-1]
        assert run(*shlex.split(line)[1:], "--no-plot", "-q").code == 0
