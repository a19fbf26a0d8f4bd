"""A test that hangs is ended and says what it was doing, with what it started, alone and on workers."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest
from command import ROOT, complete, environment

TESTS = """
import os, signal, subprocess, sys, time
from pathlib import Path

from command import complete, running, shell

CHILD = "import os, time; open(f'child-{os.getpid()}', 'w').close(); asleep = lambda: time.sleep(600); asleep()"

def test_that_hangs():
    time.sleep(600)

def test_whose_child_hangs():
    complete([sys.executable, "-c", CHILD])

def test_whose_grandchild_hangs():
    shell(f'{sys.executable} -c "{CHILD}"; true', Path.cwd())

def test_that_waits_for_a_child_that_hangs():
    with running([sys.executable, "-c", CHILD], stderr=subprocess.PIPE) as process:
        while not Path(f"child-{process.pid}").exists():
            time.sleep(0.01)
        raise AssertionError("something else is wrong")

def test_that_python_cannot_interrupt():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(600)

def test_that_is_well():
    pass
"""
HANGING = re.findall(r"def (test_(?!that_is_well)\w+)", TESTS)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_what_hangs_is_ended_and_says_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "setup.cfg", "--rootdir", tmp_path, "-p", "conftest"]
    options = ["-p", "no:cacheprovider", "--numprocesses", 2, "-o", "timeout=3", "-o", "faulthandler_timeout=5"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    begin = time.monotonic()
    done = complete(
        [*map(str, [*command, *options, "test_hangs.py"])], cwd=tmp_path, env=environment() | {"PYTHONPATH": paths}, text=True
    )
    assert time.monotonic() - begin < 100
    assert [name for name in HANGING if f"FAILED test_hangs.py::{name} - " not in done.stdout] == []
    assert "5 failed, 1 passed" in done.stdout
    assert done.stdout.count(" - Failed: Timeout") == 3
    assert done.stdout.count("in <lambda>") == 3  # where the children were
    assert "in test_that_python_cannot_interrupt" in done.stderr
    children = [path.name.removeprefix("child-") for path in tmp_path.glob("child-*")]
    assert len(children) == 3
    assert [number for number in children if Path("/proc", number).exists()] == []
