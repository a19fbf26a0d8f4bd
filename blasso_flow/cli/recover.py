"""`blasso-flow recover`: recordings in, certified spikes and a figure out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from blasso_flow.cli import options
from blasso_flow.cli.outputs import planned
from blasso_flow.cli.progress import opened_log
from blasso_flow.cli.recovering import Manner, attempt
from blasso_flow.cli.streams import STREAM
from blasso_flow.errors import BlassoFlowError, UnconvergedError, UnfitError, UsageError


@click.command(
    epilog=options.example(
        "blasso-flow recover data/gaussian.h5",
        "blasso-flow recover data/ricker.h5 --signed --strength 0.01max -o reflectors.h5",
    )
)
@click.argument("signals", metavar="SIGNAL...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="The result, - for standard output; default: SIGNAL's name with .spikes.h5, in this folder.",
)
@click.option("--output-dir", metavar="DIR", help="Folder for results and figures, made if missing.")
@options.filter_options
@click.option("--fit-filter", is_flag=True, help="First fit the parameters that --filter gives as ranges LOW..HIGH to the data.")
@click.option(
    "--width-law",
    callback=options.read_law,
    metavar="A,B",
    help="In place of --filter: Gaussians whose width changes along the axis, sd^2 = A + B x position, axis units.",
)
@options.exposure_option
@options.stamp_options
@options.sampling_rate_option
@options.normalisation_option
@options.sign_option
@options.baseline_option
@click.option(
    "--margin",
    callback=options.read_pair,
    default="0",
    metavar="LENGTH",
    help="How far outside the record spikes may sit, axis units: one number, or BEFORE,AFTER.",
)
@options.noise_option
@options.noise_kind_option
@click.option(
    "--strength",
    default="auto",
    show_default=True,
    metavar="RULE",
    help="Penalty: auto (from noise and --false-alarms), 0.5auto, 0.05max, or a number.",
)
@options.false_alarms_option
@options.false_discoveries_option
@click.option("--tol", type=float, default=1e-6, show_default=True, help="Relative duality gap to prove.")
@click.option("--tol-noise", type=float, default=0.5, show_default=True, help="Gap to prove in units of the noise variance.")
@click.option("--max-rounds", type=int, default=60, show_default=True, help="Rounds of the solver before it gives up.")
@options.flow_options
@options.loss_option
@click.option(
    "--max-spikes", type=int, metavar="K", help="Of the spikes that pruning leaves, keep the K most significant of a channel."
)
@click.option("--refit/--no-refit", default=True, show_default=True, help="Refit the spikes without penalty and prune them.")
@click.option(
    "--refit-width", is_flag=True, help="Fit a width to every spike in the refit; the proof is about the filter as given."
)
@click.option("--save-fit", is_flag=True, help="Store model, residual and baseline in the result.")
@click.option(
    "--rate",
    "rate_width",
    type=float,
    metavar="WIDTH",
    help="Store rates: spikes smoothed by a Gaussian of sd WIDTH (axis units).",
)
@options.plot_options
@options.force_option
@click.option("--accept-unconverged", is_flag=True, help="Exit 0 even if channels failed or did not reach the tolerance.")
@click.option(
    "--require-fit",
    type=click.Choice(["good", "doubtful"]),
    help="Exit 3, after everything is written, if the fit of a channel is below that: doubtful accepts all but wrong ones.",
)
@options.batch_options
@options.memory_option
@options.message_options
def recover(
    signals: tuple[str, ...],
    output: str | None,
    output_dir: str | None,
    filter_text: str | None,
    fit_filter: bool,
    spacing: float | None,
    positive: bool,
    save_fit: bool,
    rate_width: float | None,
    plot: bool,
    plot_format: str,
    force: bool,
    accept_unconverged: bool,
    jobs: int | None,
    threads: int | None,
    scheduler: str | None,
    resume: bool,
    require_fit: str | None,
    fail_fast: bool,
    log_json: str | None,
    max_memory: int | None,
    quiet: bool,
    verbose: bool,
    **settings: Any,
) -> None:
    """Recover the spikes of recordings, with a proof of optimality.

    SIGNAL is an HDF5 file, FILE::/dataset, or - for standard input. Writes NAME.spikes.h5 and its figure NAME.spikes.png
    into this folder, and prints a table of channels.
    """
    ctx = click.get_current_context()

    def given(name: str) -> bool:
        return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE

    if settings["false_discoveries"] is not None and given("false_alarms"):
        raise UsageError("--false-alarms and --false-discoveries exclude each other", mend="give one of them")
    explicit_plot = plot and given("plot")
    if fail_fast and accept_unconverged:
        raise UsageError("--fail-fast and --accept-unconverged exclude each other", mend="give one of them")
    recordings = planned(signals, output, output_dir, plot_format if plot else "", force, resume)
    if explicit_plot and output == STREAM:
        raise UsageError(
            "--plot needs a named output", received="--output -", mend="name a file, or draw it later with `blasso-flow plot`"
        )
    if fit_filter and settings["width_law"] is not None:
        raise UsageError("--width-law and --fit-filter exclude each other", mend="give one of them")
    settings = {"filter": None if fit_filter else _described(filter_text), "positive": positive, **settings}
    ranges = _ranges(filter_text) if fit_filter else None
    manner = Manner(settings, spacing, max_memory, save_fit, rate_width, force, quiet, verbose, ranges)
    failures: list[BlassoFlowError] = []
    with opened_log(log_json) as log:
        manner = replace(manner, jobs=jobs, threads=threads, scheduler=scheduler, resume=resume, fail_fast=fail_fast, log=log)
        manner = replace(manner, require_fit=require_fit)
        for recording in recordings:
            failures += attempt(recording, manner, len(recordings) > 1)
            if fail_fast and any(not isinstance(failure, UnfitError) for failure in failures):
                break
    hard = [failure for failure in failures if not isinstance(failure, UnconvergedError | UnfitError)]
    if hard and len(hard) == len(recordings):
        ctx.exit(hard[0].exit_code)
    accepted = UnconvergedError if accept_unconverged else ()
    if any(not isinstance(failure, accepted) for failure in failures):
        ctx.exit(UnconvergedError.exit_code)


def _described(text: str | None) -> object:
    """The filter that a text describes: a bad one is refused here, before any file is opened."""
    if text is None:
        return None
    from blasso_flow import filters

    return filters.describe(text)


def _ranges(text: str | None) -> str:
    """The text of a filter with ranges: one that cannot be fitted is refused here, before any file is opened."""
    from blasso_flow.recovery.filter_ranges import parse_ranges

    if text is None:
        raise UsageError("--fit-filter needs a filter with ranges", mend="give --filter, as in gaussian:sd=0.005..0.08")
    parse_ranges(text)
    return text
