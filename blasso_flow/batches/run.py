"""The loop of a run: blocks go to workers, finished ones to the journal, until every channel is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from blasso_flow.batches.executors import Crew
from blasso_flow.batches.journal import Journal
from blasso_flow.batches.plan import Range
from blasso_flow.batches.worker import SolvedBlock, Task, UnreachableError, read_rows, release, solve_block
from blasso_flow.errors import RunError
from blasso_flow.files import SignalFile
from blasso_flow.kernels import is_cached
from blasso_flow.recovery.routes import OnRound

MOST_DEATHS = 3  # of worker processes in a row, with no block finished between


class StoppedError(Exception):
    """A channel failed and the run was to stop there."""

    def __init__(self, number: int, status: str, message: str) -> None:
        super().__init__(number, status, message)
        self.number, self.status, self.message = number, status, message


def solve_blocks(
    task: Task,
    blocks: Iterable[Range],
    crew: Crew,
    journal: Journal,
    file: SignalFile,
    *,
    on_block: Callable[[SolvedBlock], None] = lambda block: None,
    on_round: OnRound | None = None,
    fail_fast: bool = False,
) -> None:
    """Solve all blocks and keep them in the journal, in the order in which they finish.

    ``file`` is read for workers that cannot read it themselves. ``on_round`` is only for a crew in this process.
    Raises `StoppedError` at the first channel that did not converge, with ``fail_fast``; `RunError` when workers keep dying.
    Whatever ends it, the blocks in the journal are whole, and no work goes on.
    """
    loop = _Loop(task, deque(blocks), crew, journal, file, {} if on_round is None else {"on_round": on_round})
    try:
        while loop.goes_on():
            for solved in loop.finished():
                journal.append(solved.first, solved.count, solved.data)
                on_block(solved)
                if fail_fast and solved.bad:
                    raise StoppedError(*solved.bad[0])
    finally:
        loop.crew.stop()
        release()


@dataclass
class _Loop:
    """Blocks that wait, and those under way."""

    task: Task
    waiting: deque[Range]
    crew: Crew
    journal: Journal
    file: SignalFile
    options: dict[str, Any]
    under_way: dict[Future[SolvedBlock], Range] = field(default_factory=dict)
    deaths: int = 0
    compiled: bool = field(default_factory=is_cached)  # else the first block goes alone, and compiles for all
    sent: bool = False

    def goes_on(self) -> bool:
        return bool(self.waiting or self.under_way)

    def finished(self) -> Iterator[SolvedBlock]:
        """Hand out what waits, and wait for what comes back next."""
        try:
            while self.waiting and len(self.under_way) < (self.crew.room() if self.compiled else 1):
                self._hand_out(self.waiting[0])
                self.waiting.popleft()
            done, _ = wait(self.under_way, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    solved = future.result()
                except UnreachableError:
                    self.sent = True
                    self.waiting.appendleft(self.under_way.pop(future))
                    continue
                del self.under_way[future]
                self.deaths, self.compiled = 0, True
                yield solved
        except self.crew.deaths as death:
            self._replace_crew(death)

    def _hand_out(self, block: Range) -> None:
        rows = read_rows(self.file, *block) if self.sent or self.task.path is None else None
        future = self.crew.executor.submit(solve_block, self.task, *block, rows, **self.options)
        self.under_way[future] = block

    def _replace_crew(self, death: BaseException) -> None:
        """A worker died, and its pool with it: what was under way is done again by a new one, a few times."""
        self.deaths += 1
        self.crew.stop()
        if self.crew.restart is None or self.deaths == MOST_DEATHS:
            raise RunError(
                "workers keep dying",
                received=str(death).partition("\n")[0] or type(death).__name__,
                mend="is there enough memory? give fewer `jobs=`, or a smaller `max_memory=`",
            ) from death
        self.waiting.extendleft(sorted(self.under_way.values(), reverse=True))
        self.under_way.clear()
        self.crew = self.crew.restart()
