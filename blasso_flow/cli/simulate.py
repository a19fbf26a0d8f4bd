"""`blasso-flow simulate`: signals with known truth."""

from __future__ import annotations

from typing import Any

import click

from blasso_flow.cli import options
from blasso_flow.cli.outcome import say
from blasso_flow.cli.streams import STREAM, check_output


@click.command(
    epilog=options.example(
        "blasso-flow simulate --filter gaussian:sd=0.02 --range 0 1 --spikes 10 --min-separation 0.05 --snr 20 -o made.h5"
    )
)
@click.option("--filter", metavar="NAME:KEY=VALUE,...", required=True, help="The filter, lengths in axis units.")
@options.exposure_option
@click.option("--samples", type=int, default=1000, show_default=True, help="Samples of each channel.")
@click.option(
    "--range", "extent", type=float, nargs=2, metavar="FIRST LAST", help="First and last position; default: 0 and samples - 1."
)
@click.option("--spikes", type=int, default=10, show_default=True, help="Spikes of each channel.")
@click.option("--min-separation", type=float, default=0.0, show_default=True, help="Least distance between spikes, axis units.")
@click.option(
    "--end-distance", type=float, default=0.0, show_default=True, help="Least distance of a spike from either end, axis units."
)
@options.choice_option("--ends", ["anywhere", "on"], "`on` puts the outermost spikes on the two ends.")
@click.option("--snr", type=float, help="Mean square of the filtered spikes over noise variance, dB.")
@click.option("--noise-sd", type=float, help="Standard deviation of the noise; default without --snr: no noise.")
@click.option("--counts", is_flag=True, help="Draw Poisson counts; --offset is then the background a sample.")
@options.sign_option
@click.option(
    "--weights",
    type=float,
    nargs=2,
    default=(0.5, 1.5),
    show_default=True,
    metavar="LOW HIGH",
    help="Range of the weights' magnitudes.",
)
@click.option("--channels", type=int, default=1, show_default=True, help="Number of channels.")
@click.option("--missing", type=float, default=0.0, show_default=True, help="Share of samples that are missing.")
@click.option("--offset", type=float, default=0.0, show_default=True, help="Constant added to every sample.")
@options.normalisation_option
@click.option("--axis-name", default="position", show_default=True, help="Name of the axis, as time or energy.")
@click.option("--axis-units", default="", help="Units of the axis, as s or nm.")
@click.option("--units", default="", help="Units of the samples.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same file.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The signal file, - for standard output.")
@options.force_option
@options.message_options
def simulate(
    extent: tuple[float, float] | None, axis_name: str, output: str, force: bool, quiet: bool, verbose: bool, **settings: Any
) -> None:
    """Write a signal with known spikes, to try the other commands on."""
    check_output(output, force=force)
    from blasso_flow.files import write_signal
    from blasso_flow.truth.simulation import simulate as draw

    first, last = extent or (0.0, None)
    signal = draw(first=first, last=last, name=axis_name, **settings)
    write_signal(signal, output, overwrite=force)
    if not quiet:
        spikes = settings["spikes"]
        say(
            f"{signal.channels} x {signal.axis.size} samples, {spikes} spikes a channel"
            + (f"; wrote {output}" if output != STREAM else "")
        )
