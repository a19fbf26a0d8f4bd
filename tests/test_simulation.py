"""Simulated signals: the exact model, the drawing of positions, the noise, and every refusal."""

from __future__ import annotations

import json

import naive
import numpy as np
import pytest
from command import run
from hypothesis import given, settings
from hypothesis import strategies as st

from blasso_flow.data.signals import FilterDescription
from blasso_flow.errors import UsageError
from blasso_flow.filters import build
from blasso_flow.truth.simulation import simulate

FILTERS = ("gaussian:sd=4", "gaussian:sd=0.7", "decay:rise=0.5,decay=6", "ricker:frequency=0.06", "lowpass:order=6")


@pytest.mark.parametrize("text", FILTERS)
def test_clean_signal_is_the_dense_model(text):
    signal = simulate(text, samples=90, spikes=7, min_separation=3, positive=False, seed=4)
    filter = build(signal.filter, signal.axis)
    expected = naive.model(filter, signal.axis.to_samples(signal.truth.position), signal.truth.weight, 90)
    assert np.allclose(signal.values, expected, atol=1e-13)
    assert signal.noise_sd is None


def test_axis_units_and_range():
    signal = simulate("gaussian:sd=0.02", samples=1000, first=2, last=3, spikes=10, min_separation=0.05, snr=20)
    assert signal.axis.first == 2
    assert signal.axis.last == pytest.approx(3, abs=1e-12)
    assert signal.truth.position.min() >= 2
    assert signal.truth.position.max() <= 3
    assert not signal.axis.periodic


def test_periodic_range_excludes_its_end():
    signal = simulate("lowpass:order=5", samples=50, first=0, last=1, spikes=3, noise_sd=0.1)
    assert signal.axis.periodic
    assert signal.axis.spacing == pytest.approx(0.02)
    assert signal.axis.last == pytest.approx(0.98)


def gaps(signal):
    """Distances between neighbours, shape (C, K - 1); on a torus (C, K), the one over the seam included."""
    position = np.sort(signal.truth.position.reshape(signal.channels, -1), axis=1)
    if not signal.axis.periodic:
        return np.diff(position, axis=1)
    period = signal.axis.size * signal.axis.spacing
    return np.diff(position, axis=1, append=position[:, :1] + period)


@settings(max_examples=40, deadline=None)
@given(
    spikes=st.integers(2, 12),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
    text=st.sampled_from(["gaussian:sd=2", "lowpass:order=4"]),
    first=st.floats(-1e3, 1e3),
)
def test_separation_is_kept_however_tight(spikes, share, seed, text, first):
    samples, spacing = 64, 0.5
    periodic = text.startswith("lowpass")
    length = (samples if periodic else samples - 1) * spacing
    separation = share * length / (spikes if periodic else spikes - 1) * (1 - 1e-12)
    text = text.replace("sd=2", "sd=1")
    signal = simulate(
        text, samples=samples, first=first, last=first + length, spikes=spikes, min_separation=separation, seed=seed
    )
    assert gaps(signal).min() >= separation - 1e-9
    assert (signal.truth.position >= first).all()
    assert (signal.truth.position <= first + length).all()


@pytest.mark.parametrize("text", ["gaussian:sd=2", "lowpass:order=4"])
def test_positions_are_uniform_among_those_that_keep_the_separation(text):
    """What the gaps hold beyond the separation are shares of a flat Dirichlet distribution: its moments are known."""
    signal = simulate(text, samples=64, spikes=3, min_separation=5, channels=3000, seed=1)
    free = gaps(signal) - 5
    if signal.axis.periodic:
        assert np.abs(np.exp(2j * np.pi * signal.truth.position / 64).mean()) < 0.05
    else:
        position = np.sort(signal.truth.position.reshape(3000, 3), axis=1)
        free = np.column_stack([position[:, 0], free, 63 - position[:, -1]])
        assert np.allclose(free.mean(axis=0), free.mean(), rtol=0.06)
    share = free / free.sum(axis=1, keepdims=True)
    places = share.shape[1]
    assert np.mean(share**2) == pytest.approx(2 / (places * (places + 1)), rel=0.05)
    assert np.mean(share**3) == pytest.approx(6 / (places * (places + 1) * (places + 2)), rel=0.08)


def test_noise_has_the_stated_level():
    clean = simulate("gaussian:sd=5", samples=4000, spikes=40, min_separation=20, seed=2)
    noisy = simulate("gaussian:sd=5", samples=4000, spikes=40, min_separation=20, seed=2, snr=10, offset=7)
    assert noisy.noise_sd == pytest.approx(np.sqrt(np.mean(clean.values**2) / 10))
    assert np.std(noisy.values - clean.values) == pytest.approx(noisy.noise_sd, rel=0.05)
    assert np.mean(noisy.values - clean.values) == pytest.approx(7, abs=0.1)
    assert np.array_equal(noisy.truth.position, clean.truth.position)


def test_same_seed_same_bytes_and_channels_do_not_disturb_each_other():
    arguments = {"samples": 200, "spikes": 5, "snr": 15, "missing": 0.1, "seed": 9}
    one, three = simulate("gaussian:sd=3", **arguments), simulate("gaussian:sd=3", channels=3, **arguments)
    assert one.values.tobytes() == simulate("gaussian:sd=3", **arguments).values.tobytes()
    assert np.array_equal(one.values, three.values[0], equal_nan=True)
    assert three.noise_sd.shape == (3,)
    assert len(set(three.truth.position)) == 15
    assert np.array_equal(three.truth.channel, np.repeat(np.arange(3), 5))
    assert not np.array_equal(one.values, simulate("gaussian:sd=3", **{**arguments, "seed": 10}).values)


