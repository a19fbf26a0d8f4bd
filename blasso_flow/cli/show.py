"""`blasso-flow show`: a result as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from blasso_flow.cli import options
from blasso_flow.cli.channels import Account, with_units
from blasso_flow.cli.numbers import error_text, rounded, short, table
from blasso_flow.cli.outcome import say
from blasso_flow.cli.streams import check_inputs
from blasso_flow.cli.words import in_options
from blasso_flow.errors import DataError, UsageError

if TYPE_CHECKING:
    from blasso_flow.data.results import Recovery
    from blasso_flow.data.spikes import Candidates, Optimum, Spikes
    from blasso_flow.files import StoredResult

Columns = dict[str, Sequence[object]]


@click.command(epilog=options.example("blasso-flow recover data/gaussian.h5 -o - | blasso-flow show - --csv"))
@click.argument("result", metavar="RESULT")
@click.option("--channels", is_flag=True, help="One row a channel: status, fit, gap, noise, ...; and why fits are not good.")
@click.option("--optimum", is_flag=True, help="The certified measure in place of the refitted spikes.")
@click.option("--candidates", is_flag=True, help="What pruning judged: the spikes it dropped, as they were then, and those kept.")
@click.option("--rate", "rate_width", type=float, metavar="WIDTH", help="Spikes smoothed by a Gaussian of sd WIDTH (axis units).")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, every digit.")
@click.option("--json", "as_json", is_flag=True, help="JSON, every digit, with units and settings.")
def show(
    result: str, channels: bool, optimum: bool, candidates: bool, rate_width: float | None, as_csv: bool, as_json: bool
) -> None:
    """Print a result: spikes, channels or the certified measure.

    The table gives a value the digits that its standard error supports; --csv and --json give every digit.
    --rate prints one row a sample: position, and for each channel events and their weight per unit of the axis.
    RESULT is a file written by `blasso-flow recover`, or - for standard input.
    """
    if channels + optimum + candidates + (rate_width is not None) > 1:
        raise UsageError("--channels, --optimum, --candidates and --rate exclude each other", mend="give one of them")
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other", mend="give one of them")
    from blasso_flow.files import read_result

    check_inputs([result])
    stored = read_result(result)
    recovery = stored.recovery
    columns = (
        channel_columns(recovery)
        if channels
        else rate_columns(stored, rate_width)
        if rate_width is not None
        else plain_columns(recovery.optimum if optimum else recovery.candidates if candidates else recovery.spikes)
    )
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    elif as_json:
        click.echo(json.dumps(document(stored, columns), indent=2, allow_nan=False))
    elif channels:
        account = Account.of(recovery)
        fits = account.fits()
        click.echo("\n".join([*account.lines(stored.units), *(["", *fits] if fits else [])]))
    elif rate_width is not None:
        click.echo("\n".join(rate_lines(stored, columns)))
    else:
        for line in Account.of(recovery, everything=False).fits():
            say(f"note: {line}")
        click.echo("\n".join(candidate_lines(stored) if candidates else spike_lines(stored, optimum)))


def position_units(stored: StoredResult) -> str:
    """Units of the signal's axis, empty when unknown."""
    return stored.axis.units if stored.axis is not None else ""


def plain_columns(rows: Spikes | Optimum | Candidates) -> Columns:
    """The columns that are there, as plain Python values."""
    return {name: column.tolist() for name, column in vars(rows).items() if column is not None}


def channel_columns(recovery: Recovery) -> Columns:
    """What is known of every channel."""
    from blasso_flow.data.blocks import Block, Totals, padded
    from blasso_flow.data.reports import ChannelReport
    from blasso_flow.data.schema import OF

    block = Block.of(recovery, keep_fit=False)
    totals = Totals.of([block])
    columns: Columns = {
        "channel": list(range(block.count)),
        "spikes": block.found.tolist(),
        "optimum_spikes": block.counted("optimum").tolist(),
    }
    own = [column for column in OF[ChannelReport] if column.group == "channels"]
    shown = [column for column in own if column.shown is not None and (not column.shown or getattr(totals, column.shown))]
    for column in shown:
        if len(column.dimensions) == 1:
            cells = block.columns[column.path].tolist()
            columns[column.field] = [in_options(cell).replace("\n", "; ") if isinstance(cell, str) else cell for cell in cells]
    for number in range(totals.coefficients):
        for column in shown:
            if len(column.dimensions) > 1:
                table = padded(block.columns[column.path], totals.coefficients)
                columns[f"{column.field}_{number}"] = table[:, number].tolist()
    return columns


