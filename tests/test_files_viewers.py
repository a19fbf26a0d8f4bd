"""Other programs open what is written: xarray with named dimensions and units, silx at the default plot with error bars."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from files_examples import example_recovery, example_signal

from blasso_flow.files import write_result, write_signal

xarray = pytest.importorskip("xarray")
silx_io = pytest.importorskip("silx.io")
nxdata = pytest.importorskip("silx.io.nxdata")

SIZES = {
    "spikes": {"spike": 5},
    "optimum": {"spike": 5},
    "channels": {"channel": 2, "coefficient": 1},
    "fit": {"channel": 2, "time": 50},
    "trace": {"row": 3, "particle": 4},
    "timing": {"channel": 2, "row": 3},
}


@pytest.fixture
def result(tmp_path: Path) -> Path:
    write_result(example_recovery(), tmp_path / "r.h5", save_fit=True)
    return tmp_path / "r.h5"


@pytest.mark.parametrize("group", SIZES)
def test_xarray_opens_every_group_with_named_dimensions(result: Path, group: str) -> None:
    with xarray.open_dataset(result, engine="h5netcdf", group=group) as data:
        assert dict(data.sizes) == SIZES[group]
        assert all("long_name" in column.attrs for column in data.values())
        data.load()


def test_xarray_sees_units_and_text(result: Path) -> None:
    with xarray.open_dataset(result, engine="h5netcdf", group="spikes") as spikes:
        assert spikes.position.attrs["units"] == "s"
        assert spikes.weight_errors.attrs["units"] == "V s"
        assert spikes.channel.attrs["instance_dimension"] == "channel"
    with xarray.open_dataset(result, engine="h5netcdf", group="channels") as channels:
        assert list(channels.status.values) == ["converged", "gap_above_tolerance"]
        assert channels.message.values[1] == "channel 1: größer als erwartet"
        assert channels.row_size.values.sum() == 5


def test_xarray_opens_a_signal(tmp_path: Path) -> None:
    write_signal(example_signal(), tmp_path / "s.h5")
    with xarray.open_dataset(tmp_path / "s.h5", engine="h5netcdf", group="signal") as data:
        assert data.y.dims == ("channel", "time")
        assert data.y.attrs["units"] == "V"
        assert data.noise_sd.dims == ("channel",)


@pytest.mark.parametrize("spikes", [0, 1, 5])
def test_silx_opens_the_answer_as_the_default_plot(tmp_path: Path, spikes: int) -> None:
    write_result(example_recovery(spikes), tmp_path / "r.h5")
    with silx_io.open(str(tmp_path / "r.h5")) as file:
        plot = nxdata.get_default(file)
        assert plot.is_valid and plot.is_curve
        assert plot.group.name == "/spikes"
        assert plot.errors.name == "/spikes/weight_errors"
        assert plot.get_axis_errors("position").shape == (spikes,)


def test_silx_opens_a_signal_as_the_default_plot(tmp_path: Path) -> None:
    write_signal(example_signal(), tmp_path / "s.h5")
    with silx_io.open(str(tmp_path / "s.h5")) as file:
        plot = nxdata.get_default(file)
        assert plot.is_valid
        assert [axis.shape for axis in plot.axes] == [(2,), (50,)]


def test_the_layout_is_the_one_described(result: Path, tmp_path: Path) -> None:
    with h5py.File(result) as file:
        assert dict(file.attrs) == {"NX_class": "NXroot", "default": "spikes", "blasso_flow_layout": 1}
        groups = {"spikes", "optimum", "candidates", "channels", "fit", "trace", "timing", "provenance", "filter"}
        assert set(file) == groups
        assert file["spikes"].attrs["signal"] == "weight"
        assert list(file["spikes"].attrs["axes"]) == ["position"]
    write_signal(example_signal(samples=5000), tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        values = file["signal/y"]
        assert (values.chunks, values.compression, values.shuffle) == ((1, 5000), "gzip", True)
        assert file["signal/time"].is_scale
        np.testing.assert_allclose(np.diff(file["signal/time"]), 0.1)
