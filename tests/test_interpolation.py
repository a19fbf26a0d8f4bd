"""Samples interpolated from slower ones: found, worked on at their own rate, proven there; full-rate records are left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import run
from scipy.integrate import quad
from scipy.interpolate import CubicSpline
from scipy.signal import butter, lfilter, resample, sosfiltfilt

import blasso_flow as bf
from benchmarks.trust_interpolated import FRAME, INTERPOLATED, full_rate, recovered
from blasso_flow.audit.audit import certify
from blasso_flow.audit.slower import slower_record
from blasso_flow.data.reports import ChannelReport, Status
from blasso_flow.data.signals import Axis, FloatArray, Signal
from blasso_flow.errors import UsageError
from blasso_flow.files import read_result, write_signal
from blasso_flow.filters import build, describe
from blasso_flow.filters.slower import for_slower, shift_of
from blasso_flow.noise.interpolation import find_interpolation
from blasso_flow.noise.slower import Interpolation, as_reported, resampled, slower_samples
from blasso_flow.plots.curves import gather
from blasso_flow.plots.summary import facts


def slow_noise(size: int, seed: int = 0) -> FloatArray:
    random = np.random.default_rng(seed)
    return 3.0 + np.asarray(random.standard_normal(size)) + 5 * np.exp(-0.5 * ((np.arange(size) - size / 3) / 2.0) ** 2)


def at(slow: FloatArray, degree: int, ratio: float, first: float) -> FloatArray:
    """Polynomials between slow samples, seen at samples that begin ``first`` before slow sample 0."""
    place = (np.arange(int((slow.size - 1) * ratio)) - first) / ratio
    place = place[(place >= 0) | (np.arange(place.size) >= 0)] + np.ceil(first / ratio)
    own = place[place <= slow.size - 1]
    return np.interp(own, np.arange(slow.size), slow) if degree == 1 else np.asarray(CubicSpline(np.arange(slow.size), slow)(own))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(("degree", "ratio"), [(1, 2), (1, 3), (1, 12), (1, 12.5), (3, 2), (3, 3), (3, 4), (3, 12), (3, 12.5)])
def test_polynomials_between_slower_samples_are_found_with_ratio_and_place(degree: int, ratio: float, single: bool) -> None:
    slow = slow_noise(300)
    values = at(slow, degree, ratio, first=1.0)
    values = values.astype(np.float32).astype(float) if single else values
    found = find_interpolation(values)
    assert found is not None
    assert found.kind == {1: "linear", 3: "cubic"}[degree]
    assert found.ratio == pytest.approx(ratio, abs=1e-9)
    assert found.first == pytest.approx(1.0, abs=1e-9)
    again = slower_samples(values, found)
    np.testing.assert_allclose(again[3:-3], slow[4 : 4 + again.size - 6], atol=1e-5 if single else 1e-9)


@pytest.mark.parametrize("slow_size", [99, 300, 301])
@pytest.mark.parametrize("ratio", [1.6667, 2, 4, 12, 12.5])
def test_the_edge_of_a_band_limited_interpolation_gives_the_slower_samples_back(slow_size: int, ratio: float) -> None:
    slow = slow_noise(slow_size)
    values = np.asarray(resample(slow, round(slow_size * ratio)))
    found = find_interpolation(values)
    assert found is not None
    assert found.kind == "periodic"
    np.testing.assert_allclose(slower_samples(values, found), slow, atol=1e-9)
    padded = np.concatenate([[np.nan] * 7, values, [np.nan] * 30])
    again = find_interpolation(padded)
    assert again is not None and again.kind == "periodic" and again.first == 7
    np.testing.assert_allclose(slower_samples(padded, again)[:slow_size], slow, atol=1e-9)


def test_pieces_and_gaps_of_a_band_limited_interpolation() -> None:
    slow = slow_noise(400)
    whole = np.asarray(resample(slow, 4800))
    values = whole[31:-17].copy()
    found = find_interpolation(values)
    assert found is not None and found.kind == "mirrored"
    assert found.ratio == pytest.approx(12, rel=5e-3)
    holes = values.copy()
    holes[np.random.default_rng(0).permutation(values.size)[:100]] = np.nan
    holes[2000:2100] = np.nan
    filled, clean = slower_samples(holes, found), slower_samples(values, found)
    lost = np.isnan(filled)
    assert 8 <= lost.sum() <= 10
    far = ~lost & (np.abs(found.places(values.size) - 2050) > 150)
    np.testing.assert_allclose(filled[far], clean[far], atol=0.15)
    np.testing.assert_allclose(
        clean[20:-20], np.interp(found.places(values.size), np.arange(values.size), values)[20:-20], atol=0.1
    )


@pytest.mark.parametrize("kind", ["linear", "cubic", "periodic", "mirrored"])
@pytest.mark.parametrize("ratio", [2.0, 12.5, 1500 / 121])
@pytest.mark.parametrize("holes", [False, True])
def test_the_audit_has_the_same_slower_samples_by_code_of_its_own(kind: str, ratio: float, holes: bool) -> None:
    values = np.asarray(resample(slow_noise(120), 1500))
    if holes and kind != "periodic":
        values[[300, 301, 700, *range(900, 940)]] = np.nan
    values[:4] = np.nan
    found = Interpolation(kind, ratio, 4.0)
    own = slower_samples(values, found)
    signal = Signal(values, Axis(2.0, 0.1, 1500), noise_sd=np.linspace(1, 2, 1500))
    report = ChannelReport(Status.CONVERGED, "", interpolation=kind, ratio=ratio, first_sample=4.0, sample_exposure=1.0)
    filter = build(describe("gaussian:sd=2"), signal.axis)
    again, table = slower_record(signal, filter, report, {})
    mine, same = as_reported(signal, filter, report, "middle")
    np.testing.assert_allclose(again.values, own, atol=1e-11)
    np.testing.assert_array_equal(again.noise_sd, mine.noise_sd)
    assert (mine.axis.size, mine.axis.spacing) == (again.axis.size, again.axis.spacing)
    assert mine.axis.first == pytest.approx(again.axis.first) and table is same


def test_resampled_is_scipys() -> None:
    values = slow_noise(90)
    for size in (60, 61, 89, 90, 91, 180, 271):
        np.testing.assert_allclose(resampled(values, size), resample(values, size), atol=1e-12)


def test_full_rate_records_are_left_alone() -> None:
    taken = [
        noise for noise, values in full_rate(np.random.default_rng(2), 1, (500, 2000)) if find_interpolation(values) is not None
    ]
    assert not taken


@pytest.mark.parametrize(
    "made",
    [
        lambda random: np.round(20 * random.standard_normal(2000)) / 20,
        lambda random: random.poisson(2.0, 2000).astype(float),
        lambda random: np.repeat(random.standard_normal(20), 100),
        lambda random: sosfiltfilt(butter(4, 0.3, output="sos"), random.standard_normal(2000)),
        lambda random: lfilter([1.0], [1.0, -0.999], random.standard_normal(2000)),
        lambda random: np.exp(-0.5 * ((np.arange(2000) - 700) / 40) ** 2),
        lambda random: np.arange(2000.0) ** 3,
        lambda random: np.zeros(2000),
        lambda random: np.full(2000, np.nan),
        lambda random: random.standard_normal(20),
    ],
)
def test_no_other_record_is_taken_for_interpolated(made: Callable[[np.random.Generator], FloatArray]) -> None:
    assert find_interpolation(np.asarray(made(np.random.default_rng(3)), dtype=np.float64)) is None


@pytest.mark.parametrize("text", ["gaussian:sd=1.5", "ricker:frequency=0.1", "decay:rise=2,decay=20", "emg:sd=2,decay=5"])
@pytest.mark.parametrize("normalisation", ["peak", "energy"])
@pytest.mark.parametrize("exposure", [0.0, 1.0])
def test_a_weight_keeps_its_meaning_at_a_slower_rate(text: str, normalisation: str, exposure: float) -> None:
    fine = build(describe(text + ",exposure=0"), Axis(0.0, 1.0, 4000), normalisation)
    filter = build(describe(text), Axis(0.0, 1.0, 4000), normalisation)
    slower = for_slower(filter, Axis(0.0, 3.0, 1300), exposure)
    if filter.description.kind == "decay":  # its own samples average, over 1
        scale = filter.response(np.array(15.0)) / np.mean(fine.response(15.0 + (np.arange(64) + 0.5) / 64 - 0.5))
    else:
        scale = 1.0
    for lag in (-2.3, 0.4, 1.9, 6.2):
        want = quad(lambda t: float(fine.response(np.array(t))), lag - 1.5, lag + 1.5, limit=200)[0] / 3
        want = want if exposure else float(fine.response(np.array(lag)))
        assert float(slower.response(np.array(lag / 3))) == pytest.approx(scale * want, abs=2e-4 * fine.norm)


def test_a_rise_too_short_for_the_slower_samples_is_made_longer_and_comes_as_much_earlier() -> None:
    filter = build(describe("decay:rise=0.6,decay=60"), Axis(0.0, 1.0, 4000))
    slower = for_slower(filter, Axis(0.0, 12.0, 333), 1.0)
    longer = slower.description.parameters["rise"]
    assert 0.6 < longer < 0.2 * 12
    assert shift_of(filter, slower, "middle") == pytest.approx(longer - 0.6)
    assert shift_of(filter, slower, "start") == pytest.approx(longer - 0.6 + 0.5 * (12 - 1))
    with pytest.raises(UsageError, match="too narrow"):
        for_slower(filter, Axis(0.0, 12.0, 333), 0.0)


@pytest.mark.parametrize(
    ("name", "how", "ratio", "frames"),
    [("decay", "linear", 12, True), ("decay", "FFT", 4, False), ("gaussian", "cubic", 2, True)],
)
def test_spikes_and_error_bars_are_right_at_the_rate_that_was_found(name: str, how: str, ratio: int, frames: bool) -> None:
    seen, share, f1, position, weight = recovered(name, how, ratio, frames, 5).numbers
    assert seen == 1
    assert abs(share - 1) < 0.15
    assert f1 > 0.95
    assert position > 0.86 and weight > 0.86


def recording(ratio: int = 12, how: str = "linear") -> Signal:
    """Two channels: interpolated, and as recorded at the full rate."""
    random, filter = np.random.default_rng(7), describe("decay:rise=0.1,decay=0.6")
    slow = bf.simulate(filter, samples=200, last=199 * FRAME, spikes=6, min_separation=1.5, noise_sd=0.03, seed=3)
    values = INTERPOLATED[how](slow.values, ratio)
    axis = Axis(5.0, FRAME / ratio, values.size, "time", "s")
    other = bf.simulate(
        filter, samples=axis.size, last=axis.last - axis.first, spikes=6, min_separation=1.5, noise_sd=0.03, seed=4
    )
    assert slow.truth is not None and random is not None
    truth = replace(slow.truth, position=slow.truth.position + 5.0)
    return Signal(np.stack([values, other.values]), axis, filter=filter, truth=truth)


def test_each_channel_has_its_rate_and_what_is_proven_is_proven_again() -> None:
    signal = recording()
    found = bf.recover(signal)
    own, other = found.channels
    assert (own.interpolation, own.ratio, own.first_sample, own.sample_exposure) == ("linear", 12.0, 0.0, 1.0)
    assert own.notes[0] == "the samples were interpolated from 8 Hz (12 to one): worked on at that rate"
    assert other.interpolation == "" and not any("interpolated" in note for note in other.notes)
    np.testing.assert_array_equal(bf.recover(signal.channel(1)).spikes.position, found.spikes.position[found.spikes.channel == 1])
    assert signal.truth is not None
    np.testing.assert_allclose(found.spikes.position[found.spikes.channel == 0], signal.truth.position, atol=0.5 * FRAME)
    assert found.fit is not None
    np.testing.assert_allclose(found.fit.model + found.fit.residual, signal.values, atol=1e-12)
    assert np.std(found.fit.residual[0]) < 0.04
    assert [verdict.agrees for verdict in certify(found)] == [True, True]
    for wrong in ({"first_sample": 1.0}, {"ratio": 11.0}, {"sample_exposure": 0.0}):
        doubtful = replace(found, channels=[replace(own, **wrong), other])
        assert [verdict.agrees for verdict in certify(doubtful)] == [False, True]
    with pytest.raises(UsageError, match="stored interpolation"):
        certify(replace(found, channels=[replace(own, interpolation="guessed"), other]))
    curves = gather(found, 0)
    assert curves.axis.spacing == pytest.approx(FRAME) and curves.signal.values.size == 200
    assert np.max(curves.eta) < 1 + 1e-3
    assert ("Samples", "200, slower ones: the file's were interpolated, 12 to one") in facts(curves)


def test_the_rate_can_be_given_and_left_alone() -> None:
    signal = recording(4, "FFT").channel(0)
    found, given = bf.recover(signal), bf.recover(signal, sampling_rate=8)
    np.testing.assert_array_equal(found.spikes.position, given.spikes.position)
    left = bf.recover(signal, sampling_rate="as-given", max_rounds=2)
    assert left.channels[0].interpolation == "" and len(left.spikes) > 2 * len(found.spikes)
    other = bf.recover(recording().channel(1), sampling_rate=40)
    assert other.channels[0].interpolation == "mirrored"
    assert len(other.spikes) == 6
    for bad in (1000.0, -1, "fast", np.inf):
        with pytest.raises(UsageError, match="sampling_rate"):
            bf.recover(signal, sampling_rate=bad)


def test_where_it_cannot_be_worked_on_at_its_rate_a_note_says_why() -> None:
    signal = replace(recording().channel(0), filter=describe("gaussian:sd=0.02"))
    found = bf.recover(signal, max_rounds=1)
    assert found.channels[0].interpolation == ""
    assert "worked on as given" in found.channels[0].notes[0] and "too narrow" in found.channels[0].notes[0]


def test_a_rise_far_below_a_slower_sample_is_worked_on_with_a_warning() -> None:
    signal = replace(recording().channel(0), filter=describe("decay:rise=0.012,decay=0.6"))
    assert any("readings at a moment" in note for note in bf.recover(signal).channels[0].notes)
    assert not any("readings at a moment" in note for note in bf.recover(recording().channel(0)).channels[0].notes)


def test_places_end_with_the_record() -> None:
    np.testing.assert_array_equal(Interpolation("linear", 2.5, 1.0).places(7), [1.0, 3.5, 6.0])


def test_the_program_says_so_everywhere(tmp_path: Path) -> None:
    write_signal(recording(), tmp_path / "a.h5")
    told = run("recover", tmp_path / "a.h5", "-o", tmp_path / "r.h5", "--save-fit", "--jobs", 1)
    assert told.code == 0
    assert "channel 0: the samples were interpolated from 8 Hz (12 to one): worked on at that rate" in told.stderr
    stored = read_result(tmp_path / "r.h5").recovery
    assert [report.interpolation for report in stored.channels] == ["linear", ""]
    assert stored.fit is not None and stored.fit.model.shape == recording().values.shape
    assert run("certify", tmp_path / "r.h5").code == 0
    assert run("plot", tmp_path / "r.h5", "-o", tmp_path / "r.svg", "--channel", 0).code == 0
    said = run("inspect", tmp_path / "a.h5").text
    assert "channel 0: the samples were interpolated from 8 Hz (12 to one): `recover` works at that rate" in said
    assert run("recover", tmp_path / "a.h5", "-o", tmp_path / "r.h5", "--sampling-rate", "soon").code == 2
