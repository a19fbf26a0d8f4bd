"""Exposure: the table is the averaged filter, positions are right when it is given, and the stamp is what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from command import run
from scipy.integrate import quad

import blasso_flow as bf
from blasso_flow.data.signals import Axis, FilterDescription, FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters import build, describe, exposed
from blasso_flow.filters.shapes import gaussian

AXIS = Axis(0.0, 0.5, 2000)
BELL = FilterDescription("measured", {}, np.linspace(-10, 10, 80), np.exp(-0.5 * (np.linspace(-10, 10, 80) / 2.3) ** 2))
TRUE = 60.0 + 90.0 * np.arange(8) + np.array([0.03, 0.17, 0.29, 0.41, 0.56, 0.68, 0.83, 0.94])


@pytest.mark.parametrize("exposure", [0.01, 0.37, 1.0, 2.5])
@pytest.mark.parametrize(
    "text", ["gaussian:sd=1.3", "ricker:frequency=0.3", "lorentzian:fwhm=2", "emg:sd=0.6,decay=1.2", "measured"]
)
def test_the_table_is_the_averaged_filter(text: str, exposure: float) -> None:
    description = BELL if text == "measured" else describe(text)
    sharp, table = build(description, AXIS, "energy"), build(exposed(description, exposure), AXIS)
    assert table.error < 1e-13
    lag = np.linspace(-2.5, 2.5, 7) * sharp.width + 0.0137
    want = [
        quad(lambda t: float(sharp.response(np.array(t))), at - exposure / 2, at + exposure / 2, epsabs=1e-14, limit=200)[0]
        for at in lag
    ]
    got = table.response(lag)
    scale = got @ want / (np.array(want) @ want)
    np.testing.assert_allclose(scale * np.array(want), got, atol=1e-11)


def test_decay_has_one_exposure_however_it_is_spelled() -> None:
    plain = describe("decay:rise=0.8,decay=9")
    for share in (0.0, 0.4, 1.0):
        spelled = describe(f"decay:rise=0.8,decay=9,exposure={share}")
        np.testing.assert_array_equal(
            build(exposed(plain, share), AXIS).coefficients, build(exposed(spelled, share), AXIS).coefficients
        )
    np.testing.assert_array_equal(build(plain, AXIS).coefficients, build(exposed(plain, 1.0), AXIS).coefficients)
    with pytest.raises(UsageError, match="two different exposures"):
        exposed(describe("decay:rise=0.8,decay=9,exposure=1"), 0.5)


def gaussian_camera(sd: float) -> Callable[[FloatArray], FloatArray]:
    return lambda lag: gaussian.response(lag, sd)


def onset(lag: FloatArray) -> FloatArray:
    """exp(-t/20) - exp(-t/2) from t = 0 on."""
    t = np.maximum(lag, 0.0)
    return np.asarray(np.exp(-t / 20) - np.exp(-t / 2))


def filmed(response: Callable[[FloatArray], FloatArray], before: float, after: float) -> bf.Signal:
    """What a camera records whose sample n adds up from n - before to n + after: 400 moments a sample, no table."""
    n = np.arange(800.0)
    total = np.zeros(800)
    steps = 400
    shares = np.linspace(-before, after, steps, endpoint=False) + (before + after) / steps / 2
    for moment in shares:
        total += sum(response(n + moment - at) for at in TRUE) / steps
    noise = np.random.default_rng(5).standard_normal(800) * 1e-4
    return bf.Signal(total + noise, Axis(0.0, 1.0, 800), noise_sd=1e-4)


def bias(signal: bf.Signal, filter: str, **settings: Any) -> float:
    found = bf.recover(signal, filter=filter, strength="auto", **settings).spikes
    near = [found.position[np.argmin(np.abs(found.position - at))] for at in TRUE]
    return float(np.mean(np.array(near) - TRUE))


@pytest.mark.parametrize(("response", "filter"), [(gaussian_camera(1.2), "gaussian:sd=1.2"), (onset, "decay:rise=2,decay=20")])
def test_positions_are_right_with_the_right_stamp_and_half_a_sample_off_with_the_wrong_one(
    response: Callable[[FloatArray], FloatArray], filter: str
) -> None:
    spans = {"start": (0.0, 1.0), "middle": (0.5, 0.5), "end": (1.0, 0.0)}
    for stamp, (before, after) in spans.items():
        assert abs(bias(filmed(response, before, after), filter, exposure=1.0, stamp=stamp)) < 0.02
    assert bias(filmed(response, 0.0, 1.0), filter, exposure=1.0) == pytest.approx(-0.5, abs=0.02)


def test_an_onset_without_its_exposure_is_biased() -> None:
    filter = "decay:rise=2,decay=20"
    assert abs(bias(filmed(onset, 0.0, 1.0), filter, exposure=0.0)) > 0.2


def test_origin_moves_everything_and_nothing_else() -> None:
    signal = filmed(gaussian_camera(3.0), 0.5, 0.5)
    here = bf.recover(signal, filter="gaussian:sd=3")
    there = bf.recover(signal, filter="gaussian:sd=3", origin=1000.0)
    np.testing.assert_allclose(there.spikes.position, here.spikes.position + 1000, rtol=1e-9)
    assert there.channels[0].objective == pytest.approx(here.channels[0].objective, rel=1e-9)
    assert there.settings["time_shift"] == 1000.0


def test_stamps_that_cannot_be_used() -> None:
    signal = filmed(gaussian_camera(3.0), 0.5, 0.5)
    with pytest.raises(UsageError, match="unknown stamp"):
        bf.recover(signal, filter="gaussian:sd=3", exposure=1.0, stamp="begin")
    with pytest.raises(UsageError, match="needs an exposure"):
        bf.recover(signal, filter="gaussian:sd=3", stamp="start")
    with pytest.raises(UsageError, match="out of range"):
        bf.recover(signal, filter="gaussian:sd=3", exposure=-1.0)


def test_certify_and_plot_rebuild_filter_and_axis(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    made = [
        "simulate",
        "--filter",
        "gaussian:sd=0.8",
        "--exposure",
        "1",
        "--samples",
        "300",
        "--spikes",
        "4",
        "--noise-sd",
        "0.01",
    ]
    assert run(*made, "--min-separation", "20", "-o", "made.h5").code == 0
    shifted = ["--stamp", "start", "--origin", "100", "-o", "out.h5", "--no-plot"]
    assert run("recover", "made.h5", *shifted).code == 0
    assert run("certify", "out.h5").code == 0
    assert run("plot", "out.h5", "--kind", "fit", "-o", "fit.png").code == 0
    truth, found = bf.read_signal("made.h5").truth, bf.read_result("out.h5").recovery.spikes
    assert truth is not None
    np.testing.assert_allclose(found.position, np.sort(truth.position) + 100.5, atol=0.2)
