"""The default method against its own parts: shares of the CPU time of a solve, proof included, on one thread.

    python -m benchmarks.parts [--quick]

Kernels are timed where Python calls them, the passing of their arguments included; "Python" is all else, numpy included.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from dataclasses import replace

import numpy as np
from numba.core.dispatcher import Dispatcher

from benchmarks.problems import pass_seconds, problem_of, timed
from benchmarks.stopwatch import Place, Stopwatch
from benchmarks.tables import head, row
from blasso_flow import kernels
from blasso_flow.flow import solve
from blasso_flow.problem.problem import Problem
from blasso_flow.proof import certificate

CASES = ((1000, 10, 20.0, False), (10_000, 100, 20.0, False), (1_000_000, 20_000, 5.0, True))
SAMPLES = 50_000  # of all runs of a case together; at least two runs
PARTS = {
    "certificate": ("find_changes", "filter_nodes"),
    "bound": ("screen",),
    "peaks": ("search",),
    "windows": ("sweep", "relax"),
    "births and KKT": ("correlate", "kkt", "beside", "squared_norms"),
    "residual and objective": ("fill_residual", "add_responses", "refit_baseline", "sums", "weigh"),
    "other kernels": (),
}


def places() -> list[Place]:
    """Every kernel that Python may call, and the certificate by FFT."""
    part_of = {name: part for part, names in PARTS.items() for name in names}
    found: list[Place] = [(certificate, "_correlate", "certificate")]
    for file in pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}."):
        module = importlib.import_module(file.name)
        names = [name for name, member in vars(module).items() if isinstance(member, Dispatcher) and not name.startswith("_")]
        found += [(module, name, part_of.get(name, "other kernels")) for name in names]
    return found


def measure(problem: Problem) -> tuple[float, dict[str, float]]:
    """A solve in filtering passes, the median of runs taken in turn, and the share of each part."""
    size = problem.values.size

    def run() -> None:
        solve(replace(problem))  # nothing prepared is carried over from one run to the next

    run()
    passes, solves, watch = [], [], Stopwatch()
    runs = max(2, SAMPLES // size)
    for _ in range(runs):
        passes.append(pass_seconds(problem.values, problem.filter))
        solves.append(timed(run, size).cpu)
        with watch.on(places()):
            run()
    shares = {part: watch.seconds[part] / sum(solves) for part in PARTS}  # keeping the time takes some: not of what is kept
    return float(np.median(solves) / np.median(passes)), shares | {"Python": 1 - sum(shares.values())}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without a million samples")
    options = parser.parse_args()
    head(
        "Where a solve's time goes: the filtering of the certificate, its bound between nodes, the search of cells that the "
        "bound leaves open with the peaks in them, the Newton windows, what is born and how stationary spikes are, residual and "
        "objective. What is left is Python's, and should be little.",
        "samples",
        "spikes",
        "width",
        "passes",
        *PARTS,
        "Python",
    )
    for samples, number, width, positive in CASES[: 2 if options.quick else None]:
        passes, shares = measure(problem_of(samples, number, width, positive))
        row(f"{samples:,}", f"{number:,}", f"{width:g}", f"{passes:.3g}", *(f"{share:.0%}" for share in shares.values()))


if __name__ == "__main__":
    main()
