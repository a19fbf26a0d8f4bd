"""The method on real recordings, and on synthetic ones for its statistics, each figure beside the peers'.

    python benchmarks/recordings.py DIRECTORY [--only synthetic,calcium,photon,nist,gprmax,lidar,gamma]

DIRECTORY holds the recordings: calcium.h5, photon.h5, nist_gauss.h5, gprmax_ascan.h5, lidar.h5, gamma_becquerel.h5. A part
whose file is missing is skipped and says so. Truth is only used to score.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

Line = tuple[str, str, str]  # what, ours, the peer's
FILES = {
    "synthetic": (),
    "calcium": ("calcium.h5",),
    "photon": ("photon.h5",),
    "nist": ("nist_gauss.h5",),
    "gprmax": ("gprmax_ascan.h5",),
    "lidar": ("lidar.h5",),
    "gamma": ("gamma_becquerel.h5",),
}
PARTS = tuple(name for name in FILES if (Path(__file__).parent / f"recordings_{name}.py").exists())


def part(name: str) -> Callable[[Path], Sequence[Line]]:
    """The function ``name`` of the module benchmarks/recordings_NAME.py."""
    found: Callable[[Path], Sequence[Line]] = getattr(importlib.import_module(f"benchmarks.recordings_{name}"), name)
    return found


def main() -> None:
    """Run the parts one after the other and print each as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...", help="parts to run")
    options = parser.parse_args()
    chosen = options.only.split(",")
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; allowed: {', '.join(PARTS)}")
    for name in chosen:
        print(f"\n## {name}\n", flush=True)
        begun = perf_counter()
        missing = [file for file in FILES[name] if not (options.directory / file).exists()]
        if missing:
            print(f"skipped: {', '.join(missing)} not there", flush=True)
            continue
        lines = part(name)(options.directory)
        print("| what | blasso-flow | peer or target |")
        print("|---|---|---|")
        for what, ours, peer in lines:
            print(f"| {what} | {ours} | {peer} |")
        print(f"\n{perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
