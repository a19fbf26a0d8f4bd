"""CPU time and memory of processes, as Linux counts them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def family(root: int) -> dict[int, float]:
    """CPU seconds so far of a process and all it started."""
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


def _status(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
