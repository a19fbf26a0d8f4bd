"""`blasso-flow score`: a result against known truth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from blasso_flow.cli import options
from blasso_flow.cli.channels import MOST_ROWS
from blasso_flow.cli.numbers import short, table
from blasso_flow.errors import DataError

if TYPE_CHECKING:
    from blasso_flow.scoring import Score, Scores

HEADER = ("channel", "found", "true", "hits", "precision", "recall", "F1", "Jaccard", "position RMSE", "weight RMSE", "coverage")


@click.command(
    epilog=options.example(
        "blasso-flow recover data/gaussian.h5 -o scored.h5 --no-plot", "blasso-flow score scored.h5 --tolerance 0.01"
    )
)
@click.argument("result", metavar="RESULT")
@click.argument("truth", metavar="[TRUTH]", required=False)
@click.option("--tolerance", type=float, help="Largest distance of a pair, axis units; default: half a width of the filter.")
@click.option("--json", "as_json", is_flag=True, help="JSON, every digit.")
def score(result: str, truth: str | None, tolerance: float | None, as_json: bool) -> None:
    """Compare a result with the truth.

    Found and true spikes are paired so that as many as possible lie within the tolerance, at the least total distance.
    TRUTH is a signal file with /truth; default: the signal that the result was made from.
    """
    from blasso_flow.cli.stored import result_with_signal
    from blasso_flow.scoring import score as compare

    recovery, signal = result_with_signal(result, truth)
    if signal.truth is None:
        raise DataError(f"{signal.name}: no /truth in this signal", mend="name a signal file that has it")
    if tolerance is None:
        from blasso_flow.audit import stored_filter

        filter = stored_filter(signal, recovery.settings)
        tolerance = 0.5 * filter.width * filter.spacing
    period = signal.axis.size * signal.axis.spacing if signal.axis.periodic else None
    scores = compare(recovery.spikes, signal.truth, tolerance, channels=len(recovery.channels), period=period)
    click.echo(
        json.dumps(scores.as_dict(), indent=2, allow_nan=False) if as_json else "\n".join(score_lines(scores, signal.axis.units))
    )


def score_lines(scores: Scores, units: str) -> list[str]:
    """Channels (at most 20), then all together."""
    several = len(scores.channels) > 1
    rows = [_row(str(number), channel) for number, channel in enumerate(scores.channels[:MOST_ROWS] if several else ())]
    hidden = len(scores.channels) - MOST_ROWS
    rows.append(_row("all", scores.overall))
    lines = table(HEADER, rows)
    if hidden > 0:
        lines.insert(-1, f"... and {hidden} more channels")
    overall, unit = scores.overall, f" {units}" if units else ""
    return [
        *lines,
        f"tolerance {scores.tolerance:.4g}{unit}; position bias {short(overall.position_bias)}{unit}; "
        f"relative weight error {short(overall.weight_relative_rmse)} (bias {short(overall.weight_relative_bias)})",
        f"95 % intervals hold {short(overall.position_coverage)} of positions, {short(overall.weight_coverage)} of weights",
    ]


def _row(name: str, score: Score) -> list[str]:
    ratios = (
        score.precision,
        score.recall,
        score.f1,
        score.jaccard,
        score.position_rmse,
        score.weight_rmse,
        score.position_coverage,
    )
    return [name, str(score.found), str(score.true), str(score.true_positives), *map(short, ratios)]
