"""Where compiled kernels are kept: beside the package, else in the user's cache, else nowhere; and that all of it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from command import ROOT

CODE = """
import numpy
from blasso_flow.kernels import announce_compilation, is_cached
from blasso_flow.kernels.line.responses import squared_norms

announce_compilation(lambda: print("compiling", end=" "))
out = numpy.zeros(1)
table = numpy.zeros((5, 1, 10, 8))
table[:, :, 0] = 1.0
squared_norms(numpy.zeros(1), numpy.ones(20), table, numpy.array([0.0, 1.0]), 0, None, out)
print(is_cached(), out[0])
"""


@pytest.fixture
def installed(tmp_path):
    """A copy of the package beside which nothing can be cached, not even by root."""
    shutil.copytree(ROOT / "blasso_flow", tmp_path / "blasso_flow", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "blasso_flow/kernels/__pycache__").write_text("a file, where a folder would be")
    return tmp_path


def started(installed, home, code=CODE) -> subprocess.Popen[str]:
    """A process of its own, with ``home`` for the user's cache."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(installed), "HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], cwd=installed, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_kernels_run_where_nothing_can_be_cached(installed):
    nowhere = installed / "blasso_flow/errors.py"
    out, err = started(installed, nowhere).communicate()
    assert (out.split(), err) == (["compiling", "False", "8.0"], "")


def test_processes_side_by_side_compile_into_the_users_cache_and_later_ones_load(installed):
    home = installed / "home"
    home.mkdir()
    together = [started(installed, home) for _ in range(2)]
    assert [process.communicate() for process in together] == [("compiling False 8.0\n", "")] * 2
    assert list(home.rglob("responses.squared_norms-*.nbc"))
    assert started(installed, home).communicate() == ("False 8.0\n", "")


def test_a_change_of_what_a_kernel_calls_in_another_file_is_seen(installed):
    home = installed / "home"
    home.mkdir()
    assert started(installed, home).communicate() == ("compiling False 8.0\n", "")
    callee = installed / "blasso_flow/kernels/shared/vectors.py"
    callee.write_text(callee.read_text().replace("total = 0.0", "total = 1.0"))
    assert started(installed, home).communicate() == ("compiling False 9.0\n", "")


TOY = """
from blasso_flow.kernels import compiled
from blasso_flow.kernels.shared.vectors import dot


@compiled
def square(row):
    return dot(row, row)
"""
TOY_FIRST = CODE.replace(
    "out =", "from blasso_flow.kernels.plane.toy import square; print(square(numpy.ones(3)), end=' ')\nout ="
)


def test_a_change_of_one_geometry_leaves_the_kernels_of_another_and_a_change_of_what_they_share_none(installed):
    home, sources = installed / "home", installed / "blasso_flow/kernels"
    (sources / "plane").mkdir()
    (sources / "plane/toy.py").write_text(TOY)
    assert started(installed, home, TOY_FIRST).communicate() == ("compiling 3.0 False 8.0\n", "")
    with (sources / "line/cells.py").open("a") as file:
        file.write("CHANGED = True\n")
    assert started(installed, home, TOY_FIRST).communicate() == ("3.0 compiling False 8.0\n", "")
    assert started(installed, home, TOY_FIRST).communicate() == ("3.0 False 8.0\n", "")
    callee = sources / "shared/vectors.py"
    callee.write_text(callee.read_text().replace("total = 0.0", "total = 1.0"))
    assert started(installed, home, TOY_FIRST).communicate() == ("compiling 4.0 False 9.0\n", "")
