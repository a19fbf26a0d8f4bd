"""What a run says of its channels: the table, the notes and the closing line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blasso_flow.cli.numbers import short, table

if TYPE_CHECKING:
    from blasso_flow.spikes import ChannelReport, Recovery

MOST_ROWS = 20
MOST_NOTES = 10
MOST_PARTS = 6


def with_units(name: str, units: str) -> str:
    """A column's header."""
    return f"{name} [{units}]" if units else name


def channel_lines(recovery: Recovery, units: str = "", *, everything: bool = False) -> list[str]:
    """The table of channels: at most 20 rows, then a summary of the rest."""
    import numpy as np

    counts = np.bincount(recovery.spikes.channel, minlength=len(recovery.channels))
    shown = len(recovery.channels) if everything or len(recovery.channels) <= MOST_ROWS else MOST_ROWS
    header = ["channel", "spikes", "status", "gap", "gap/noise", with_units("noise sd", units), "strength", "rounds"]
    rows = [
        [
            str(number),
            str(counts[number]),
            str(channel.status),
            short(channel.gap, 2),
            short(channel.gap_noise, 2),
            short(channel.noise_sd),
            short(channel.strength),
            str(channel.rounds),
        ]
        for number, channel in enumerate(recovery.channels[:shown])
    ]
    lines = table(header, rows, left=(2,))
    if shown < len(recovery.channels):
        rest = recovery.channels[shown:]
        lines.append(f"... and {len(rest)} more: {_statuses(rest)}, {counts[shown:].sum()} spikes")
    return lines


def closing_line(recovery: Recovery, paths: Sequence[str]) -> str:
    """The whole run in one line, with the files it wrote."""
    worst = max((channel.gap for channel in recovery.channels if math.isfinite(channel.gap)), default=math.nan)
    number = len(recovery.spikes)
    text = f"{number} spike{'' if number == 1 else 's'} in {_count(recovery.channels)}, largest gap {short(worst, 2)}"
    return f"{text}; wrote {' and '.join(paths)}" if paths else text


def note_lines(recovery: Recovery) -> list[str]:
    """Warnings, each once with the channels it is about."""
    lines = [f"note: {line}" for line in gathered([channel.notes for channel in recovery.channels])]
    if len(lines) > MOST_NOTES:
        lines[MOST_NOTES:] = [f"note: {len(lines) - MOST_NOTES} more notes; `blasso-flow inspect` has them"]
    return lines


def rule_lines(recovery: Recovery) -> list[str]:
    """Where noise sd and strength came from and how the solver ended, each text once."""
    return gathered(
        [
            (f"noise sd: {channel.noise_rule}", f"strength: {channel.strength_rule}", f"solver: {channel.message}")
            for channel in recovery.channels
        ]
    )


def gathered(notes: Sequence[Sequence[str]]) -> list[str]:
    """The notes of every channel, each text once, with the channels it is about where there are several."""
    where: dict[str, list[int]] = {}
    for number, own in enumerate(notes):
        for note in own:
            where.setdefault(note, []).append(number)
    return [note if len(notes) == 1 else f"{channel_numbers(numbers)}: {note}" for note, numbers in where.items()]


def _statuses(channels: Sequence[ChannelReport]) -> str:
    return ", ".join(f"{count} {status}" for status, count in Counter(str(channel.status) for channel in channels).items())


def _count(channels: Sequence[ChannelReport]) -> str:
    return "1 channel" if len(channels) == 1 else f"{len(channels)} channels"


def channel_numbers(numbers: Sequence[int]) -> str:
    """Increasing channel numbers in words, runs as a range: channels 0-19, 23; at most six parts, then how many more."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    few = ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts[:MOST_PARTS])
    left = sum(map(len, parts[MOST_PARTS:]))
    return f"channel{'s' if len(numbers) > 1 else ''} {few}" + (f" and {left} more" if left else "")