def test_missing_samples_weights_and_signs():
    signal = simulate("gaussian:sd=3", samples=1000, spikes=50, noise_sd=0.1, missing=0.25, positive=False, weights=(2, 3))
    assert np.isnan(signal.values).sum() == 250
    assert (np.abs(signal.truth.weight) >= 2).all()
    assert (np.abs(signal.truth.weight) <= 3).all()
    assert set(np.sign(signal.truth.weight)) == {-1.0, 1.0}
    assert (simulate("gaussian:sd=3", samples=100, spikes=9).truth.weight > 0).all()


def test_spikes_on_the_ends_or_off_them():
    on = simulate("gaussian:sd=3", samples=100, first=1, last=10, spikes=4, min_separation=2, ends="on")
    assert (on.truth.position[0], on.truth.position[-1]) == (1, 10)
    assert gaps(on).min() >= 2
    off = simulate("gaussian:sd=3", samples=100, spikes=20, end_distance=40)
    assert off.truth.position.min() >= 40
    assert off.truth.position.max() <= 59


def test_no_spikes():
    signal = simulate("gaussian:sd=3", samples=100, spikes=0, noise_sd=1.0)
    assert signal.truth.position.size == 0
    assert signal.noise_sd == 1


def test_normalisation_is_the_meaning_of_a_weight():
    signal = simulate("gaussian:sd=3", samples=100, spikes=1, weights=(2, 2), normalisation="area", end_distance=40)
    assert signal.values.sum() == pytest.approx(2, rel=1e-9)


def test_a_measured_filter_is_simulated_too():
    lag = np.arange(-10.0, 11.0)
    signal = simulate(
        FilterDescription("measured", {}, lag, np.exp(-0.5 * (lag / 2.5) ** 2)), samples=100, spikes=3, noise_sd=0.1
    )
    assert signal.filter.kind == "measured"
    assert np.isfinite(signal.values).all()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"samples": 1}, "samples"),
        ({"spikes": -1}, "spikes"),
        ({"channels": 0}, "channels"),
        ({"seed": -1}, "seed"),
        ({"missing": 1.0}, "missing"),
        ({"missing": float("nan")}, "missing"),
        ({"weights": (0.0, 1.0)}, "weights"),
        ({"weights": (2.0, 1.0)}, "weights"),
        ({"snr": float("inf")}, "snr"),
        ({"noise_sd": -1.0}, "noise_sd"),
        ({"noise_sd": 1.0, "snr": 10.0}, "given twice"),
        ({"spikes": 0, "snr": 10.0}, "without spikes"),
        ({"offset": float("nan")}, "offset"),
        ({"last": 0.0}, "range"),
        ({"min_separation": 26.0}, "at most 4 spikes"),
        ({"min_separation": -1.0}, "min_separation"),
        ({"end_distance": 60.0}, "do not fit"),
        ({"ends": "off"}, "ends"),
        ({"ends": "on", "end_distance": 1.0}, "ends"),
        ({"filter": "lowpass:order=3", "ends": "on"}, "periodic"),
        ({"filter": "lowpass:order=3", "min_separation": 25.0}, "at most 4 spikes"),
        ({"filter": "gaussian:sd=0.1"}, "too narrow"),
        ({"filter": "gaussian:sd=500"}, "longer than the record"),
    ],
)
def test_bad_arguments_are_refused_by_name(changes, word):
    arguments = {"filter": "gaussian:sd=3", "samples": 100, "spikes": 5, **changes}
    with pytest.raises(UsageError, match=word):
        simulate(**arguments)


def test_counts_have_the_mean_and_the_variance_of_the_model():
    options = {"samples": 400, "spikes": 5, "offset": 3.0, "weights": (5, 20), "seed": 2, "channels": 40}
    counted = simulate("gaussian:sd=6", counts=True, **options)
    clean = simulate("gaussian:sd=6", **options)
    assert counted.noise_sd is None
    assert np.array_equal(counted.truth.position, clean.truth.position)
    assert (counted.values >= 0).all() and (counted.values == np.round(counted.values)).all()
    scaled = (counted.values - clean.values) / np.sqrt(clean.values)
    assert abs(scaled.mean()) < 0.03 and scaled.std() == pytest.approx(1, abs=0.03)
    again = simulate("gaussian:sd=6", counts=True, **options)
    assert np.array_equal(again.values, counted.values)


@pytest.mark.parametrize(
    "options",
    [{"snr": 20}, {"noise_sd": 0.1}, {"positive": False}, {"offset": -1}, {"filter": "ricker:frequency=0.06"}, {"offset": 1e16}],
)
def test_counts_that_cannot_be_drawn(options):
    with pytest.raises(UsageError, match="count"):
        simulate(**{"filter": "gaussian:sd=6", "samples": 100, "spikes": 3, "counts": True, **options})


def test_counts_end_to_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = "--counts --offset 0.2 --weights 2 4 --samples 400 --spikes 3 --min-separation 60 --end-distance 30 --seed 1"
    assert run("simulate", "--filter", "gaussian:sd=8", *drawn.split(), "-o", "a.h5").code == 0
    assert run("recover", "a.h5", "--loss", "poisson", "--no-plot").code == 0
    assert json.loads(run("score", "a.spikes.h5", "--json").text)["overall"]["f1"] == 1
