"""`blasso-flow plot`: the figures of a result, again."""

from __future__ import annotations

from pathlib import Path

import click

from blasso_flow.cli import options
from blasso_flow.cli.outcome import say
from blasso_flow.cli.streams import STREAM, check_inputs, check_output, input_path
from blasso_flow.errors import UsageError

KINDS = ("summary", "fit", "certificate", "gap")


@click.command(
    epilog=options.example(
        "blasso-flow recover data/gaussian.h5 -o drawn.h5 --no-plot", "blasso-flow plot drawn.h5 --kind certificate -o eta.pdf"
    )
)
@click.argument("result", metavar="RESULT")
@click.argument("signal", metavar="[SIGNAL]", required=False)
@options.choice_option("--kind", KINDS, "Which figure.")
@click.option("--channel", type=int, help="One of many channels; default: an overview of all, channel 0 for --kind.")
@click.option(
    "-o", "--output", metavar="FILE", help="The figure; default: RESULT's name with the format's suffix, in this folder."
)
@click.option("--plot-format", type=click.Choice(["png", "svg", "pdf"]), help="Format; default: from the suffix, else png.")
@options.force_option
@options.message_options
def plot(
    result: str,
    signal: str | None,
    kind: str,
    channel: int | None,
    output: str | None,
    plot_format: str | None,
    force: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Draw a result again.

    The summary holds signal, fit, baseline, residual, spikes with error bars, the certificate between its lines at +-1, and
    the gap against rounds; with many channels, a raster of all spikes. SIGNAL is needed where the result does not
    know its path, as after a pipe.
    """
    inputs = [result] if signal is None else [result, signal]
    check_inputs(inputs)
    path = input_path(result)
    if output is None and path == STREAM:
        raise UsageError("standard input has no name to make a figure's from", mend="give --output FILE")
    target = output or f"{Path(path).stem}.{plot_format or 'png'}"
    check_output(target, force=force, inputs=inputs)
    from blasso_flow.cli.stored import result_with_signal
    from blasso_flow.plots import draw_certificate, draw_fit, draw_gap, draw_recovery, figure_format, save_figure

    figure_format(target, plot_format)
    recovery, _ = result_with_signal(result, signal)
    if channel is not None and not 0 <= channel < len(recovery.channels):
        raise UsageError("no such channel", received=channel, allowed=f"0 to {len(recovery.channels) - 1}")
    if kind == "summary":
        figure = draw_recovery(recovery, channel)
    else:
        draw = {"fit": draw_fit, "certificate": draw_certificate, "gap": draw_gap}[kind]
        figure = draw(recovery, channel or 0)
    save_figure(figure, target, plot_format)
    if not quiet:
        say(f"wrote {target}")
