"""Kernels are compiled first; hypothesis draws the same examples every time in continuous integration, new ones elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from command import DATA, ROOT
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_sessionstart() -> None:
    """Compile the kernels in a process of its own: code that was compiled where it runs may round a last digit otherwise than
    the same code from the cache, and some tests compare results of several processes bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["recover", str(DATA / "channels.h5"), "-o", f"{folder}/r.h5", "--no-plot", "--quiet", "--jobs", "1"]
        subprocess.run([sys.executable, "-m", "blasso_flow", *arguments], cwd=ROOT, check=True)
        arguments[1] = str(DATA / "gaussian.h5")
        subprocess.run([sys.executable, "-m", "blasso_flow", *arguments, "--force"], cwd=ROOT, check=True)
