"""Kernels are compiled once for all processes that run tests, most of them beforehand: `python tests/compiling.py`.

A kernel that is left over is compiled by the first worker that calls it, while others that need it wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from problems import make

# The longest first; the next one of each process calls other kernels than that of its neighbour.
SOLVED = ("decay", "gaussian", "kinked", "lowpass")
RECOVERED = ("decay:rise=2,decay=15", "gaussian:sd=4", "lowpass:order=7")
FOLLOWED = ("gaussian", "lowpass")


def compile_alone() -> None:
    """Let this process wait for a kernel that another one is compiling for the same types, and load it then.

    Numba's cache has no lock.
    """
    from numba.core.caching import FunctionCache
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    from blasso_flow.recovery.first_run import collecting_nothing

    compiles = Dispatcher.compile

    def compiles_alone(self: Dispatcher, signature: object) -> object:
        for_types = hashlib.sha256(repr(signature).encode()).hexdigest()[:16]
        # In this order: threads of a process wait for each other first.
        with global_compiler_lock, _alone_with(self._cache, for_types), collecting_nothing():
            return compiles(self, signature)

    keeps = FunctionCache.save_overload

    def keeps_alone(self: FunctionCache, signature: object, data: object) -> None:
        with _alone_with(self, "index"):  # it lists all types: whoever adds to it at the same time would be forgotten
            keeps(self, signature, data)

    Dispatcher.compile = compiles_alone
    FunctionCache.save_overload = keeps_alone


@contextmanager
def _alone_with(cache: object, what: str) -> Iterator[None]:
    """No other process is inside with ``what`` of a kernel's ``cache``. Callers lock before callees: no circle of waiting."""
    try:
        import fcntl
    except ImportError:  # not on this system: kernels are compiled more than once, which costs time only
        yield
        return
    folder, kernel = getattr(cache, "_cache_path", None), getattr(cache, "_impl", None)
    if folder is None or kernel is None:  # it is not kept
        yield
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / f"{kernel.filename_base}.{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def solved(name: str) -> None:
    """Compile the certificate and the Newton steps of a filter of `problems`."""
    from blasso_flow.flow import solve

    solve(make(name, baseline="const").problem)


def recovered(filter: str) -> None:
    """Compile what a recovery calls besides: the births, the refit and the error bars."""
    from blasso_flow import recover
    from blasso_flow.truth.simulation import simulate

    recover(simulate(filter, samples=120, spikes=3, min_separation=20, snr=20, seed=0))


def followed(name: str) -> None:
    """Compile the flows of the paper."""
    from blasso_flow.flow import Flow, solve

    solve(make(name).problem, Flow("euclidean", particles=60))


def main() -> None:
    """Compile all of it, on the cores that this process may use."""
    from blasso_flow.batches.plan import available_cores

    lists = {solved: SOLVED, recovered: RECOVERED, followed: FOLLOWED}
    with ProcessPoolExecutor(min(available_cores(), len(SOLVED)), initializer=compile_alone) as pool:
        for future in [pool.submit(task, name) for task, names in lists.items() for name in names]:
            future.result()


if __name__ == "__main__":
    main()
