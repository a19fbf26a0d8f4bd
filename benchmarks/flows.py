"""Cost of one iteration of the paper's flows, in filtering passes of the same signal.

    python -m benchmarks.flows

100 particles on 1,000 samples, Gaussian of width 20; medians of CPU time, taken in turn with the passes.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.problems import pass_seconds, problem_of, timed
from benchmarks.tables import head, row
from blasso_flow.flow.conic import Conic
from blasso_flow.flow.descent import Descent
from blasso_flow.flow.euclidean import Euclidean

PARTICLES = 100
ITERATIONS = 300
RUNS = 15


def main() -> None:
    """Print the table."""
    problem = problem_of(1000, 10, 20.0, False)
    methods = {"euclidean": Descent(Euclidean(), PARTICLES), "conic (100 of each sign)": Descent(Conic(), PARTICLES)}
    clouds = {name: method.start(problem) for name, method in methods.items()}
    passes: list[float] = []
    iterations: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(RUNS):
        passes.append(pass_seconds(problem.values, problem.filter))
        for name, method in methods.items():
            iterated = partial(method.iterated, problem, clouds[name], ITERATIONS)
            iterations[name].append(timed(iterated, ITERATIONS * problem.values.size).cpu / ITERATIONS)
    head(
        f"An iteration of {PARTICLES} particles costs a few filtering passes.",
        *("flow", "passes", "iteration (us)", "pass (us)"),
    )
    single = float(np.median(passes))
    for name, times in iterations.items():
        one = float(np.median(times))
        row(name, f"{one / single:.1f}", f"{1e6 * one:.0f}", f"{1e6 * single:.0f}")


if __name__ == "__main__":
    main()
