"""`blasso-flow recover`: recordings in, certified spikes and a figure out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blasso_flow.cli import options
from blasso_flow.cli.outcome import report, say
from blasso_flow.cli.streams import STREAM, check_inputs, check_output, input_path
from blasso_flow.errors import BlassoFlowError, DataError, RunError, UnconvergedError, UsageError

if TYPE_CHECKING:
    from blasso_flow.spikes import Recovery

FAILED = {"all_missing", "failed"}


@dataclass(frozen=True)
class Job:
    """One recording and where its result and figure go; ``result`` may be `-`."""

    signal: str
    result: str
    figure: str | None

    @property
    def name(self) -> str:
        """For messages."""
        return "standard input" if self.signal == STREAM else self.signal


@dataclass(frozen=True)
class Manner:
    """How a job is carried out: what is read, written and said."""

    settings: Mapping[str, Any]
    spacing: float | None
    max_memory: int | None
    save_fit: bool
    rate_width: float | None
    force: bool
    quiet: bool
    verbose: bool
    fit_filter: str | None = None  # a filter with ranges


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
@options.exposure_option
@options.stamp_options
@options.normalisation_option
@options.sign_option
@click.option(
    "--baseline",
    callback=options.read_baseline,
    default="const",
    show_default=True,
    metavar="RULE",
    help="What the spikes stand on, fitted along: none, const, poly:degree=2, spline:knot=LENGTH (cubic), exp (decaying, "
    "rate fitted) or exp:rate=R; or percentile:window=LENGTH, a running percentile taken off beforehand. Axis units.",
)
@click.option(
    "--margin",
    callback=options.read_pair,
    default="0",
    metavar="LENGTH",
    help="How far outside the record spikes may sit, axis units: one number, or BEFORE,AFTER.",
)
@click.option("--noise-sd", type=float, help="Standard deviation of the noise; default: the file's, or estimated.")
@click.option(
    "--strength",
    default="auto",
    show_default=True,
    metavar="RULE",
    help="Penalty: auto (from noise and --false-alarms), 0.5auto, 0.05max, or a number.",
)
@click.option("--false-alarms", type=float, default=0.05, show_default=True, help="Expected number of false spikes a channel.")
@click.option("--tol", type=float, default=1e-6, show_default=True, help="Relative duality gap to prove.")
@click.option("--tol-noise", type=float, default=0.5, show_default=True, help="Gap to prove in units of the noise variance.")
@click.option("--max-rounds", type=int, default=60, show_default=True, help="Rounds of the solver before it gives up.")
@click.option(
    "--loss",
    type=click.Choice(["squared", "poisson"]),
    default="squared",
    show_default=True,
    help="Squared error, or the Poisson likelihood for counts.",
)
@click.option("--max-spikes", type=int, metavar="K", help="Keep the K most significant spikes of a channel in the refit.")
@click.option("--refit/--no-refit", default=True, show_default=True, help="Refit the spikes without penalty and prune them.")
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
    explicit_plot = plot and ctx.get_parameter_source("plot") is click.core.ParameterSource.COMMANDLINE
    jobs = planned(signals, output, output_dir, plot_format if plot else "", force)
    if explicit_plot and output == STREAM:
        raise UsageError(
            "--plot needs a named output", received="--output -", mend="name a file, or draw it later with `blasso-flow plot`"
        )
    settings = {"filter": None if fit_filter else _described(filter_text), "positive": positive, **settings}
    ranges = _ranges(filter_text) if fit_filter else None
    manner = Manner(settings, spacing, max_memory, save_fit, rate_width, force, quiet, verbose, ranges)
    outcomes = [_attempt(job, manner, len(jobs) > 1) for job in jobs]
    failures = [outcome for outcome in outcomes if isinstance(outcome, BlassoFlowError)]
    hard = [failure for failure in failures if not isinstance(failure, UnconvergedError)]
    if hard and len(hard) == len(jobs):
        ctx.exit(hard[0].exit_code)
    if hard or (failures and not accept_unconverged):
        ctx.exit(UnconvergedError.exit_code)


def planned(signals: tuple[str, ...], output: str | None, output_dir: str | None, figure_format: str, force: bool) -> list[Job]:
    """Inputs with their outputs, every one checked before any work starts."""
    if output is not None and output_dir is not None:
        raise UsageError("--output and --output-dir exclude each other", mend="give one of them")
    if output is not None and len(signals) > 1:
        raise UsageError("--output names one file", received=f"{len(signals)} signals", mend="give --output-dir")
    check_inputs(signals)
    if output == STREAM:
        check_output(output, force=force)
        return [Job(signals[0], STREAM, None)]
    folder = _folder(output_dir)
    jobs = []
    for signal in signals:
        result = Path(output) if output is not None else folder / default_name(signal)
        jobs.append(Job(signal, str(result), str(result.with_suffix(f".{figure_format}")) if figure_format else None))
    taken: set[str] = set()
    for job in jobs:
        for target in (job.result, job.figure):
            if target in taken:
                raise UsageError(
                    "two outputs have the same name", received=target, mend="recover these signals one by one, with --output"
                )
            if target is not None:
                check_output(target, force=force, inputs=signals)
                taken.add(target)
    return jobs


def _folder(output_dir: str | None) -> Path:
    folder = Path(output_dir or ".")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError("--output-dir cannot be made", received=output_dir, mend=f"{error.strerror}".lower()) from None
    return folder


def default_name(signal: str) -> str:
    """NAME.spikes.h5 for NAME.h5, NAME.hdf5, NAME.out, ..."""
    path = input_path(signal)
    if path == STREAM:
        raise UsageError(
            "standard input has no name to make an output from", mend="give --output FILE, or --output - for standard output"
        )
    return f"{Path(path).stem}.spikes.h5"


def _described(text: str | None) -> object:
    """A bad filter is refused before any file is opened."""
    if text is None:
        return None
    from blasso_flow import filters

    return filters.describe(text)


def _ranges(text: str | None) -> str:
    """A filter that cannot be fitted is refused before any file is opened."""
    from blasso_flow.filter_fit import parse_ranges

    if text is None:
        raise UsageError("--fit-filter needs a filter with ranges", mend="give --filter, as in gaussian:sd=0.005..0.08")
    parse_ranges(text)
    return text


def _attempt(job: Job, manner: Manner, several: bool) -> BlassoFlowError | None:
    """Carry out one job. Its error is printed here, so that the next file is still worked on."""
    try:
        _carry_out(job, manner, several)
    except BlassoFlowError as error:
        report(error)
        return error
    return None


def _carry_out(job: Job, manner: Manner, several: bool) -> None:
    from blasso_flow.cli.channels import channel_lines, closing_line, note_lines, rule_lines
    from blasso_flow.cli.progress import progress
    from blasso_flow.files import open_signal
    from blasso_flow.kernels import announce_compilation
    from blasso_flow.rates import check_width
    from blasso_flow.recovery import recover as recover_signal

    with open_signal(job.signal, spacing=manner.spacing, max_memory=manner.max_memory) as file:
        if manner.rate_width is not None:
            check_width(manner.rate_width, file.axis)
        signal, identity = file.read(), file.identity
    settings = dict(manner.settings)
    fitted = None
    if manner.fit_filter is not None:
        from blasso_flow.cli.fit_filter import fitted_filter

        fitted = fitted_filter(signal, manner.fit_filter, settings, quiet=manner.quiet)
        settings["filter"] = fitted.filter
    if not manner.quiet:
        announce_compilation(lambda: say("compiling kernels, first run only"))
    with progress(signal.channels, job.name, shown=not manner.quiet) as callbacks:
        recovery = recover_signal(signal, on_channel=callbacks.get("on_channel"), on_round=callbacks.get("on_round"), **settings)
    if fitted is not None:
        recovery = replace(
            recovery,
            channels=[replace(report, notes=(*report.notes, *fitted.notes, fitted.sentence)) for report in recovery.channels],
            settings={**recovery.settings, "filter_fit": fitted.described()},
        )
    if all(channel.status in FAILED for channel in recovery.channels):
        raise DataError(f"{job.name}: no channel could be recovered", mend=recovery.channels[0].message)
    _write(job, recovery, identity, manner)
    if not manner.quiet:
        lines = channel_lines(recovery, signal.units, everything=manner.verbose)
        click.echo("\n".join([f"{job.name}:", *lines] if several else lines), err=job.result == STREAM)
        for line in [*(rule_lines(recovery) if manner.verbose else ()), *note_lines(recovery)]:
            say(line)
        say(closing_line(recovery, [path for path in (job.result, job.figure) if path not in (STREAM, None)]))
    _refuse_unconverged(job, recovery)


def _write(job: Job, recovery: Recovery, identity: Mapping[str, object], manner: Manner) -> None:
    """Result, then figure."""
    from blasso_flow.files import write_result

    write_result(
        recovery,
        job.result,
        provenance={"argv": ["blasso-flow", *sys.argv[1:]], "input": identity},
        overwrite=manner.force,
        save_fit=manner.save_fit,
        rate_width=manner.rate_width,
        inputs=[input_path(job.signal)],
    )
    if job.figure is not None:
        from blasso_flow.plots import draw_recovery, save_figure

        save_figure(draw_recovery(recovery), job.figure)


def _refuse_unconverged(job: Job, recovery: Recovery) -> None:
    """Raise `UnconvergedError` when a channel did not end converged."""
    bad = [(number, channel) for number, channel in enumerate(recovery.channels) if channel.status != "converged"]
    if bad:
        number, channel = bad[0]
        raise UnconvergedError(
            f"{job.name}: {len(bad)} of {len(recovery.channels)} channels did not converge; channel {number}: {channel.status}",
            mend=channel.message,
        )
