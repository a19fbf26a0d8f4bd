"""Noise and baseline that the samples choose, and the verdict on the model: what is right on records whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

import blasso_flow as bf
from blasso_flow import filters
from blasso_flow.answer.hints import hints
from blasso_flow.data.reports import Verdict
from blasso_flow.data.signals import Axis
from blasso_flow.errors import UsageError
from blasso_flow.filters.prewhitened import prewhitened, whitened_samples
from blasso_flow.filters.superposition import filtered
from blasso_flow.noise.colour import Colour, colour_of, lost_to_spikes, spectrum
from blasso_flow.problem.problem import Problem
from blasso_flow.recovery.choice import ladder
from blasso_flow.recovery.routes import unchanged
from blasso_flow.recovery.settings import Settings

SIZE = 1500
KINDS = ["gaussian:sd=5", "decay:rise=3,decay=25", "emg:sd=3,decay=8"]
WHITENER = np.array([0.7, -0.2, 0.1])


def table(text: str, size: int = SIZE) -> filters.Filter:
    return filters.build(filters.describe(text), Axis(0.0, 1.0, size))


def coloured(random: np.random.Generator, memory: float, size: int = SIZE) -> np.ndarray:
    draw = random.standard_normal(size + 500)
    return np.asarray(lfilter([np.sqrt(1 - memory**2)], [1.0, -memory], draw))[500:]


def record(text: str, seed: int, high: float = 20.0, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Clean samples and positions of spikes that stand ``high`` noise sd high, far from each other."""
    random, filter = np.random.default_rng(seed), table(text, size)
    position = (np.arange(8) + random.uniform(0.3, 0.7, 8)) * size / 8
    return filtered(filter, position, np.full(8, high / filter.norm), size), position


def predicted(values: np.ndarray, whitener: np.ndarray) -> np.ndarray:
    """The definition, sample by sample."""
    return np.array(
        [
            values[n] - sum(a * values[n - k - 1] for k, a in enumerate(whitener)) if n >= whitener.size else np.nan
            for n in range(values.size)
        ]
    )


# ---- whitening


def test_samples_are_whitened_as_defined():
    values = np.random.default_rng(0).standard_normal(40)
    values[20] = np.nan
    np.testing.assert_allclose(whitened_samples(values, WHITENER), predicted(values, WHITENER), atol=1e-14)
    around = whitened_samples(values, WHITENER, periodic=True)
    assert around[0] == pytest.approx(values[0] - WHITENER @ values[[-1, -2, -3]])


@pytest.mark.parametrize("text", [*KINDS, "ricker:frequency=0.05"])
def test_a_prewhitened_filter_is_what_whitened_samples_see(text):
    plain = table(text)
    seen = prewhitened(plain, WHITENER)
    lag = np.linspace(plain.first - 2, plain.first + plain.taps + 5, 2001)
    for order in range(3):
        expected = plain.response(lag, order) - sum(a * plain.response(lag - k - 1, order) for k, a in enumerate(WHITENER))
        scale = np.abs(expected).max()
        np.testing.assert_allclose(seen.response(lag, order), expected, atol=1e-12 * scale)
    curve = filtered(plain, np.array([400.3, 800.0]), np.array([1.0, 2.0]), SIZE)
    expected = whitened_samples(curve, WHITENER)[3:]
    np.testing.assert_allclose(filtered(seen, np.array([400.3, 800.0]), np.array([1.0, 2.0]), SIZE)[3:], expected, atol=1e-12)
    fine = np.linspace(plain.first - 1, plain.first + plain.taps + 4, 400_001)
    assert seen.norm == pytest.approx(np.sqrt(np.sum(seen.response(fine) ** 2) * (fine[1] - fine[0])), rel=1e-4)


def test_a_tail_stays_a_tail():
    plain = table(KINDS[1])
    seen = prewhitened(plain, WHITENER)
    rates, amplitudes = seen.tail
    lag = np.arange(seen.first + seen.tail_tap, seen.first + seen.tail_tap + 60, dtype=np.float64)
    expected = (amplitudes * np.exp(-rates * (lag[:, None] - seen.first))).sum(axis=1)
    np.testing.assert_allclose(seen.response(lag), expected, rtol=1e-8, atol=1e-12)


