"""What all tests share: examples of hypothesis, as many workers as cores, and kernels that only one of the workers compiles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

MOST_WORKERS = 8  # each takes half a gigabyte, and the longest file takes as long as all others by then


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``--numprocesses auto`` takes the cores that this process may use."""
    from blasso_flow.batches.plan import available_cores

    return min(available_cores(), MOST_WORKERS)


def pytest_configure(config: pytest.Config) -> None:
    """Let workers side by side wait for a kernel that one of them is compiling, and load it then: numba's cache has no lock."""
    if not hasattr(config, "workerinput"):
        return
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    compiles = Dispatcher.compile

    def compiles_alone(self: Dispatcher, signature: object) -> object:
        with global_compiler_lock, alone_with(self._cache):  # in this order: threads of a worker wait for each other first
            return compiles(self, signature)

    Dispatcher.compile = compiles_alone


@contextmanager
def alone_with(cache: object) -> Iterator[None]:
    """No other process is inside with a kernel's ``cache``. Callers lock before callees: nobody waits in a circle."""
    import fcntl

    folder, kernel = getattr(cache, "_cache_path", None), getattr(cache, "_impl", None)
    if folder is None or kernel is None:  # not cached
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / f"{kernel.filename_base}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
