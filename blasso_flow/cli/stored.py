"""A stored result together with the signal it was made from, for the commands that need both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blasso_flow.cli.outcome import say
from blasso_flow.cli.streams import check_inputs

if TYPE_CHECKING:
    from blasso_flow.data.results import Recovery
    from blasso_flow.data.signals import Signal
    from blasso_flow.files import SignalFile, StoredResult


def result_with_signal(result: str, signal: str | None) -> tuple[Recovery, Signal]:
    """The recovery of a result file with its signal: the one given, else the one the result names, if it is unchanged."""
    check_inputs([result] if signal is None else [result, signal])
    from blasso_flow.files import find_signal, read_result

    stored = read_result(result)
    with find_signal(stored, signal) as file:
        say_if_another(file, signal, stored)
        found = file.read().shifted(shift_of(stored))
    return replace(stored.recovery, signal=found), found


def say_if_another(file: SignalFile, signal: str | None, stored: StoredResult) -> None:
    """A note where the ``signal`` that was given is not the one that the result was made from."""
    if signal is not None and stored.signal_sha256 is not None and file.sha256 != stored.signal_sha256:
        say(f"note: {file.name} is not the file, byte for byte, that this result was made from")


def shift_of(stored: StoredResult) -> float:
    """What is added to positions on the file's axis to give those of the result (axis units)."""
    shift = stored.recovery.settings.get("time_shift", 0.0)
    return float(shift) if isinstance(shift, (int, float)) else 0.0
