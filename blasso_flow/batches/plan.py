"""How many workers a run gets, and which channels make a block. Results depend on neither."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from blasso_flow.errors import UsageError

SAMPLES = 50_000  # of a block: a fraction of a second for most filters
MOST_CHANNELS = 64  # of a block
BLOCKS_A_WORKER = 4  # at least, so that workers end at about the same time
PROGRAM = 150 << 20  # bytes that a worker needs before it holds any sample
WORKSPACE = 40  # numbers held for each sample while a channel is solved
WAITING = 2  # blocks a worker: one is solved, the next one waits
SMALL = 50_000_000  # samples x taps: what is less is done sooner than a process has started

Range = tuple[int, int]


def available_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its control groups."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    return max(1, min(cores, *_quotas(), cores))


def _quotas(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Whole cores of each quota above this process, version 1 or 2."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = root / (controllers and "cpu") / path.lstrip("/")
        for place in (folder, *folder.parents):
            if not place.is_relative_to(root):
                break
            quota = _quota(place)
            if quota is not None:
                yield max(1, int(quota))


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # there is none, or it is "max"
        return None


def is_small(channels: int, samples: int, taps: int) -> bool:
    """Whether a run is so short that workers are not worth their start."""
    return channels == 1 or channels * samples * taps < SMALL


def fitting_jobs(jobs: int, samples: int, max_memory: int) -> int:
    """At most so many workers that their programs and the channels they work on fit the memory; one always."""
    return max(1, min(jobs, max_memory // (PROGRAM + WORKSPACE * 8 * samples) - 1))


def block_size(channels: int, samples: int, jobs: int, max_memory: int, together: int = 1) -> int:
    """Channels of a block: enough work for each worker, few enough for the memory, whole chunks of the file where possible."""
    held = 5 * 8 * samples * (WAITING * jobs + 2)  # values, noise and three curves of every block under way
    most = max(1, min(MOST_CHANNELS, SAMPLES // samples, channels // (BLOCKS_A_WORKER * jobs), max_memory // 4 // held))
    if together > most and together * held <= max_memory // 4 and together * jobs <= channels:
        return together
    return most - most % together if together <= most else most


def blocks_of(ranges: Sequence[Range], size: int) -> Iterator[Range]:
    """The channels of ``ranges`` in blocks of at most ``size``, which begin at multiples of it."""
    for first, stop in ranges:
        ends = [*range(first - first % size + size, stop, size), stop]
        yield from zip([first, *ends], ends, strict=False)


def checked_jobs(jobs: int | None) -> int:
    """The number of workers asked for, else the cores available. Raises `UsageError` below 1."""
    if jobs is not None and jobs < 1:
        raise UsageError("`jobs=` is out of range", received=jobs, allowed="a whole number from 1")
    return available_cores() if jobs is None else jobs
