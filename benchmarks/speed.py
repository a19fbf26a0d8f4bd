"""Speed and memory against one filtering pass of the same signal, proof included.

    python -m benchmarks.speed [--quick] [--case SAMPLES,SPIKES,WIDTH,SIGN] [--growth]

Gaussians of WIDTH samples; width "1500 decay" is a decay of 1,500 samples behind a rise 30 times shorter. A pass is
``scipy.signal.fftconvolve(y, taps, "same")``. Each case runs in a process of its own, for its peak memory; passes and times
are medians of warm runs, taken in turn: CPU time on one thread, and the wall time of one thread over that of two, where it
matters beside what a second core is worth: how much more two processes get done that both solve the case. Memory a sample
counts what the process took for the problem and one solve, in doubles of 8 bytes; small cases say nothing about it. Growth is
the time of one case over that of a smaller one on one thread, medians of runs taken in turn in one process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from benchmarks import processes
from benchmarks.problems import pass_seconds, problem_of, timed
from benchmarks.tables import at_least, at_most, head, row
from blasso_flow import threads
from blasso_flow.flow import Solution, solve
from blasso_flow.problem.problem import Problem

QUICK = ("1000,10,20,signed", "10000,100,20,signed", "100000,2000,5,signed", "200000,200,100,signed")
CASES = (
    *QUICK,
    "17000,85,1500 decay,positive",
    "1000000,20000,5,positive",
    "2000000,2000,100,signed",
    "10000000,200000,5,positive",
)
GROWTH = ("1000000,20000,5,positive", "10000000,200000,5,positive")
SHORT, RUNS_OF_SHORT, RUNS = 10_000, 9, 3  # samples; how often those up to this length, and longer ones, are run
RUNS_OF_GROWTH = 7
WARM_SPIKES = 100
LONG = 100_000  # samples: shorter cases say nothing about memory

ASKED: dict[str, dict[str, float]] = {  # of what `Figures` holds
    "1000,10,20,signed": {"passes": 20},
    "10000,100,20,signed": {"passes": 60},
    "1000000,20000,5,positive": {"passes": 45, "faster": 1.6},
    "2000000,2000,100,signed": {"passes": 40, "doubles": 12},
    "10000000,200000,5,positive": {"memory": 3000},
}
ASKED_GROWTH = 11
WORDS = {"passes": "passes", "faster": "times faster", "doubles": "doubles", "memory": "MB"}


@dataclass(frozen=True)
class Figures:
    """What is measured of one case: times in seconds, ``memory`` in MB, ``doubles`` a sample; ``same``: on two threads too.

    ``most`` is what two processes beside each other gain, NaN where that was not measured.
    """

    one_pass: float
    solve: float
    faster: float
    most: float
    same: bool
    gap: float
    rounds: int
    found: int
    memory: float
    doubles: float

    @property
    def passes(self) -> float:
        """The time of a solve in filtering passes."""
        return self.solve / self.one_pass


def shape(case: str) -> tuple[float, bool, bool]:
    """Width, whether the spikes are above zero, whether the filter is a decay."""
    _, _, width, sign = case.split(",")
    number, *kind = width.split()
    return float(number), sign == "positive", kind == ["decay"]


def prepared(case: str) -> Problem:
    """The problem of a case."""
    samples, spikes, *_ = case.split(",")
    width, positive, decaying = shape(case)
    return problem_of(int(samples), int(spikes), width, positive, decaying=decaying)


def warm_up(case: str) -> None:
    """Load the kernels of a case, by a smaller one of its shape with spikes for two windows."""
    width, positive, decaying = shape(case)
    samples, spikes = (3000, 10) if decaying else (int(WARM_SPIKES * 10 * width), WARM_SPIKES)
    solve(problem_of(samples, spikes, width, positive, decaying=decaying))


def solved(problem: Problem, count: int = 1) -> Solution:
    """The solution on so many threads; nothing prepared is carried over from one run to the next."""
    with threads.using(count):
        return solve(replace(problem))


def same(one: Solution, other: Solution) -> bool:
    """Whether spikes, objective and gap are equal to the last bit."""
    numbers = one.objective == other.objective and one.gap == other.gap
    return numbers and np.array_equal(one.position, other.position) and np.array_equal(one.weight, other.weight)


def growth() -> float:
    """Time of the second case of GROWTH over that of the first, in this process."""
    warm_up(GROWTH[0])
    problems = [prepared(case) for case in GROWTH]
    seconds = np.array(
        [[timed(partial(solved, problem), problem.values.size).cpu for problem in problems] for _ in range(RUNS_OF_GROWTH)]
    )
    small, large = np.median(seconds, axis=0)
    return float(large / small)


def measure(case: str) -> Figures:
    """One case, in this process."""
    warm_up(case)
    before = processes.resident()
    problem = prepared(case)
    peak, solution = processes.peak_of(partial(solved, problem))
    size = problem.values.size
    passes, alone, both, beside = [], [], [], []
    judged = "faster" in ASKED.get(case, {})
    with processes.Neighbour(neighbour_of(case)) if judged else nullcontext() as neighbour:
        for _ in range(RUNS_OF_SHORT if size <= SHORT or judged else RUNS):
            passes.append(pass_seconds(problem.values, problem.filter))
            alone.append(timed(partial(solved, problem), size))
            both.append(timed(partial(solved, problem, 2), size))
            if neighbour is not None:
                beside.append(neighbour.beside(partial(wall_seconds, problem)))
    wall = float(np.median([run.wall for run in alone]))
    return Figures(
        one_pass=float(np.median(passes)),
        solve=float(np.median([run.cpu for run in alone])),
        faster=wall / float(np.median([run.wall for run in both])),
        most=float(wall * np.sum(1 / np.median(beside, axis=0))) if beside else np.nan,
        same=all(same(solution, run.result) for run in (*alone, *both)),
        gap=solution.gap,
        rounds=solution.rounds,
        found=solution.position.size,
        memory=peak,
        doubles=(peak - before) * 2**20 / 8 / size,
    )


def wall_seconds(problem: Problem) -> float:
    """Wall time of one solve on one thread."""
    return timed(partial(solved, problem), problem.values.size).wall


def neighbour_of(case: str) -> list[str]:
    """The command of a process that solves the case whenever it is asked to."""
    return [sys.executable, "-m", "benchmarks.speed", "--neighbour", "--case", case]


def verdicts(case: str, figures: Figures) -> str:
    """What was asked of a case, and whether it holds."""
    judges = {"faster": at_least}
    asked = ASKED.get(case, {}).items()
    return "; ".join(judges.get(name, at_most)(limit, getattr(figures, name), f" {WORDS[name]}") for name, limit in asked)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", action="append", help="SAMPLES,SPIKES,WIDTH,signed|positive")
    parser.add_argument("--growth", action="store_true", help="only how the time grows from one million samples to ten")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--neighbour", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.growth:
        samples, factor = " to ".join(f"{int(case.split(',')[0]):,}" for case in GROWTH), growth()
        print(f"Growth from {samples} samples: {factor:.1f} times the time, on one thread ({at_most(ASKED_GROWTH, factor)}).")
        return
    if options.neighbour:
        processes.on_demand(partial(wall_seconds, prepared(options.case[0])))
        return
    if options.child:
        print(json.dumps(asdict(measure(options.case[0]))))
        return
    head(
        "The time of a solve in filtering passes of the same signal, its proof included, grows with the samples and little "
        "else; two threads find the same spikes, objective and gap, to the last bit.",
        *(
            "samples",
            "spikes",
            "width",
            "sign",
            "found",
            "rounds",
            "proven gap",
            "passes",
            "two threads faster by",
            "two processes",
            "same on two",
        ),
        *("time (ms)", "pass (ms)", "peak memory (MB)", "doubles a sample", "asked"),
    )
    for case in options.case or (QUICK if options.quick else CASES):
        command = [sys.executable, "-m", "benchmarks.speed", "--child", "--case", case]
        figures = Figures(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        samples, spikes, width, sign = case.split(",")
        row(
            *(f"{int(samples):,}", f"{int(spikes):,}", width, sign, f"{figures.found:,}", figures.rounds, f"{figures.gap:.1e}"),
            *(f"{figures.passes:.3g}", f"{figures.faster:.2f}", f"{figures.most:.2f}" if np.isfinite(figures.most) else ""),
            "yes" if figures.same else "NO",
            *(f"{1e3 * figures.solve:.4g}", f"{1e3 * figures.one_pass:.3g}", f"{figures.memory:.0f}"),
            f"{figures.doubles:.1f}" if int(samples) >= LONG else "",
            verdicts(case, figures),
        )
    if not (options.case or options.quick):
        print(flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.speed", "--growth"], check=True)


if __name__ == "__main__":
    main()
