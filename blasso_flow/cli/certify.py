"""`blasso-flow certify`: a result's proof, checked by code that shares nothing with the solver's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from blasso_flow.cli import options
from blasso_flow.cli.channels import MOST_ROWS
from blasso_flow.cli.numbers import short, table
from blasso_flow.errors import UnconvergedError

if TYPE_CHECKING:
    from blasso_flow.audit.audit import Verdict


@click.command(
    epilog=options.example("blasso-flow recover data/gaussian.h5 -o proven.h5 --no-plot", "blasso-flow certify proven.h5")
)
@click.argument("result", metavar="RESULT")
@click.argument("signal", metavar="[SIGNAL]", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON, every digit.")
@options.message_options
def certify(result: str, signal: str | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Check a result's proof by independent code.

    Objective, certificate and gap are computed again from the signal and the filter's table. A channel agrees when the
    objective matches to 1e-9 and the gap proven here is at most twice the stored one, or the tolerance. Exit code 3 if one
    does not. SIGNAL is needed where the result does not know its path, as after a pipe.
    """
    from blasso_flow.audit.audit import audit
    from blasso_flow.cli.stored import result_with_signal

    recovery, recording = result_with_signal(result, signal)
    verdicts = audit(recording, recovery.optimum, recovery.channels, recovery.settings)
    if as_json:
        click.echo(json.dumps([verdict.as_dict() for verdict in verdicts], indent=2, allow_nan=False))
    elif not quiet:
        click.echo("\n".join(verdict_lines(verdicts, everything=verbose)))
    wrong = [number for number, verdict in enumerate(verdicts) if not verdict.agrees]
    if wrong:
        raise UnconvergedError(
            f"{len(wrong)} of {len(verdicts)} channels are not confirmed; channel {wrong[0]}: {verdicts[wrong[0]].reason}"
        )


def verdict_lines(verdicts: Sequence[Verdict], *, everything: bool) -> list[str]:
    """Channels that disagree first, at most 20 rows, then a count."""
    order = sorted(range(len(verdicts)), key=lambda number: verdicts[number].agrees)
    shown = order if everything else order[:MOST_ROWS]
    rows = [
        [
            str(number),
            "agrees" if verdicts[number].agrees else "DISAGREES",
            f"{verdicts[number].objective:.9g}",
            short(verdicts[number].gap, 2),
            short(verdicts[number].stored_gap, 2),
            f"{verdicts[number].supremum:.9f}",
            verdicts[number].reason,
        ]
        for number in shown
    ]
    header = ["channel", "verdict", "objective", "gap here", "gap stored", "sup eta", "why"]
    agreeing = sum(verdict.agrees for verdict in verdicts)
    return [*table(header, rows, left=(1, 6)), f"{agreeing} of {len(verdicts)} channels confirmed"]
