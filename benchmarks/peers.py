"""One problem solved here and by a Lasso on a grid (extra ``bench``: scikit-learn, celer), each judged by one proven gap.

    python -m benchmarks.peers [--quick]

A grid of four positions a width and the peers' default tolerances; CPU time. The gap is the audit's: own code, the whole domain.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy.sparse import csc_matrix

from benchmarks.problems import problem_of, timed
from benchmarks.tables import head, row
from blasso_flow.audit.bound import bound_certificate
from blasso_flow.data.signals import FloatArray
from blasso_flow.flow import solve
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.squares import Sums, dual_value

CASES = ((1000, 10, 20.0, False), (10_000, 100, 20.0, False))
PER_WIDTH = 4


def grid_matrix(problem: Problem, grid: FloatArray) -> csc_matrix:
    """Responses on the record, shape (N, grid points), sparse."""
    samples = problem.values.size
    rows, columns, values = [], [], []
    taps = problem.filter.first + np.arange(problem.filter.taps)
    for j, position in enumerate(grid):
        n = int(np.floor(position)) + taps
        n = n[(n >= 0) & (n < samples)]
        rows.append(n)
        columns.append(np.full(n.size, j))
        values.append(problem.filter.response(n - position))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csc_matrix(entries, shape=(samples, grid.size))


def proven_gap(problem: Problem, position: FloatArray, weight: FloatArray) -> float:
    """Relative gap of any measure, bounded by the audit's code."""
    particles = Particles.evaluate(problem, position, weight, np.empty(0))
    u = problem.unpadded(problem.gradient(particles.curve))
    bound = bound_certificate(problem.filter, u, problem.strength, problem.domain, problem.positive, 1e-9)
    objective = problem.objective(particles.curve, weight)
    dual = dual_value(problem, Sums.of(problem, particles), objective, bound.supremum)
    return (objective - dual) / objective


def peers(problem: Problem) -> dict[str, Callable[[], tuple[FloatArray, FloatArray]]]:
    """Solvers by name, each giving positions and weights; those whose package is missing are left out."""
    grid = np.arange(0, problem.values.size - 1, problem.filter.width / PER_WIDTH)
    alpha = problem.strength / problem.values.size
    matrix = grid_matrix(problem, grid)  # building it is not counted
    found: dict[str, Callable[[], tuple[FloatArray, FloatArray]]] = {
        "blasso-flow": lambda: ((s := solve(replace(problem))).position, s.weight)
    }

    def lasso(kind: type) -> tuple[FloatArray, FloatArray]:
        model = kind(alpha=alpha, fit_intercept=False, positive=problem.positive)
        model.fit(matrix, problem.values)
        kept = model.coef_ != 0
        return grid[kept], model.coef_[kept]

    if find_spec("sklearn"):
        from sklearn.linear_model import Lasso

        found["scikit-learn Lasso"] = lambda: lasso(Lasso)
    if find_spec("celer"):
        from celer import Lasso as CelerLasso

        found["celer Lasso"] = lambda: lasso(CelerLasso)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    head(
        "A grid's optimum is not that off the grid: a Lasso takes longer, finds spikes in pairs and proves less by orders of "
        "magnitude.",
        *("samples", "spikes", "solver", "time against ours", "time (ms)", "spikes found", "proven gap"),
    )
    for samples, spikes, width, positive in CASES[: 1 if options.quick else None]:
        problem = problem_of(samples, spikes, width, positive)
        ours = np.nan
        for name, run in peers(problem).items():
            with catch_warnings():
                simplefilter("ignore")  # a peer that stops early says so in its own words; its gap says it here
                position, weight = run()
                seconds = timed(run, samples).cpu
            ours = seconds if name == "blasso-flow" else ours
            gap = proven_gap(problem, position, weight)
            times = f"{seconds / ours:.3g}", f"{1e3 * seconds:.4g}"
            row(f"{samples:,}", f"{spikes:,}", name, *times, position.size, f"{gap:.1e}")


if __name__ == "__main__":
    main()
