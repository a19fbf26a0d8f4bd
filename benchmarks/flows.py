"""Cost of one iteration of the paper's flows, in filtering passes of the same signal.

python -m benchmarks.flows

A pass is ``scipy.signal.fftconvolve(y, taps, "same")`` on 1,000 samples, Gaussian of width 20, taken in turn with the
iterations of 100 particles; medians of CPU time.
"""

from __future__ import annotations

from time import process_time

import numpy as np
from scipy.signal import fftconvolve

from benchmarks.speed import problem_of
from blasso_flow.flow.conic import Conic
from blasso_flow.flow.descent import Descent
from blasso_flow.flow.euclidean import Euclidean

PARTICLES = 100
ITERATIONS = 300
PASSES = 200
RUNS = 15


def main() -> None:
    """Print the table."""
    problem = problem_of(1000, 10, 20.0, False)
    taps = problem.filter.response(np.arange(-problem.filter.taps // 2, problem.filter.taps // 2 + 1.0))
    methods = {"euclidean": Descent(Euclidean(), PARTICLES), "conic (100 of each sign)": Descent(Conic(), PARTICLES)}
    clouds = {name: method.start(problem) for name, method in methods.items()}
    passes: list[float] = []
    iterations: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(RUNS):
        begun = process_time()
        for _ in range(PASSES):
            fftconvolve(problem.values, taps, "same")
        passes.append((process_time() - begun) / PASSES)
        for name, method in methods.items():
            begun = process_time()
            method.iterated(problem, clouds[name], ITERATIONS)
            iterations[name].append((process_time() - begun) / ITERATIONS)
    print("| flow | iteration (us) | pass (us) | passes |")
    print("|---|---|---|---|")
    for name, times in iterations.items():
        one, single = float(np.median(times)), float(np.median(passes))
        print(f"| {name} | {1e6 * one:.0f} | {1e6 * single:.0f} | {one / single:.1f} |")


if __name__ == "__main__":
    main()
