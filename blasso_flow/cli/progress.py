"""Progress on standard error: a bar on a terminal, a line every so often elsewhere; and as JSON lines for machines."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

import click

from blasso_flow.cli.channels import duration
from blasso_flow.cli.outcome import heed_signals, say
from blasso_flow.cli.words import in_options
from blasso_flow.errors import RunError

if TYPE_CHECKING:
    from blasso_flow.batches.worker import SolvedBlock
    from blasso_flow.data.reports import TraceRow

PATIENCE = 1.0  # seconds before a single channel says how far it is
REDRAWN = 0.2  # seconds between two states of the bar
REPEATED = 30.0  # seconds between two lines where there is no terminal
BAR = 20  # characters at most
SHORTEST = 5
WRONG = "wrong"  # the fit of a channel
COLUMNS = 80  # of a terminal that does not say
PARTS = 1000  # of a bar that shows a share


class Progress:
    """How far a run of ``channels`` is, ``done`` of which were there before."""

    def __init__(self, name: str, channels: int, done: int, *, shown: bool, log: Log) -> None:
        self.name, self.channels, self.done, self.before = name, channels, done, done
        self.spikes = 0
        self.bad = 0
        self.wrong = 0
        self.worst = math.nan
        self.log = log
        self._terminal = sys.stderr.isatty()
        self._shown = shown and channels > 1
        self._begun = self._said = monotonic()
        self._drawn = False

    def block(self, solved: SolvedBlock) -> None:
        """Count one more block, and show and log it."""
        self.done += solved.count
        self.spikes += solved.spikes
        self.bad += len(solved.bad)
        self.wrong += sum(remark.fit == WRONG for remark in solved.remarks)
        self.worst = max(self.worst, solved.worst_gap) if math.isfinite(self.worst) else solved.worst_gap
        heed_signals()
        self.log.write("block", first=solved.first, count=solved.count, process=solved.process, **self._numbers())
        for own in solved.remarks:
            reasons = [in_options(reason) for reason in own.reasons]
            said = {"status": own.status, "message": in_options(own.message), "fit": own.fit, "fit_reasons": reasons}
            self.log.write("channel", channel=own.number, **said)
        now = monotonic()
        if self._shown and now - self._said > (REDRAWN if self._terminal else REPEATED):
            self._said, self._drawn = now, True
            if self._terminal:
                _draw(self.bar(_width()))
            else:
                say(self.line())

    def clear(self) -> None:
        """Remove the bar from the terminal."""
        if self._drawn and self._terminal:
            _erase()
            self._drawn = False

    def line(self) -> str:
        """The state as a line of text."""
        rate, left = self.rate()
        bad = self._bad()
        worst = f", worst gap {self.worst:.1e}" if math.isfinite(self.worst) else ""
        return (
            f"{self.name}: {self.done}/{self.channels} channels, {self.spikes} spikes{worst}{bad}, "
            f"{rate:.3g} channels/s, {duration(left)} left"
        )

    def bar(self, width: int) -> str:
        """The state in one line of less than ``width`` characters: a text, and a bar in the room that it leaves."""
        rate, left = self.rate()
        bad = self._bad()
        worst = f", worst gap {self.worst:.1e}" if math.isfinite(self.worst) else ""
        words = f"{self.name}: {self.done}/{self.channels}, {duration(left)} left{bad}, {self.spikes} spikes{worst}, {rate:.3g}/s"
        room = min(BAR, width - len(words) - len("[] ") - 1)
        if room < SHORTEST:
            return words[: width - 1]
        full = room * self.done // self.channels
        return f"[{'#' * full}{'-' * (room - full)}] {words}"

    def rate(self) -> tuple[float, float]:
        """Channels a second so far, and the seconds left at this rate."""
        rate = (self.done - self.before) / max(monotonic() - self._begun, 1e-3)
        return rate, (self.channels - self.done) / rate if rate else math.inf

    def _bad(self) -> str:
        bad = f", {self.bad} not converged" if self.bad else ""
        return f"{bad}, {self.wrong} with a wrong fit" if self.wrong else bad

    def _numbers(self) -> dict[str, Any]:
        rate, left = self.rate()
        worst = self.worst if math.isfinite(self.worst) else None
        return {
            "done": self.done,
            "channels": self.channels,
            "spikes": self.spikes,
            "not_converged": self.bad,
            "fit_wrong": self.wrong,
            "worst_gap": worst,
            "channels_per_second": round(rate, 3),
            "seconds_left": round(left, 1),
        }


class Log:
    """Events as JSON lines, if there is a file for them. A file that cannot be written ends the log, never the run."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._begun = monotonic()

    def write(self, event: str, **facts: object) -> None:
        """One line: the event, the seconds since the start, and the facts."""
        if self._stream is None:
            return
        try:
            seconds = round(monotonic() - self._begun, 3)
            self._stream.write(json.dumps({"event": event, "seconds": seconds, **facts}) + "\n")
            self._stream.flush()
        except OSError as error:
            say(f"note: the log ends here: {error.strerror}")
            self._stream = None


def _width() -> int:
    """Columns of the terminal that stderr is."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    except (OSError, ValueError):
        return COLUMNS


def _draw(line: str) -> None:
    """Put a line in place of the one on the terminal, cut to its width: one that wraps could not be taken back."""
    click.echo(f"\r{line[: _width() - 1]}\x1b[K", nl=False, err=True)


def _erase() -> None:
    click.echo("\r\x1b[K", nl=False, err=True)


@contextmanager
def rounds_shown(name: str, *, shown: bool) -> Iterator[Any]:
    """A callback for the rounds of channels solved here: heeds signals, and shows a single channel that takes its time."""
    begun = monotonic()
    written = False
    shown = shown and sys.stderr.isatty()

    def on_round(number: int, row: TraceRow) -> None:
        nonlocal written
        heed_signals()
        if shown and monotonic() - begun > PATIENCE:
            _draw(f"{name}: round {row.round}, {row.spikes} spikes, gap {row.gap:.1e}")
            written = True

    try:
        yield on_round
    finally:
        if written:
            _erase()


@contextmanager
def share_bar(name: str, *, shown: bool) -> Iterator[Callable[[float], None]]:
    """A function that moves a bar to a share of the work between 0 and 1, with the time left; silent to a pipe."""
    if not (shown and sys.stderr.isatty()):
        yield lambda share: None
        return
    with click.progressbar(length=PARTS, label=name, file=sys.stderr, show_eta=True) as bar:
        yield lambda share: bar.update(max(0, round(share * PARTS) - bar.pos))


@contextmanager
def opened_log(path: str | None) -> Iterator[Log]:
    """The log in a file that is appended to; of nothing without a path. Raises `RunError` when it cannot be opened."""
    if path is None:
        yield Log()
        return
    try:
        stream = open(path, "a", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise RunError("--log-json cannot be written", received=path, mend=f"{error.strerror}".lower()) from None
    with stream:
        yield Log(stream)


def announce_compiling() -> None:
    """Say so, once, if kernels must be compiled; and whether they must be again in the next run."""
    from blasso_flow.kernels import announce_compilation, can_be_cached

    def words() -> None:
        if can_be_cached():
            say("compiling kernels that no run has needed before; they are kept")
        else:
            say("compiling kernels, as every run must: they can be kept nowhere; let NUMBA_CACHE_DIR name a writable folder")

    announce_compilation(words)
