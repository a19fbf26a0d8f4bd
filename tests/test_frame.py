"""The frame: what installs, what is imported when, what the examples are made of."""

from __future__ import annotations

import configparser
import shutil
import sys
import time

import numpy as np
import pytest
from command import DATA, ROOT, complete

import blasso_flow
from blasso_flow.files import read_signal

HEAVY = ("numba", "scipy", "matplotlib", "h5py")


def python(code: str) -> str:
    """Output of a fresh interpreter."""
    return well([sys.executable, "-c", code])


def well(command: list[str]) -> str:
    """Output of a process that ends well."""
    done = complete(command, cwd=ROOT, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_is_light() -> None:
    code = f"import blasso_flow, sys; blasso_flow.Signal; print([name for name in {(*HEAVY, 'click')} if name in sys.modules])"
    assert python(code).strip() == "[]"


def test_help_imports_no_numerics() -> None:
    code = (
        "import sys; from blasso_flow.cli.program import program\n"
        "try: program.main(['--help'])\n"
        f"except SystemExit: print([name for name in {(*HEAVY, 'numpy')} if name in sys.modules])"
    )
    assert python(code).strip().splitlines()[-1] == "[]"


def test_help_is_as_quick_as_click() -> None:
    def quickest(*command: str) -> float:
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            well([sys.executable, *command])
            times.append(time.perf_counter() - begin)
        return min(times)

    assert quickest("-m", "blasso_flow", "--help") < 3 * quickest("-c", "import click")


def test_a_run_does_not_search_its_imports_for_garbage_at_the_end() -> None:
    code = (
        "import atexit, gc, sys; from blasso_flow.cli import main; sys.argv = ['blasso-flow', 'filters']\n"
        "atexit.register(lambda: print(gc.isenabled(), len(gc.get_objects()) < 0.1 * gc.get_freeze_count()))\n"
        "main()"
    )
    assert python(code).splitlines()[-1] == "True True"


@pytest.mark.parametrize("name", sorted(blasso_flow.__all__))
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(blasso_flow, name) is not None
    assert name in dir(blasso_flow)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = blasso_flow.nothing_of_this_name


def test_the_core_has_six_dependencies_with_lower_bounds() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    required = config["options"]["install_requires"].split()
    assert sorted(line.partition(">=")[0] for line in required) == ["click", "h5py", "matplotlib", "numba", "numpy", "scipy"]
    assert all(">=" in line for line in required)


def test_the_example_signals_are_small_and_come_from_their_seeds(tmp_path) -> None:
    assert sum(path.stat().st_size for path in DATA.glob("*.h5")) < 300_000
    for turn in ("first", "second"):
        folder = tmp_path / turn
        stamp = f"{sys.prefix}/.installed"
        command = ["make", "-s", "-o", stamp, f"VENV={sys.prefix}", f"DATA={folder}", "data"]
        well(command)
    names = sorted(path.name for path in DATA.glob("*.h5"))
    assert names == sorted(path.name for path in (tmp_path / "first").iterdir())
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
        committed, made = read_signal(DATA / name), read_signal(tmp_path / "first" / name)
        np.testing.assert_allclose(made.values, committed.values, rtol=1e-12, atol=1e-12)
        assert committed.truth is not None
        assert made.truth is not None
        np.testing.assert_allclose(made.truth.position, committed.truth.position, rtol=1e-12)


def test_make_lists_its_targets() -> None:
    listed = well(["make"])
    for target in ("help", "demo", "test", "lint", "bench", "bench-quick", "batch", "data", "clean"):
        assert f"make {target} " in listed


def test_a_batch_goes_past_a_bad_file_and_leaves_nothing_of_it(tmp_path) -> None:
    shutil.copy(DATA / "gaussian.h5", tmp_path / "good.h5")
    (tmp_path / "bad.h5").write_text("no HDF5")
    signals = f"SIGNALS={tmp_path}/bad.h5 {tmp_path}/good.h5"
    command = ["make", "-k", "-j2", "-o", f"{sys.prefix}/.installed", f"VENV={sys.prefix}", "batch", signals]
    done = complete(command, cwd=ROOT, text=True)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("blasso-flow: ")] == [
        f"blasso-flow: error: {tmp_path}/bad.h5: not an HDF5 file; received b'no HDF5'; allowed: HDF5"
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.h5", "good.h5", "good.spikes.h5", "good.spikes.png"]
