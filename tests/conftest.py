"""What all tests share: examples of hypothesis, as many workers as cores, and kernels that only one of the workers compiles."""

from __future__ import annotations

import os

import pytest
from compiling import compile_alone
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

MOST_WORKERS = 8  # each takes half a gigabyte, and the longest file takes as long as all others by then
# Files with few tests that take long, or that wait for processes: last, one would be alone at the end.
FIRST = [
    "readme",
    "study",
    "batches",
    "certificate",
    "plots",
    "poisson",
    "kernel_cache",
    "hanging",
    "cluster",
    "makefile",
    "first_run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first."""
    places = {f"test_{name}": number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``--numprocesses auto`` takes the cores that this process may use."""
    from blasso_flow.batches.plan import available_cores

    return min(available_cores(), MOST_WORKERS)


def pytest_configure(config: pytest.Config) -> None:
    """Workers side by side compile no kernel twice."""
    if hasattr(config, "workerinput"):
        compile_alone()
