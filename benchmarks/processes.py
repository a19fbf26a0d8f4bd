"""CPU time and memory of processes, as Linux counts them, and work beside one's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def family(root: int) -> dict[int, float]:
    """CPU seconds so far of a process and all that it started, by process number."""
    parents, seconds = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(fields[1])
        seconds[int(entry.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found, size = {root}, 0
    while len(found) > size:
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return {member: seconds[member] for member in found if member in seconds}


def memory(members: Iterable[int]) -> float:
    """MB of some processes, pages that they share counted once."""
    total = 0
    for member in members:
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total / 1024


def resident() -> float:
    """MB that this process holds now."""
    return _status("VmRSS")


def peak_of(function: Callable[[], T]) -> tuple[float, T]:
    """Most MB that this process held during the call, and what it returned."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    result = function()
    return _status("VmHWM"), result


class Neighbour:
    """Another process that does the same work at the same time: what two get done shows what a second core is worth.

    ``command`` starts it; its work is to call `on_demand`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.beside(lambda: 0.0)  # it has loaded everything by then

    def __enter__(self) -> Neighbour:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def beside(self, function: Callable[[], float]) -> tuple[float, float]:
        """The seconds that a call says it took, and those of the other process, side by side."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return function(), float(self._process.stdout.readline())


def on_demand(function: Callable[[], float]) -> None:
    """What a neighbour does: for every line of its input a call, whose seconds it prints."""
    for _ in sys.stdin:
        print(function(), flush=True)


def _status(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
