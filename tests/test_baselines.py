"""Baselines: columns, refusals, the running percentile, and each kind from recovery to an independent check and a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import generic_filter

import blasso_flow as bf
from blasso_flow import filters
from blasso_flow.audit.audit import audit
from blasso_flow.audit.baselines import baseline_columns, running_percentile
from blasso_flow.errors import UsageError
from blasso_flow.plots.curves import gather
from blasso_flow.problem import baselines
from blasso_flow.problem.problem import Problem

AXIS = bf.Axis(2.0, 0.1, 500)
FILTER = "gaussian:sd=0.5"
COLUMNS = ("none", "const", "poly:degree=0", "poly:degree=1", "poly:degree=3", "spline:knot=9", "exp:rate=0.05")
POSITION = np.array([6.03, 14.51, 20.0, 21.7, 33.33, 46.2])


def drifting(seed: int = 0, missing: bool = True) -> bf.Signal:
    """Six spikes of weight 1 on a decaying drift, with a missing stretch and missing ends."""
    x = AXIS.positions()
    values = np.exp(-0.5 * ((x[:, None] - POSITION) / 0.5) ** 2).sum(axis=1) + 3 * np.exp(-0.05 * (x - x[0]))
    values += 0.03 * np.random.default_rng(seed).standard_normal(x.size)
    if missing:
        values[250:270] = values[:5] = values[-9:] = np.nan
    return bf.Signal(values, AXIS, noise_sd=0.03)


@pytest.mark.parametrize("text", COLUMNS)
def test_columns_are_well_conditioned_and_the_check_builds_the_same(text: str) -> None:
    signal = drifting()
    present = np.isfinite(signal.values)
    columns = baselines.columns(text, AXIS, present)
    np.testing.assert_allclose(baseline_columns(text, signal), columns, rtol=0, atol=1e-12)
    if columns.shape[1]:
        assert np.linalg.cond(columns[present]) < 100


def test_fifty_splines_are_well_conditioned() -> None:
    axis = bf.Axis(0.0, 0.01, 17_000)
    columns = baselines.columns("spline:knot=3.6", axis, np.ones(axis.size, dtype=bool))
    assert columns.shape[1] == 50
    assert np.linalg.cond(columns) < 100
    np.testing.assert_allclose(columns.sum(axis=1), 1.0, rtol=1e-12)


def test_splines_inside_a_missing_stretch_do_no_harm() -> None:
    signal = drifting()
    signal.values[150:390] = np.nan
    recovery = bf.recover(signal, filter="gaussian:sd=0.3", baseline="spline:knot=3")
    assert recovery.channels[0].status == "converged"
    verdict = audit(signal, recovery.optimum, recovery.channels, recovery.settings)[0]
    assert verdict.agrees, verdict.reason


@pytest.mark.parametrize("text", ["poly:degree=3", "spline:knot=9", "exp", "exp:rate=0.05", "percentile:window=9"])
def test_from_recovery_to_check(text: str, tmp_path) -> None:
    signal = drifting()
    recovery = bf.recover(signal, filter=FILTER, baseline=text)
    report = recovery.channels[0]
    assert report.status == "converged"
    if not text.startswith("percentile"):
        assert recovery.spikes.position == pytest.approx(POSITION, abs=0.1)
        assert recovery.spikes.weight == pytest.approx(np.ones(6), abs=0.15)
    present = np.isfinite(signal.values)
    drift = 3 * np.exp(-0.05 * (AXIS.positions() - AXIS.first))
    off = np.abs(recovery.fit.baseline - drift)[present]
    assert off.max() < (0.6 if text.startswith("percentile") else 0.1)
    np.testing.assert_allclose(recovery.fit.model + recovery.fit.residual, signal.values)
    target = tmp_path / "a.h5"
    bf.write_result(recovery, target)
    back = bf.read_result(target).recovery
    assert back.channels[0].baseline_rule == report.baseline_rule
    verdict = audit(signal, back.optimum, back.channels, back.settings)[0]
    assert verdict.agrees, verdict.reason
    drawn = gather(replace(recovery, fit=None))
    np.testing.assert_allclose(drawn.baseline, recovery.fit.baseline, atol=1e-9)
    np.testing.assert_allclose(drawn.model, recovery.fit.model, atol=1e-9)


@pytest.mark.parametrize("text", ["poly:degree=4", "spline:knot=5", "exp:rate=0.05", "percentile:window=9"])
def test_the_gap_is_at_least_the_excess(text: str) -> None:
    table = filters.build(filters.describe(FILTER), AXIS)
    problem = Problem.from_signal(drifting(1), table, strength=0.3, baseline=text)
    loose, tight = (bf.solve(problem, tol=tol, tol_noise=np.inf) for tol in (1e-2, 1e-11))
    assert tight.gap <= 1e-9
    assert loose.objective - loose.dual_value >= loose.objective - tight.objective - 1e-12
    assert loose.dual_value <= tight.objective * (1 + 1e-12)


def test_a_wrong_rate_is_noticed() -> None:
    signal = drifting()
    recovery = bf.recover(signal, filter=FILTER, baseline="exp")
    report = replace(recovery.channels[0], baseline_rule="exp:rate=0.06")
    assert not audit(signal, recovery.optimum, [report], recovery.settings)[0].agrees


def test_the_rate_is_found_and_told() -> None:
    report = bf.recover(drifting(), filter=FILTER, baseline="exp").channels[0]
    assert baselines.parse(report.baseline_rule).parameters["rate"] == pytest.approx(0.05, rel=0.03)
    assert any("the proof holds at this rate" in note for note in report.notes)


def test_the_percentile_is_told() -> None:
    report = bf.recover(drifting(), filter=FILTER, baseline="percentile:window=9").channels[0]
    assert any("taken off the signal beforehand" in note for note in report.notes)


@pytest.mark.parametrize("percentile", [0, 10, 50, 100])
def test_a_running_percentile_is_the_plain_one(percentile: int) -> None:
    signal = drifting(2)
    got = baselines.removed(f"percentile:window=2,percentile={percentile}", signal.values, AXIS)
    plain = generic_filter(signal.values, np.nanpercentile, size=21, mode="constant", cval=np.nan, extra_arguments=(percentile,))
    assert np.isfinite(plain).all()
    np.testing.assert_allclose(got, plain, rtol=0, atol=1e-12)


def test_a_long_window_is_interpolated_and_checked_alike() -> None:
    axis = bf.Axis(0.0, 0.01, 5_000)
    x = axis.positions()
    signal = bf.Signal(np.sin(x / 9) + 0.1 * np.random.default_rng(3).standard_normal(x.size), axis)
    text = "percentile:window=5"
    got = baselines.removed(text, signal.values, axis)
    every = [np.percentile(signal.values[max(0, n - 250) : n + 251], 10) for n in range(axis.size)]
    assert np.abs(got - every).max() < 0.02
    np.testing.assert_allclose(running_percentile(text, signal), got, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "", "cubic", "poly", "poly:degree=x", "poly:degree=1.5", "poly:degree=-1", "poly:degree=99", "spline", "spline:knot=0",
        "spline:knot=nan", "exp:rate=-1", "exp:speed=1", "percentile", "percentile:window=-3", "const:degree=1",
        "percentile:window=3,percentile=120",
    ],
)  # fmt: skip
def test_a_baseline_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError):
        bf.recover(drifting(), filter=FILTER, baseline=text)


@pytest.mark.parametrize("text", ["spline:knot=1.9", "percentile:window=1.9"])
def test_a_baseline_that_could_follow_the_filter(text: str) -> None:
    with pytest.raises(UsageError, match="follows the filter itself"):
        bf.recover(drifting(), filter=FILTER, baseline=text)
