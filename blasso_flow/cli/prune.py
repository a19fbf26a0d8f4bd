"""`blasso-flow prune`: another line between spikes and noise, for a result that is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blasso_flow.cli import options
from blasso_flow.cli.channels import Account
from blasso_flow.cli.outcome import say
from blasso_flow.cli.progress import announce_compiling
from blasso_flow.cli.stored import say_if_another, shift_of
from blasso_flow.cli.streams import STREAM, check_inputs, check_output, input_path
from blasso_flow.errors import UsageError

if TYPE_CHECKING:
    from blasso_flow.data.blocks import Block
    from blasso_flow.files import SignalFile, StoredResult
    from blasso_flow.recovery.again import Line


@click.command(
    epilog=options.example(
        "blasso-flow recover data/channels.h5 -o all.h5 --false-alarms 2 --no-plot",
        "blasso-flow prune all.h5 --false-discoveries 0.1",
        "blasso-flow show all.pruned.h5",
    )
)
@click.argument("result", metavar="RESULT")
@click.argument("signal", metavar="[SIGNAL]", required=False)
@click.option("--false-alarms", type=float, metavar="M", help="Expected number of false spikes a channel.")
@options.false_discoveries_option
@click.option("--significance", type=float, metavar="U", help="Significance that a spike needs.")
@click.option(
    "-o", "--output", metavar="FILE", help="The new result, - for standard output; default: RESULT's name with .pruned.h5, here."
)
@options.force_option
@options.message_options
def prune(
    result: str,
    signal: str | None,
    false_alarms: float | None,
    false_discoveries: float | None,
    significance: float | None,
    output: str | None,
    force: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Draw another line between spikes and noise, without solving again.

    The certified measure of RESULT is refitted and pruned anew: positions, weights, errors and significances are those of the
    spikes that stay. Its proof holds as it is. A looser line brings back only what the measure holds, so recover with many
    --false-alarms first. SIGNAL is needed where the result does not know its path, as after a pipe.
    """
    from blasso_flow.recovery.again import Line

    line = Line(false_alarms, false_discoveries, significance)
    inputs = [result] if signal is None else [result, signal]
    check_inputs(inputs)
    target = output or _default_name(result)
    check_output(target, force=force, inputs=inputs)
    from blasso_flow.files import find_signal, read_result

    stored = read_result(result)
    account = Account(everything=verbose)
    with find_signal(stored, signal) as file:
        say_if_another(file, signal, stored)
        _carry_out(stored, file, line, target, account, force=force, inputs=[input_path(name) for name in inputs])
    if not quiet:
        click.echo("\n".join(account.lines(stored.units)), err=target == STREAM)
        for note in account.notes():
            say(note)
        before, now = len(stored.recovery.spikes), account.overview.spikes
        say(f"{now} spikes in place of {before}" + ("" if target == STREAM else f"; wrote {target}"))


def _default_name(result: str) -> str:
    """NAME.pruned.h5 for NAME.spikes.h5 and NAME.h5."""
    path = input_path(result)
    if path == STREAM:
        raise UsageError("standard input has no name to make an output from", mend="give --output FILE, or --output -")
    return f"{Path(path).stem.removesuffix('.spikes')}.pruned.h5"


def _carry_out(
    stored: StoredResult, file: SignalFile, line: Line, target: str, account: Account, *, force: bool, inputs: list[str]
) -> None:
    """Prune block by block, then write what came out."""
    from blasso_flow.batches import plan
    from blasso_flow.batches.journal import Journal
    from blasso_flow.data.blocks import Totals, encode
    from blasso_flow.files.guard import Memory
    from blasso_flow.files.result_writer import Run, write_blocks
    from blasso_flow.recovery.again import stored_settings

    announce_compiling()
    settings = stored_settings(stored.recovery.settings)
    channels = len(stored.recovery.channels)
    if channels != file.channels:
        raise UsageError("the signal has other channels", received=file.channels, allowed=f"{channels}, as in {stored.name}")
    size = plan.block_size(channels, file.axis.size, 1, Memory.of(None).limit, file.together)
    journal, totals = Journal({}), Totals()
    try:
        for first, stop in plan.blocks_of([(0, channels)], size):
            block = _block(stored, file, line, first, stop)
            journal.append(first, stop - first, encode(block))
            totals = totals.plus(block)
            account.add(block)
        chosen = line.of(settings)
        own = {"false_alarms": chosen.false_alarms, "false_discoveries": chosen.false_discoveries, "refit": True}
        pruned = {**stored.recovery.settings, **own, **({} if line.significance is None else {"significance": line.significance})}
        about = file.described.shifted(shift_of(stored))
        provenance = {**stored.provenance, "argv": ["blasso-flow", *sys.argv[1:]]}
        width = None if stored.rates is None else stored.rates.width
        run = Run(pruned, about, provenance, width, stored.recovery.fit is not None)
        write_blocks(journal.blocks, totals, run, target, overwrite=force, inputs=inputs)
    finally:
        journal.close(keep=False)


def _block(stored: StoredResult, file: SignalFile, line: Line, first: int, stop: int) -> Block:
    """Channels ``first`` to ``stop - 1`` with the new line."""
    from dataclasses import replace

    import numpy as np

    from blasso_flow.batches.worker import read_rows
    from blasso_flow.data.blocks import Block
    from blasso_flow.data.spikes import Optimum
    from blasso_flow.recovery.again import pruned_again, stored_settings
    from blasso_flow.recovery.channel import failed_channel, tabulated

    recovery = stored.recovery
    settings, about = stored_settings(recovery.settings), file.described
    table = tabulated(about if about.filter is not None else replace(about, filter=stored.filter), settings)
    done = []
    for number, row in zip(range(first, stop), read_rows(file, first, stop), strict=True):
        if isinstance(row, str):
            done.append(failed_channel(file.axis.size, row))
            continue
        own = slice(*np.searchsorted(recovery.optimum.channel, [number, number + 1]))
        optimum = Optimum(**{name: column[own] for name, column in vars(recovery.optimum).items()})
        channel = row.shifted(shift_of(stored))
        done.append(pruned_again(channel, number, table, settings, line, optimum, recovery.channels[number]))
    return Block.of_channels(done, first, several=len(file.shape) == 2, keep_fit=recovery.fit is not None)
