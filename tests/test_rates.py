"""Rates: sums of Gaussians, their integral, ends, seams, and the way through files and commands."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from command import DATA, run
from files_examples import assert_same, example_recovery

from blasso_flow.answer.rates import rates
from blasso_flow.data.signals import Axis
from blasso_flow.data.spikes import Spikes
from blasso_flow.errors import UsageError
from blasso_flow.files import read_result, write_result


def spikes(position, weight, channel=None):
    position = np.asarray(position, dtype=float)
    none = np.full(position.size, np.nan)
    number = np.zeros(position.size, dtype=int) if channel is None else np.asarray(channel)
    return Spikes(number, position, none, np.asarray(weight, dtype=float), none, np.arange(position.size), none)


def test_rates_are_sums_of_gaussians():
    axis = Axis(2.0, 0.1, 400, "time", "s")
    found = rates(spikes([10.03, 11.0, 2.1, 50.0], [2.0, -1.0, 3.0, 1.0], [0, 0, 1, 1]), axis, 0.5, channels=3)
    away = axis.positions() - 10.03, axis.positions() - 11.0
    bells = [np.exp(-0.5 * (lag / 0.5) ** 2) / (0.5 * np.sqrt(2 * np.pi)) for lag in away]
    np.testing.assert_allclose(found.rate[0], bells[0] + bells[1], atol=1e-15)
    np.testing.assert_allclose(found.weight_rate[0], 2 * bells[0] - bells[1], atol=1e-15)
    assert found.rate[0].sum() * axis.spacing == pytest.approx(2)
    assert 0.5 < found.rate[1].sum() * axis.spacing < 0.75  # cut by the end, not renormalised
    assert not found.rate[2].any()


def test_a_periodic_axis_closes():
    axis = Axis(0.0, 1.0, 40, periodic=True)
    found = rates(spikes([39.7], [1.0]), axis, 3.0)
    assert found.rate[0].sum() == pytest.approx(1)
    assert found.rate[0, 0] > found.rate[0, 39] * 0.99


@pytest.mark.parametrize("width", [0.0, -1.0, 0.09, np.nan, np.inf])
def test_widths_that_cannot_be_used(width):
    with pytest.raises(UsageError, match="at least one sample"):
        rates(spikes([1.0], [1.0]), Axis(0.0, 0.1, 30), width)


def test_the_file_keeps_rates_and_xarray_opens_them(tmp_path: Path):
    recovery = example_recovery()
    write_result(recovery, tmp_path / "r.h5", rate_width=0.3)
    assert recovery.signal is not None
    assert_same(read_result(tmp_path / "r.h5").rates, rates(recovery.spikes, recovery.signal.axis, 0.3, 2))
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(tmp_path / "r.h5", engine="h5netcdf", group="rate") as data:
        assert dict(data.sizes) == {"channel": 2, "time": 50}
        assert data.rate.dims == ("channel", "time")
        assert (data.rate.attrs["units"], data.weight_rate.attrs["units"]) == ("1/s", "V s/s")
        assert data.attrs["width"] == 0.3


def test_the_commands(tmp_path: Path):
    result = tmp_path / "r.h5"
    assert run("recover", DATA / "gaussian.h5", "-o", result, "--no-plot", "-q", "--rate", 0.02).code == 0
    stored = read_result(result).rates
    assert stored is not None
    shown = run("show", result, "--rate", "0.02", "--csv")
    rows = list(csv.DictReader(io.StringIO(shown.text)))
    assert list(rows[0]) == ["position", "rate", "weight_rate"]
    np.testing.assert_array_equal([float(row["rate"]) for row in rows], stored.rate[0])
    assert "rate [1/s]" in run("show", result, "--rate", "0.02").text
    assert run("show", result, "--rate", "0.02", "--channels").code == 2
    refused = run("recover", DATA / "gaussian.h5", "-o", tmp_path / "no.h5", "--no-plot", "--rate", 1e-9)
    assert refused.code == 2 and not (tmp_path / "no.h5").exists()
