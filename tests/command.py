"""Running the program in a test: in this process, or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.testing import CliRunner

from blasso_flow.cli.program import SUMMARIES, program

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"


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


def start(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the program as a process, without a terminal."""
    command = [sys.executable, "-m", "blasso_flow", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, env=environment(), **options)  # type: ignore[call-overload, no-any-return]


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in bash, in a folder, with `blasso-flow` on the path."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-ec", script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def environment() -> dict[str, str]:
    """This process's environment with the programs of its virtual environment first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "MAKEFLAGS": ""}


def examples(command: str) -> Sequence[str]:
    """The example lines that end a command's help."""
    context = click.Context(program, info_name="blasso-flow")
    found = program.get_command(context, command)
    assert found is not None
    text = found.get_help(click.Context(found, info_name=command, parent=context))
    _, _, tail = text.rpartition("Example:\n")
    return [line.strip() for line in tail.splitlines() if line.strip()]


COMMANDS = tuple(SUMMARIES)
