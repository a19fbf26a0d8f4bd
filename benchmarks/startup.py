"""Start-up: whole processes against what any such program pays, in turn in one run; and the very first one.

    python -m benchmarks.startup [--quick]

`blasso-flow --help` beside ``python -c "import click"``; `blasso-flow recover` of 1,000 samples, without and with a figure,
beside a script that imports numpy, h5py, click and numba and calls one cached kernel. Wall time. The first `recover` finds no
cache at all: no compiled kernel, no list of fonts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

import numpy as np

from benchmarks.tables import at_most, head, row

ROOT = Path(__file__).parents[1]
CACHES = ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")
RUNS = 9
ASKED_COLD = 25  # seconds
FLOOR = """
import numpy, h5py, click, numba
from blasso_flow.kernels.line.responses import squared_norms
table = numpy.zeros((5, 1, 10, 8))
squared_norms(numpy.zeros(1), numpy.ones(20), table, numpy.array([0.0, 1.0]), 0, None, numpy.zeros(1))
"""


def seconds(command: Sequence[str]) -> float:
    """Wall time of one process."""
    begun = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf_counter() - begun


def compare(floor_name: str, floor: Sequence[str], commands: Mapping[str, tuple[Sequence[str], float]], runs: int) -> None:
    """A row of the table for each command, with the ratio asked of it: medians of runs taken in turn with the floor's."""
    every = [floor, *(command for command, _ in commands.values())]
    measured = np.array([[seconds(command) for command in every] for _ in range(runs + 1)])[1:]  # the first is to warm up
    ratios = np.median(measured[:, 1:] / measured[:, :1], axis=0)
    floor_time, *times = 1e3 * np.median(measured, axis=0)
    for (name, (_, asked)), ratio, time in zip(commands.items(), ratios, times, strict=True):
        row(name, floor_name, f"{ratio:.2f}", f"{time:.0f}", f"{floor_time:.0f}", at_most(asked, ratio))


def first(program: str) -> tuple[float, float]:
    """Wall and CPU seconds of a first `recover`."""
    with tempfile.TemporaryDirectory() as folder:
        empty = os.environ | {name: f"{folder}/{name}" for name in CACHES}
        command = [program, "recover", str(ROOT / "data" / "gaussian.h5"), "-o", f"{folder}/a.spikes.h5", "--quiet"]
        before, begun = getrusage(RUSAGE_CHILDREN), perf_counter()
        subprocess.run(command, check=True, env=empty, stdout=subprocess.DEVNULL)
        elapsed, after = perf_counter() - begun, getrusage(RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer runs, and not the very first one")
    options = parser.parse_args()
    runs = 2 if options.quick else RUNS
    program = str(Path(sys.executable).with_name("blasso-flow"))
    head(
        "A process takes little more than the imports that any such program needs.",
        *("command", "beside", "ratio", "command (ms)", "beside (ms)", "asked"),
    )
    help_beside = {"--help": ([program, "--help"], 2.5)}
    compare("import click", [sys.executable, "-c", "import click"], help_beside, runs)
    with tempfile.TemporaryDirectory() as folder:
        signal, result = f"{folder}/a.h5", f"{folder}/a.spikes.h5"
        made = "simulate --filter gaussian:sd=0.02 --samples 1000 --range 0 1 --spikes 10 --min-separation 0.05 --snr 20 --seed 0"
        subprocess.run([program, *made.split(), "-o", signal], check=True, stderr=subprocess.DEVNULL)
        recover = [program, "recover", signal, "-o", result, "--force"]
        beside = {"recover --no-plot": ([*recover, "--no-plot"], 1.4), "recover": (recover, 2.5)}
        compare("imports and one kernel", [sys.executable, "-c", FLOOR], beside, runs)
    if options.quick:
        return
    print()
    head(
        "The very first result waits for the kernels to be compiled, once.",
        *("command", "wall time (s)", "CPU time (s)", "asked of the wall"),
    )
    wall, work = first(program)
    row("recover data/gaussian.h5, nothing cached", f"{wall:.1f}", f"{work:.1f}", at_most(ASKED_COLD, wall, " s"))


if __name__ == "__main__":
    main()
