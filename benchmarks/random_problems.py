"""A thousand random problems: the share with a proven gap, the worst gap, the CPU time, and the independent audit of each.

    python -m benchmarks.random_problems [--problems 1000] [--first 0] [--verbose]

Filters of width 2 to 60 samples (mostly Gaussian, some Ricker, Lorentzian, EMG and decay), 5 to 60 dB, both penalties, up
to one spike a width, a third with missing samples, half with a constant baseline, a third with spikes on the ends.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from time import process_time

import numpy as np

from benchmarks.tables import head, row
from blasso_flow import filters
from blasso_flow.audit.audit import audit_channel
from blasso_flow.data.signals import Signal
from blasso_flow.problem.baselines import parse
from blasso_flow.recovery.channel import recover_channel
from blasso_flow.recovery.settings import Settings
from blasso_flow.truth.simulation import simulate

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Case:
    """One random problem: signal of shape (N,), how to recover it, and a description of it."""

    signal: Signal
    settings: Settings
    snr: float
    words: str


def draw(seed: int) -> Case:
    """The problem of one seed."""
    random = np.random.default_rng([20_260, seed])
    width = float(np.exp(random.uniform(np.log(2), np.log(60))))
    spec = {
        0: f"ricker:frequency={np.sqrt(1.5 / 7 * 5) / (np.sqrt(2) * np.pi * width):.6g}",
        1: f"lorentzian:fwhm={2 * width:.6g}",
        2: f"emg:sd={width:.6g},decay={2 * width:.6g}",
        3: f"decay:rise={width:.6g},decay={4 * width:.6g}",
    }.get(int(random.integers(12)), f"gaussian:sd={width:.6g}")
    samples = int(random.integers(300, 1500)) + int(14 * width)
    spikes = int(random.integers(1, max(2, int(samples / width) + 1)))
    positive = bool(random.integers(2))
    missing = float(random.choice([0.0, 0.0, 0.1]))
    ends = str(random.choice(["on", "anywhere", "anywhere"])) if spikes >= 2 else "anywhere"
    snr = float(random.uniform(5, 60))
    baseline = str(random.choice(["none", "const"]))
    offset = float(random.normal()) if baseline == "const" else 0.0
    signal = simulate(
        spec, samples=samples, spikes=spikes, ends=ends, snr=snr, positive=positive, missing=missing, offset=offset, seed=seed
    )
    sign = "positive" if positive else "signed"
    words = f"{spec} {samples} samples {spikes} spikes {sign} {snr:.0f} dB {baseline} missing {missing:g} ends {ends}"
    settings = Settings(positive=positive, baseline=parse(baseline), tol=TOLERANCE, refit=False)
    return Case(replace(signal.channel(0), name=f"seed {seed}"), settings, snr, words)


def main() -> None:
    """Solve, audit, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="a line for every problem that falls short")
    options = parser.parse_args()
    results = []
    for seed in range(options.first, options.first + options.problems):
        case = draw(seed)
        assert case.signal.filter is not None
        table = filters.build(case.signal.filter, case.signal.axis)
        begun = process_time()
        found = recover_channel(case.signal, 0, table, case.settings)
        seconds = process_time() - begun
        verdict = audit_channel(
            case.signal, table, found.report, found.optimum.position, found.optimum.weight, case.settings.described(table)
        )
        results.append((case.snr, found.report.gap, seconds, verdict.agrees, found.report.rounds))
        if options.verbose and not (found.report.gap <= TOLERANCE and verdict.agrees):
            print(f"{seed}: {case.words}: {found.report.status} {found.report.message}; {verdict.reason}", flush=True)
    head(
        "Any problem within the limits ends with a proof, and the independent audit agrees with every one of them.",
        *("problems", "count", "proven gap <= 1e-6", "worst gap", "median time (ms)", "longest (ms)", "median rounds"),
        "audit agrees",
    )
    snr, gap, seconds_each, agrees, rounds = (np.array(column) for column in zip(*results, strict=True))
    for name, chosen in (("all", snr > 0), ("at most 40 dB", snr <= 40), ("above 40 dB", snr > 40)):
        if chosen.any():
            row(
                *(name, chosen.sum(), f"{np.mean(gap[chosen] <= TOLERANCE):.2%}", f"{gap[chosen].max():.1e}"),
                *(f"{1e3 * np.median(seconds_each[chosen]):.1f}", f"{1e3 * seconds_each[chosen].max():.0f}"),
                *(f"{np.median(rounds[chosen]):.0f}", f"{np.mean(agrees[chosen]):.2%}"),
            )


if __name__ == "__main__":
    main()
