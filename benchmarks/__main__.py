"""All benchmarks one after the other: `python -m benchmarks [--quick]`."""

from __future__ import annotations

import subprocess
import sys

quick = "--quick" in sys.argv[1:]
for title, command in (
    ("Speed and memory against one filtering pass", ["benchmarks.speed", *(["--quick"] if quick else [])]),
    ("A Lasso on a grid, judged by the same gap", ["benchmarks.peers", *(["--quick"] if quick else [])]),
    ("Start-up of whole processes", ["benchmarks.startup", *(["--runs", "5"] if quick else [])]),
    ("An iteration of the paper's flows", ["benchmarks.flows"]),
    ("Random problems, each audited", ["benchmarks.random_problems", "--problems", "100" if quick else "1000"]),
):
    print(f"\n## {title}\n", flush=True)
    subprocess.run([sys.executable, "-m", *command], check=True)
