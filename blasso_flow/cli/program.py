"""The program `blasso-flow`: its commands, imported one at a time, and the one place where a run ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from blasso_flow.cli.outcome import Terminated, report, unwind_on_signals
from blasso_flow.data.version import __version__

# Command, module and function name are one (- is _ there); the summary is repeated here so that `--help` imports none of them.
SUMMARIES = {
    "recover": "Recover the spikes of recordings, with a proof of optimality.",
    "prune": "Draw another line between spikes and noise, without solving again.",
    "show": "Print a result: spikes, channels or the certified measure.",
    "plot": "Draw a result again.",
    "certify": "Check a result's proof by independent code.",
    "score": "Compare a result with the truth.",
    "inspect": "Say what a recording holds and what will be hard.",
    "simulate": "Write a signal with known spikes, to try the other commands on.",
    "fit-filter": "Fit a filter's parameters to a recording.",
    "study": "Run the paper's experiments again, with a proof where it has a picture.",
    "filters": "List the filters with their parameters, or describe and draw one.",
}


class Program(click.Group):
    """Commands on demand; every error ends in one line and a documented exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order a user meets them."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in SUMMARIES:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"blasso_flow.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it raises ends here, before click or the interpreter would print it."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.exceptions.Exit, SystemExit):
            raise
        except BaseException as error:
            raise click.exceptions.Exit(report(error, verbose=ctx.meta.get("verbose", False))) from None
        return result

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *unused: Any, **extra: Any) -> Any:
        """Parse, run, exit."""
        unwind_on_signals()
        try:
            code = super().main(args, "blasso-flow", standalone_mode=False)
        except (click.ClickException, click.Abort, Terminated, KeyboardInterrupt) as error:
            code = report(error)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=Program, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, message="blasso-flow %(version)s")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Recover spikes from noisy filtered recordings, off the grid, with a proof of optimality.

    \b
    Example:
      blasso-flow recover data/gaussian.h5
      blasso-flow show gaussian.spikes.h5
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