# ---- the colour


@pytest.mark.parametrize("memory", [0.3, 0.6, 0.9])
def test_the_colour_of_autoregressive_noise_is_found(memory):
    found = colour_of(coloured(np.random.default_rng(1), memory, 6000))
    assert found.whitener.size == 1
    assert found.whitener[0] == pytest.approx(memory, abs=0.05)
    assert found.sd_ratio == pytest.approx(1 / np.sqrt(1 - memory**2), rel=0.15)


def test_white_noise_has_no_colour():
    found = [colour_of(np.random.default_rng(seed).standard_normal(SIZE)).whitener.size for seed in range(200)]
    assert np.count_nonzero(found) <= 4


def test_missing_samples_do_not_change_the_colour():
    noise = coloured(np.random.default_rng(2), 0.8, 6000)
    noise[np.random.default_rng(3).random(6000) < 0.3] = np.nan
    assert colour_of(noise).whitener[0] == pytest.approx(0.8, abs=0.06)


def test_fitted_spikes_do_not_colour_white_noise():
    """Projected off 60 spikes of 1,500 samples, white noise would be taken for coloured: what they took is given back."""
    filter, found = table(KINDS[0]), {"corrected": 0, "as it is": 0}
    position = np.linspace(15, SIZE - 15, 60)
    lag = np.arange(SIZE)[:, None] - position
    basis = np.linalg.qr(np.hstack([filter.response(lag), filter.response(lag, 1)]))[0]
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal(SIZE)
        left = noise - basis @ (basis.T @ noise)
        found["as it is"] += colour_of(left).whitener.size > 0
        found["corrected"] += colour_of(left, lost_to_spikes(filter, 60, 0, SIZE)).whitener.size > 0
    assert found["corrected"] <= 1
    assert found["as it is"] > 10


def test_the_spectrum_is_that_of_the_noise():
    power = np.abs(np.fft.rfft(coloured(np.random.default_rng(4), 0.7, 1 << 16))) ** 2 / (1 << 16) / (1 - 0.7**2)
    frequency = np.fft.rfftfreq(1 << 16)
    for low, high in ((0.01, 0.05), (0.2, 0.3), (0.4, 0.49)):
        own = (frequency > low) & (frequency < high)
        assert power[own].mean() == pytest.approx(spectrum(np.array([0.7]), frequency[own]).mean(), rel=0.1)
    assert Colour(np.empty(0)).sd_ratio == 1


# ---- recover


@pytest.mark.parametrize("text", KINDS)
def test_coloured_noise_makes_no_spikes_and_is_proven(text):
    clean, position = record(text, 5, high=40.0)
    values = clean + coloured(np.random.default_rng(6), 0.6)
    values[700:705] = np.nan
    white = bf.recover(values, filter=text, noise="white", baseline="const")
    found = bf.recover(values, filter=text)
    assert len(white.spikes) > 2 * position.size
    assert len(found.spikes) == position.size
    errors = (found.spikes.position - position) / found.spikes.position_errors
    assert np.abs(errors).max() < 4
    report = found.channels[0]
    assert report.whitener.size > 0
    assert report.fit is Verdict.GOOD
    assert found.success
    verdict = bf.certify(found)[0]
    assert verdict.agrees, verdict.reason
    assert any("coloured" in note for note in report.notes)
    np.testing.assert_allclose(found.fit.residual, values - found.fit.model, equal_nan=True)
    altered = replace(found, channels=[replace(report, whitener=report.whitener * 0.9)])
    assert not bf.certify(altered)[0].agrees


def test_a_colour_of_no_noise_is_refused_where_it_means_nothing():
    with pytest.raises(UsageError, match="unknown noise"):
        Settings(noise="pink")
    for options in ({"noise_sd": 1.0}, {"loss": "poisson"}, {"refit_width": True}):
        with pytest.raises(UsageError, match="coloured noise is measured"):
            Settings(noise="coloured", **options)


def test_a_given_sd_keeps_noise_white():
    values = record(KINDS[0], 7)[0] + coloured(np.random.default_rng(8), 0.6)
    report = bf.recover(values, filter=KINDS[0], noise_sd=1.0, baseline="const").channels[0]
    assert report.whitener.size == 0
    assert report.fit is Verdict.WRONG
    assert any("not white" in reason for reason in report.fit_reasons)


