"""What a run says of its channels: the table, the notes and the closing line."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from blasso_flow.cli.numbers import short, table

if TYPE_CHECKING:
    from blasso_flow.data.blocks import Block, Overview
    from blasso_flow.data.results import Recovery

HEADER = ("channel", "spikes", "status", "fit", "gap", "gap/noise", "noise sd", "strength", "rounds")
CONVERGED = "converged"
GOOD = "good"
VERDICTS = ("good", "doubtful", "wrong")
BELOW = {"good": ("wrong", "doubtful"), "doubtful": ("wrong",)}  # the required fit, worst first
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")
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
        self.first_poor: dict[str, tuple[int, str]] = {}  # by verdict: number, reasons
        self.failures = 0
        self.first_message = ""
        self._most = sys.maxsize if everything else MOST_ROWS
        self._rows: list[list[str]] = []
        self._rest = Overview()
        self._fits = Gathered(ranges=not everything)
        self._notes = Gathered()
        self._rules = Gathered()

    @classmethod
    def of(cls, recovery: Recovery, *, everything: bool = True) -> Account:
        """The account of a recovery in memory, with every row unless told otherwise."""
        from blasso_flow.data.blocks import Block

        account = cls(everything=everything)
        account.add(Block.of(recovery, keep_fit=False))
        return account

    def add(self, block: Block) -> None:
        """The next channels."""
        self.overview.add(block)
        if len(self._rows) < self._most:
            self._rows += [_row(block, row) for row in range(min(block.count, self._most - len(self._rows)))]
        from blasso_flow.data.reports import Verdict, fit_sentence

        statuses, messages = block.columns["channels/status"], block.columns["channels/message"]
        fits, reasons = block.columns["channels/fit"], block.columns["channels/fit_reasons"]
        if block.first == 0:
            self.first_message = messages[0]
        for row, status in enumerate(statuses):
            self.failures += status in FAILED
            if status != CONVERGED and self.first_bad is None:
                self.first_bad = (block.first + row, status, messages[row])
            number = block.first + row
            if sentence := fit_sentence(Verdict(fits[row]), reasons[row].split("\n")):
                self._fits.add(number, sentence)
                self.first_poor.setdefault(fits[row], (number, sentence))
            for note in filter(None, block.columns["channels/notes"][row].split("\n")):
                self._notes.add(number, note)
            for name, column in RULES:
                self._rules.add(number, f"{name}: {block.columns[column][row]}")
            if number >= self._most:
                self._rest.statuses[status] += 1
                self._rest.fits[fits[row]] += 1
        self._rest.spikes += int(block.found[max(0, self._most - block.first) :].sum())

    def lines(self, units: str = "") -> list[str]:
        """The table of channels, and a summary of those without a row."""
        lines = table([*HEADER[:6], with_units("noise sd", units), *HEADER[7:]], self._rows, left=(2, 3))
        if (left := self.overview.channels - len(self._rows)) > 0:
            lines.append(f"... and {left} more: {_ended(self._rest)}, {self._rest.spikes} spikes")
        return lines

    def fits(self) -> list[str]:
        """Why fits are not good, wrong ones first, each text once with the channels it is about."""
        lines = sorted(self._fits.lines(self.overview.channels), key=lambda line: "fit wrong: " not in line)
        more = len(lines) - MOST_NOTES + self._fits.left_out
        if more > 0 and self._most == MOST_ROWS:
            lines[MOST_NOTES:] = [f"{more} more on fits; `blasso-flow show RESULT --channels` has them"]
        return lines

    def notes(self) -> list[str]:
        """Warnings, each once with the channels it is about; of several channels with why their fits are not good."""
        fits = [] if self.overview.channels == 1 else self.fits()
        lines = self._notes.lines(self.overview.channels)
        more = len(lines) - MOST_NOTES + self._notes.left_out
        if more > 0:
            lines[MOST_NOTES:] = [f"{more} more notes; `blasso-flow inspect` has them"]
        return [f"note: {line}" for line in [*fits, *lines]]

    def below(self, required: str) -> int:
        """Number of channels whose fit is below what is required, "good" or "doubtful"."""
        return sum(self.overview.fits[fit] for fit in BELOW[required])

    def first_below(self, required: str) -> tuple[int, str]:
        """Number of the first of them that is worst, and what is said of its fit."""
        return next(self.first_poor[fit] for fit in BELOW[required] if fit in self.first_poor)

    def rules(self) -> list[str]:
        """Where noise sd and strength came from and how the solver ended, each text once."""
        return self._rules.lines(self.overview.channels)

    def closing(self, seconds: float, paths: Sequence[str]) -> str:
        """The whole run in one line, with the files it wrote."""
        whole = self.overview
        words = _ended(whole) if whole.channels > 1 else _verdicts(whole)
        ended = f" ({words})" if words else ""
        text = (
            f"{_count(whole.spikes, 'spike')} in {_count(whole.channels, 'channel')}{ended}, "
            f"largest gap {short(whole.worst_gap, 2)}, {duration(seconds)}"
        )
        return f"{text}; wrote {' and '.join(paths)}" if paths else text


class Gathered:
    """Texts, each with the channels it was said of, as ranges; at most so many different ones.

    With ``ranges``, texts that differ in their numbers only are one, which says from where to where these go.
    """

    def __init__(self, *, ranges: bool = False) -> None:
        self._where: dict[str, list[list[int]]] = {}
        self._numbers: dict[str, list[list[str]]] = {}
        self._merged = ranges
        self.left_out = 0

    def add(self, number: int, text: str) -> None:
        """Channel ``number``, which is no smaller than those before, says so."""
        found: list[str] = []
        if self._merged:
            found, text = NUMBER.findall(text), NUMBER.sub("\0", text)
        parts = self._where.get(text)
        if parts is None:
            if len(self._where) == MOST_TEXTS:
                self.left_out += 1
                return
            parts = self._where[text] = []
        for seen, own in zip(self._numbers.setdefault(text, [[] for _ in found]), found, strict=True):
            seen[:] = sorted({*seen, own}, key=float)[:: max(1, len({*seen, own}) - 1)]  # the least and the largest
        if parts and number <= parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])

    def lines(self, channels: int) -> list[str]:
        """One line a text, with the channels it is about where there are several."""
        return [(f"{_ranges(parts)}: " if channels != 1 else "") + self._said(text) for text, parts in self._where.items()]

    def _said(self, text: str) -> str:
        for seen in self._numbers[text]:
            text = text.replace("\0", " to ".join(seen), 1)
        return text


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
        block.columns["channels/fit"][row],
        short(gap, 2),
        short(gap_noise, 2),
        short(noise_sd),
        short(strength),
        str(block.columns["channels/rounds"][row]),
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _verdicts(overview: Overview) -> str:
    """How many fits are what, where not all that were judged are good; where the only one is not, what it is."""
    counts = {fit: overview.fits[fit] for fit in VERDICTS if overview.fits[fit]}
    if not set(counts) - {GOOD}:
        return ""
    return f"fit {next(iter(counts))}" if overview.channels == 1 else f"fit: {_listed(counts)}"


def _ended(overview: Overview) -> str:
    return "; ".join(filter(None, [_listed(overview.statuses), _verdicts(overview)]))


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
