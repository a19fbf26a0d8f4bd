"""Where blocks are solved: in this process, in processes of this machine, or on a Dask cluster.

Each is a `Crew`: a `concurrent.futures.Executor` with what the loop of `run` needs to know of it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

from blasso_flow.batches.plan import WAITING
from blasso_flow.errors import RunError, UsageError

T = TypeVar("T")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS")
TRACKER = "ignore:resource_tracker"
PATIENCE = 10.0  # seconds a cluster gets to answer


@dataclass(frozen=True)
class Crew:
    """Workers: ``executor`` runs blocks, ``room`` says how many may be under way, ``stop`` ends all work at once.

    ``deaths`` are the exceptions that mean that a worker died. ``restart`` gives the crew that takes this one's place then;
    None where no other can.
    """

    executor: Executor
    room: Callable[[], int]
    stop: Callable[[], None]
    deaths: tuple[type[BaseException], ...] = ()
    restart: Callable[[], Crew] | None = None


class _Here(Executor):
    """Runs each call at once, in the caller."""

    def submit(self, function: Callable[..., T], /, *arguments: Any, **options: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


def here() -> Crew:
    """This process: one block at a time."""
    return Crew(_Here(), lambda: 1, lambda: None)


def processes(jobs: int) -> Crew:
    """``jobs`` processes, their libraries on one thread each, forked from a clean one where the system can."""
    import multiprocessing
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor

    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["blasso_flow.batches.worker"])
    with one_thread(), _quiet_tracker():  # the environment that the first processes are started with
        executor = ProcessPoolExecutor(jobs, context, initializer=_begin)
        for _ in range(jobs):
            executor.submit(os.getpid)

    def stop() -> None:
        pool: Any = executor  # there is no public way to end a call that is running
        workers = list((pool._processes or {}).values())
        if workers and not pool._broken:  # else the pool would wait for ever for a task half sent, or for a result half received
            pipes = [_taken(pool._call_queue, "_reader"), _taken(pool._result_queue, "_writer")]
        else:
            pipes = []  # a pool that has lost a worker closes them itself
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()
        for pipe in pipes:
            pipe.close()

    return Crew(executor, lambda: WAITING * jobs, stop, (BrokenProcessPool,), lambda: processes(jobs))


def _taken(queue: Any, side: str) -> Any:
    """One side of a queue's pipe as an object of its own, so that the pool's thread, which may close it too, closes nothing."""
    pipe = getattr(queue, side)
    own = copy(pipe)
    pipe._handle = None
    return own


def _begin() -> None:
    """In a worker process: leave Ctrl-C to the parent, and end when the parent does."""
    import multiprocessing
    from multiprocessing.connection import wait

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """Libraries that are loaded inside, here or in a new process, use one thread each unless the user said otherwise."""
    with _environment({name: os.environ.get(name, "1") for name in THREADS}):
        yield


def _quiet_tracker() -> AbstractContextManager[None]:
    """The process that cleans up after this one, should it be killed, does so without a word."""
    others = os.environ.get("PYTHONWARNINGS")
    return _environment({"PYTHONWARNINGS": f"{others},{TRACKER}" if others else TRACKER})


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables set inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def cluster(address: str, jobs: int) -> Iterator[Crew]:
    """The workers of a Dask cluster: the one whose scheduler is at ``address``, or ``jobs`` new processes for "local".

    Raises `UsageError` where Dask is not installed, `RunError` where the scheduler does not answer.
    """
    try:
        from distributed import CancelledError, Client, LocalCluster
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise UsageError(
            "`scheduler=` needs Dask", received=address, mend="install it: pip install 'blasso-flow[distributed]'"
        ) from None
    own = None
    try:
        if address == "local":
            own = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
        client = Client(own or address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise RunError(
            f"no Dask scheduler answers at {address}",
            received=str(error).partition("\n")[0],
            mend="start one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`",
        ) from None
    executor = client.get_executor(pure=False)

    def room() -> int:
        return WAITING * max(1, sum(client.nthreads().values()))

    def stop() -> None:
        executor.shutdown(wait=False)

    try:
        yield Crew(executor, room, stop, (KilledWorker, CommClosedError, CancelledError))
    finally:
        client.close(timeout=2)
        if own is not None:
            own.close(timeout=5)
