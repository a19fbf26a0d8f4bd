"""Threads inside one channel, for work that gives up the interpreter lock: kernels, large numpy arrays, FFTs.

Work is cut into the same pieces, and those that touch each other run in the same order, whatever the number of threads: so
are the results, to the last bit. Work of one piece never starts a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
T = TypeVar("T")
Piece = tuple[Any, ...]

_count: ContextVar[int] = ContextVar("threads", default=1)


@contextmanager
def using(count: int) -> Iterator[None]:
    """Within, `each` and `alternating` run on so many threads; outside, on the caller's alone."""
    token = _count.set(count)
    try:
        yield
    finally:
        _count.reset(token)


def pieces(size: int, most: int) -> list[tuple[int, int]]:
    """Ranges [first, last) of at most ``most`` that make up [0, size), in order; one empty range for size 0."""
    if size <= most:
        return [(0, size)]
    return [(first, min(first + most, size)) for first in range(0, size, most)]


def each(function: Callable[..., T], work: Sequence[Piece]) -> list[T]:
    """``function(*piece)`` for every piece, results in order. Pieces must not touch what others write."""
    count = 1 if len(work) == 1 else min(_count.get(), len(work))
    if count <= 1:
        return [function(*piece) for piece in work]
    results: dict[int, T] = {}
    waiting = iter(range(len(work)))  # shared: who is free takes the next

    def take() -> None:
        for number in waiting:
            results[number] = function(*work[number])

    others = [_pool(count - 1).submit(take) for _ in range(count - 1)]
    try:
        take()
    finally:
        wait(others)
    for other in others:
        other.result()  # raises what it raised
    return [results[number] for number in range(len(work))]


def alternating(function: Callable[..., object], work: Sequence[Piece], first: IntArray, last: IntArray) -> None:
    """``function(*piece)`` for pieces that write to samples [first, last) of each, shape (pieces,): every second, then the rest.

    Where pieces reach over their neighbours they run one after the other.
    """
    if (first[2:] >= last[:-2]).all():
        each(function, work[::2])
        each(function, work[1::2])
    else:
        for piece in work:
            function(*piece)


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="blasso-flow")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has the pool, but not its threads
