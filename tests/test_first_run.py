"""The first run: two processes compile what a plain recovery calls, and nothing is left to compile for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from command import ROOT

from blasso_flow import filters
from blasso_flow.data.signals import Axis
from blasso_flow.recovery import first_run

CODE = """
import sys
from blasso_flow import filters, recover
from blasso_flow.kernels import announce_compilation, is_cached
from blasso_flow.recovery import first_run
from blasso_flow.truth.simulation import simulate

signal = simulate(sys.argv[1], samples=300, spikes=4, snr=20, seed=0)
table = filters.build(signal.filter, signal.axis)
first_run.prepare(table, 2)
print(is_cached(table.tail.size > 0))
announce_compilation(lambda: print("more to compile"))
print(recover(signal).channels[0].status.value)
"""


@pytest.mark.parametrize("filter", ["gaussian:sd=10", "decay:rise=2,decay=15"])
def test_everything_that_a_plain_recovery_calls_is_compiled_by_then(filter, tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", CODE, filter], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.split("\n")[:-1], done.stderr) == (["True", "converged"], "")


def test_a_process_that_fails_is_no_failure(monkeypatch):
    monkeypatch.setattr(first_run, "is_cached", lambda tail: False)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    axis = Axis(0.0, 1.0, 100, periodic=True)
    first_run.prepare(filters.build(filters.describe("gaussian:sd=3"), axis), 2)
    begun = []
    monkeypatch.setattr(first_run, "compile_others", lambda filter: begun.append(1))
    for words in ("lowpass:order=7", "decay:rise=2,decay=15,exposure=0"):  # those call kernels of their own
        first_run.prepare(filters.build(filters.describe(words), axis), 2)
    first_run.prepare(filters.build(filters.describe("gaussian:sd=3"), axis), 1)
    assert not begun
