"""Refit with widths: derivatives, the right number of peaks from any guess, errors that hold, refusals, files."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import run
from files_examples import assert_same
from test_files_round_trip import written

import blasso_flow as bf
from blasso_flow import filters
from blasso_flow.answer import widths
from blasso_flow.answer.peaks import PeakModel, Peaks
from blasso_flow.audit.audit import audit
from blasso_flow.data.signals import Axis, Signal
from blasso_flow.errors import UsageError
from blasso_flow.files import read_result, write_result, write_signal
from blasso_flow.filters import stretched
from blasso_flow.plots.curves import gather
from blasso_flow.problem.problem import Problem

FILTERS = ["gaussian:sd=5", "lorentzian:fwhm=6", "emg:sd=4,decay=5", "ricker:frequency=0.04"]
TRUTH = np.array([[1.0, 80.3, 9.0], [0.7, 118.6, 7.0]])  # weight, position, width
RATE = 0.012


def gaussians(x: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    return sum(w * np.exp(-0.5 * ((x - a) / sd) ** 2) for w, a, sd in peaks)


def two_peaks(noise: float = 0.02, seed: int = 1, samples: int = 200) -> Signal:
    """Two Gaussians of different widths on a decaying exponential."""
    axis = Axis(0.0, 1.0, samples, "x", "nm")
    x = axis.positions()
    values = gaussians(x, TRUTH) + 0.9 * np.exp(-RATE * x)
    return Signal(values + np.random.default_rng(seed).normal(0, noise, samples), axis, units="V")


def answer(recovery: bf.Recovery) -> np.ndarray:
    spikes = recovery.spikes
    return np.stack([spikes.weight, spikes.position, spikes.width], axis=1)


def errors(recovery: bf.Recovery) -> np.ndarray:
    spikes = recovery.spikes
    return np.stack([spikes.weight_errors, spikes.position_errors, spikes.width_errors], axis=1)


@pytest.fixture(scope="module")
def recovered() -> bf.Recovery:
    return bf.recover(two_peaks(), filter="gaussian:sd=5", baseline="exp", refit_width=True)


# Derivatives


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("normalisation", ["peak", "area", "energy"])
def test_derivatives_by_position_and_stretch(text: str, normalisation: str) -> None:
    if text.startswith("ricker") and normalisation == "area":
        return
    table = filters.build(filters.describe(text), Axis(0.0, 1.0, 400), normalisation)
    lag, stretch, step = np.linspace(-20, 20, 83), 1.7, 1e-4
    value, slope, spread = stretched.derivatives(table, lag, stretch)
    scale = np.abs(value).max()
    np.testing.assert_allclose(value, stretched.response(table, lag, stretch), rtol=0, atol=1e-15 * scale)
    by_position = (stretched.response(table, lag - step, stretch) - stretched.response(table, lag + step, stretch)) / (2 * step)
    by_stretch = (stretched.response(table, lag, stretch + step) - stretched.response(table, lag, stretch - step)) / (2 * step)
    np.testing.assert_allclose(slope, by_position, rtol=0, atol=1e-7 * scale)
    np.testing.assert_allclose(spread, by_stretch, rtol=0, atol=1e-7 * scale)


@pytest.mark.parametrize("text", FILTERS)
def test_a_stretch_of_one_is_the_filter(text: str) -> None:
    table = filters.build(filters.describe(text), Axis(0.0, 1.0, 400))
    lag = np.linspace(-30, 30, 101)
    np.testing.assert_array_equal(stretched.response(table, lag, 1.0), table.response(lag))


@pytest.mark.parametrize("normalisation", ["peak", "area", "energy"])
def test_a_stretched_gaussian_is_the_wider_gaussian(normalisation: str) -> None:
    axis = Axis(0.0, 0.5, 400)
    one, other = (filters.build(filters.describe(f"gaussian:sd={sd}"), axis, normalisation) for sd in (2.0, 5.0))
    model = stretched.filtered(one, np.array([100.3, 180.0]), np.array([2.0, -1.0]), np.array([2.5, 2.5]), 400)
    n = np.arange(400.0)
    np.testing.assert_allclose(model, 2 * other.response(n - 100.3) - other.response(n - 180.0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalisation", ["peak", "area", "energy"])
def test_short_and_long_records_have_the_same_curves_and_derivatives(normalisation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    signal = two_peaks()
    table = filters.build(filters.describe("gaussian:sd=6"), signal.axis, normalisation)
    model = PeakModel(Problem.from_signal(signal, table, strength=1.0, noise_sd=1.0))
    parameters = model.packed(Peaks(np.array([-2.0, 120.9]), np.array([1.4, 0.9]), np.array([0.8, 0.5]), np.array([0.7]), 0.0))
    made = []
    for short in (0, signal.axis.size):
        monkeypatch.setattr(stretched, "SHORT", short)
        made.append((model.residual(parameters), model.jacobian(parameters)))
    for one, other in zip(*made, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14, atol=1e-14)


def test_the_jacobian_is_the_slope_of_the_residual() -> None:
    signal = two_peaks()
    values = signal.values.copy()
    values[50:60] = np.nan
    signal = replace(signal, values=values, noise_sd=np.linspace(0.5, 2.0, values.size))
    table = filters.build(filters.describe("gaussian:sd=6"), signal.axis)
    problem = Problem.from_signal(signal, table, strength=1.0, baseline="exp:rate=0.02")
    model = PeakModel(problem, 0.02)
    peaks = Peaks(np.array([75.2, 120.9]), np.array([1.4, 0.9]), np.array([0.8, 0.5]), np.array([0.7]), 0.015)
    parameters = model.packed(peaks)
    matrix = model.jacobian(parameters)
    for number in range(parameters.size):
        step = np.zeros(parameters.size)
        step[number] = 1e-6
        slope = (model.residual(parameters + step) - model.residual(parameters - step)) / 2e-6
        np.testing.assert_allclose(matrix[:, number], slope, rtol=0, atol=1e-6 * max(np.abs(slope).max(), 1))


# The right peaks, from any guess


@pytest.mark.parametrize("guess", [3, 5, 8, 12, 18])
def test_any_guess_of_the_width_gives_the_same_peaks(recovered: bf.Recovery, guess: float) -> None:
    found = bf.recover(two_peaks(), filter=f"gaussian:sd={guess}", baseline="exp", refit_width=True)
    assert found.spikes.width.size == 2
    np.testing.assert_allclose(answer(found), answer(recovered), rtol=1e-9)
    np.testing.assert_allclose(errors(found), errors(recovered), rtol=1e-7)
    assert (np.abs(answer(found) - TRUTH) < 4 * errors(found)).all()
    assert (found.spikes.group == [0, 1]).all()


def test_values_and_errors_are_those_of_a_fit_of_the_closed_form(recovered: bf.Recovery) -> None:
    from scipy.optimize import curve_fit

    signal = two_peaks()

    def model(x: np.ndarray, height: float, rate: float, *peaks: float) -> np.ndarray:
        return height * np.exp(-rate * x) + gaussians(x, np.reshape(peaks, (2, 3)))

    best, covariance = curve_fit(
        model, signal.axis.positions(), signal.values, [0.9, RATE, *TRUTH.ravel()], ftol=1e-15, xtol=1e-15, gtol=1e-15
    )
    report = recovered.channels[0]
    rate = float(report.refit_baseline_rule.removeprefix("exp:rate="))
    np.testing.assert_allclose([report.refit_baseline[0], rate], best[:2], rtol=1e-7)
    np.testing.assert_allclose(answer(recovered).ravel(), best[2:], rtol=1e-7)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(errors(recovered).ravel(), sd[2:], rtol=1e-5)
    np.testing.assert_allclose(report.refit_rate_error, sd[1], rtol=1e-5)
    left = signal.values - model(signal.axis.positions(), *best)
    np.testing.assert_allclose(report.refit_noise_sd, np.sqrt(np.sum(left**2) / (200 - 8)), rtol=1e-8)


def test_two_peaks_that_a_wide_filter_saw_as_one_are_split() -> None:
    axis = Axis(0.0, 1.0, 160)
    truth = np.array([[1.0, 70.0, 5.0], [0.8, 84.0, 5.0]])
    values = gaussians(axis.positions(), truth) + np.random.default_rng(1).normal(0, 0.02, 160)
    found = bf.recover(Signal(values, axis), filter="gaussian:sd=14", refit_width=True)
    assert (np.abs(answer(found) - truth) < 4 * errors(found)).all()


def test_a_given_noise_is_behind_the_errors(recovered: bf.Recovery) -> None:
    found = bf.recover(two_peaks(), filter="gaussian:sd=8", baseline="exp", refit_width=True, noise_sd=0.04)
    ratio = 0.04 / recovered.channels[0].refit_noise_sd
    np.testing.assert_allclose(errors(found), ratio * errors(recovered), rtol=1e-6)


def test_the_most_significant_peaks_are_kept() -> None:
    found = bf.recover(two_peaks(), filter="gaussian:sd=5", baseline="exp", refit_width=True, max_spikes=1)
    assert len(found.spikes) == 1


def test_peaks_of_either_sign_are_not_merged() -> None:
    axis = Axis(0.0, 1.0, 160)
    truth = np.array([[1.0, 60.0, 6.0], [-0.8, 82.0, 9.0]])
    values = gaussians(axis.positions(), truth) + np.random.default_rng(0).normal(0, 0.02, 160)
    found = bf.recover(Signal(values, axis), filter="gaussian:sd=4", positive=False, refit_width=True)
    assert (np.abs(answer(found) - truth) < 4 * errors(found)).all()


def test_other_filters_are_stretched_and_keep_their_normalisation() -> None:
    axis = Axis(0.0, 0.1, 400, "t", "s")
    given, true = (filters.build(filters.describe(f"emg:sd={sd},decay={2 * sd}"), axis, "area") for sd in (0.4, 0.6))
    n = np.arange(400)
    values = 3.0 * true.response(n - 180.0) + np.random.default_rng(3).normal(0, 0.01, 400)
    found = bf.recover(Signal(values, axis), filter="emg:sd=0.4,decay=0.8", normalisation="area", refit_width=True)
    expected = np.array([[3.0, 18.0, 1.5 * given.width * axis.spacing]])
    assert answer(found).shape == (1, 3)
    assert (np.abs(answer(found) - expected) < 4 * errors(found)).all()


def test_intervals_cover_the_truth() -> None:
    truth = np.array([1.0, 60.4, 8.0])
    axis = Axis(0.0, 1.0, 120)
    inside, right = [], 0
    for seed in range(60):
        values = gaussians(axis.positions(), truth[None]) + np.random.default_rng(seed).normal(0, 0.1, 120)
        found = bf.recover(Signal(values, axis), filter="gaussian:sd=6", refit_width=True)
        if len(found.spikes) == 1:
            right += 1
            inside.append(np.abs(answer(found)[0] - truth) < 1.96 * errors(found)[0])
    assert right >= 57
    share = np.mean(inside, axis=0)
    assert (share >= 0.88).all()
    assert share.mean() < 0.99


def test_noise_alone_gives_no_peak_and_columns_without_rows() -> None:
    found = bf.recover(
        Signal(np.random.default_rng(5).normal(0, 1, 300), Axis(0.0, 1.0, 300)), filter="gaussian:sd=5", refit_width=True
    )
    assert found.spikes.width.shape == found.spikes.width_errors.shape == (0,)


# The proof is about the filter as given


def test_the_certified_optimum_is_the_same_and_is_confirmed(recovered: bf.Recovery) -> None:
    plain = bf.recover(two_peaks(), filter="gaussian:sd=5", baseline="exp")
    assert_same(plain.optimum, recovered.optimum)
    assert plain.channels[0].gap == recovered.channels[0].gap
    assert plain.spikes.width is None
    verdict = audit(two_peaks(), recovered.optimum, recovered.channels, recovered.settings)[0]
    assert verdict.agrees
    assert any("the proof" in note or "the proof," in note for note in recovered.channels[0].notes)
    assert any("filter as given" in note for note in recovered.channels[0].notes)


# Refusals


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"filter": "decay:rise=1,decay=20"}, "decay are times"),
        ({"filter": "lowpass:order=4,period=200"}, "periodic"),
        ({"filter": "gaussian:sd=5,exposure=1"}, "exposure"),
        ({"filter": "gaussian:sd=5", "exposure": 0.5}, "exposure"),
        ({"filter": "gaussian:sd=5", "loss": "poisson"}, "least squares"),
        ({"filter": "gaussian:sd=5", "refit": False}, "belong to the refit"),
        ({"width_law": (25.0, 0.0)}, "law or are free"),
    ],
)
def test_what_has_no_width_is_refused(settings: dict[str, object], words: str) -> None:
    signal = two_peaks()
    signal = replace(signal, axis=replace(signal.axis, periodic="period" in str(settings)))
    with pytest.raises(UsageError, match=words):
        bf.recover(signal, refit_width=True, **settings)


def test_too_many_spikes_or_samples_fail_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, words in (("MOST_SPIKES", "too many spikes"), ("MOST_NUMBERS", "too many samples")):
        with monkeypatch.context() as patch:
            patch.setattr(widths, name, 1)
            report = bf.recover(two_peaks(), filter="gaussian:sd=5", baseline="exp", refit_width=True).channels[0]
        assert report.status == "failed"
        assert words in report.message
        assert "leave out `refit_width=True`" in report.message


# Files, tables, figures


def test_widths_are_written_and_read_back(recovered: bf.Recovery) -> None:
    stored = read_result(io.BytesIO(written(write_result, recovered)))
    assert_same(stored.recovery.spikes, recovered.spikes)
    for name in ("refit_noise_sd", "refit_baseline_rule", "refit_rate_error"):
        assert getattr(stored.recovery.channels[0], name) == getattr(recovered.channels[0], name)


def test_a_failed_channel_beside_one_with_widths() -> None:
    signal = two_peaks()
    both = replace(signal, values=np.stack([signal.values, np.full(200, np.nan)]))
    found = bf.recover(both, filter="gaussian:sd=8", baseline="exp", refit_width=True)
    stored = read_result(io.BytesIO(written(write_result, found))).recovery
    assert_same(stored.spikes, found.spikes)
    assert [channel.refit_baseline_rule for channel in stored.channels][1] == ""


def test_commands_print_and_confirm_widths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_signal(two_peaks(), "a.h5")
    arguments = ("recover", "a.h5", "--filter", "gaussian:sd=8", "--baseline", "exp", "--no-plot")
    done = run(*arguments, "--refit-width")
    assert done.code == 0
    assert "the baseline of the refit with widths decays at 0.01" in done.stderr
    assert "width [nm]" in run("show", "a.spikes.h5").text
    header, first, _ = run("show", "a.spikes.h5", "--csv").text.splitlines()
    assert header == "channel,position,position_errors,weight,weight_errors,group,significance,width,width_errors"
    assert abs(float(first.split(",")[7]) - 9.0) < 0.5
    assert "refit_rate_error" in run("show", "a.spikes.h5", "--channels", "--csv").text
    assert run("certify", "a.spikes.h5").code == 0
    assert run(*arguments, "-o", "plain.h5").code == 0
    assert "width" not in run("show", "plain.h5", "--csv").text


def test_figures_draw_the_fitted_widths(recovered: bf.Recovery) -> None:
    drawn = gather(replace(recovered, fit=None))
    np.testing.assert_allclose(drawn.model, recovered.fit.model, rtol=0, atol=1e-9)
    np.testing.assert_allclose(drawn.baseline, recovered.fit.baseline, rtol=0, atol=1e-9)
