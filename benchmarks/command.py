"""Runs the program as a user does, and reads what it wrote."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from blasso_flow.data.results import Recovery
from blasso_flow.files import find_signal, read_result

ROOT = Path(__file__).parents[1]


def recovered(signal: Path, *options: str, confirmed: bool = True) -> Recovery:
    """What ``blasso-flow recover SIGNAL --save-fit`` with these options wrote, its signal included.

    ``confirmed``: `blasso-flow certify` has to agree, or this fails.
    """
    with TemporaryDirectory() as folder:
        result = f"{folder}/result.h5"
        _run("recover", str(signal), "-o", result, "--save-fit", "--no-plot", "--quiet", "--accept-unconverged", *options)
        if confirmed:
            _run("certify", result)
        stored = read_result(result)
        with find_signal(stored) as file:
            return replace(stored.recovery, signal=file.read())


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "blasso_flow", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
