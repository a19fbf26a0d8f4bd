"""How `recover` carries out one recording: read, solve in blocks, write, say what came out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import click

from blasso_flow.cli import shortfalls
from blasso_flow.cli.channels import Account
from blasso_flow.cli.outcome import report, say
from blasso_flow.cli.outputs import Recording, refuse_other
from blasso_flow.cli.progress import Log, Progress, announce_compiling, rounds_shown
from blasso_flow.cli.streams import STREAM, input_path
from blasso_flow.errors import BlassoFlowError, DataError, RunError, UnconvergedError

if TYPE_CHECKING:
    from blasso_flow.batches.executors import Crew
    from blasso_flow.batches.journal import Journal
    from blasso_flow.batches.sample import Sample
    from blasso_flow.batches.worker import Task
    from blasso_flow.data.signals import Signal
    from blasso_flow.files import SignalFile
    from blasso_flow.filters import Filter


@dataclass(frozen=True)
class Manner:
    """How recordings are recovered: what is read, written and printed, and by how many workers channels are solved."""

    settings: Mapping[str, Any]
    spacing: float | None
    max_memory: int | None
    save_fit: bool
    rate_width: float | None
    force: bool
    quiet: bool
    verbose: bool
    fit_filter: str | None = None  # a filter with ranges
    jobs: int | None = None
    threads: int | None = None
    scheduler: str | None = None
    resume: bool = False
    fail_fast: bool = False
    require_fit: str | None = None  # good or doubtful
    log: Log | None = None


@dataclass(frozen=True)
class Prepared:
    """A recording ready to be solved: its task, the filter's table, the settings as the result holds them, how many workers."""

    recording: Recording
    manner: Manner
    task: Task
    filter: Filter
    settings: Mapping[str, object]
    jobs: int
    log: Log

    @property
    def shift(self) -> float:
        """What is added to positions on the file's axis to give those of the result (axis units)."""
        return self.task.settings.time_shift(self.filter)


def attempt(recording: Recording, manner: Manner, several: bool) -> list[BlassoFlowError]:
    """Recover one recording. Its errors are printed here, so that the next file is still worked on."""
    try:
        failures = _carry_out(recording, manner, several)
    except BlassoFlowError as error:
        failures = [error]
    for failure in failures:
        report(failure)
    return failures


def _carry_out(recording: Recording, manner: Manner, several: bool) -> list[BlassoFlowError]:
    """Recover one recording; what is wanting although everything was written comes back."""
    from blasso_flow.answer.rates import check_width
    from blasso_flow.files import open_signal

    begun = monotonic()
    with open_signal(recording.signal, spacing=manner.spacing, max_memory=manner.max_memory) as file:
        if manner.rate_width is not None:
            check_width(manner.rate_width, file.axis)
        run = _prepared(recording, manner, file)
        if manner.resume and not manner.force and Path(recording.result).exists():
            refuse_other(recording, file.sha256, run.settings)
            if not manner.quiet:
                say(f"{recording.result} is there already")
            return shortfalls.of_stored(recording, manner.require_fit)
        if not manner.quiet:
            announce_compiling()
        _prepare_kernels(run)
        account = Account(everything=manner.verbose)
        with _journal(run, file) as journal:
            _solve(run, file, journal)
            _write(run, file, journal, account)
    if not manner.quiet:
        lines = account.lines(file.units)
        for line in account.fits() if file.channels == 1 else ():
            say(f"{recording.name}: {line}" if several else line)
        click.echo("\n".join([f"{recording.name}:", *lines] if several else lines), err=recording.result == STREAM)
        for line in [*(account.rules() if manner.verbose else ()), *account.notes()]:
            say(line)
        written = [path for path in (recording.result, recording.figure) if path not in (STREAM, None)]
        say(account.closing(monotonic() - begun, written))
    whole = account.overview
    counts = {"channels": whole.channels, "spikes": whole.spikes, **whole.statuses}
    run.log.write("end", signal=recording.name, **counts, fit=dict(whole.fits))
    return [*shortfalls.unconverged(recording, account), *shortfalls.unfit(recording, account, manner.require_fit)]


def _prepare_kernels(run: Prepared) -> None:
    from blasso_flow.batches import plan
    from blasso_flow.recovery.first_run import prepare

    settings = run.task.settings
    if run.manner.scheduler is None and settings.loss == "squared" and settings.width_law is None:
        prepare(run.filter, plan.available_cores())


def _prepared(recording: Recording, manner: Manner, file: SignalFile) -> Prepared:
    """Check the settings against the signal and fit its filter, both before any block is solved."""
    from blasso_flow.batches import plan
    from blasso_flow.batches.worker import Task, fingerprint
    from blasso_flow.files.guard import Memory
    from blasso_flow.recovery.channel import tabulated
    from blasso_flow.recovery.settings import Settings

    settings = dict(manner.settings)
    more: dict[str, object] = {}
    notes: tuple[str, ...] = ()
    if manner.fit_filter is not None:
        from blasso_flow.cli.fit_filter import fitted_filter

        channel_by_channel = cast("Signal", file)
        fitted = fitted_filter(channel_by_channel, manner.fit_filter, settings, quiet=manner.quiet)
        settings["filter"] = fitted.filter
        more, notes = {"filter_fit": fitted.described()}, (*fitted.notes, fitted.sentence)
    chosen = Settings(**settings, threads=1 if manner.threads is None else manner.threads)
    table = tabulated(file.described, chosen)
    path = file.path
    task = Task(
        settings=chosen,
        about=file.described,
        several=len(file.shape) == 2,
        path=path,
        dataset=file.dataset,
        spacing=manner.spacing,
        max_memory=manner.max_memory,
        fingerprint="" if path is None else fingerprint(path),
        keep_fit=manner.save_fit or file.channels == 1,
        notes=notes,
    )
    jobs = plan.checked_jobs(manner.jobs)
    if manner.scheduler is None:
        small = manner.jobs is None and plan.is_small(file.channels, file.axis.size, table.taps)
        wanted = 1 if small or file.channels == 1 else min(jobs, file.channels)
        jobs = plan.fitting_jobs(wanted, file.axis.size, Memory.of(manner.max_memory).limit)
        if jobs < wanted and not manner.quiet:
            say(f"note: {jobs} of {wanted} jobs, so as to keep to --max-memory")
        if manner.threads is None and jobs == 1:
            task = replace(task, settings=replace(chosen, threads=plan.available_cores()))
    return Prepared(recording, manner, task, table, {**chosen.described(table), **more}, jobs, manner.log or Log())


