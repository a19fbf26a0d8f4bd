"""Noise level, whiteness, the Rice level and the choice of a strength."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blasso_flow as bf
from blasso_flow import filters
from blasso_flow.data.signals import Axis
from blasso_flow.errors import UsageError
from blasso_flow.noise.level import NoiseEstimate, estimate_from_residual, estimate_noise, find_quantum
from blasso_flow.noise.rice import rice_level, rice_level_weighted, student_level, upper_tail
from blasso_flow.noise.strength import StrengthRule, choose_strength
from blasso_flow.noise.whiteness import whiteness


def gaussian(width, samples=10_000):
    return filters.build(filters.describe(f"gaussian:sd={width}"), Axis(0.0, 1.0, samples))


def clean_signal(random, table, samples, spikes, signed=True):
    """Filtered spikes at random places, shape (N,)."""
    position = random.uniform(0, samples - 1, spikes)
    weight = random.uniform(0.5, 1.5, spikes) * (random.choice([-1, 1], spikes) if signed else 1)
    values = np.zeros(samples + 2 * table.taps)
    for x, w in zip(position, weight, strict=True):
        n = int(x) + np.arange(2 * table.taps)
        values[n] += w * table.response(n - table.taps - x)
    return values[table.taps : table.taps + samples]


def noise_of(clean, snr):
    return np.sqrt(np.mean(clean**2)) * 10 ** (-snr / 20)


@pytest.mark.parametrize("width", [3, 5, 20])
@pytest.mark.parametrize("snr", [10, 30, 40])
def test_noise_sd_within_4_percent(width, snr):
    random = np.random.default_rng([width, snr])
    table = gaussian(width)
    ratios = []
    for _ in range(6):
        clean = clean_signal(random, table, 10_000, 100)
        sd = noise_of(clean, snr)
        ratios.append(estimate_noise(clean + sd * random.standard_normal(10_000), table).sd / sd)
    # six estimates of 1.6 % sampling error each
    assert abs(np.mean(ratios) - 1) < 0.04 + 0.01


@pytest.mark.parametrize(("step", "gain"), [(1.0, 1.0), (1 / 3, 1.0), (2.0, 1.0), (1.0, 0.1234)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_quantised_data(step, gain, dtype):
    random = np.random.default_rng(3)
    values = ((np.round(random.standard_normal(4000) / step) * step - 7) * gain + 5).astype(dtype).astype(np.float64)
    assert find_quantum(values) == pytest.approx(step * gain, rel=1e-4)
    expected = gain * np.sqrt(1 + step**2 / 12)
    assert estimate_noise(values).sd == pytest.approx(expected, rel=0.07)


def test_noise_far_below_the_quantum_gets_the_floor():
    random = np.random.default_rng(4)
    values = np.round(20 * np.sin(np.arange(600) / 90) + 0.05 * random.standard_normal(600))
    found = estimate_noise(values)
    assert found.floor
    assert found.sd == pytest.approx(1 / np.sqrt(12))
    assert "quantised in steps of 1" in found.rule


def test_continuous_data_have_no_quantum():
    random = np.random.default_rng(5)
    assert find_quantum(random.standard_normal(500)) == 0
    assert find_quantum(random.standard_normal(500).astype(np.float32).astype(np.float64)) == 0
    assert find_quantum(np.array([0.0] * 50 + [3.7])) == 0
    assert find_quantum(random.choice([0.0, 2.0], 40)) == 2.0


def test_noise_free_data_get_the_floor_of_their_range():
    table = gaussian(5)
    values = clean_signal(np.random.default_rng(6), table, 1000, 8)
    for data in (values, values.astype(np.float32).astype(np.float64)):
        found = estimate_noise(data, table)
        assert found.floor
        assert found.sd == pytest.approx(1e-3 * np.ptp(values), rel=1e-3)
        assert "0.001 of the signal's range" in found.rule


@pytest.mark.parametrize("value", [0.0, -3.0, 1e9])
def test_constant_data_have_a_level_above_zero(value):
    found = estimate_noise(np.full(50, value))
    assert found.floor and found.sd > 0 and np.isfinite(found.sd)
    assert found.notes


def test_missing_samples():
    random = np.random.default_rng(7)
    values = random.standard_normal(4000)
    n = np.arange(4000)
    run = np.where((n > 300) & (n < 1500), np.nan, values)
    assert estimate_noise(run).sd == pytest.approx(1, rel=0.1)
    assert not estimate_noise(run).notes
    for gaps in (np.where(n % 4 == 3, np.nan, values), np.where(n % 2 == 1, np.nan, values)):
        found = estimate_noise(gaps)
        assert found.sd == pytest.approx(1, rel=0.1)
        assert found.notes and not found.floor
    assert estimate_noise(np.full(10, np.nan)).sd > 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=40))
def test_any_values_give_a_level_above_zero(values):
    found = estimate_noise(np.array(values), None)
    assert np.isfinite(found.sd) and found.sd > 0
    assert found.rule and "\n" not in found.rule


def test_scale_and_offset_do_not_matter():
    random = np.random.default_rng(8)
    values = random.standard_normal(500)
    assert estimate_noise(1e-9 * values + 1e-6).sd == pytest.approx(1e-9 * estimate_noise(values).sd, rel=1e-6)


def test_narrow_filter_is_mended_by_the_residual():
    random = np.random.default_rng(9)
    table = gaussian(1.2)
    clean = clean_signal(random, table, 3000, 400)
    noise = noise_of(clean, 40) * random.standard_normal(3000)
    found = estimate_noise(clean + noise, table)
    assert found.sd > 1.5 * noise.std()
    assert any("narrow" in note for note in found.notes)
    mended = estimate_from_residual(noise, found, parameters=0)
    assert mended.sd == pytest.approx(noise.std(), rel=0.08)
    assert not any("inflates" in note for note in mended.notes)
    assert estimate_from_residual(100 * noise, found) == found
    floor = NoiseEstimate(1.0, "floor", (), True)
    assert estimate_from_residual(noise, floor) == floor
    assert estimate_from_residual(noise, found, parameters=2500) == found


def test_low_pass_noise_behind_a_narrow_filter_is_taken_from_the_residual():
    from scipy.signal import lfilter

    random = np.random.default_rng(4)
    noise = lfilter([1.0], [1.0, -0.9], random.standard_normal(5100))[100:] * np.sqrt(1 - 0.9**2)
    quiet = estimate_noise(noise)
    assert quiet.sd < 0.5
    found = estimate_from_residual(noise, quiet)
    assert found.sd == pytest.approx(1.0, rel=0.1)
    assert any("not white" in note and "neighbouring samples go together" in note for note in found.notes)
    misfit = random.standard_normal(5000)  # large, but neighbours have nothing in common
    assert estimate_from_residual(misfit, quiet) == quiet
    gaps = noise.copy()
    gaps[::3] = np.nan
    assert estimate_from_residual(gaps, quiet).sd == pytest.approx(1.0, rel=0.1)


def resampled(random, samples):
    """Noise of unit sd from a recorder of 0.6 times the rate, resampled to the axis as spike-finding data are, shape (N,)."""
    from scipy.signal import resample

    found = resample(random.standard_normal(round(0.6 * samples)), samples)
    return found / found.std()


@pytest.mark.parametrize("description", ["gaussian:sd=8", "decay:rise=3,decay=60,order=3"])
def test_noise_of_a_slower_recorder_is_measured_behind_a_wide_filter(description):
    random = np.random.default_rng(11)
    noise = resampled(random, 3000)
    table = filters.build(filters.describe(description), Axis(0.0, 1.0, 3000))
    quiet, white = estimate_noise(noise, table), estimate_noise(random.standard_normal(3000), table)
    assert quiet.sd < 0.5
    assert quiet.hides_from_differences(table)
    assert not white.hides_from_differences(table)
    signal = bf.Signal(clean_signal(random, table, 3000, 12, signed=False) * 20 + noise, Axis(0.0, 1.0, 3000))
    report = bf.recover(signal, filter=description, sampling_rate="as-given", noise="white").channels[0]
    assert report.noise_sd == pytest.approx(1.0, rel=0.1)
    assert any("first fit" in note for note in report.notes)
    assert not any("give noise_sd" in note for note in report.notes)


@pytest.mark.parametrize("width", [3, 5, 20])
@pytest.mark.parametrize("snr", [10, 30, 50])
def test_white_noise_with_spikes_is_not_called_coloured(width, snr):
    random = np.random.default_rng([width, snr])
    table = gaussian(width)
    for samples in (1000, 6000):
        for spikes in (samples // 100, samples // (3 * width)):
            for signed in (True, False):
                clean = clean_signal(random, table, samples, spikes, signed)
                assert whiteness(clean + noise_of(clean, snr) * random.standard_normal(samples), table).white is not False


@pytest.mark.parametrize(("memory", "word"), [(0.5, "together"), (0.9, "together"), (-0.5, "high frequencies")])
def test_coloured_noise_is_noticed(memory, word):
    from scipy.signal import lfilter

    random = np.random.default_rng(10)
    table = gaussian(8)
    clean = clean_signal(random, table, 10_000, 100)
    noise = lfilter([1.0], [1.0, -memory], random.standard_normal(10_100))[100:] * np.sqrt(1 - memory**2)
    values = clean + noise_of(clean, 20) * noise
    found = whiteness(values, table)
    assert found.white is False
    assert word in found.sentence
    assert found.sentence in estimate_noise(values, table).notes


def test_whiteness_without_a_filter_or_samples_is_undecided():
    random = np.random.default_rng(11)
    assert whiteness(random.standard_normal(1000)).white is None
    assert whiteness(random.standard_normal(50), gaussian(5)).white is None
    assert whiteness(np.full(400, np.nan), gaussian(5)).white is None


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-8, 0.3), st.floats(0, 1e6), st.floats(0.5, 100), st.booleans(), st.booleans())
def test_rice_level_solves_its_equation(false_alarms, length, correlation_length, signed, periodic):
    rate = length / (2 * np.pi * correlation_length)
    most = (2 if signed else 1) * (rate + (0 if periodic else 0.5))
    if false_alarms >= 0.99 * most:
        return
    level = rice_level(false_alarms, length, correlation_length, signed, periodic)
    found = (0 if periodic else upper_tail(level)) + rate * np.exp(-0.5 * level**2)
    assert (2 if signed else 1) * found == pytest.approx(false_alarms, rel=1e-6)


@pytest.mark.parametrize("false_alarms", [0.0, -1.0, np.nan, np.inf, 1e9])
def test_impossible_false_alarms(false_alarms):
    with pytest.raises(UsageError, match="false alarms out of range"):
        rice_level(false_alarms, 100.0, 5.0, False)


@pytest.mark.parametrize("gaps", [False, True])
def test_degrees_of_freedom_are_those_of_the_estimate(gaps):
    random = np.random.default_rng(13)
    values = random.standard_normal((1500, 1000))
    if gaps:
        values[:, 100:300] = np.nan
    found = [estimate_noise(row) for row in values]
    expected = 1 / np.sqrt(2 * found[0].freedom)
    assert np.std([estimate.sd for estimate in found]) == pytest.approx(expected, rel=0.06)
    assert np.isinf(estimate_noise(np.zeros(50)).freedom)
    rest = [estimate_from_residual(row, NoiseEstimate(9.0, "first"), parameters=100) for row in values[:, 300:]]
    assert np.std([estimate.sd for estimate in rest]) == pytest.approx(1 / np.sqrt(2 * rest[0].freedom), rel=0.06)


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 5), st.floats(60, 1e9))
def test_student_level_averages_the_rate_over_the_estimated_sd(level, freedom):
    from scipy.stats import chi2

    quantile = (np.arange(50_000) + 0.5) / 50_000
    variance = chi2.ppf(quantile, freedom) / freedom
    rate = np.mean(np.exp(-0.5 * student_level(level, freedom) ** 2 * variance))
    assert rate == pytest.approx(np.exp(-0.5 * level**2), rel=0.02)
    assert student_level(level, np.inf) == level
    assert np.isfinite(student_level(level, 1e-3))


@pytest.mark.parametrize("signed", [False, True])
def test_false_alarms_with_an_estimated_sd(signed):
    """150 samples: the sd is known to 13 %, and the level for a known one is crossed up to twice as often as asked."""
    random, table, samples, trials = np.random.default_rng([14, signed]), gaussian(3), 150, 3000
    grid = np.arange(0, samples - 1 + 1e-9, 0.5)
    responses = table.response(np.arange(samples)[:, None] - grid)
    values = random.standard_normal((trials, samples))
    correlation = values @ responses
    highest = (np.abs(correlation) if signed else correlation).max(axis=1)
    noise = [estimate_noise(row) for row in values]
    shares = []
    for freedom in (noise[0].freedom, np.inf):
        choice = choose_strength(
            StrengthRule.parse("auto"),
            filter=table,
            noise_sd=1.0,
            weights=np.ones(samples),
            domain=(0.0, samples - 1.0),
            positive=not signed,
            freedom=freedom,
        )
        shares.append(np.mean(highest > choice.strength * np.array([estimate.sd for estimate in noise])))
    assert 0.02 < shares[0] < 0.055
    assert shares[1] > 0.065


def test_weighted_level_agrees_with_the_plain_one():
    table, weights = gaussian(4), np.ones(5000)
    plain = rice_level(0.05, 4999.0, table.norm / table.norm1, True)
    level, norm = rice_level_weighted(0.05, weights, table, (0.0, 4999.0), True)
    assert norm == pytest.approx(table.norm, rel=1e-6)
    assert level == pytest.approx(plain, rel=3e-3)
    ring = filters.build(filters.describe("lowpass:order=7"), Axis(0.0, 1.0, 200, periodic=True))
    level, _ = rice_level_weighted(0.05, np.ones(200), ring, (0.0, 200.0), False)
    assert level == pytest.approx(rice_level(0.05, 200.0, ring.norm / ring.norm1, False, periodic=True), rel=1e-2)


def test_missing_stretches_do_not_count():
    table, weights = gaussian(4), np.ones(5000)
    weights[1000:] = 0
    level, _ = rice_level_weighted(0.05, weights, table, (0.0, 4999.0), True)
    assert level == pytest.approx(rice_level(0.05, 999.0, table.norm / table.norm1, True), rel=1e-2)


def false_alarm_share(table, signed, weights, trials, random):
    """Share of pure-noise signals in which |eta| (or eta) exceeds 1 somewhere, on a grid of six positions a width."""
    samples = weights.size
    choice = choose_strength(
        StrengthRule.parse("auto"), filter=table, noise_sd=1.0, weights=weights, domain=(0.0, samples - 1.0), positive=not signed
    )
    grid = np.arange(0, samples - 1 + 1e-9, min(0.5, table.width / 6))
    responses = table.response(np.arange(samples)[:, None] - grid)
    correlation = (random.standard_normal((trials, samples)) * np.sqrt(weights)) @ responses
    level = np.abs(correlation) if signed else correlation
    return np.mean(level.max(axis=1) > choice.strength)


@pytest.mark.parametrize("width", [3, 10, 30])
@pytest.mark.parametrize("signed", [False, True])
def test_false_alarms_on_pure_noise(width, signed):
    share = false_alarm_share(gaussian(width), signed, np.ones(600), 1500, np.random.default_rng([width, signed]))
    # 0.05 expected, a binomial error of 0.006; the rule sqrt(2 log n) gives .10 to .25
    assert 0.025 < share < 0.075


def test_false_alarms_with_weights_and_gaps():
    random = np.random.default_rng(12)
    weights = np.exp(2 * np.sin(np.arange(600) / 40))
    weights[150:300] = 0
    weights[random.random(600) < 0.1] = 0
    assert 0.025 < false_alarm_share(gaussian(6), True, weights, 1500, random) < 0.075


@pytest.mark.parametrize(
    ("text", "kind", "factor"),
    [
        ("auto", "auto", 1.0),
        ("0.5auto", "auto", 0.5),
        ("2 auto", "auto", 2.0),
        (" 0.05max ", "max", 0.05),
        ("max", "max", 1.0),
        ("1e-3max", "max", 1e-3),
        ("3", "absolute", 3.0),
        ("1e-12", "absolute", 1e-12),
    ],
)
def test_strength_texts(text, kind, factor):
    assert StrengthRule.parse(text) == StrengthRule(kind, factor)


@pytest.mark.parametrize(
    "text", ["", " ", "0", "-1", "nan", "inf", "0auto", "-2max", "2max", "autoo", "1.5.2", "0.5*auto", "abc"]
)
def test_bad_strength_texts(text):
    with pytest.raises(UsageError, match="strength"):
        StrengthRule.parse(text)


def test_choice_says_where_it_came_from():
    table = gaussian(5)
    common = {"filter": table, "noise_sd": 2.0, "weights": np.ones(1000), "domain": (0.0, 999.0), "positive": True}
    auto = choose_strength(StrengthRule.parse("auto"), **common)
    half = choose_strength(StrengthRule.parse("0.5auto"), **common)
    assert auto.strength == pytest.approx(auto.level * 2.0 * table.norm)
    assert half.strength == pytest.approx(auto.strength / 2)
    assert half.level == auto.level
    assert "Rice" in auto.rule and "0.5 times" in half.rule
    given_number = choose_strength(StrengthRule.parse("7"), **common)
    assert given_number.strength == 7 and "given" in given_number.rule and given_number.level == auto.level
    largest = choose_strength(StrengthRule.parse("0.1max"), **common, strength_max=lambda: 40.0)
    assert largest.strength == pytest.approx(4.0) and "leaves no spikes" in largest.rule
    nothing = choose_strength(StrengthRule.parse("0.1max"), **common, strength_max=lambda: 0.0)
    assert nothing.strength > 0