@pytest.mark.parametrize("text", KINDS)
def test_a_drift_gets_a_baseline_and_a_clean_record_a_constant(text):
    clean, position = record(text, 9)
    noise = np.random.default_rng(10).standard_normal(SIZE)
    drift = 4 * np.sin(np.linspace(0, 7, SIZE))
    kept = bf.recover(clean + noise, filter=text)
    found = bf.recover(clean + noise + drift, filter=text)
    assert kept.channels[0].baseline_rule == "const"
    assert found.channels[0].baseline_rule not in {"", "const"}
    assert len(bf.recover(clean + noise + drift, filter=text, baseline="const", noise="white").spikes) > 2 * position.size
    assert [len(kept.spikes), len(found.spikes)] == [position.size] * 2
    assert bf.certify(found)[0].agrees
    explicit = bf.recover(clean + noise, filter=text, baseline="const", noise="white")
    np.testing.assert_array_equal(explicit.spikes.position, kept.spikes.position)


def test_the_ladder_never_follows_the_filter():
    channel = bf.Signal(np.zeros(2000), Axis(0.0, 0.5, 2000))
    rungs = ladder(channel, filters.build(filters.describe("gaussian:sd=5"), channel.axis))
    assert [str(rung) for rung in rungs[:3]] == ["poly:degree=1", "poly:degree=2", "spline:knot=499.75"]
    assert min(rung.parameters["knot"] for rung in rungs[2:]) >= 4 * 5


# ---- the verdict


@pytest.mark.parametrize("text", KINDS)
@pytest.mark.parametrize("stretch", [0.6, 1.0, 1.6])
def test_a_wrong_width_is_called_wrong_and_a_right_one_good(text, stretch):
    clean, _ = record(text, 11, high=30.0)
    values = clean + np.random.default_rng(12).standard_normal(SIZE)
    kind, _, rest = text.partition(":")
    pairs = (part.split("=") for part in rest.split(","))
    used = f"{kind}:" + ",".join(f"{name}={float(value) * stretch:g}" for name, value in pairs)
    report = bf.recover(values, filter=used, noise="white", baseline="const").channels[0]
    assert (report.fit is Verdict.GOOD) == (stretch == 1.0)
    if stretch != 1.0:
        words = "narrower" if stretch > 1 else "wider"
        assert report.fit is Verdict.WRONG
        assert any(words in reason or "not white" in reason for reason in report.fit_reasons)


@pytest.mark.parametrize(
    ("fault", "word"),
    [("outliers", "outside the noise"), ("saturation", "saturation"), ("loud", "times the noise sd"), ("drift", "drift")],
)
def test_faults_are_named(fault, word):
    clean, _ = record(KINDS[0], 13, high=30.0)
    values = clean + np.random.default_rng(14).standard_normal(SIZE)
    options: dict[str, object] = {"noise": "white", "baseline": "const"}
    if fault == "outliers":
        values[[200, 500, 900]] -= 15
    elif fault == "saturation":
        values = np.minimum(values, np.quantile(values, 0.98))
    elif fault == "loud":
        options["noise_sd"] = 0.5
    else:
        values = values + 3 * np.sin(np.linspace(0, 9, SIZE))
    report = bf.recover(values, filter=KINDS[0], **options).channels[0]
    assert report.fit is not Verdict.GOOD
    assert any(word in reason for reason in report.fit_reasons)


def test_hints_need_no_solve_and_see_a_curve():
    clean, _ = record(KINDS[0], 15)
    axis, noise = Axis(0.0, 1.0, SIZE), np.random.default_rng(16).standard_normal(SIZE)
    for drift in (0.0, 0.5):
        values = clean + noise + drift * np.linspace(-3, 3, SIZE) ** 2
        problem = Problem.from_signal(bf.Signal(values, axis), table(KINDS[0]), strength=1.0, noise_sd=1.0)
        answer = bf.recover(bf.Signal(values, axis, noise_sd=1.0), filter=KINDS[0], noise="white", baseline="const")
        assert hints(
            problem, unchanged(answer.spikes.position, answer.spikes.weight, answer.channels[0].refit_baseline)
        ).curve == (drift > 0)
