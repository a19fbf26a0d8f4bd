"""Where compiled kernels are kept: beside the package, else in the user's cache, else nowhere; and that all of it runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest
from command import ROOT, complete, environment, running

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


def outputs(installed, home, code=CODE, processes=1) -> list[tuple[str, str]]:
    """What processes side by side print, with ``home`` for the user's cache: output and errors of each."""
    places = {name: value for name, value in environment().items() if name != "NUMBA_CACHE_DIR"}
    places |= {"PYTHONPATH": str(installed), "HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    options = {"cwd": installed, "env": places, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with ExitStack() as started:
        together = [started.enter_context(running([sys.executable, "-c", code], **options)) for _ in range(processes)]
        return [process.communicate() for process in together]


def test_kernels_run_where_nothing_can_be_cached(installed):
    nowhere = installed / "blasso_flow/errors.py"
    [(out, err)] = outputs(installed, nowhere)
    assert (out.split(), err) == (["compiling", "False", "8.0"], "")


def test_processes_side_by_side_compile_into_the_users_cache_and_later_ones_load(installed):
    home = installed / "home"
    home.mkdir()
    assert outputs(installed, home, processes=2) == [("compiling False 8.0\n", "")] * 2
    assert list(home.rglob("responses.squared_norms-*.nbc"))
    assert outputs(installed, home) == [("False 8.0\n", "")]


def test_a_change_of_what_a_kernel_calls_in_another_file_is_seen(installed):
    home = installed / "home"
    home.mkdir()
    assert outputs(installed, home) == [("compiling False 8.0\n", "")]
    callee = installed / "blasso_flow/kernels/shared/vectors.py"
    callee.write_text(callee.read_text().replace("total = 0.0", "total = 1.0"))
    assert outputs(installed, home) == [("compiling False 9.0\n", "")]


def test_compiling_is_announced_once_and_truly():
    say = """
from blasso_flow.cli.progress import announce_compiling
from blasso_flow.kernels import compiled
for _ in range(3):
    announce_compiling()
    compiled(lambda x: x + 1)(1)
"""
    for place, words in (("", "they are kept"), ("/dev/null/nowhere", "every run must: they can be kept nowhere")):
        code = f"from blasso_flow import kernels; kernels.can_be_cached = lambda: {not place}\n{say}"
        done = complete([sys.executable, "-c", code], text=True)
        assert done.stderr.count("compiling kernels") == 1
        assert words in done.stderr


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
    assert outputs(installed, home, TOY_FIRST) == [("compiling 3.0 False 8.0\n", "")]
    with (sources / "line/cells.py").open("a") as file:
        file.write("CHANGED = True\n")
    assert outputs(installed, home, TOY_FIRST) == [("3.0 compiling False 8.0\n", "")]
    assert outputs(installed, home, TOY_FIRST) == [("3.0 False 8.0\n", "")]
    callee = sources / "shared/vectors.py"
    callee.write_text(callee.read_text().replace("total = 0.0", "total = 1.0"))
    assert outputs(installed, home, TOY_FIRST) == [("compiling 4.0 False 9.0\n", "")]
