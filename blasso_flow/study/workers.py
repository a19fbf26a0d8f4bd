"""Independent pieces of a study in processes of their own, one a core, each with single-threaded linear algebra.

Small products of matrices lose more in waiting for each other's threads than they gain, by far so on a busy machine. The
number of threads is read when a process starts, hence the new processes. Results do not depend on their number.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def spread(function: Callable[[Task], Result], tasks: Sequence[Task], on_result: Callable[[int], None]) -> list[Result]:
    """``function`` of every task, in order; ``on_result`` is called with the number of each as it arrives.

    Function, tasks and results travel between processes: they must be importable or plain data.
    """
    with _single_threads():
        pool = get_context("spawn").Pool(min(len(tasks), os.cpu_count() or 1), _leave_interrupts_to_the_parent)
    results = []
    try:
        for number, result in enumerate(pool.imap(function, tasks)):
            results.append(result)
            on_result(number)
    finally:
        pool.terminate()
        pool.join()
    return results


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _single_threads() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
