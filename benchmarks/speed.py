"""Speed and memory against one filtering pass of the same signal, proof included.

    python -m benchmarks.speed [--quick] [--case SAMPLES,SPIKES,WIDTH,SIGN] [--growth]

Gaussians of WIDTH samples; width "1500 decay" is a decay of 1,500 samples behind a rise 30 times shorter. A pass is
``scipy.signal.fftconvolve(y, taps, "same")``: any method must look at the data about once. Each case runs in a process of
its own, for its peak memory; the times are medians of warm runs on one thread, and on two, taken in turn with the passes.
Growth is the time of one case over that of a smaller one on one thread, medians of runs taken in turn in one process.
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

from blasso_flow import filters, threads
from blasso_flow.flow import Solution, solve
from blasso_flow.noise import StrengthRule, choose_strength
from blasso_flow.problem import Problem
from blasso_flow.simulation import simulate

QUICK = (
    "1000,10,20,signed",
    "10000,100,20,signed",
    "100000,2000,5,signed",
    "200000,200,100,signed",
    "17000,85,1500 decay,positive",
)
CASES = (*QUICK, "1000000,20000,5,positive", "2000000,2000,100,signed", "10000000,200000,5,positive")
GROWTH = ("1000000,20000,5,positive", "10000000,200000,5,positive")
MOST_RUNS = 10_000  # samples: shorter cases run more often
RUNS = 3  # of the others


def problem_of(samples: int, spikes: int, width: float, positive: bool, decaying: bool = False) -> Problem:
    """A simulated problem at 20 dB without a baseline, its strength by the Rice rule."""
    spec = f"decay:rise={width / 30:g},decay={width:g}" if decaying else f"gaussian:sd={width:g}"
    distance = 0.0 if decaying else 4 * width
    signal = simulate(spec, samples=samples, spikes=spikes, snr=20, positive=positive, seed=1, end_distance=distance).channel(0)
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


def prepared(case: str) -> Problem:
    """The problem of a case, its kernels loaded."""
    samples, spikes, width, sign = case.split(",")
    number, *kind = width.split()
    shape = float(number), sign == "positive", kind == ["decay"]
    solve(problem_of(3000, 10, *shape))
    return problem_of(int(samples), int(spikes), *shape)


def solved(problem: Problem, count: int) -> tuple[float, Solution]:
    """Seconds on so many threads, and the solution; nothing prepared is carried over from one run to the next."""
    fresh = replace(problem)
    begun = perf_counter()
    with threads.using(count):
        solution = solve(fresh)
    return perf_counter() - begun, solution


def growth() -> float:
    """Time of the second case of GROWTH over that of the first, in this process."""
    problems = [prepared(case) for case in GROWTH]
    seconds = np.array([[solved(problem, 1)[0] for problem in problems] for _ in range(RUNS)])
    small, large = np.median(seconds, axis=0)
    return float(large / small)


def measure(case: str) -> dict[str, float]:
    """Medians of one case, in this process."""
    problem = prepared(case)
    taps = problem.filter.response(np.arange(-problem.filter.taps // 2, problem.filter.taps // 2 + 1.0))
    size = problem.values.size
    runs = 15 if size <= MOST_RUNS else RUNS
    passes: list[float] = []
    solves: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(runs):
        for _ in range(5 if size <= MOST_RUNS else 2):
            begun = perf_counter()
            fftconvolve(problem.values, taps, "same")
            passes.append(perf_counter() - begun)
        for count, seconds in solves.items():
            elapsed, solution = solved(problem, count)
            seconds.append(elapsed)
    return {
        "pass": float(np.median(passes)),
        "solve": float(np.median(solves[1])),
        "faster": float(np.median(solves[1]) / np.median(solves[2])),
        "gap": solution.gap,
        "rounds": solution.rounds,
        "found": solution.position.size,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", action="append", help="SAMPLES,SPIKES,WIDTH,signed|positive")
    parser.add_argument("--growth", action="store_true", help="only how the time grows from one million samples to ten")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.growth:
        samples = " to ".join(f"{int(case.split(',')[0]):,}" for case in GROWTH)
        print(f"Growth from {samples} samples: {growth():.1f} times the time, on one thread.")
        return
    if options.child:
        print(json.dumps(measure(options.case[0])))
        return
    head = (
        "samples | spikes | width | sign | found | rounds | proven gap | passes | two threads faster by | time (ms) | pass (ms)"
    )
    print(f"| {head} | peak memory (MB) |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for case in options.case or (QUICK if options.quick else CASES):
        command = [sys.executable, "-m", "benchmarks.speed", "--child", "--case", case]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        samples, spikes, width, sign = case.split(",")
        print(
            f"| {int(samples):,} | {int(spikes):,} | {width} | {sign} | {row['found']} | {row['rounds']} | {row['gap']:.1e} "
            f"| {row['solve'] / row['pass']:.0f} | {row['faster']:.2f} | {1e3 * row['solve']:.4g} | {1e3 * row['pass']:.3g} "
            f"| {row['memory']:.0f} |",
            flush=True,
        )
    if not (options.case or options.quick):
        print(flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.speed", "--growth"], check=True)


if __name__ == "__main__":
    main()
