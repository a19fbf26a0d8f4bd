"""Many channels: rate on 1 and 2 jobs, and memory of all processes together.

    python -m benchmarks.batches [--channels 10000] [--jobs 1 2] [--kills N]

Channels have 1,000 samples and 10 spikes. ``rate`` is channels a second of wall time; on a machine that does something else
meanwhile, CPU seconds say more: two jobs gain ``work`` / (``alone`` + (``work`` - ``alone``) / 2) where the second core is worth
as much as the first, ``alone`` being the first process's, which reads, writes and, with one job, solves too. ``--kills`` ends
that many runs with SIGKILL at random moments, resumes them and compares every dataset with an uninterrupted run's.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

import h5py
import numpy as np

from benchmarks import channels, processes
from benchmarks.tables import at_least, at_most, head, row
from blasso_flow import write_signal

DIFFERENT = 500
MANY = 10_000  # channels: with fewer, the start of the program counts
ASKED_OF_TWO = 1.8  # times the rate of one job


def recording(folder: Path, number: int) -> Path:
    """A file of so many channels, written row by row: ``DIFFERENT`` of them again and again, with fresh noise."""
    path = folder / f"{number}.h5"
    made = channels.recording(min(number, DIFFERENT))
    write_signal(made, path)
    generator = np.random.default_rng(1)
    with h5py.File(path, "r+") as file:
        noise = float(np.mean(file["signal/noise_sd"][()]))
        del file["signal/y"], file["signal/channel"], file["truth"], file["signal/noise_sd"]
        y = file.create_dataset("signal/y", (number, channels.SAMPLES), np.float64, chunks=(64, channels.SAMPLES))
        for first in range(0, number, DIFFERENT):
            rows = made.values[: min(DIFFERENT, number - first)]
            y[first : first + len(rows)] = rows + noise * generator.normal(size=rows.shape) * (first > 0)
    return path


def command(path: Path, target: Path, jobs: int) -> list[str]:
    """The command line of one run."""
    run = [sys.executable, "-m", "blasso_flow", "recover", str(path), "-o", str(target)]
    return [*run, "--jobs", str(jobs), "-q", "--no-plot"]


def timed(path: Path, target: Path, jobs: int) -> tuple[float, float, float, float]:
    """Wall seconds, CPU seconds of all processes, of the first one alone, and peak MB of one run."""
    begun, peak, work = perf_counter(), 0.0, dict[int, float]()
    with subprocess.Popen([*command(path, target, jobs), "--force"]) as process:
        while process.poll() is None:
            sleep(0.25)
            seen = processes.family(process.pid)
            work |= {member: max(seconds, work.get(member, 0.0)) for member, seconds in seen.items()}
            peak = max(peak, processes.memory(seen))
    assert process.returncode in {0, 3}, process.returncode
    return perf_counter() - begun, sum(work.values()), work[process.pid], peak


def same_data(one: Path, other: Path) -> bool:
    """Whether all datasets are equal, /timing and /provenance aside."""

    def data(path: Path) -> dict[str, bytes]:
        found: dict[str, bytes] = {}

        def visit(name: str, node: object) -> None:
            if isinstance(node, h5py.Dataset) and not name.startswith(("timing", "provenance")):
                values = np.asarray(node[()])
                found[name] = b"\0".join(values.ravel()) if values.dtype == object else values.tobytes()

        with h5py.File(path) as file:
            file.visititems(visit)
        return found

    return data(one) == data(other)


def killed(folder: Path, kills: int) -> int:
    """How many of so many killed and resumed runs ended with the data of an uninterrupted one."""
    path, whole = recording(folder, 200), folder / "whole.h5"
    seconds = timed(path, whole, 2)[0]
    moments = random.Random(0)
    equal = 0
    for number in range(kills):
        target = folder / "killed.h5"
        run = command(path, target, 2)
        with subprocess.Popen(run) as process:
            sleep(moments.uniform(0.3, 1.0) * seconds)
            process.send_signal(signal.SIGKILL)
        code = subprocess.run([*run, "--resume"], check=False).returncode
        equal += code == 0 and same_data(whole, target) and not Path(f"{target}.partial").exists()
        target.unlink()
        print(f"run {number + 1}: {equal} equal", file=sys.stderr)
    return equal


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[10_000])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.kills:
            print(f"{killed(folder, options.kills)} of {options.kills} killed runs ended with the same data")
            return
        head(
            "The whole program: a channel's work is that of the table above and little more, once so many that the start "
            "of the program is nothing; twice the jobs do not take more work, and memory does not grow with the channels.",
            *(
                "channels",
                "jobs",
                "seconds",
                "rate (1/s)",
                "work (s)",
                "alone (s)",
                "peak memory (MB)",
                "a channel (passes)",
                "asked",
            ),
        )
        made = channels.recording(1)
        for number in options.channels:
            path = recording(folder, number)
            runs: dict[int, tuple[float, float, float]] = {}
            for jobs in options.jobs:
                before = channels.one_pass(made)
                seconds, work, alone, peak = timed(path, folder / "r.h5", jobs)
                runs[jobs] = seconds, work, alone
                passes = work / number / (0.5 * (before + channels.one_pass(made)))
                row(
                    *(f"{number:,}", jobs, f"{seconds:.1f}", f"{number / seconds:.0f}", f"{work:.1f}", f"{alone:.1f}"),
                    *(f"{peak:.0f}", f"{passes:.3g}", at_most(channels.ASKED, passes) if number >= MANY and jobs == 1 else ""),
                )
            if number >= MANY and {1, 2} <= runs.keys():
                seconds, work, alone = runs[2]
                gain, shared = runs[1][0] / seconds, work / (alone + (work - alone) / 2)
                print(f"\n{number:,} channels on two jobs: {gain:.2f} times the rate of one", end=" ")
                print(f"({at_least(ASKED_OF_TWO, gain, ' times')}); {shared:.2f} times by how the work is shared.")
            os.unlink(path)


if __name__ == "__main__":
    main()
