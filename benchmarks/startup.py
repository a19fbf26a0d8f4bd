"""Start-up: whole processes against what any such program pays, in turn in one run.

    python -m benchmarks.startup [--runs 9]

`blasso-flow --help` beside ``python -c "import click"``; `blasso-flow recover` of 1,000 samples, without and with a figure,
beside a script that imports numpy, h5py, click and numba and calls one cached kernel.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

FLOOR = """
import numpy, h5py, click, numba
from blasso_flow.kernels.spikes import squared_norms
table = numpy.zeros((5, 1, 10, 8))
squared_norms(numpy.zeros(1), numpy.ones(20), table, numpy.array([0.0, 1.0]), 0, 0, numpy.zeros(1))
"""


def seconds(command: Sequence[str]) -> float:
    """Wall time of one process."""
    begun = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf_counter() - begun


def compare(name: str, command: Sequence[str], floor_name: str, floor: Sequence[str], runs: int) -> None:
    """One row of the table: medians of runs taken in turn."""
    seconds(command), seconds(floor)
    pairs = np.array([(seconds(command), seconds(floor)) for _ in range(runs)])
    ratio = np.median(pairs[:, 0] / pairs[:, 1])
    print(
        f"| {name} | {floor_name} | {ratio:.2f} | {1e3 * np.median(pairs[:, 0]):.0f} | {1e3 * np.median(pairs[:, 1]):.0f} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    program = str(Path(sys.executable).with_name("blasso-flow"))
    print("| command | beside | ratio | command (ms) | beside (ms) |")
    print("|---|---|---|---|---|")
    compare("--help", [program, "--help"], "import click", [sys.executable, "-c", "import click"], options.runs)
    with tempfile.TemporaryDirectory() as folder:
        signal, result = f"{folder}/a.h5", f"{folder}/a.spikes.h5"
        made = "simulate --filter gaussian:sd=0.02 --samples 1000 --range 0 1 --spikes 10 --min-separation 0.05 --snr 20 --seed 0"
        subprocess.run([program, *made.split(), "-o", signal], check=True, stderr=subprocess.DEVNULL)
        recover = [program, "recover", signal, "-o", result, "--force"]
        floor = "imports and one kernel", [sys.executable, "-c", FLOOR], options.runs
        compare("recover --no-plot", [*recover, "--no-plot"], *floor)
        compare("recover", recover, *floor)


if __name__ == "__main__":
    main()
