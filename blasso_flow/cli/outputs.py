"""Recordings named on the command line, and where their results and figures go: all checked before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blasso_flow.cli.streams import STREAM, check_inputs, check_output, input_path
from blasso_flow.errors import RunError, UsageError


@dataclass(frozen=True)
class Recording:
    """A signal as the command line names it, and where its result and figure go; ``result`` may be `-`."""

    signal: str
    result: str
    figure: str | None

    @property
    def name(self) -> str:
        """How messages name it."""
        return "standard input" if self.signal == STREAM else self.signal

    @property
    def kept(self) -> bool:
        """Whether finished blocks can be kept beside the result: not where it goes to a stream or a device."""
        path = Path(self.result)
        return self.result != STREAM and (path.is_file() or not path.exists())


def planned(
    signals: tuple[str, ...], output: str | None, output_dir: str | None, figure_format: str, force: bool, resume: bool
) -> list[Recording]:
    """Inputs with their outputs, every one checked before any work starts. A result to be resumed may be there already."""
    if output is not None and output_dir is not None:
        raise UsageError("--output and --output-dir exclude each other", mend="give one of them")
    if output is not None and len(signals) > 1:
        raise UsageError("--output names one file", received=f"{len(signals)} signals", mend="give --output-dir")
    check_inputs(signals)
    if output == STREAM:
        if resume:
            raise UsageError("--resume needs a named output", received="--output -", mend="name a file")
        check_output(output, force=force)
        return [Recording(signals[0], STREAM, None)]
    folder = _folder(output_dir)
    recordings = []
    for signal in signals:
        result = Path(output) if output is not None else folder / default_name(signal)
        recordings.append(Recording(signal, str(result), str(result.with_suffix(f".{figure_format}")) if figure_format else None))
    taken: set[str] = set()
    for recording in recordings:
        for target in (recording.result, recording.figure):
            if target in taken:
                raise UsageError(
                    "two outputs have the same name", received=target, mend="recover these signals one by one, with --output"
                )
            if target is not None:
                check_output(target, force=force or resume, inputs=signals)
                taken.add(target)
        _check_unfinished(recording, force=force, resume=resume)
    return recordings


def _check_unfinished(recording: Recording, *, force: bool, resume: bool) -> None:
    from blasso_flow.batches.journal import partial_path

    partial = partial_path(recording.result)
    if recording.kept and partial.exists() and not (force or resume):
        raise UsageError(
            "an unfinished run is there", received=str(partial), mend="give --resume to go on with it, or --force to start anew"
        )


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


def refuse_other(recording: Recording, sha256: str, settings: Mapping[str, object]) -> None:
    """Raise `UsageError` unless the result that is there is what this run would make."""
    from blasso_flow.files import read_provenance
    from blasso_flow.files.plain import plain

    stored = read_provenance(recording.result)
    signal = stored.get("input")
    for what, old, new in (
        ("of another signal", signal.get("sha256") if isinstance(signal, dict) else None, sha256),
        ("made with other options", stored.get("settings"), plain(settings)),
    ):
        if old != new:
            raise UsageError(f"the output exists already, {what}", received=recording.result, mend="give --force to replace it")
