"""How a run ends: one line on stderr and an exit code, whatever happened. Knows errors, and no command.

0 done; 1 failure while running, or a bug; 2 usage; 3 some channels failed or did not reach the tolerance; 4 bad input
data; 130 interrupted; 141 the reader of our output went away; 143 terminated.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from types import FrameType

import click

from blasso_flow.cli.words import in_options
from blasso_flow.errors import BlassoFlowError

TRACEBACK_VARIABLE = "BLASSO_FLOW_TRACEBACK"
INTERRUPTED = 130
CLOSED_PIPE = 141
TERMINATED = 143
NOTHING_LEFT = "nothing half-written is left"


class Terminated(BaseException):
    """SIGTERM arrived: unwind, so that temporary files are removed."""


def say(text: str) -> None:
    """One line on stderr, arguments as options. A stderr that is gone is no reason to fail."""
    try:
        click.echo(f"blasso-flow: {in_options(text)}", err=True)
    except OSError:
        return


_arrived: list[type[BaseException]] = []


def unwind_on_signals() -> None:
    """Make SIGINT and SIGTERM raise instead of ending the process where it stands; a SIGINT that is ignored stays so."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        _arrived.append(KeyboardInterrupt)
        raise KeyboardInterrupt

    def terminate(number: int, frame: FrameType | None) -> None:
        _arrived.append(Terminated)
        raise Terminated

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, terminate)


def heed_signals() -> None:
    """Raise again what a signal raised where it went unheard, as in the callback of a weak reference."""
    if _arrived:
        raise _arrived.pop()


def hide_unheard_signals() -> None:
    """Keep the interpreter from printing a traceback of what a signal raised where it went unheard."""
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt | Terminated):
            before(unraisable)

    sys.unraisablehook = hook


def report(error: BaseException, *, verbose: bool = False) -> int:
    """Print the one line that belongs to an error; return the exit code."""
    notes: list[str] = getattr(error, "__notes__", [])
    match error:
        case BlassoFlowError():
            say("; ".join([f"error: {error}", *notes]))
            code = error.exit_code
        case click.UsageError():
            say(f"error: {_one_line(error.format_message())}; see `{_help_of(error)}`")
            code = 2
        case click.ClickException():
            say(f"error: {_one_line(error.format_message())}")
            code = 2
        case BrokenPipeError():
            _silence_stdout()
            code = CLOSED_PIPE
        case KeyboardInterrupt() | click.Abort():
            say("; ".join(["interrupted", *(notes or [NOTHING_LEFT])]))
            code = INTERRUPTED
        case Terminated():
            say("; ".join(["terminated", *(notes or [NOTHING_LEFT])]))
            code = TERMINATED
        case MemoryError():
            what = _one_line(str(error)) or "an array could not be allocated"
            say(f"error: out of memory; {what}; recover fewer channels at a time")
            code = 1
        case OSError() if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE}:
            say(f"error: {_one_line(str(error))}")
            code = 1
        case _:
            what = f"{type(error).__name__}: {_one_line(str(error))}"
            say(f"error: this is a bug, please report it; {what} (set {TRACEBACK_VARIABLE}=1 for more)")
            code = 1
            if verbose or os.environ.get(TRACEBACK_VARIABLE):
                click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _help_of(error: click.UsageError) -> str:
    return f"{error.ctx.command_path if error.ctx else 'blasso-flow'} --help"


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter's last flush is quiet too."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except OSError:
        return
