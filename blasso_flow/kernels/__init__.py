"""Compiled code only: the loops over samples, spikes and cells. No validation, no units, no files.

A folder holds the kernels of one geometry, ``shared`` what they have in common; a geometry knows nothing of another.
A caller's compiled code holds that of its callees, and numba's cache does not notice when those change in another file: so
compiled kernels are kept in a folder named by the contents of their own folder of sources, of ``shared`` and of this file.
An array is copied element by element: for ``a[:] = b`` numba would compile its message about shapes too, seconds of a first run.
Positions are in samples; `residual`, `root` and baseline columns live on the padded record of `problem.Problem`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar, cast

import numba
from numba.core import event

Function = TypeVar("Function", bound=Callable[..., object])

config: Any = numba.config
FAST = {"reassoc", "contract", "nsz", "arcp"}  # reorders sums for SIMD, keeps NaN and infinity meaningful


def compiled(function: Function) -> Function:
    """Compile without the interpreter lock, cached on disk where a place for the cache is writable."""
    return _jit(function, forceinline=False, no_cpython_wrapper=False)


def inlined(function: Function) -> Function:
    """Compile a function that only kernels call: it becomes a part of each caller. Python cannot call it: that crashes.

    A call would be linked to whichever compiled copy of the function the process has loaded first, its own or that inside
    another kernel, and copies round differently: the last digits would depend on what had been compiled or called before.
    What Python needs to call it would be a tenth of the time of a first run.
    """
    return _jit(function, forceinline=True, no_cpython_wrapper=True)


def compiled_and_inlined(function: Function) -> Function:
    """Compile a function that Python calls, and that becomes a part of each kernel that calls it."""
    return _jit(function, forceinline=True, no_cpython_wrapper=False)


def _jit(function: Function, **how: bool) -> Function:
    options: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy", "no_cfunc_wrapper": True} | how
    geometry = function.__module__.removeprefix(f"{__name__}.").partition(".")[0]
    elsewhere, config.CACHE_DIR = config.CACHE_DIR, _folder(geometry)
    try:
        return cast(Function, numba.njit(function, cache=config.CACHE_DIR is not None, **options))
    except RuntimeError:  # a package without sources, as in a frozen program
        return cast(Function, numba.njit(function, **options))
    finally:
        config.CACHE_DIR = elsewhere


@cache
def _folder(geometry: str) -> str | None:
    """Where compiled kernels are kept: where NUMBA_CACHE_DIR says, else beside the package, else in the user's cache.

    ``geometry`` is the folder of their sources. None where nothing can be written.
    """
    here = Path(__file__).parent
    files = [here / "__init__.py", *(file for part in {geometry, "shared"} for file in (here / part).rglob("*.py"))]
    contents = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
    for place in filter(None, (config.CACHE_DIR, here / "__pycache__", _users_cache())):
        folder = Path(place) / f"kernels-{geometry}-{contents[:16]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return str(folder)
    return None


def _users_cache() -> Path | None:
    """The user's folder for what can be made again, or None where there is no home."""
    given = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    try:
        return (Path(given) if given else Path.home() / ".cache") / "blasso-flow"
    except RuntimeError:
        return None


class _FirstCompilation(event.Listener):
    announce: Callable[[], None] | None = None
    over = False

    def on_start(self, event: object) -> None:
        if self.announce is not None and not self.over:
            self.over = True
            self.announce()

    def on_end(self, event: object) -> None:
        """Nothing to do: only the start is announced."""


@cache
def _listening() -> _FirstCompilation:
    listener = _FirstCompilation()
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    return listener


def announce_compilation(notify: Callable[[], None]) -> None:
    """Call ``notify`` once a process, before the first kernel that must be compiled; loading from the cache stays silent."""
    _listening().announce = notify


def is_cached(tail: bool = False) -> bool:
    """Whether kernels were compiled before on this machine: the solver's, and those of filters with or without ``tail``."""
    folder, needed = _folder("line"), ("newton.relax", "tails.correlate" if tail else "responses.correlate")
    return folder is not None and all(any(Path(folder).rglob(f"{kernel}-*.nbi")) for kernel in needed)


def can_be_cached() -> bool:
    """Whether there is a place where compiled kernels can be written, for other processes too."""
    return _folder("line") is not None
