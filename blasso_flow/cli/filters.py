"""`blasso-flow filters`: what filters there are, and what one looks like."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from blasso_flow.cli import options
from blasso_flow.cli.numbers import table
from blasso_flow.cli.outcome import say
from blasso_flow.cli.streams import check_output
from blasso_flow.errors import UsageError

if TYPE_CHECKING:
    from blasso_flow.filters import Filter
    from blasso_flow.filters.kinds import FilterKind

FINE = 40  # samples a width when no spacing is given: a figure needs no coarser one
MOST_SAMPLES = 1_000_000
PERIODIC_SAMPLES = 1000


@click.command(epilog=options.example("blasso-flow filters gaussian:sd=0.02 --plot gaussian.png"))
@click.argument("spec", metavar="[NAME:KEY=VALUE,...]", required=False)
@click.option("--plot", "figure", metavar="FILE", help="Draw response and slope into a png, svg or pdf file.")
@click.option("--spacing", type=float, help="Axis units a sample; default: 40 samples a width.")
@click.option("--samples", type=int, help="Length of the record, for filters that depend on it; default: what the filter needs.")
@options.normalisation_option
@options.force_option
def filters(
    spec: str | None, figure: str | None, spacing: float | None, samples: int | None, normalisation: str, force: bool
) -> None:
    """List the filters with their parameters, or describe and draw one.

    Lengths are in axis units: a filter for a signal on a time axis in seconds has its widths in seconds.
    """
    from blasso_flow.filters import KINDS

    if spec is None:
        if figure is not None:
            raise UsageError("--plot needs a filter", mend="as in `blasso-flow filters gaussian:sd=0.02 --plot f.png`")
        click.echo("\n\n".join("\n".join(kind_lines(kind)) for kind in KINDS.values()))
        return
    if figure is not None:
        from blasso_flow.plots import draw_filter, figure_format, save_figure

        figure_format(figure)
        check_output(figure, force=force)
    tabulated = _tabulated(spec, spacing, samples, normalisation)
    for line in filter_lines(tabulated):
        click.echo(line)
    if figure is not None:
        save_figure(draw_filter(tabulated), figure)
        say(f"wrote {figure}")


def kind_lines(kind: FilterKind) -> list[str]:
    """One filter and its parameters."""
    marks = [word for word, holds in (("periodic", kind.periodic), ("causal", kind.causal)) if holds]
    lines = [f"{kind.name}: {kind.summary}" + (f" ({', '.join(marks)})" if marks else "")]
    if kind.parameters:
        rows = [
            [f"  {parameter.name}", parameter.dimension, parameter.allowed(), kind.need(parameter), parameter.meaning]
            for parameter in kind.parameters
        ]
        lines += table(["  parameter", "dimension", "range", "default", "meaning"], rows, left=range(5))
    return lines


def filter_lines(filter: Filter) -> list[str]:
    """What a table says of its filter, lengths in axis units."""
    low, high = (lag * filter.spacing for lag in filter.support)
    return [
        f"filter         {filter.description}",
        f"normalisation  {filter.normalisation}",
        f"width          {filter.width * filter.spacing:.6g} ({filter.width:.4g} samples of {filter.spacing:.4g})",
        f"support        {low:.6g} to {high:.6g} ({filter.taps} samples)",
        f"table          {filter.cells} cells a sample, error {filter.error:.1g} of the peak",
    ]


def _tabulated(spec: str, spacing: float | None, samples: int | None, normalisation: str) -> Filter:
    """The filter's table; without a spacing, one fine enough for a figure."""
    from blasso_flow.data.signals import Axis
    from blasso_flow.filters import build, describe, kind_of
    from blasso_flow.filters.exposure import designed

    description = describe(spec)
    kind = kind_of(description.kind)
    if kind.periodic:  # the record is the period: 1 when nothing else is said
        samples = samples or PERIODIC_SAMPLES
        return build(description, Axis(0.0, spacing or 1 / samples, samples, periodic=True), normalisation)
    if spacing is None:
        spacing = designed(kind, description, 1.0, samples or 1).width / FINE
    if samples is None:
        reach = designed(kind, description, spacing, MOST_SAMPLES).support
        samples = min(MOST_SAMPLES, max(2, math.ceil(reach[1] - reach[0])))
    return build(description, Axis(0.0, spacing, samples), normalisation)