def rate_columns(stored: StoredResult, width: float) -> Columns:
    """Position of every sample, and of every channel the rate of events and of their weight."""
    from blasso_flow.answer.rates import rates

    if stored.axis is None:
        raise DataError(f"{stored.name}: the result does not say its signal's axis", mend="recover again")
    number = len(stored.recovery.channels)
    found = rates(stored.recovery.spikes, stored.axis, width, number)
    columns: Columns = {"position": stored.axis.positions().tolist()}
    for channel in range(number):
        suffix = f"_{channel}" if number > 1 else ""
        columns[f"rate{suffix}"] = found.rate[channel].tolist()
        columns[f"weight_rate{suffix}"] = found.weight_rate[channel].tolist()
    return columns


def rate_lines(stored: StoredResult, columns: Columns) -> list[str]:
    """The table of rates."""
    unit, weight = position_units(stored), stored.weight_units
    per = {"position": unit, "rate": f"1/{unit}" if unit else "", "weight_rate": f"{weight}/{unit}" if unit else weight}
    header = [with_units(name, per[name.rstrip("0123456789").rstrip("_")]) for name in columns]
    rows = [[f"{cell:.6g}" for cell in row] for row in zip(*columns.values(), strict=True)]
    return table(header, rows)


def document(stored: StoredResult, columns: Columns) -> dict[str, object]:
    """A JSON document: units, settings and one object a row; NaN and infinities become null."""
    rows = [
        {
            name: None if isinstance(cell, float) and not math.isfinite(cell) else cell
            for name, cell in zip(columns, row, strict=True)
        }
        for row in zip(*columns.values(), strict=True)
    ]
    return {
        "position_units": position_units(stored),
        "weight_units": stored.weight_units,
        "settings": stored.recovery.settings,
        "rows": rows,
    }


def spike_lines(stored: StoredResult, optimum: bool) -> list[str]:
    """The table of spikes, or of the certified measure."""
    recovery = stored.recovery
    several = len(recovery.channels) > 1
    position, weight = with_units("position", position_units(stored)), with_units("weight", stored.weight_units)
    if optimum:
        header = [position, weight, "eta"]
        o = recovery.optimum
        rows = [[f"{x:.9g}", f"{w:.6g}", f"{eta:.9f}"] for x, w, eta in zip(o.position, o.weight, o.eta, strict=True)]
        channels = o.channel
    else:
        header = [position, "+-", weight, "+-", "significance", "group"]
        s = recovery.spikes
        rows = [
            [rounded(x, dx), error_text(dx), rounded(w, dw), error_text(dw), short(clear), str(group)]
            for x, dx, w, dw, clear, group in zip(
                s.position, s.position_errors, s.weight, s.weight_errors, s.significance, s.group, strict=True
            )
        ]
        if s.width is not None and s.width_errors is not None:
            header[-2:-2] = [with_units("width", position_units(stored)), "+-"]
            for row, width, error in zip(rows, s.width, s.width_errors, strict=True):
                row[-2:-2] = [rounded(width, error), error_text(error)]
        channels = s.channel
    return _by_channel(header, rows, channels if several else None)


def candidate_lines(stored: StoredResult) -> list[str]:
    """The table of what pruning judged."""
    judged = stored.recovery.candidates
    header = [with_units("position", position_units(stored)), with_units("weight", stored.weight_units), "significance", "kept"]
    rows = [
        [f"{x:.9g}", f"{w:.6g}", short(clear), "yes" if kept else "no"]
        for x, w, clear, kept in zip(judged.position, judged.weight, judged.significance, judged.kept, strict=True)
    ]
    return _by_channel(header, rows, judged.channel if len(stored.recovery.channels) > 1 else None)


def _by_channel(header: list[str], rows: list[list[str]], channels: Iterable[int] | None) -> list[str]:
    """A table, each row with its channel where there are several."""
    if channels is None:
        return table(header, rows)
    return table(["channel", *header], [[str(channel), *row] for channel, row in zip(channels, rows, strict=True)])
