"""What a run says of its channels: the table, the notes and the closing line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blasso_flow.cli.numbers import short, table

if TYPE_CHECKING:
    from blasso_flow.data.blocks import Block, Overview
    from blasso_flow.data.results import Recovery

HEADER = ("channel", "spikes", "status", "gap", "gap/noise", "noise sd", "strength", "rounds")
CONVERGED = "converged"
FAILED = frozenset({"all_missing", "failed"})
RULES = (("noise sd", "channels/noise_rule"), ("strength", "channels/strength_rule"), ("solver", "channels/message"))
MOST_ROWS = 20
MOST_NOTES = 10
MOST_TEXTS = 1000  # different ones that are kept apart
MOST_PARTS = 6


def with_units(name: str, units: str) -> str:
    """A column's header."""
    return f"{name} [{units}]" if units else name


class Account:
    """What a run says of its channels, collected from blocks in order; bounded however many there are.

    ``everything`` keeps every channel's row, else the first 20.
    """

    def __init__(self, *, everything: bool = False) -> None:
        from blasso_flow.data.blocks import Overview

        self.overview = Overview()
        self.first_bad: tuple[int, str, str] | None = None  # number, status, message
        self.failures = 0
        self.first_message = ""
        self._most = sys.maxsize if everything else MOST_ROWS
        self._rows: list[list[str]] = []
        self._rest = Overview()
        self._notes = Gathered()
        self._rules = Gathered()

    @classmethod
    def of(cls, recovery: Recovery) -> Account:
        """The account of a recovery in memory, with every row."""
        from blasso_flow.data.blocks import Block

        account = cls(everything=True)
        account.add(Block.of(recovery, keep_fit=False))
        return account

    def add(self, block: Block) -> None:
        """The next channels."""
        self.overview.add(block)
        if len(self._rows) < self._most:
            self._rows += [_row(block, row) for row in range(min(block.count, self._most - len(self._rows)))]
        statuses, messages = block.columns["channels/status"], block.columns["channels/message"]
        if block.first == 0:
            self.first_message = messages[0]
        for row, status in enumerate(statuses):
            self.failures += status in FAILED
            if status != CONVERGED and self.first_bad is None:
                self.first_bad = (block.first + row, status, messages[row])
            number = block.first + row
            for note in filter(None, block.columns["channels/notes"][row].split("\n")):
                self._notes.add(number, note)
            for name, column in RULES:
                self._rules.add(number, f"{name}: {block.columns[column][row]}")
            if number >= self._most:
                self._rest.statuses[status] += 1
        self._rest.spikes += int(block.found[max(0, self._most - block.first) :].sum())

    def lines(self, units: str = "") -> list[str]:
        """The table of channels, and a summary of those without a row."""
        lines = table([*HEADER[:5], with_units("noise sd", units), *HEADER[6:]], self._rows, left=(2,))
        if (left := self.overview.channels - len(self._rows)) > 0:
            lines.append(f"... and {left} more: {_statuses(self._rest)}, {self._rest.spikes} spikes")
        return lines

    def notes(self) -> list[str]:
        """Warnings, each once with the channels it is about."""
        lines = [f"note: {line}" for line in self._notes.lines(self.overview.channels)]
        more = len(lines) - MOST_NOTES + self._notes.left_out
        if more > 0:
            lines[MOST_NOTES:] = [f"note: {more} more notes; `blasso-flow inspect` has them"]
        return lines

    def rules(self) -> list[str]:
        """Where noise sd and strength came from and how the solver ended, each text once."""
        return self._rules.lines(self.overview.channels)

    def closing(self, seconds: float, paths: Sequence[str]) -> str:
        """The whole run in one line, with the files it wrote."""
        whole = self.overview
        ended = f" ({_statuses(whole)})" if whole.channels > 1 else ""
        text = (
            f"{_count(whole.spikes, 'spike')} in {_count(whole.channels, 'channel')}{ended}, "
            f"largest gap {short(whole.worst_gap, 2)}, {duration(seconds)}"
        )
        return f"{text}; wrote {' and '.join(paths)}" if paths else text


class Gathered:
    """Texts, each with the channels it was said of, as ranges; at most so many different ones."""

    def __init__(self) -> None:
        self._where: dict[str, list[list[int]]] = {}
        self.left_out = 0

    def add(self, number: int, text: str) -> None:
        """Channel ``number``, which is no smaller than those before, says so."""
        parts = self._where.get(text)
        if parts is None:
            if len(self._where) == MOST_TEXTS:
                self.left_out += 1
                return
            parts = self._where[text] = []
        if parts and number <= parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])

    def lines(self, channels: int) -> list[str]:
        """One line a text, with the channels it is about where there are several."""
        return [text if channels == 1 else f"{_ranges(parts)}: {text}" for text, parts in self._where.items()]


def gathered(notes: Sequence[Sequence[str]]) -> list[str]:
    """The notes of every channel, each text once, with the channels it is about where there are several."""
    found = Gathered()
    for number, own in enumerate(notes):
        for note in own:
            found.add(number, note)
    return found.lines(len(notes))


def duration(seconds: float) -> str:
    """A time in words: 3.2 s, 4 min 10 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _row(block: Block, row: int) -> list[str]:
    gap, gap_noise, noise_sd, strength = (
        float(block.columns[f"channels/{name}"][row]) for name in ("gap", "gap_noise", "noise_sd", "strength")
    )
    return [
        str(block.first + row),
        str(block.found[row]),
        block.columns["channels/status"][row],
        short(gap, 2),
        short(gap_noise, 2),
        short(noise_sd),
        short(strength),
        str(block.columns["channels/rounds"][row]),
    ]


def _statuses(overview: Overview) -> str:
    return ", ".join(f"{count} {status}" for status, count in overview.statuses.items())


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def channel_numbers(numbers: Sequence[int]) -> str:
    """Increasing channel numbers in words, runs as a range: channels 0-19, 23; at most six parts, then how many more."""
    found = Gathered()
    for number in numbers:
        found.add(number, "")
    return found.lines(0)[0].removesuffix(": ")


def _ranges(parts: Sequence[Sequence[int]]) -> str:
    several = len(parts) > 1 or parts[0][0] != parts[0][1]
    few = ", ".join(f"{first}-{last}" if first != last else str(first) for first, last in parts[:MOST_PARTS])
    left = sum(last - first + 1 for first, last in parts[MOST_PARTS:])
    return f"channel{'s' if several else ''} {few}" + (f" and {left} more" if left else "")
