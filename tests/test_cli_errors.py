"""Bad input: the documented exit code, exactly one line on standard error, nothing on standard output, nothing written."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from command import DATA, run

from blasso_flow import read_signal, write_signal

GAUSSIAN = "gaussian:sd=0.02"


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of file that cannot be used, and one good signal with its result."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copy(DATA / "gaussian.h5", folder / "good.h5")
    good = (folder / "good.h5").read_bytes()
    (folder / "text.h5").write_text("time,value\n0,1\n")
    (folder / "empty.h5").write_bytes(b"")
    (folder / "truncated.h5").write_bytes(good[: len(good) // 2])
    (folder / "corrupt.h5").write_bytes(good[:600] + bytes(900) + good[1500:])
    (folder / "folder").mkdir()
    signal = read_signal(DATA / "gaussian.h5")
    write_signal(replace(signal, filter=None), folder / "nofilter.h5")
    write_signal(replace(signal, truth=None), folder / "notruth.h5")
    values = signal.values.copy()
    values[:] = np.nan
    write_signal(replace(signal, values=values), folder / "missing.h5")
    arrays = {
        "complex": np.ones(100, dtype=complex),
        "string": np.array([b"a"] * 100),
        "cube": np.ones((4, 5, 6)),
        "scalar": np.float64(1),
        "nothing": np.empty(0),
        "infinite": np.where(np.arange(100) == 3, np.inf, 1.0),
        "plain": np.sin(np.arange(100.0)),
    }
    for name, array in arrays.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["y"] = array
    with h5py.File(folder / "groups.h5", "w") as file:
        file.create_group("a")
    with h5py.File(folder / "several.h5", "w") as file:
        file["a"], file["b"] = np.ones(100), np.ones(100)
    with h5py.File(folder / "uneven.h5", "w") as file:
        file["y"], file["time"] = np.ones(100), np.arange(100.0) ** 2
        file["time"].make_scale("time")
        file["y"].dims[0].attach_scale(file["time"])
    with h5py.File(folder / "external.h5", "w") as file:
        file["y"] = h5py.ExternalLink("good.h5", "/signal/y")
    with h5py.File(folder / "unstored.h5", "w") as file:
        file.create_dataset("y", shape=(10**9,), dtype="f8", chunks=(10**6,)).attrs["dt"] = 1.0
    assert run("recover", folder / "good.h5", "-o", folder / "result.h5", "--no-plot", "-q").code == 0
    return folder


RECOVER = ["recover", "good.h5"]
CASES: dict[str, tuple[list[str], int, str]] = {
    # usage: 2
    "no command of that name": (["recovr"], 2, "recovr"),
    "no option of that name": ([*RECOVER, "--strenght", "1"], 2, "--strenght"),
    "no signal": (["recover"], 2, "SIGNAL"),
    "option that is no number": ([*RECOVER, "--tol", "small"], 2, "small"),
    "choice": ([*RECOVER, "--baseline", "spline"], 2, "spline"),
    "two outputs": ([*RECOVER, "-o", "a.h5", "--output-dir", "."], 2, "exclude"),
    "one output for two": ([*RECOVER, "plain.h5", "-o", "a.h5"], 2, "--output-dir"),
    "same output twice": (["recover", "good.h5", "good.h5"], 2, "same name"),
    "figure over result": ([*RECOVER, "-o", "a.png"], 2, "same name"),
    "figure to nowhere": ([*RECOVER, "-o", "-", "--plot"], 2, "--plot"),
    "stream without a name": (["recover", "-"], 2, "--output"),
    "stream twice": (["recover", "-", "-", "--output-dir", "."], 2, "once"),
    "output is input": ([*RECOVER, "-o", "good.h5", "--force"], 2, "same file"),
    "output exists": ([*RECOVER, "-o", "result.h5"], 2, "--force"),
    "output is a folder": ([*RECOVER, "-o", "folder"], 2, "folder"),
    "unknown filter": ([*RECOVER, "--filter", "gauss:sd=1"], 2, "gauss"),
    "unknown parameter": ([*RECOVER, "--filter", "gaussian:width=1"], 2, "width"),
    "parameter twice": ([*RECOVER, "--filter", "gaussian:sd=1,sd=2"], 2, "twice"),
    "parameter without value": ([*RECOVER, "--filter", "gaussian:sd"], 2, "no value"),
    "parameter no number": ([*RECOVER, "--filter", "gaussian:sd=wide"], 2, "wide"),
    "parameter negative": ([*RECOVER, "--filter", "gaussian:sd=-1"], 2, "out of range"),
    "parameter infinite": ([*RECOVER, "--filter", "gaussian:sd=inf"], 2, "out of range"),
    "parameter missing": ([*RECOVER, "--filter", "gaussian"], 2, "sd or fwhm"),
    "filter too narrow": ([*RECOVER, "--filter", "gaussian:sd=0.0001"], 2, "too narrow"),
    "filter longer than the record": ([*RECOVER, "--filter", "gaussian:sd=30"], 2, "longer than the record"),
    "no filter": (["recover", "nofilter.h5"], 2, "--filter"),
    "negative noise": ([*RECOVER, "--noise-sd", "-1"], 2, "noise"),
    "noise not a number": ([*RECOVER, "--noise-sd", "nan"], 2, "noise"),
    "strength unreadable": ([*RECOVER, "--strength", "lots"], 2, "lots"),
    "strength zero": ([*RECOVER, "--strength", "0"], 2, "strength"),
    "strength above the maximum": ([*RECOVER, "--strength", "2max"], 2, "2max"),
    "false alarms": ([*RECOVER, "--false-alarms", "0"], 2, "false"),
    "tolerance": ([*RECOVER, "--tol", "0"], 2, "tol"),
    "rounds": ([*RECOVER, "--max-rounds", "0"], 2, "rounds"),
    "margin unreadable": ([*RECOVER, "--margin", "1,2,3"], 2, "1,2,3"),
    "margin negative": ([*RECOVER, "--margin", "-1"], 2, "margin"),
    "memory unreadable": ([*RECOVER, "--max-memory", "much"], 2, "much"),
    "spacing zero": ([*RECOVER, "--spacing", "0"], 2, "spacing"),
    "empty dataset name": (["recover", "good.h5::"], 2, "dataset"),
    "show two parts": (["show", "result.h5", "--channels", "--optimum"], 2, "exclude"),
    "show two forms": (["show", "result.h5", "--csv", "--json"], 2, "exclude"),
    "plot no such channel": (["plot", "result.h5", "--channel", "3", "-o", "f.png"], 2, "channel"),
    "plot unknown format": (["plot", "result.h5", "-o", "f.gif"], 2, "gif"),
    "plot over the result": (["plot", "result.h5", "-o", "result.h5", "--force"], 2, "same file"),
    "score tolerance": (["score", "result.h5", "--tolerance", "-1"], 2, "tolerance"),
    "simulate without filter": (["simulate", "-o", "a.h5"], 2, "--filter"),
    "simulate without output": (["simulate", "--filter", GAUSSIAN], 2, "--output"),
    "simulate over a file": (["simulate", "--filter", "gaussian:sd=5", "-o", "good.h5"], 2, "--force"),
    "simulate too many spikes": (["simulate", "--filter", "gaussian:sd=5", "--min-separation", "500", "-o", "a.h5"], 2, "fit"),
    "simulate counts with noise": (
        ["simulate", "--filter", "gaussian:sd=5", "--counts", "--noise-sd", "1", "-o", "a.h5"],
        2,
        "own noise",
    ),
    "simulate noise twice": (
        ["simulate", "--filter", "gaussian:sd=5", "--snr", "1", "--noise-sd", "1", "-o", "a.h5"],
        2,
        "twice",
    ),
    "filters unknown": (["filters", "gauss"], 2, "gauss"),
    "filters plot without filter": (["filters", "--plot", "f.png"], 2, "--plot"),
    "filters unknown format": (["filters", GAUSSIAN, "--plot", "f.txt"], 2, "txt"),
    # while running: 1
    "folder missing": ([*RECOVER, "-o", "nowhere/a.h5"], 1, "nowhere"),
    "folder is a file": ([*RECOVER, "--output-dir", "text.h5"], 1, "--output-dir"),
    # data: 4
    "no such file": (["recover", "nowhere.h5"], 4, "nowhere.h5"),
    "a folder": (["recover", "folder"], 4, "folder"),
    "not HDF5": (["recover", "text.h5"], 4, "not an HDF5 file"),
    "empty file": (["recover", "empty.h5"], 4, "empty"),
    "truncated": (["recover", "truncated.h5"], 4, "truncated"),
    "corrupt": (["recover", "corrupt.h5"], 4, "corrupt"),
    "no dataset": (["recover", "groups.h5"], 4, "no dataset"),
    "several candidates": (["recover", "several.h5"], 4, "/a, /b"),
    "no such dataset": (["recover", "good.h5::/signal/x"], 4, "no such dataset"),
    "wrong rank": (["recover", "cube.h5"], 4, "y"),
    "a number": (["recover", "scalar.h5"], 4, "y"),
    "complex": (["recover", "complex.h5", "--spacing", "1"], 4, "y"),
    "strings": (["recover", "string.h5", "--spacing", "1"], 4, "y"),
    "no samples": (["recover", "nothing.h5", "--spacing", "1"], 4, "empty"),
    "infinite": (["recover", "infinite.h5", "--spacing", "1", "--filter", "gaussian:sd=5"], 4, "infinite"),
    "all missing": (["recover", "missing.h5"], 4, "missing"),
    "uneven axis": (["recover", "uneven.h5", "--filter", "gaussian:sd=5"], 4, "the axis jumps"),
    "no spacing": (["recover", "plain.h5", "--filter", "gaussian:sd=5"], 4, "--spacing"),
    "external link": (["recover", "external.h5"], 4, "link"),
    "declares more than it stores": (["recover", "unstored.h5", "--filter", "gaussian:sd=5"], 4, "unstored.h5"),
    "memory": ([*RECOVER, "--max-memory", "1kB"], 4, "--max-memory"),
    "a result as signal": (["recover", "result.h5"], 4, "result"),
    "a signal as result": (["show", "good.h5"], 4, "signal"),
    "show not HDF5": (["show", "text.h5"], 4, "not an HDF5 file"),
    "certify a signal": (["certify", "good.h5"], 4, "signal"),
    "certify another signal": (["certify", "result.h5", str(DATA / "channels.h5")], 4, "channels"),
    "score without truth": (["score", "result.h5", "notruth.h5"], 4, "truth"),
    "inspect not HDF5": (["inspect", "text.h5"], 4, "not an HDF5 file"),
    "plot not HDF5": (["plot", "text.h5", "-o", "f.png"], 4, "not an HDF5 file"),
    "empty stream": (["recover", "-", "-o", "a.h5"], 4, "standard input"),
    "stream that is no HDF5": (["show", "-"], 4, "standard input"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line(case: str, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, code, fragment = CASES[case]
    monkeypatch.chdir(bad)
    before = {path: path.stat().st_mtime_ns for path in bad.rglob("*")}
    outcome = run(*arguments, stdin=b"" if code != 4 or case == "empty stream" else b"not HDF5")
    assert outcome.code == code, outcome.stderr
    lines = outcome.stderr.splitlines()
    assert len([line for line in lines if "note: " not in line]) == 1, outcome.stderr
    assert lines[-1].startswith("blasso-flow: error: ")
    assert fragment in lines[-1]
    assert "bug" not in lines[-1]
    assert outcome.stdout == b""
    assert {path: path.stat().st_mtime_ns for path in bad.rglob("*")} == before
