"""How `recover` carries out one recording: read, solve, write, say what came out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from blasso_flow.cli.outcome import report, say
from blasso_flow.cli.outputs import Job
from blasso_flow.cli.streams import STREAM, input_path
from blasso_flow.errors import BlassoFlowError, DataError, UnconvergedError

if TYPE_CHECKING:
    from blasso_flow.spikes import Recovery

FAILED = {"all_missing", "failed"}


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


def attempt(job: Job, manner: Manner, several: bool) -> BlassoFlowError | None:
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
