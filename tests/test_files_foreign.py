"""Files of other programs, and any numeric dataset: where axis, spacing and units come from."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from blasso_flow.errors import DataError
from blasso_flow.files import open_signal, read_signal
from blasso_flow.files.axes import uniform


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def gprmax(path: Path, outputs: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["gprMax"] = "3.1.7"
        file.attrs["dt"] = 4.7e-12
        for name, values in outputs.items():
            file[f"rxs/{name}"] = values.astype(np.float32)


def test_gprmax_takes_the_electric_field_of_its_receiver(path: Path) -> None:
    gprmax(path, {"rx1/Ex": np.zeros(20), "rx1/Ez": np.arange(20.0), "rx1/Hx": np.ones(20)})
    signal = read_signal(path)
    np.testing.assert_array_equal(signal.values, np.arange(20.0))
    assert (signal.axis.spacing, signal.axis.first, signal.axis.units, signal.axis.name) == (4.7e-12, 0.0, "s", "time")
    assert signal.units == "V/m"
    assert read_signal(f"{path}::/rxs/rx1/Hx").units == "A/m"


def test_gprmax_merged_traces_run_along_the_second_dimension(path: Path) -> None:
    traces = np.arange(60.0).reshape(20, 3)
    gprmax(path, {"rx1/Ez": traces})
    np.testing.assert_array_equal(read_signal(path).values, traces.T)
    with open_signal(path) as file:
        assert file.shape == (3, 20)
        np.testing.assert_array_equal(file.channel(1).values, traces[:, 1])


def test_gprmax_with_several_receivers_lists_them(path: Path) -> None:
    gprmax(path, {"rx1/Ez": np.zeros(20), "rx2/Ez": np.zeros(20)})
    with pytest.raises(DataError, match="allowed: /rxs/rx1/Ez, /rxs/rx2/Ez"):
        read_signal(path)


def becquerel(path: Path, edges: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["counts"] = np.arange(10)
        file["uncs"] = np.ones(10)
        file["bin_edges_kev"] = edges


def test_becquerel_samples_sit_at_bin_centres(path: Path) -> None:
    becquerel(path, 2.0 + 0.5 * np.arange(11))
    signal = read_signal(path)
    np.testing.assert_allclose(signal.axis.positions(), 2.25 + 0.5 * np.arange(10))
    assert (signal.axis.units, signal.axis.name, signal.units) == ("keV", "energy", "count")
    assert read_signal(f"{path}::/uncs").axis == signal.axis


def test_becquerel_bins_must_not_jump(path: Path) -> None:
    becquerel(path, np.arange(11.0) ** 1.1)
    with pytest.raises(DataError, match="bin_edges_kev: the axis jumps"):
        read_signal(path)


@pytest.mark.parametrize(
    ("where", "name", "value", "spacing"),
    [
        ("group/data", "dt", 0.5, 0.5),
        ("group", "sampling_interval", np.array([0.25]), 0.25),
        ("/", "sampling_rate", np.int64(8), 0.125),
    ],
)
def test_spacing_from_an_attribute_on_the_dataset_or_above(
    path: Path, where: str, name: str, value: object, spacing: float
) -> None:
    with h5py.File(path, "w") as file:
        file["group/data"] = np.arange(6, dtype=np.int16)
        file[where].attrs[name] = value
    axis = read_signal(path).axis
    assert (axis.first, axis.spacing, axis.name) == (0.0, spacing, "time")


def test_the_nearest_attribute_wins_and_contradictions_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["group/data"] = np.arange(6.0)
        file.attrs["dt"] = 1.0
        file["group"].attrs["dt"] = 2.0
    assert read_signal(path).axis.spacing == 2.0
    with h5py.File(path, "r+") as file:
        file["group"].attrs["sampling_rate"] = 100.0
    with pytest.raises(DataError, match="disagree about the spacing; received dt, sampling_rate"):
        read_signal(path)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, "fast"])
def test_an_attribute_that_is_no_spacing(path: Path, value: object) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(6.0)
        file["data"].attrs["dt"] = value
    with pytest.raises(DataError, match="no usable spacing"):
        read_signal(path)


def test_spacing_given_and_spacing_missing(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(12).reshape(2, 6)
    with pytest.raises(DataError, match=r"has no axis; allowed: .* give `spacing=`"):
        read_signal(path)
    signal = read_signal(path, spacing=0.5)
    assert (signal.values.shape, signal.axis.spacing) == ((2, 6), 0.5)


def test_spacing_given_replaces_a_stored_axis(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(6.0)
        file["t"] = np.arange(6.0) ** 2
        file["t"].make_scale("t")
        file["data"].dims[0].attach_scale(file["t"])
    with pytest.raises(DataError, match="not uniform"):
        read_signal(path)
    assert read_signal(path, spacing=3.0).axis.spacing == 3.0


def test_a_dimension_scale_and_soft_links_within_the_file(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["raw/data"] = np.arange(6, dtype=np.uint8)
        file["raw/t"] = 1 + 2 * np.arange(6)
        file["raw/t"].attrs["units"] = "ms"
        file["raw/t"].make_scale("t")
        file["raw/data"].dims[0].attach_scale(file["raw/t"])
        file["link"] = h5py.SoftLink("/raw")
    for source in (path, f"{path}::/link/data"):
        axis = read_signal(source).axis
        assert (axis.first, axis.spacing, axis.name, axis.units) == (1.0, 2.0, "t", "ms")


def test_several_nxdata_groups_are_listed_and_one_is_picked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in ("one", "two"):
            group = file.create_group(name)
            group["y"], group["x"] = np.arange(5.0), np.arange(5.0)
            group.attrs.update({"NX_class": "NXdata", "signal": "y", "axes": "x"})
    with pytest.raises(DataError, match=r"several datasets .*allowed: /one, /two; pick one, for example .*::/one"):
        read_signal(path)
    assert read_signal(f"{path}::/one").axis.name == "x"
    assert read_signal(path, dataset="two/y").axis.name == "x"
    with h5py.File(path, "r+") as file:
        del file["one/y"]
        file["one/y"] = np.zeros((2, 2, 5))
    assert read_signal(path).axis.size == 5


def test_several_plain_datasets_are_listed(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"], file["b"], file["c"] = np.arange(5.0), np.arange(5), np.zeros((2, 2, 2))
    with pytest.raises(DataError, match="2 candidates; allowed: /a, /b"):
        read_signal(path)
    with open_signal(f"{path}::/a", spacing=1.0) as file:
        assert [(info.path, info.shape) for info in file.datasets] == [("/a", (5,)), ("/b", (5,)), ("/c", (2, 2, 2))]


@pytest.mark.parametrize("first", [0.0, 100.0, -3e3])
def test_axes_rounded_to_single_precision_are_uniform(path: Path, first: float) -> None:
    positions = first + 0.01 * np.arange(1000)
    for stored in (positions.astype(np.float32), positions.astype(np.float32).astype(np.float64)):
        with h5py.File(path, "w") as file:
            group = file.create_group("signal")
            group["y"], group["x"] = np.zeros(1000), stored
            group.attrs.update({"NX_class": "NXdata", "signal": "y", "axes": "x"})
        axis = read_signal(path).axis
        np.testing.assert_allclose(axis.positions(), positions, atol=4e-4)


def test_uniformity_is_judged_in_spacings() -> None:
    positions = 1e3 + 1e-3 * np.arange(1000)
    assert uniform(positions, "a")[1] == pytest.approx(1e-3)
    positions[500] += 2e-8
    with pytest.raises(DataError, match="sample 500 lies 2e-05 spacings from its place"):
        uniform(positions, "a")


def test_rows_that_share_chunks_are_read_alike(path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(7, 30)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("y", data=values, chunks=(3, 8), compression="gzip")
    for limit in (None, 700):
        with open_signal(path, spacing=1.0, max_memory=limit) as file:
            for number in (0, 6, 2, 3, 3):
                np.testing.assert_array_equal(file.channel(number).values, values[number])
            with pytest.raises(DataError, match="no such channel"):
                file.channel(7)


def errors_beside(path: Path, name: str, errors: object, attribute: str = "", nexus: bool = True, shape: tuple[int, ...] = (20,)):
    """A signal y with its uncertainties in a dataset of that name."""
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/data")
        group["y"] = np.arange(float(np.prod(shape))).reshape(shape)
        group["y"].attrs["dt"] = 0.5
        group[name] = errors
        if attribute:
            group["y"].attrs["uncertainties"] = attribute
        if nexus:
            group["x"] = 0.5 * np.arange(shape[-1])
            group.attrs["NX_class"], group.attrs["signal"], group.attrs["axes"] = (
                "NXdata",
                "y",
                [b"."] * (len(shape) - 1) + [b"x"],
            )


@pytest.mark.parametrize(
    ("name", "attribute", "nexus"),
    [
        ("y_errors", "", True),
        ("errors", "", True),
        ("sigma", "sigma", True),
        ("y_errors", "", False),
        ("s", "/entry/data/s", False),
    ],
)
def test_uncertainties_beside_a_signal_are_its_noise(path: Path, name: str, attribute: str, nexus: bool) -> None:
    errors_beside(path, name, np.linspace(1, 2, 20), attribute, nexus)
    signal = read_signal(path)
    np.testing.assert_array_equal(signal.noise_sd, np.linspace(1, 2, 20))
    np.testing.assert_array_equal(signal.values, np.arange(20.0))
    with open_signal(path) as file:
        assert (file.noise, file.noise_dataset) == ("sample", f"/entry/data/{name}")
        np.testing.assert_array_equal(file.channel(0).noise_sd, np.linspace(1, 2, 20))


def test_uncertainties_of_channels_or_of_the_samples_of_all_channels(path: Path) -> None:
    errors_beside(path, "errors", np.array([1.0, 2.0, 3.0]), shape=(3, 20))
    assert [channel.noise_sd for channel in read_signal(path)] == [1, 2, 3]
    errors_beside(path, "errors", np.linspace(1, 2, 20), shape=(3, 20))
    np.testing.assert_array_equal(read_signal(path).channel(2).noise_sd, np.linspace(1, 2, 20))
    with open_signal(path) as file:
        np.testing.assert_array_equal(file.channel(2).noise_sd, np.linspace(1, 2, 20))


def test_a_sample_without_an_uncertainty_is_missing(path: Path) -> None:
    errors = np.ones(20)
    errors[3], errors[5] = np.nan, np.inf
    errors_beside(path, "errors", errors)
    assert np.flatnonzero(np.isnan(read_signal(path).values)).tolist() == [3, 5]
    with open_signal(path) as file:
        assert np.flatnonzero(np.isnan(file.channel(0).values)).tolist() == [3, 5]


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (np.ones(19), r"errors has the wrong shape; received \(19,\)"),
        (np.append(np.ones(19), 0.0), "errors must be above 0; received 0 at sample 19; .* at least 1"),
        (np.append(np.ones(19), -2.0), "errors must be above 0; received -2 at sample 19"),
    ],
)
def test_uncertainties_that_make_no_sense_are_refused(path: Path, errors: np.ndarray, message: str) -> None:
    errors_beside(path, "errors", errors)
    with pytest.raises(DataError, match=message):
        read_signal(path)


def test_uncertainties_that_are_named_and_not_there_are_refused(path: Path) -> None:
    errors_beside(path, "other", np.ones(20), "sigma")
    with pytest.raises(DataError, match="names uncertainties that are not there; received sigma"):
        read_signal(path)
