"""Running the program in a test: in this process, or as a process of its own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import click
from click.testing import CliRunner

from blasso_flow.cli.program import SUMMARIES, program

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"
PATIENCE = 5.0  # seconds that a process gets to end


class Outcome:
    """What a run left behind."""

    def __init__(self, code: int, stdout: bytes, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode()


def run(*arguments: object, stdin: bytes | None = None) -> Outcome:
    """Run the program in this process."""
    try:
        runner = CliRunner(mix_stderr=False)  # click before 8.2
    except TypeError:
        runner = CliRunner()
    result = runner.invoke(program, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return Outcome(result.exit_code, result.stdout_bytes, result.stderr)


def start(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the program as a process, without a terminal."""
    return complete([sys.executable, "-m", "blasso_flow", *map(str, arguments)], **options)


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in bash, in a folder, with `blasso-flow` on the path."""
    return complete(["bash", "-o", "pipefail", "-ec", script], cwd=folder, text=True)


def complete(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run a process to its end, and keep what it wrote to the streams that ``options`` of `subprocess.Popen` do not name."""
    with running(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}) as process:
        stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process without a terminal, which is waited for at the end; ``options`` are those of `subprocess.Popen`.

    Where an exception leaves the block, as when the test has taken too long, the process and all that it started in its group
    are ended, and what it had still to say is printed: Python processes say where they are.
    """
    options = {"stdin": subprocess.DEVNULL, "env": environment(), **options}
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
            process.wait()
        except BaseException:
            end(process)
            raise


def end(process: subprocess.Popen[Any]) -> None:
    """End the group of a process, as `running` says."""
    words = []
    for number in (signal.SIGABRT, signal.SIGKILL):  # at the first one Python prints its stack
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            words += process.communicate(timeout=PATIENCE)
            break
    said = "".join(word if isinstance(word, str) else word.decode(errors="replace") for word in words if word)
    print(f"ended: {shlex.join(map(str, cast(Sequence[str], process.args)))}\n{said}", file=sys.stderr)


def environment() -> dict[str, str]:
    """This process's environment with the programs of its virtual environment first; Python says where it was when it crashes."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "MAKEFLAGS": "", "PYTHONFAULTHANDLER": "1"}


def examples(command: str) -> Sequence[str]:
    """The example lines that end a command's help."""
    context = click.Context(program, info_name="blasso-flow")
    found = program.get_command(context, command)
    assert found is not None
    text = found.get_help(click.Context(found, info_name=command, parent=context))
    _, _, tail = text.rpartition("Example:\n")
    return [line.strip() for line in tail.splitlines() if line.strip()]


COMMANDS = tuple(SUMMARIES)
