"""All benchmarks one after the other: `python -m benchmarks [--quick]`."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

TABLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # title, module, its options when quick
    ("Speed and memory against one filtering pass", "speed", ("--quick",)),
    ("The default method against its own parts", "parts", ("--quick",)),
    ("Dense, hard cases", "dense", ("--seeds", "3")),
    ("A channel of many", "channels", ("--channels", "30")),
    ("Many channels, the whole program", "batches", ("--channels", "500", "--jobs", "1")),
    ("A Lasso on a grid, judged by the same gap", "peers", ("--quick",)),
    ("Start-up of whole processes", "startup", ("--quick",)),
    ("An iteration of the paper's flows", "flows", ()),
    ("Noise, drift and the verdict", "trust", ("--quick",)),
    ("Interpolated records", "trust_interpolated", ("--records", "3")),
    ("Random problems, each audited", "random_problems", ("--problems", "30")),
)


def main() -> None:
    """Run them."""
    quick, begun = "--quick" in sys.argv[1:], perf_counter()
    for title, module, options in TABLES:
        print(f"\n## {title}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *(options if quick else ())], check=True)
    print(f"\nAll of this took {perf_counter() - begun:.0f} s.")


if __name__ == "__main__":
    main()
