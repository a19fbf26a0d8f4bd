"""`make batch` as a user calls it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from command import DATA, ROOT, shell

SIGNALS = "a.h5 b.h5 c.h5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Makefile beside three signals, of which b is corrupt, and an environment that is installed already."""
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in "ac":
        shutil.copy(DATA / "gaussian.h5", tmp_path / f"{name}.h5")
    (tmp_path / "b.h5").write_bytes((DATA / "gaussian.h5").read_bytes()[:3000])
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    script = tmp_path / ".venv" / "bin" / "blasso-flow"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m blasso_flow "$@"\n')
    script.chmod(0o755)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


def test_one_corrupt_file_of_three(folder: Path) -> None:
    done = shell(f"make -j2 batch SIGNALS='{SIGNALS}' RECOVER_OPTIONS=--no-plot", folder)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("blasso-flow:")] == [
        line for line in done.stderr.splitlines() if line.startswith("blasso-flow: error: b.h5: ")
    ]
    assert done.stderr.count("blasso-flow: error") == 1
    made = {name for name in os.listdir(folder) if "spikes" in name}
    assert made == {f"{name}.spikes.h5" for name in "ac"}
    before = {name: (folder / name).stat().st_mtime_ns for name in made}
    shutil.copy(folder / "a.h5", folder / "b.h5")
    done = shell(f"make -j2 batch SIGNALS='{SIGNALS}' RECOVER_OPTIONS=--no-plot", folder)
    assert done.returncode == 0, done.stderr
    assert {name: (folder / name).stat().st_mtime_ns for name in made} == before
    assert (folder / "b.spikes.h5").exists()


def test_batch_without_signals_says_what_to_do(folder: Path) -> None:
    done = shell("make batch", folder)
    assert done.returncode == 2
    assert "name the signals" in done.stderr
