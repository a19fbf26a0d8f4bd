"""Kernels are compiled first; hypothesis draws the same examples every time in continuous integration, new ones elsewhere."""

from __future__ import annotations

import os
import tempfile

from command import DATA, start
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_sessionstart() -> None:
    """Compile the kernels in a process of its own: code that was compiled where it runs may round a last digit otherwise than
    the same code from the cache, and some tests compare results of several processes bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        many = f"{folder}/many.h5"
        shape = ["--filter", "gaussian:sd=4", "--samples", "3000", "--range", "0", "2999", "--spikes", "150", "--snr", "25"]
        start("simulate", *shape, "-o", many)
        for signal in (DATA / "channels.h5", DATA / "ricker.h5", many):
            start("recover", signal, "-o", f"{folder}/r.h5", "--force", "--no-plot", "--quiet", "--jobs", 1)
