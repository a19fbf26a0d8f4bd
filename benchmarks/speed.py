"""Speed and memory against one filtering pass of the same signal, proof included.

    python -m benchmarks.speed [--quick] [--case SAMPLES,SPIKES,WIDTH,SIGN]

A pass is ``scipy.signal.fftconvolve(y, taps, "same")``: any method must look at the data about once. Each case runs in a
process of its own, for its peak memory; the times are medians of warm runs, taken in turn with the passes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import replace
from time import perf_counter

import numpy as np
from scipy.signal import fftconvolve

from blasso_flow import filters
from blasso_flow.flow import solve
from blasso_flow.noise import StrengthRule, choose_strength
from blasso_flow.problem import Problem
from blasso_flow.simulation import simulate

CASES = ("1000,10,20,signed", "10000,100,20,signed", "100000,2000,5,signed", "1000000,20000,5,positive")
QUICK = CASES[:3]


def problem_of(samples: int, spikes: int, width: float, positive: bool) -> Problem:
    """A simulated problem at 20 dB without a baseline, its strength by the Rice rule."""
    signal = simulate(
        f"gaussian:sd={width:g}", samples=samples, spikes=spikes, snr=20, positive=positive, seed=1, end_distance=4 * width
    ).channel(0)
    assert signal.filter is not None
    table = filters.build(signal.filter, signal.axis)
    draft = Problem.from_signal(signal, table, strength=1.0, positive=positive, baseline="none")
    strength = choose_strength(
        StrengthRule.parse("auto"),
        filter=table,
        noise_sd=draft.noise_sd,
        weights=draft.sample_weights,
        domain=draft.domain,
        positive=positive,
    )
    return replace(draft, strength=strength.strength)


def measure(case: str) -> dict[str, float]:
    """Medians of one case, in this process."""
    samples, spikes, width, sign = case.split(",")
    solve(problem_of(1000, 10, float(width), sign == "positive"))  # loads the kernels
    problem = problem_of(int(samples), int(spikes), float(width), sign == "positive")
    taps = problem.filter.response(np.arange(-problem.filter.taps // 2, problem.filter.taps // 2 + 1.0))
    runs = 15 if problem.values.size <= 10_000 else 3
    passes, solves, gap, rounds = [], [], np.nan, 0
    for _ in range(runs):
        for _ in range(5 if problem.values.size <= 10_000 else 2):
            begun = perf_counter()
            fftconvolve(problem.values, taps, "same")
            passes.append(perf_counter() - begun)
        fresh = replace(problem)  # nothing prepared is carried over
        begun = perf_counter()
        solution = solve(fresh)
        solves.append(perf_counter() - begun)
        gap, rounds = solution.gap, solution.rounds
    return {
        "pass": float(np.median(passes)),
        "solve": float(np.median(solves)),
        "gap": gap,
        "rounds": rounds,
        "found": solution.position.size,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", action="append", help="SAMPLES,SPIKES,WIDTH,signed|positive")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.case[0])))
        return
    print("| samples | spikes | width | sign | found | rounds | proven gap | passes | time (ms) | pass (ms) | peak memory (MB) |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for case in options.case or (QUICK if options.quick else CASES):
        command = [sys.executable, "-m", "benchmarks.speed", "--child", "--case", case]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        samples, spikes, width, sign = case.split(",")
        print(
            f"| {int(samples):,} | {int(spikes):,} | {width} | {sign} | {row['found']} | {row['rounds']} | {row['gap']:.1e} "
            f"| {row['solve'] / row['pass']:.0f} | {1e3 * row['solve']:.4g} | {1e3 * row['pass']:.3g} | {row['memory']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
