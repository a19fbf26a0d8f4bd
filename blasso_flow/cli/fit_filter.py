"""`blasso-flow fit-filter`: a filter's parameters from the data, with the profile they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blasso_flow.cli import options
from blasso_flow.cli.outcome import say
from blasso_flow.cli.progress import announce_compiling
from blasso_flow.cli.streams import STREAM, check_output, input_path
from blasso_flow.errors import UsageError

if TYPE_CHECKING:
    from blasso_flow.data.signals import Signal
    from blasso_flow.recovery.filter_fit import FilterFit


@click.command(
    name="fit-filter",
    epilog=options.example("blasso-flow fit-filter data/gaussian.h5 --filter gaussian:sd=0.005..0.08"),
)
@click.argument("signal", metavar="SIGNAL")
@click.option(
    "--filter",
    "filter_text",
    metavar="NAME:KEY=LOW..HIGH,...",
    required=True,
    help="The filter with one or two parameters as ranges, lengths in axis units.",
)
@click.option("--spacing", type=float, help="Axis units a sample, for datasets that do not say.")
@options.exposure_option
@options.loss_option
@options.sign_option
@options.baseline_option
@options.noise_option
@options.noise_kind_option
@click.option("-o", "--output", metavar="FILE", help="The figure; default: SIGNAL's name with .profile.png, in this folder.")
@options.force_option
@options.memory_option
@options.message_options
def fit_filter(
    signal: str,
    filter_text: str,
    spacing: float | None,
    output: str | None,
    force: bool,
    max_memory: int | None,
    quiet: bool,
    verbose: bool,
    **settings: Any,
) -> None:
    """Fit a filter's parameters to a recording.

    The objective of recover is profiled over the ranges, over several channels together. Prints the fitted filter, ready
    for --filter, and draws the profile.
    """
    from blasso_flow.files import open_signal
    from blasso_flow.plots import draw_profile, figure_format, save_figure
    from blasso_flow.recovery.filter_ranges import parse_ranges

    parse_ranges(filter_text)
    if output is None and input_path(signal) == STREAM:
        raise UsageError("standard input has no name to make an output from", mend="give --output FILE")
    figure = output or f"{Path(input_path(signal)).stem}.profile.png"
    figure_format(figure)
    check_output(figure, force=force, inputs=(signal,))
    with open_signal(signal, spacing=spacing, max_memory=max_memory) as file:
        recording = file.read()
    fitted = fitted_filter(recording, filter_text, settings, quiet=quiet)
    click.echo(str(fitted.filter))
    save_figure(draw_profile(fitted, recording.axis.units), figure)
    if not quiet:
        say(f"wrote {figure}")


def fitted_filter(signal: Signal, text: str, settings: dict[str, Any], *, quiet: bool) -> FilterFit:
    """The filter fitted to a signal; what it took and its warnings go to standard error."""
    from blasso_flow.recovery.filter_fit import fit_filter as fit
    from blasso_flow.recovery.filter_ranges import parse_ranges
    from blasso_flow.recovery.settings import Settings

    if not quiet:
        announce_compiling()
    fitted = fit(signal, parse_ranges(text), Settings(**settings))
    if not quiet:
        counted = f"{len(fitted.objectives)} filters tried on {len(fitted.channels)} of {signal.channels} channels"
        say(f"fitted filter {fitted.filter} ({counted}); the proof holds at the fitted parameters")
        for note in fitted.notes:
            say(f"note: {note}")
    return fitted
