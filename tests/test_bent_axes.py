"""Axes that bend: their map and its inverse, what is read and refused, and results whose positions, errors and widths follow."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from command import run

from blasso_flow import recover, write_signal
from blasso_flow.answer.rates import rates
from blasso_flow.audit.audit import audit, certify
from blasso_flow.data.signals import Axis, FilterDescription, Signal, Truth
from blasso_flow.data.spikes import Spikes
from blasso_flow.errors import DataError
from blasso_flow.files import read_result, read_signal
from blasso_flow.files.plain import axis_from_plain, axis_to_plain

SAMPLES = 900
NUMBER = np.arange(SAMPLES, dtype=np.float64)
ENERGY = 20.0 + 0.4 * NUMBER + 1e-4 * NUMBER**2  # the spacing goes from 0.4 to 0.58
AXIS = Axis.bent(ENERGY, "energy", "keV")
LINES = np.array([100.3, 210.7, 305.2, 390.9])


def spectrum(sd, seed=0, noise=0.5):
    """Gaussian lines of height 20 whose sd in keV is ``sd(energy)``, on a bent axis."""
    values = sum(20 * np.exp(-0.5 * ((ENERGY - line) / sd(line)) ** 2) for line in LINES)
    truth = Truth(np.zeros(LINES.size, dtype=np.int64), LINES, np.full(LINES.size, 20.0))
    return Signal(values + noise * np.random.default_rng(seed).standard_normal(SAMPLES), AXIS, "V", truth=truth)


def test_the_map_goes_through_every_sample_and_back():
    np.testing.assert_array_equal(AXIS.positions(), ENERGY)
    np.testing.assert_array_equal(AXIS.to_samples(ENERGY), NUMBER)
    between = np.random.default_rng(0).uniform(-5, SAMPLES + 5, (3, 200))
    np.testing.assert_allclose(AXIS.to_samples(AXIS.from_samples(between)), between, rtol=0, atol=1e-9)
    inside = np.linspace(1, SAMPLES - 2, 5000)
    np.testing.assert_allclose(AXIS.from_samples(inside), 20 + 0.4 * inside + 1e-4 * inside**2, rtol=0, atol=1e-7)
    np.testing.assert_allclose(AXIS.spacing_at(inside), 0.4 + 2e-4 * inside, rtol=1e-4)
    difference = (AXIS.from_samples(inside + 1e-5) - AXIS.from_samples(inside - 1e-5)) / 2e-5
    np.testing.assert_allclose(AXIS.spacing_at(inside), difference, rtol=1e-6)
    assert AXIS.spacing == pytest.approx(np.median(np.diff(ENERGY)))
    assert (AXIS.first, AXIS.last) == (ENERGY[0], ENERGY[-1])


def test_a_part_and_a_shift_are_of_the_same_curve():
    part = AXIS.part(100, 50)
    np.testing.assert_array_equal(part.positions(), ENERGY[100:150])
    assert float(part.from_samples(-10.25)) == float(AXIS.from_samples(89.75))
    assert part.part(7, 5).first == ENERGY[107]
    assert part.spacing == AXIS.spacing
    np.testing.assert_allclose(AXIS.shifted(2.5).positions(), ENERGY + 2.5)
    assert hash(Axis.bent(ENERGY, "energy", "keV")) == hash(AXIS)
    assert Axis.bent(ENERGY, "energy", "keV") == AXIS != AXIS.shifted(1)


def test_positions_errors_and_scores_are_in_axis_units():
    filter = FilterDescription("gaussian", {"sd": AXIS.spacing * 4})
    covered, errors = [], []
    for seed in range(5):
        signal = spectrum(lambda line: 4 * float(AXIS.spacing_at(AXIS.to_samples(line))), seed)
        recovery = recover(signal, filter=filter)
        assert [verdict.agrees for verdict in certify(recovery)] == [True]
        assert len(recovery.spikes) == LINES.size
        errors.append(recovery.spikes.position_errors)
        covered += (np.abs(recovery.spikes.position - LINES) < 2 * recovery.spikes.position_errors).tolist()
    assert np.mean(covered) > 0.8
    assert np.mean(errors, axis=0)[-1] / np.mean(errors, axis=0)[0] == pytest.approx(
        float(AXIS.spacing_at(AXIS.to_samples(LINES[-1])) / AXIS.spacing_at(AXIS.to_samples(LINES[0]))), rel=0.1
    )
    assert any("the axis bends, with a spacing from 0.4" in note for note in recovery.channels[0].notes)


def test_widths_follow_the_axis():
    recovery = recover(spectrum(lambda line: 2.0), filter=FilterDescription("gaussian", {"sd": 2.0}), refit_width=True)
    np.testing.assert_allclose(recovery.spikes.width, 2.0, rtol=0.1)


def test_a_width_law_is_in_axis_units():
    law = (2.0, 0.01)
    recovery = recover(spectrum(lambda line: float(np.sqrt(law[0] + law[1] * line))), width_law=law)
    report = recovery.channels[0]
    assert len(recovery.spikes) == LINES.size
    np.testing.assert_allclose(recovery.spikes.position, LINES, atol=0.3)
    np.testing.assert_allclose(recovery.spikes.weight, 20, atol=1.5)
    for section in report.sections:
        assert section.sd**2 == pytest.approx(law[0] + law[1] * float(AXIS.from_samples((section.first + section.last) / 2)))
    assert [verdict.agrees for verdict in certify(recovery)] == [True]
    straight = replace(recovery.signal, axis=Axis(ENERGY[0], AXIS.spacing, SAMPLES, "energy", "keV"))
    assert not audit(straight, recovery.optimum, recovery.channels, recovery.settings)[0].agrees
    steady = recover(spectrum(lambda line: 2.0), width_law=(4.0, 0.0)).channels[0]
    assert len(steady.sections) > 5


def test_rates_have_their_width_in_axis_units():
    one = np.ones(1)
    spike = Spikes(np.zeros(1, dtype=np.int64), 300.0 * one, one, one, one, np.zeros(1, dtype=np.int64), one)
    found = rates(spike, AXIS, 3.0)
    bell = np.exp(-0.5 * ((ENERGY - 300.0) / 3) ** 2) / (3 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found.rate[0], bell, atol=1e-9)


def test_files_keep_the_axis(tmp_path):
    path = tmp_path / "bent.h5"
    write_signal(spectrum(lambda line: 2.0), path)
    assert read_signal(path).axis == AXIS
    assert axis_from_plain(axis_to_plain(AXIS)) == AXIS


def test_from_the_command_line(tmp_path):
    path, result = tmp_path / "bent.h5", tmp_path / "bent.spikes.h5"
    write_signal(spectrum(lambda line: 2.0), path)
    assert "spacing 0.4 to 0.5798 keV: it bends" in run("inspect", path).text
    options = ("--filter", "gaussian:sd=2", "--margin", "3", "--save-fit", "--rate", "4")
    assert run("recover", path, *options, "-o", result).code == 0
    assert run("recover", path, *options, "-o", result, "--resume").code == 0
    assert "1 of 1 channels confirmed" in run("certify", result).text
    assert run("plot", result, "-o", tmp_path / "again.png").code == 0
    assert run("score", result, path, "--tolerance", "1").code == 0
    assert "100." in run("show", result).text
    assert read_result(result).axis == AXIS
    with h5py.File(result) as file:
        np.testing.assert_array_equal(file["fit/energy"][:], ENERGY)


def positions(path, values, edges=False):
    with h5py.File(path, "w") as file:
        file["counts"] = np.ones(values.size - edges)
        if edges:
            file["bin_edges_kev"] = values
        else:
            file["x"] = values
            file["x"].make_scale("x")
            file["counts"].dims[0].attach_scale(file["x"])
    return path


def test_bin_edges_that_bend_have_their_centres(tmp_path):
    axis = read_signal(positions(tmp_path / "a.h5", ENERGY, edges=True)).axis
    np.testing.assert_allclose(axis.positions(), (ENERGY[1:] + ENERGY[:-1]) / 2)
    assert (axis.name, axis.units) == ("energy", "keV")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (np.where(NUMBER == 300, ENERGY - 1.0, ENERGY), "does not increase throughout; received .* at sample 300"),
        (np.where(NUMBER >= 300, ENERGY + 1.0, ENERGY), "the axis jumps; received spacing 1.45.* after .* at sample 299"),
        (np.where(NUMBER == 300, np.nan, ENERGY), "not finite"),
    ],
)
def test_what_turns_or_jumps_is_refused(tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        read_signal(positions(tmp_path / "a.h5", changed))


def test_stored_in_single_precision_it_still_bends(tmp_path):
    axis = read_signal(positions(tmp_path / "a.h5", ENERGY.astype(np.float32))).axis
    assert axis.bend is not None
    np.testing.assert_allclose(axis.positions(), ENERGY, rtol=1e-7)
