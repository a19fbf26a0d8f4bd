"""The first run: two processes compile what a plain recovery calls, and nothing is left to compile for it."""

from __future__ import annotations

import shutil
import sys

import pytest
from command import ROOT, complete

from blasso_flow import filters
from blasso_flow.data.signals import Axis
from blasso_flow.recovery import first_run

HELPED = """
import subprocess, sys
from blasso_flow import filters
from blasso_flow.recovery import first_run
from blasso_flow.truth.simulation import simulate

class Popen(subprocess.Popen):
    def __init__(self, command, **options):
        super().__init__([*command[:-1], command[-1] + COUNT], **options | {"stdout": None})

COUNT = '''
from blasso_flow.kernels.line import newton
print(*("tail" if str(types[6]) == "none" else "finite" for types in newton.relax.overloads))
'''
subprocess.Popen, first_run.is_cached = Popen, lambda tail: False
signal = simulate(sys.argv[1], samples=300, spikes=4, snr=20, seed=0)
first_run.prepare(filters.build(signal.filter, signal.axis), 2)
exec(COUNT)
"""
NOTHING_LEFT = """
import gc, sys
from numba.core.dispatcher import Dispatcher
from blasso_flow import recover
from blasso_flow.recovery import first_run
from blasso_flow.truth.simulation import simulate

def ready():
    kernels = [each for each in gc.get_objects() if isinstance(each, Dispatcher) and each.__module__.startswith("blasso_flow")]
    return {(each.__module__, each.__name__, str(types)) for each in kernels for types in each.overloads}

signal = simulate(sys.argv[1], samples=300, spikes=4, snr=20, seed=0)
first_run.compile_newton(sys.argv[2])
first_run.compile_others(sys.argv[2])
before = ready()
print(recover(signal).channels[0].status.value, len(before) > 10, *ready() - before)
"""


@pytest.mark.parametrize(
    ("filter", "relaxing"), [("gaussian:sd=10", "finite"), ("decay:rise=2,decay=15", "tail")], ids=["finite", "tail"]
)
def test_another_process_compiles_the_newton_steps(filter, relaxing):
    done = complete([sys.executable, "-c", HELPED, filter], cwd=ROOT, text=True)
    assert (done.stdout, done.stderr) == (f"{relaxing}\n\n", "")


@pytest.mark.parametrize(
    ("filter", "example"),
    [("gaussian:sd=10", first_run.FINITE), ("decay:rise=2,decay=15", first_run.ENDING_IN_EXPONENTIALS)],
    ids=["finite", "tail"],
)
def test_everything_that_a_plain_recovery_calls_is_compiled_by_then(filter, example):
    """Whether kernels are compiled or loaded, a recovery asks for none with types that were not asked for before."""
    done = complete([sys.executable, "-c", NOTHING_LEFT, filter, example], cwd=ROOT, text=True)
    assert (done.stdout, done.stderr) == ("converged True\n", "")


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
