"""What a worker does: read the channels of a block, or take those it is sent, recover them, and hand them back as bytes.

Runs in this process, in processes of this machine, or in those of a cluster. Workers side by side use one thread each by default.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import uuid4

import numpy as np

from blasso_flow.data.blocks import Block, encode
from blasso_flow.data.reports import Status
from blasso_flow.data.results import ChannelRecovery
from blasso_flow.data.signals import Signal
from blasso_flow.data.version import __version__
from blasso_flow.errors import BlassoFlowError, RunError
from blasso_flow.files import SignalFile, open_signal
from blasso_flow.filters import Filter
from blasso_flow.recovery.channel import failed_channel, recover_channel, tabulated
from blasso_flow.recovery.routes import OnRound
from blasso_flow.recovery.settings import Settings

EDGE = 1 << 16  # bytes at both ends of a file that tell it from another


class UnreachableError(Exception):
    """The worker does not see the signal's file, or another one in its place: the block has to be sent."""


@dataclass(frozen=True)
class Task:
    """What workers need to know of a run.

    ``about`` is the signal without its samples, ``several`` whether it has a dimension of channels. ``path``, ``dataset``,
    ``spacing`` and ``max_memory`` open it (``path`` None: the samples are sent); ``fingerprint`` is its file's. ``notes``
    are added to each channel's.
    """

    settings: Settings
    about: Signal
    several: bool
    path: str | None
    dataset: str
    spacing: float | None
    max_memory: int | None
    fingerprint: str
    keep_fit: bool
    notes: tuple[str, ...] = ()
    version: str = __version__
    token: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class Remark:
    """A channel that did not converge, or whose fit is not good."""

    number: int
    status: str
    message: str
    fit: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class SolvedBlock:
    """A finished block: its channels, its bytes, and what progress needs of it."""

    first: int
    count: int
    data: bytes
    spikes: int
    worst_gap: float
    remarks: tuple[Remark, ...]
    process: int

    @property
    def bad(self) -> tuple[tuple[int, str, str], ...]:
        """Number, status and message of the channels that did not converge."""
        return tuple((own.number, own.status, own.message) for own in self.remarks if own.status != Status.CONVERGED)


def fingerprint(path: str) -> str:
    """Size of a file and a hash of its ends."""
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        ends = stream.read(EDGE)
        stream.seek(max(0, size - EDGE))
        ends += stream.read(EDGE)
    return f"{size} {hashlib.sha256(ends).hexdigest()}"


def solve_block(
    task: Task, first: int, stop: int, rows: Sequence[Signal | str] | None = None, on_round: OnRound | None = None
) -> SolvedBlock:
    """Recover channels ``first`` to ``stop - 1``. ``rows`` are their samples, or why there are none; else they are read.

    Raises `UnreachableError` where they cannot be read here, `RunError` when another version of this package runs here.
    """
    if task.version != __version__:
        raise RunError(
            "a worker runs another version", received=f"blasso-flow {__version__}", allowed=task.version, mend="install the same"
        )
    worker = _prepared(task)
    done = [
        worker.recovered(rows[number - first] if rows is not None else worker.read(number), number, on_round)
        for number in range(first, stop)
    ]
    block = Block.of_channels(done, first, several=task.several, keep_fit=task.keep_fit)
    reports = [(first + row, part.report) for row, part in enumerate(done)]
    gaps = [report.gap for _, report in reports if np.isfinite(report.gap)]
    return SolvedBlock(
        first=first,
        count=len(done),
        data=encode(block),
        spikes=int(block.found.sum()),
        worst_gap=max(gaps, default=float("nan")),
        remarks=tuple(
            Remark(number, str(report.status), report.message, str(report.fit), tuple(report.fit_reasons))
            for number, report in reports
            if report.status is not Status.CONVERGED or report.fit.faulty
        ),
        process=os.getpid(),
    )


def read_rows(file: SignalFile, first: int, stop: int) -> list[Signal | str]:
    """Samples of channels to be sent to a worker; in place of those that cannot be used, why."""
    return [_row(file, number) for number in range(first, stop)]


def _row(file: SignalFile, number: int) -> Signal | str:
    try:
        return file.channel(number, with_truth=False)
    except BlassoFlowError as error:  # the message is part of the result, whose data do not depend on the file's name
        return str(error).removeprefix(f"{file.name}, channel {number}: ").removeprefix(f"{file.name}: ")


class _Worker:
    """A task made ready: the filter tabulated, the file open."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.filter: Filter = tabulated(task.about, task.settings)
        self.shift = task.settings.time_shift(self.filter)
        self.open = ExitStack()
        self.file: SignalFile | None = None

    def read(self, number: int) -> Signal | str:
        if self.file is None:
            self.file = self._opened()
        return _row(self.file, number)

    def _opened(self) -> SignalFile:
        task = self.task
        if task.path is None:
            raise UnreachableError
        try:
            if fingerprint(task.path) != task.fingerprint:
                raise UnreachableError
            opened = open_signal(task.path, task.dataset, task.spacing, task.max_memory)
            return self.open.enter_context(opened)
        except (OSError, BlassoFlowError):
            raise UnreachableError from None

    def recovered(self, row: Signal | str, number: int, on_round: OnRound | None) -> ChannelRecovery:
        if isinstance(row, str):
            return failed_channel(self.task.about.axis.size, row)
        done = recover_channel(
            row.shifted(self.shift),
            number,
            self.filter,
            self.task.settings,
            None if on_round is None else partial(on_round, number),
        )
        if not self.task.notes:
            return done
        return replace(done, report=replace(done.report, notes=(*done.report.notes, *self.task.notes)))


_ready = threading.local()


def _prepared(task: Task) -> _Worker:
    """The worker of this thread for this task; that of an earlier task is let go."""
    worker: _Worker | None = getattr(_ready, "worker", None)
    if worker is None or worker.task.token != task.token:
        release()
        worker = _ready.worker = _Worker(task)
    return worker


def release() -> None:
    """Close what this thread has open."""
    worker: _Worker | None = getattr(_ready, "worker", None)
    if worker is not None:
        worker.open.close()
        _ready.worker = None
