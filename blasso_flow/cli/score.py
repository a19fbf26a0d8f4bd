"""`blasso-flow score`: a result against known truth."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from blasso_flow.cli import options
from blasso_flow.cli.channels import MOST_ROWS, with_units
from blasso_flow.cli.numbers import short, table
from blasso_flow.errors import DataError, UsageError

if TYPE_CHECKING:
    from blasso_flow.truth.alignment import Offset
    from blasso_flow.truth.scoring import Score, Scores

HEADER = ("channel", "found", "true", "hits", "precision", "recall", "F1", "Jaccard", "position RMSE", "weight RMSE", "coverage")


@click.command(
    epilog=options.example(
        "blasso-flow recover data/gaussian.h5 -o scored.h5 --no-plot", "blasso-flow score scored.h5 --tolerance 0.01"
    )
)
@click.argument("result", metavar="RESULT")
@click.argument("truth", metavar="[TRUTH]", required=False)
@click.option("--tolerance", type=float, help="Largest distance of a pair, axis units; default: half a width of the filter.")
@click.option(
    "--offset",
    "offset_text",
    metavar="fit|NUMBER",
    help="What found positions are expected to lie after the true ones, axis units; fit: the number that gives most pairs.",
)
@click.option(
    "--offset-by",
    type=click.Choice(["group", "order"]),
    help="One fitted offset for each /truth/group, or for the first, second, ... true spike of a channel.",
)
@click.option("--rate-bin", type=float, metavar="WIDTH", help="Correlate rates in bins of WIDTH, axis units.")
@click.option(
    "--rate-width", type=float, default=0.0, metavar="WIDTH", help="Smooth the found spikes for that by a Gaussian of sd WIDTH."
)
@click.option("--json", "as_json", is_flag=True, help="JSON, every digit.")
def score(
    result: str,
    truth: str | None,
    tolerance: float | None,
    offset_text: str | None,
    offset_by: str | None,
    rate_bin: float | None,
    rate_width: float,
    as_json: bool,
) -> None:
    """Compare a result with the truth.

    Found and true spikes are paired so that as many as possible lie within the tolerance, at the least total distance.
    With --offset or --offset-by the true positions are moved by a constant first. --rate-bin adds the correlation of the
    rates: weights, and counts, found in each bin with the number of true spikes; bins without samples are left out.
    TRUTH is a signal file with /truth; default: the signal that the result was made from.
    """
    given = _offset(offset_text, offset_by)
    import numpy as np

    from blasso_flow.answer.rates import correlations
    from blasso_flow.cli.stored import result_with_signal
    from blasso_flow.truth import alignment
    from blasso_flow.truth.scoring import score as compare

    recovery, signal = result_with_signal(result, truth)
    if signal.truth is None:
        raise DataError(f"{signal.name}: no /truth in this signal", mend="name a signal file that has it")
    if tolerance is None:
        from blasso_flow.audit.audit import stored_filter

        filter = stored_filter(signal, recovery.settings)
        tolerance = 0.5 * filter.width * filter.spacing
    period = signal.axis.size * signal.axis.spacing if signal.axis.periodic else None
    found, known = recovery.spikes, signal.truth
    group = alignment.groups_by(known, offset_by)
    offsets = {int(number): given or 0.0 for number in np.unique(group)}
    if given is None and known.position.size:
        offsets = alignment.fitted(found, known, tolerance, group, period)
    moved = alignment.shifted(known, group, offsets)
    scores = compare(found, moved, tolerance, channels=len(recovery.channels), period=period)
    aligned = alignment.summary(scores, found, moved, group, offsets) if offset_text or offset_by else ()
    present = ~np.isnan(np.atleast_2d(signal.values))
    rates = correlations(found, moved, signal.axis, rate_bin, rate_width, present) if rate_bin is not None else []
    if as_json:
        extra = {"offsets": [row.as_dict() for row in aligned], "rate": _rate_document(rates, rate_bin, rate_width)}
        click.echo(json.dumps({**scores.as_dict(), **extra}, indent=2, allow_nan=False))
        return
    lines = [*score_lines(scores, signal.axis.units), *offset_lines(aligned, signal.axis.units), *_rate_lines(rates, rate_bin)]
    click.echo("\n".join(lines))


def _offset(text: str | None, by: str | None) -> float | None:
    """The offset of --offset and --offset-by: a number, or None to fit it."""
    if text is None:
        return None if by else 0.0
    if text == "fit":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if by is not None or not math.isfinite(value):
        what = "--offset with --offset-by" if by else "--offset cannot be read"
        raise UsageError(what, received=text, allowed="fit" if by else "fit, or a finite number")
    return value


def offset_lines(aligned: Sequence[Offset], units: str) -> list[str]:
    """A table of the groups' offsets."""
    if not aligned:
        return []
    header = ["group", with_units("offset", units), "true", "hits", "recall", with_units("mean error", units)]
    rows = [
        [str(row.group), short(row.offset, 5), str(row.true), str(row.hits), short(row.recall), short(row.mean_error)]
        for row in aligned
    ]
    return ["", *table(header, rows)]


def _mean_rates(rates: Sequence[tuple[float, float]]) -> list[float]:
    """Mean correlation over the channels that have one, by weight and by count; NaN without any."""
    columns = [[value for value in column if math.isfinite(value)] for column in zip(*rates, strict=True)]
    return [sum(column) / len(column) if column else math.nan for column in columns]


def _rate_lines(rates: Sequence[tuple[float, float]], rate_bin: float | None) -> list[str]:
    if not rates:
        return []
    by_weight, by_count = _mean_rates(rates)
    return [f"correlation of rates in bins of {rate_bin:g}: {short(by_weight)} by weight, {short(by_count)} by count (mean)"]


def _rate_document(rates: Sequence[tuple[float, float]], rate_bin: float | None, width: float) -> dict[str, object] | None:
    if not rates:
        return None

    def plain(pair: Sequence[float]) -> dict[str, float | None]:
        return {name: x if math.isfinite(x) else None for name, x in zip(("weight", "count"), pair, strict=True)}

    return {"bin": rate_bin, "width": width, "mean": plain(_mean_rates(rates)), "channels": [plain(pair) for pair in rates]}


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
