"""One channel of many in filtering passes: noise, solve, refit and report, in this process, on one core.

    python -m benchmarks.channels [--channels 100]

Channels of 1,000 samples with 10 spikes above zero, Gaussians of width 20 at 20 dB, their noise not known; default settings.
CPU time, medians of runs over all channels, in turn with the passes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.problems import pass_seconds, timed
from benchmarks.stopwatch import Stopwatch
from benchmarks.tables import at_most, head, row
from blasso_flow.data.signals import Signal
from blasso_flow.recovery import routes
from blasso_flow.recovery.channel import recover_channel, tabulated
from blasso_flow.recovery.settings import Settings
from blasso_flow.truth.simulation import simulate

SAMPLES, SPIKES, WIDTH = 1000, 10, 20
RUNS = 7
ASKED = 25  # passes a channel, the whole program's
STAGES = {"noise": "channel_noise", "solve": "solve", "refit": "refit"}


def recording(channels: int) -> Signal:
    """So many channels, values (channels, SAMPLES)."""
    return simulate(f"gaussian:sd={WIDTH}", samples=SAMPLES, spikes=SPIKES, snr=20, channels=channels, seed=0)


def one_pass(made: Signal) -> float:
    """CPU seconds of one filtering pass of a channel."""
    return pass_seconds(made.channel(0).values, tabulated(made, Settings()))


def measure(made: Signal) -> tuple[float, float, dict[str, float]]:
    """CPU seconds of a pass and of a channel, and the share of each stage."""
    settings = Settings()
    table = tabulated(made, settings)
    channels: Sequence[Signal] = [replace(channel, noise_sd=None) for channel in made]

    def run() -> None:
        for number, channel in enumerate(channels):
            recover_channel(channel, number, table, settings)

    run()
    passes, whole, watch = [], [], Stopwatch()
    for _ in range(RUNS):
        passes.append(one_pass(made))
        whole.append(timed(run, made.values.size).cpu / len(channels))
        with watch.on((routes, name, stage) for stage, name in STAGES.items()):
            run()
    shares = {stage: watch.seconds[stage] / (sum(whole) * len(channels)) for stage in STAGES}
    return float(np.median(passes)), float(np.median(whole)), shares | {"problem, report": 1 - sum(shares.values())}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=100)
    options = parser.parse_args()
    single, whole, shares = measure(recording(options.channels))
    head(
        "What a channel costs in filtering passes, stage by stage; reading and writing files comes on top in the next table.",
        *("channels", "samples", "spikes", *(f"{stage} (passes)" for stage in shares), "a channel (passes)"),
        *("a channel (ms)", "pass (ms)", "asked"),
    )
    row(
        *(options.channels, f"{SAMPLES:,}", SPIKES, *(f"{share * whole / single:.3g}" for share in shares.values())),
        *(f"{whole / single:.3g}", f"{1e3 * whole:.3g}", f"{1e3 * single:.3g}", at_most(ASKED, whole / single)),
    )


if __name__ == "__main__":
    main()
