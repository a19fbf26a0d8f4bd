"""Compiled code only: the loops over samples, spikes and cells. No validation, no units, no files.

Each kernel file is self-contained: numba's cache of a caller does not notice a change of a callee in another file.
An array is copied element by element: for ``a[:] = b`` numba would compile its message about shapes too, seconds of a first run.
Positions are in samples; `residual`, `root` and baseline columns live on the padded record of `problem.Problem`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import event

Function = TypeVar("Function", bound=Callable[..., object])

FAST = {"reassoc", "contract", "nsz", "arcp"}  # reorders sums for SIMD, keeps NaN and infinity meaningful


def compiled(function: Function) -> Function:
    """Compile without the interpreter lock, cached on disk where a place for the cache is writable."""
    return _jit(function, forceinline=False)


def inlined(function: Function) -> Function:
    """The same for a function that kernels call: it becomes a part of each caller.

    A call would be linked to whichever compiled copy of the function the process has loaded first, its own or that inside
    another kernel, and copies round differently: the last digits would depend on what had been compiled or called before.
    """
    return _jit(function, forceinline=True)


def _jit(function: Function, *, forceinline: bool) -> Function:
    options: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}
    options |= {"forceinline": forceinline, "no_cfunc_wrapper": True}
    try:
        return cast(Function, numba.njit(function, cache=True, **options))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(function, **options))


class _FirstCompilation(event.Listener):
    def __init__(self, notify: Callable[[], None]) -> None:
        self.pending: list[Callable[[], None]] = [notify]

    def on_start(self, event: object) -> None:
        if self.pending:
            self.pending.pop()()

    def on_end(self, event: object) -> None:
        """Nothing to do: only the start is announced."""


def announce_compilation(notify: Callable[[], None]) -> None:
    """Call ``notify`` once, before the first kernel that has to be compiled; loading from the cache stays silent."""
    event.register(  # type: ignore[no-untyped-call]
        "numba:compile", _FirstCompilation(notify)
    )


def is_cached() -> bool:
    """Whether kernels were compiled before on this machine: the solver's is found in the cache."""
    place = _cache()
    return place is not None and any(Path(place).glob("spikes.relax-*.nbi"))


def can_be_cached() -> bool:
    """Whether there is a place where compiled kernels can be written, for other processes too."""
    return _cache() is not None


def _cache() -> str | None:
    from blasso_flow.kernels import spikes

    place: str | None = cast(Any, spikes.relax).stats.cache_path
    return place
