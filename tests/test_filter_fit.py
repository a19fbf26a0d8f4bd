"""A filter's parameters from the data: known ones come back, and what cannot be fitted is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from command import run

from blasso_flow import filters
from blasso_flow.data.signals import Axis, Signal
from blasso_flow.errors import UsageError
from blasso_flow.recovery.filter_fit import fit_filter
from blasso_flow.recovery.filter_ranges import parse_ranges
from blasso_flow.recovery.settings import Settings
from blasso_flow.truth.simulation import simulate


def recording(text, channels=2, samples=500, spacing=1.0, noise=0.02, seed=3):
    random = np.random.default_rng(seed)
    axis = Axis(0.0, spacing, samples)
    filter = filters.build(filters.describe(text), axis)
    values = noise * random.standard_normal((channels, samples)) + 0.3
    for number in range(channels):
        for position in np.sort(random.uniform(0.05, 0.9, 8)) * samples:
            values[number] += random.uniform(0.5, 1.5) * filter.response(np.arange(samples) - position)
    return Signal(values, axis)


def test_the_sd_of_a_gaussian_comes_back():
    fit = fit_filter(recording("gaussian:sd=6"), parse_ranges("gaussian:sd=2..20"), Settings())
    assert fit.values["sd"] == pytest.approx(6, rel=0.03)
    assert fit.objective == fit.objectives.min()
    assert not fit.notes
    json.dumps(fit.described())


@pytest.mark.parametrize("normalisation", ["area", "energy"])
def test_the_fit_does_not_depend_on_the_normalisation(normalisation):
    signal, ranges = recording("gaussian:sd=6", channels=1), parse_ranges("gaussian:sd=3..12")
    first = fit_filter(signal, ranges, Settings(noise_sd=0.02))
    second = fit_filter(signal, ranges, Settings(noise_sd=0.02, normalisation=normalisation))
    assert second.values["sd"] == pytest.approx(first.values["sd"], rel=0.01)
    assert second.objective == pytest.approx(first.objective, rel=2e-3)


def test_rise_and_decay_come_back():
    signal = recording("decay:rise=3,decay=20", channels=1, samples=600)
    fit = fit_filter(signal, parse_ranges("decay:rise=1..10,decay=8..60"), Settings())
    assert fit.values["decay"] == pytest.approx(20, rel=0.1)
    assert fit.values["rise"] == pytest.approx(3, rel=0.2)
    from blasso_flow.plots import draw_profile

    assert draw_profile(fit, "s").axes[0].get_xlabel() == "rise (s)"
    ranges = replace(fit.ranges, ranges={"rise": (0.01, 0.1), "decay": (0.08, 0.6)})
    draw_profile(replace(fit, ranges=ranges, tried=fit.tried / 100, values={"rise": 0.03, "decay": 0.2}), "s")  # no warning


def test_noise_of_a_slower_recorder_is_measured_before_the_last_profile():
    from scipy.signal import resample

    signal = recording("decay:rise=4,decay=60,order=3", channels=1, samples=2000, noise=1e-6, seed=6)
    noise = resample(np.random.default_rng(6).standard_normal((1, 1200)), 2000, axis=1)
    signal = replace(signal, values=signal.values + 0.4 * noise)
    fit = fit_filter(signal, parse_ranges("decay:rise=4,decay=15..200,order=3"), Settings())
    assert fit.values["decay"] == pytest.approx(60, rel=0.1)


def test_other_parameters_stay_as_given():
    ranges = parse_ranges("decay:rise=0.02..0.03,decay=0.3..3,order=3")
    assert str(ranges.at({"rise": 0.02, "decay": 1.5})) == "decay:order=3,rise=0.02,decay=1.5"


def test_a_value_at_the_end_of_its_range_is_reported():
    signal = recording("gaussian:sd=6", channels=1)
    for text, word in (("gaussian:sd=8..20", "lower"), ("gaussian:sd=2..4", "upper")):
        (note,) = fit_filter(signal, parse_ranges(text), Settings()).notes
        assert f"sits at the {word} end of its range" in note and "\n" not in note


def test_samples_that_average_over_their_exposure():
    signal = recording("gaussian:sd=1,exposure=1", noise=0.003)
    shut, open_ = (
        fit_filter(signal, parse_ranges("gaussian:sd=0.7..1.5"), Settings(exposure=exposure, noise_sd=0.003))
        for exposure in (0.0, 1.0)
    )
    assert open_.values["sd"] == pytest.approx(1, abs=0.01)
    assert open_.filter.parameters["exposure"] == 1
    assert shut.values["sd"] == pytest.approx(np.sqrt(1 + 1 / 12), abs=0.01)
    assert open_.objective < shut.objective


def test_two_exposures_are_refused():
    signal = recording("gaussian:sd=6", channels=1)
    for text in ("gaussian:sd=3..12,exposure=0.5", "gaussian:sd=3..12,exposure=0.1..1"):
        with pytest.raises(UsageError, match="exposure"):
            fit_filter(signal, parse_ranges(text), Settings(exposure=1.0))


@pytest.mark.parametrize(
    ("baseline", "drift"),
    [
        ("exp", lambda place: np.array([[3.0], [2.0]]) * np.exp(-np.array([[2.0], [4.0]]) * place)),
        ("poly:degree=2", lambda place: np.array([[4.0], [-3.0]]) * (place - 0.3) ** 2),
    ],
)
def test_on_a_baseline_that_changes(baseline, drift):
    flat = recording("gaussian:sd=6")
    signal = Signal(flat.values - (0.3 if baseline == "exp" else 0) + drift(np.arange(500) / 500), flat.axis)
    fit = fit_filter(signal, parse_ranges("gaussian:sd=3..12"), Settings(baseline=baseline))
    assert fit.values["sd"] == pytest.approx(6, rel=0.03)
    assert not fit.notes
    constant = fit_filter(signal, parse_ranges("gaussian:sd=3..12"), Settings(noise_sd=0.02))
    assert fit.objective < 0.5 * constant.objective


def test_the_level_is_that_of_all_channels():
    """A first channel that is all but empty sets the level no more than any other."""
    signal, ranges = recording("gaussian:sd=6"), parse_ranges("gaussian:sd=3..12")
    values = signal.values.copy()
    values[0, 60:] = np.nan
    levels = [
        fit_filter(Signal(rows, signal.axis), ranges, Settings(noise_sd=0.02)).level for rows in (values[:1], values[1:], values)
    ]
    assert levels[0] < 0.95 * levels[1]
    assert levels[2] == pytest.approx(np.sqrt((levels[0] ** 2 + levels[1] ** 2) / 2))
    mixed = Signal(values, signal.axis, noise_sd=np.array([0.02, 0.04]))
    assert fit_filter(mixed, ranges, Settings()).values["sd"] == pytest.approx(6, rel=0.05)


def test_few_counts_are_fitted_by_their_likelihood():
    signal = simulate(
        "gaussian:sd=9",
        samples=160,
        spikes=1,
        end_distance=40,
        weights=(3, 4),
        channels=4,
        offset=0.02,
        counts=True,
        seed=3,
    )
    fit = fit_filter(signal, parse_ranges("gaussian:sd=4..20"), Settings(loss="poisson"))
    assert fit.values["sd"] == pytest.approx(9, rel=0.15)  # some 300 counts tell it to 4 %
    assert len(fit.channels) == 4 and not fit.notes
    assert fit.objectives.max() > fit.objective + 10


NO_RANGES = {
    "gaussian:sd=5": "one or two parameters",
    "gaussian:sd=9..5": "no range",
    "gaussian:sd=a..5": "no range",
    "gaussian:sd=1..5,sd=2..3": "twice",
    "gaussian:length=1..5": "unknown parameter",
    "gauss:sd=1..5": "unknown filter",
}


@pytest.mark.parametrize("text", NO_RANGES)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(UsageError, match=NO_RANGES[text]):
        parse_ranges(text)


def test_a_strength_that_does_not_go_with_the_filter_is_refused():
    with pytest.raises(UsageError, match="goes with the filter"):
        fit_filter(recording("gaussian:sd=6"), parse_ranges("gaussian:sd=2..20"), Settings(strength="0.3"))


def test_the_commands_fit_and_say_what_the_proof_is_about(tmp_path, monkeypatch):
    from blasso_flow.files import read_result, write_signal

    monkeypatch.chdir(tmp_path)
    write_signal(recording("gaussian:sd=6", channels=1, samples=300), "a.h5")
    alone = run("fit-filter", "a.h5", "--filter", "gaussian:sd=3..12")
    assert (tmp_path / "a.profile.png").stat().st_size > 5000
    outcome = run("recover", "a.h5", "--fit-filter", "--filter", "gaussian:sd=3..12", "--no-plot")
    assert outcome.code == 0
    result = read_result("a.spikes.h5")
    assert result.recovery.settings["filter_fit"]["ranges"] == {"sd": [3.0, 12.0]}
    fitted = result.recovery.settings["filter"]["parameters"]["sd"]
    assert alone.text.strip() == f"gaussian:sd={fitted:.12g}"
    assert "proof holds at the fitted parameters" in result.recovery.channels[0].notes[-1]
    assert run("certify", "a.spikes.h5").code == 0


def test_fit_filter_without_ranges_is_refused(tmp_path):
    for arguments in ((), ("--filter", "gaussian:sd=3")):
        assert run("recover", "a.h5", "--fit-filter", *arguments).code == 2
