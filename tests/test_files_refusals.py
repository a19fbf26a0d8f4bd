"""Every bad input is refused in one line that names the fault, and nothing reaches another file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from files_examples import example_recovery, example_signal

from blasso_flow.errors import BlassoFlowError, DataError, UsageError
from blasso_flow.files import open_signal, read_result, read_signal, write_result, write_signal

Change = Callable[[h5py.File], None]


@pytest.fixture
def signal_file(tmp_path: Path) -> Path:
    write_signal(example_signal(), tmp_path / "a.h5")
    return tmp_path / "a.h5"


@pytest.fixture
def result_file(tmp_path: Path) -> Path:
    write_result(example_recovery(), tmp_path / "a.spikes.h5", save_fit=True)
    return tmp_path / "a.spikes.h5"


def put(path: str, values: object, **options: object) -> Change:
    """Replace a dataset; its dimension scales and attributes go."""

    def change(file: h5py.File) -> None:
        if path in file:
            del file[path]
        file.create_dataset(path, data=values, **options)

    return change


def moved_axis(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def apply(file: h5py.File) -> None:
        del file["signal/time"].attrs["spacing"]
        file["signal/time"][...] = change(file["signal/time"][...])

    return apply


def attribute(path: str, name: str, value: object) -> Change:
    return lambda file: file[path].attrs.__setitem__(name, value)


def removed(path: str) -> Change:
    return lambda file: file.__delitem__(path)


def one_nan(axis: np.ndarray) -> np.ndarray:
    axis[7] = np.nan
    return axis


def one_off(axis: np.ndarray) -> np.ndarray:
    axis[7] += 0.003
    return axis


def external_link(path: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[path]
        file[path] = h5py.ExternalLink("other.h5", "/y")

    return change


def soft_link_outside(path: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[path]
        file["outside"] = h5py.ExternalLink("other.h5", "/")
        file[path] = h5py.SoftLink("/outside/y")

    return change


def links_in_a_circle(file: h5py.File) -> None:
    del file["signal/y"]
    file["signal/y"] = h5py.SoftLink("/signal/z")
    file["signal/z"] = h5py.SoftLink("y")


def external_storage(path: str, size: int) -> Change:
    def change(file: h5py.File) -> None:
        del file[path]
        file.create_dataset(path, shape=(size,), dtype="f8", external=[("raw.bin", 0, size * 8)])

    return change


def virtual(file: h5py.File) -> None:
    del file["signal/y"]
    layout = h5py.VirtualLayout((50,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "y", (50,))
    file.create_virtual_dataset("signal/y", layout)


def never_stored(file: h5py.File) -> None:
    del file["signal/y"]
    file.create_dataset("signal/y", shape=(10**6, 10**6), dtype="f8", chunks=(1, 1000))


def partly_stored(file: h5py.File) -> None:
    del file["signal/y"]
    file.create_dataset("signal/y", shape=(2, 50), dtype="f8", chunks=(1, 50))[0] = 1.0


def two_signals(file: h5py.File) -> None:
    file.move("signal", "first")
    file.copy("first", "second")
    file.attrs["default"] = "second"


SIGNAL_REFUSALS = {
    "complex": (put("signal/y", np.ones((2, 50), complex)), "complex numbers"),
    "strings": (put("signal/y", np.array([[b"a"] * 50] * 2)), "does not hold real numbers"),
    "flags": (put("signal/y", np.ones((2, 50), bool)), "flags"),
    "records": (put("signal/y", np.zeros((2, 50), [("a", "f8")])), "records"),
    "rank 0": (put("signal/y", 1.0), "wrong rank"),
    "rank 3": (put("signal/y", np.ones((2, 2, 50))), "wrong rank"),
    "empty": (put("signal/y", np.ones((0, 50))), "empty"),
    "no values": (put("signal/y", h5py.Empty("f8")), "empty"),
    "all missing": (put("signal/y", np.full((2, 50), np.nan)), "every sample is missing"),
    "infinite": (put("signal/y", np.full((2, 50), np.inf)), "infinite samples"),
    "axis of another length": (put("signal/time", np.arange(49.0)), "does not fit 50 samples"),
    "bin edges": (put("signal/time", np.arange(51.0)), "bin edges"),
    "axis missing": (removed("signal/time"), "axis that is not there"),
    "axis constant": (moved_axis(lambda axis: axis * 0), "does not advance"),
    "axis decreasing": (moved_axis(lambda axis: axis[::-1]), "decreases"),
    "axis with NaN": (moved_axis(one_nan), "not finite; received nan at sample 7"),
    "axis not uniform": (moved_axis(one_off), "the axis jumps; received spacing"),
    "axis of text": (put("signal/time", np.array([b"a"] * 50)), "does not hold real numbers"),
    "period": (attribute("signal/time", "period", 7.0), "period is not the length"),
    "signal missing": (removed("signal/y"), "signal that is not there"),
    "negative noise": (put("signal/noise_sd", np.array([0.1, -1.0])), "finite and above 0; received -1"),
    "negative noise of a sample": (put("signal/noise_sd", np.full((2, 50), -1.0)), "must be above 0; received -1 at sample 0, 0"),
    "noise of another shape": (put("signal/noise_sd", np.ones(3)), "wrong shape"),
    "external link": (external_link("signal/y"), "external link"),
    "external group": (external_link("signal"), "external link"),
    "external axis": (external_link("signal/time"), "external link"),
    "external truth": (external_link("truth"), "external link"),
    "external filter": (external_link("filter/impulse_response"), "external link"),
    "soft link outside": (soft_link_outside("signal/y"), "external link"),
    "links in a circle": (links_in_a_circle, "circle"),
    "external storage": (external_storage("signal/y", 50), "external raw storage"),
    "external storage of the axis": (external_storage("signal/time", 50), "external raw storage"),
    "virtual": (virtual, "virtual dataset"),
    "never stored": (never_stored, "stores none"),
    "partly stored": (partly_stored, "1 of 2 chunks"),
    "unknown layout": (attribute("/", "blasso_flow_layout", 9), "unknown layout version"),
    "several": (two_signals, "/first, /second (the file's default)"),
    "filter without kind": (
        lambda file: file.create_group("x") and removed("filter/impulse_response")(file),
        "describes no filter",
    ),
    "filter twice": (attribute("filter", "kind", "gaussian"), "a kind and an impulse response"),
    "lags of another length": (put("filter/lag", np.arange(4.0)), "differ in length"),
    "lags not uniform": (put("filter/lag", np.arange(5.0) ** 2), "not uniform"),
    "lags in other units": (attribute("filter/lag", "units", "ms"), "different units"),
    "response not finite": (put("filter/impulse_response", np.array([0, 1, np.nan, 1, 0])), "not finite"),
    "truth of another channel": (put("truth/channel", np.array([0, 5])), "channels that are not there"),
    "truth of another length": (put("truth/weight", np.ones(3)), "differ in length"),
}


def refusal(path: Path, change: Change, read: Callable[[Path], object]) -> str:
    """The one line in which reading a file is refused once it is changed."""
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    return str(caught.value)


@pytest.mark.parametrize("case", SIGNAL_REFUSALS)
def test_bad_signals_are_refused_in_one_line(signal_file: Path, case: str) -> None:
    change, message = SIGNAL_REFUSALS[case]
    line = refusal(signal_file, change, read_signal)
    assert message in line
    assert "a.h5" in line


RESULT_REFUSALS = {
    "unknown layout": (attribute("/", "blasso_flow_layout", 2), "unknown layout version"),
    "column missing": (removed("spikes/weight"), "incomplete"),
    "column too short": (put("spikes/weight", np.ones(3)), "wrong length"),
    "channels that are not there": (put("spikes/channel", np.full(5, 9)), "channels that are not there"),
    "fractions as channels": (put("optimum/channel", np.full(5, 0.5)), "no column of whole numbers"),
    "numbers as text": (put("channels/message", np.ones(2)), "no column of 2 texts"),
    "unknown status": (put("channels/status", ["converged", "fine"]), "unknown status; received fine"),
    "no JSON": (put("provenance", "{"), "no JSON"),
    "no JSON object": (put("provenance", "[]"), "no JSON object"),
    "curves differ": (put("fit/model", np.ones((2, 3))), "differ in shape"),
    "external column": (external_link("spikes/weight"), "external link"),
    "never stored": (
        lambda file: (removed("optimum/eta")(file), file.create_dataset("optimum/eta", (5,), "f8")),
        "stores none",
    ),
}


@pytest.mark.parametrize("case", RESULT_REFUSALS)
def test_bad_results_are_refused_in_one_line(result_file: Path, case: str) -> None:
    change, message = RESULT_REFUSALS[case]
    assert message in refusal(result_file, change, read_result)


def test_a_result_is_no_signal_and_the_reverse(signal_file: Path, result_file: Path) -> None:
    with pytest.raises(DataError, match="is a result of `recover`, not a signal"):
        read_signal(result_file)
    with pytest.raises(DataError, match="is a signal, not a result"):
        read_result(signal_file)
    assert read_signal(f"{result_file}::/fit/residual").values.shape == (2, 50)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not an HDF5 file"), (b"time,value\n0,1\n", "not an HDF5 file"), (b"\x89HDF\r\n\x1a\n", "HDF5")],
)
def test_what_is_not_hdf5(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    for source in (tmp_path / "a.h5", io.BytesIO(content)):
        with pytest.raises(DataError, match=message):
            read_signal(source)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95, 0.999])
def test_truncated_files(signal_file: Path, result_file: Path, share: float) -> None:
    for path, read in ((signal_file, read_signal), (result_file, read_result)):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match="truncated"):
            read(path)


def test_damaged_bytes_never_raise_anything_else(signal_file: Path, result_file: Path) -> None:
    generator = np.random.default_rng(0)
    refused = 0
    for path, read in ((signal_file, read_signal), (result_file, read_result)):
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(25):
            damaged = content.copy()
            start = int(generator.integers(8, content.size // 2))
            damaged[start : start + 64] ^= 0x55
            try:
                read(io.BytesIO(damaged.tobytes()), max_memory=10**8)
            except BlassoFlowError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > 20


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_signal(tmp_path / "missing.h5")
    with pytest.raises(DataError, match="is a folder"):
        read_signal(tmp_path)


def test_datasets_that_are_not_there(signal_file: Path) -> None:
    with pytest.raises(DataError, match=r"no such dataset; received /nothing; allowed: .*/signal/y"):
        read_signal(f"{signal_file}::/nothing")
    with pytest.raises(DataError, match="is a group; allowed: /truth/channel"):
        read_signal(f"{signal_file}::/truth")
    with pytest.raises(DataError, match="no such dataset"):
        read_signal(f"{signal_file}::/signal/y/deeper")
    with pytest.raises(UsageError, match="two datasets"):
        read_signal(f"{signal_file}::/signal/y", dataset="/signal/time")
    with pytest.raises(UsageError, match="names no dataset"):
        read_signal(f"{signal_file}::")


def test_files_without_a_dataset(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w"):
        pass
    with pytest.raises(DataError, match="no dataset"):
        read_signal(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["data"] = h5py.ExternalLink("a.h5", "/data")
    with pytest.raises(DataError, match="external link"):
        read_signal(tmp_path / "b.h5")


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan, np.inf])
def test_spacings_out_of_range(signal_file: Path, spacing: float) -> None:
    with pytest.raises(UsageError, match="`spacing=` is out of range"):
        read_signal(signal_file, spacing=spacing)


def test_memory_is_bounded(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["dt"] = 1.0
        file.create_dataset("y", data=np.zeros((4, 10_000)), chunks=(1, 10_000), compression="gzip")
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match="one channel does not fit the memory allowed; received 160 kB; allowed: at most 100 kB"):
        read_signal(path, max_memory=100_000)
    with pytest.raises(DataError, match="with 4 channels does not fit"):
        read_signal(path, max_memory=200_000)
    with open_signal(path, max_memory=200_000) as file:
        assert [channel.values.size for channel in file] == [10_000] * 4
    with h5py.File(path, "r+") as file:
        del file["y"]
        file.create_dataset("y", data=np.zeros(10), maxshape=(None,), chunks=(10_000_000,), compression="gzip")
    with pytest.raises(DataError, match="one chunk does not fit"):
        read_signal(path, max_memory=1_000_000)
    with pytest.raises(DataError, match="the file does not fit"):
        read_signal(_Pipe(path.read_bytes()), max_memory=500)


class _Pipe(io.BytesIO):
    """A stream that cannot seek."""

    def seekable(self) -> bool:
        return False


def test_a_pipe_is_read_whole(signal_file: Path) -> None:
    assert read_signal(_Pipe(signal_file.read_bytes())).channels == 2
