"""`blasso-flow show`: a result as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from blasso_flow.cli import options
from blasso_flow.cli.channels import with_units
from blasso_flow.cli.numbers import error_text, rounded, short, table
from blasso_flow.cli.streams import Source
from blasso_flow.errors import UsageError

if TYPE_CHECKING:
    from blasso_flow.files import StoredResult
    from blasso_flow.spikes import ChannelReport

CHANNEL_NUMBERS = ("strength", "noise_sd", "objective", "dual_value", "gap", "gap_noise", "violation", "rounds")
CHANNEL_TEXTS = ("strength_rule", "noise_rule", "message")


@click.command(epilog=options.example("blasso-flow recover data/gaussian.h5 -o - | blasso-flow show - --csv"))
@click.argument("result", metavar="RESULT")
@click.option("--channels", is_flag=True, help="One row a channel: status, gap, strength, noise, ...")
@click.option("--optimum", is_flag=True, help="The certified measure in place of the refitted spikes.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, every digit, no units.")
@click.option("--json", "as_json", is_flag=True, help="JSON, every digit, with units.")
def show(result: str, channels: bool, optimum: bool, as_csv: bool, as_json: bool) -> None:
    """Print a result: spikes, channels or the certified measure.

    The table gives a value the digits that its standard error supports; --csv and --json give every digit.
    RESULT is a file written by `blasso-flow recover`, or - for standard input.
    """
    if channels and optimum:
        raise UsageError("--channels and --optimum exclude each other", mend="give one of them")
    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other", mend="give one of them")
    from blasso_flow.files import read_result

    stored = read_result(Source.parse(result).opened())
    columns = channel_columns(stored) if channels else optimum_columns(stored) if optimum else spike_columns(stored)
    if as_csv:
        _write_csv(columns)
    elif as_json:
        click.echo(json.dumps(as_document(stored, columns), indent=2, allow_nan=False))
    elif channels:
        click.echo("\n".join(_channel_table(stored)))
    else:
        click.echo("\n".join(_optimum_table(stored) if optimum else _spike_table(stored)))