@contextmanager
def _journal(run: Prepared, file: SignalFile) -> Iterator[Journal]:
    """The finished blocks of a run; kept beside the output, with a word on how to go on, whatever ends it early."""
    from blasso_flow.batches.journal import Journal, partial_path
    from blasso_flow.files.plain import plain
    from blasso_flow.files.result_writer import versions

    about = {
        "signal": file.sha256,
        "dataset": file.dataset,
        "spacing": run.manner.spacing,
        "channels": file.channels,
        "settings": plain(run.settings),
        "curves": run.task.keep_fit,
        "versions": versions(),
    }
    kept = file.channels > 1 and run.recording.kept
    journal = Journal(about, partial_path(run.recording.result) if kept else None, resume=run.manner.resume)
    if run.manner.resume and not run.manner.quiet and kept:
        say(f"resuming {run.recording.name}: {journal.done} of {file.channels} channels are there")
    try:
        yield journal
    except BaseException as error:
        unusable = isinstance(error, DataError)
        if kept and journal.done and not unusable:
            error.add_note(
                f"{journal.done} of {file.channels} channels are kept in {journal.path}; the same command with --resume goes on"
            )
        journal.close(keep=not unusable)
        raise
    journal.close(keep=False)


def _solve(run: Prepared, file: SignalFile, journal: Journal) -> None:
    from blasso_flow.batches import plan
    from blasso_flow.batches.run import StoppedError, solve_blocks
    from blasso_flow.files.guard import Memory

    manner, recording = run.manner, run.recording
    limit = Memory.of(manner.max_memory).limit
    size = plan.block_size(file.channels, file.axis.size, run.jobs, limit, file.together)
    blocks = plan.blocks_of(journal.missing(file.channels), size)
    run.log.write("start", signal=recording.name, channels=file.channels, done=journal.done, jobs=run.jobs)
    progress = Progress(recording.name, file.channels, journal.done, shown=not manner.quiet, log=run.log)
    alone = run.jobs == 1 and manner.scheduler is None
    single = alone and file.channels == 1 and not manner.quiet
    try:
        with _crew(run) as crew, rounds_shown(recording.name, shown=single) as on_round:
            rounds = on_round if alone else None
            solve_blocks(
                run.task, blocks, crew, journal, file, on_block=progress.block, on_round=rounds, fail_fast=manner.fail_fast
            )
    except StoppedError as stop:
        raise UnconvergedError(f"{recording.name}: stopped at channel {stop.number}: {stop.status}", mend=stop.message) from None
    finally:
        progress.clear()


@contextmanager
def _crew(run: Prepared) -> Iterator[Crew]:
    from blasso_flow.batches.executors import cluster, here, processes

    if run.manner.scheduler is not None:
        with cluster(run.manner.scheduler, run.jobs) as crew:
            yield crew
    else:
        yield here() if run.jobs == 1 else processes(run.jobs)


def _write(run: Prepared, file: SignalFile, journal: Journal, account: Account) -> None:
    """Result, then figure, and the account of the channels."""
    from blasso_flow.batches.sample import Sample
    from blasso_flow.data.blocks import Totals
    from blasso_flow.files.result_writer import Run, write_blocks

    recording, manner = run.recording, run.manner
    totals, sample = Totals(), Sample(file.channels)
    for block in journal.blocks():
        totals = totals.plus(block)
        account.add(block)
        if recording.figure is not None:
            sample.add(block)
    if account.failures == file.channels:
        raise DataError(f"{recording.name}: no channel could be recovered", mend=account.first_message)
    provenance = {"argv": ["blasso-flow", *sys.argv[1:]], "input": file.identity}
    about = file.described.shifted(run.shift)
    written = Run(run.settings, about, provenance, manner.rate_width, manner.save_fit)
    write_blocks(journal.blocks, totals, written, recording.result, overwrite=manner.force, inputs=[input_path(recording.signal)])
    if recording.figure is not None:
        _draw(run, file, sample, account)


def _draw(run: Prepared, file: SignalFile, sample: Sample, account: Account) -> None:
    from blasso_flow.plots import draw_channels, draw_summary, save_figure

    recovery = sample.recovery(file, run.shift, run.settings)
    if file.channels == 1:
        figure = draw_summary(recovery)
    else:
        figure = draw_channels(recovery, overview=account.overview, step=sample.step)
    assert run.recording.figure is not None
    try:
        save_figure(figure, run.recording.figure)
    except RunError as error:
        error.mend += " or --no-plot"
        raise
