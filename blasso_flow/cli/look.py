"""What `inspect` says of channels: how each looks, and what filter, record and noise make hard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blasso_flow.cli.channels import channel_numbers
from blasso_flow.cli.numbers import short

if TYPE_CHECKING:
    from blasso_flow.data.signals import FilterDescription, Signal
    from blasso_flow.filters import Filter
    from blasso_flow.noise.inspection import Gaps

RARE = 10.0  # counts a sample: below, the noise is far from normal
DRIFTING = "poly:degree=2"  # the baseline of counts to try where it drifts: `recover` does not choose theirs
LONG_GAP = 5  # samples
LONG_TAIL = 500  # samples that one spike reaches
NARROW = 3.0  # samples


@dataclass(frozen=True)
class Look:
    """One channel at a glance: the cells of its row in the table, notes, gaps, and what its samples are.

    ``counts``: they are counts, ``rare``: few of them a sample; ``drifts``: their baseline does; ``snr``: of the largest spike.
    """

    row: list[str]
    notes: list[str]
    gaps: Gaps
    counts: bool = False
    rare: bool = False
    drifts: bool = False
    snr: float = math.nan


def look(channel: Signal, filter: Filter | None, noise_sd: float | None, false_alarms: float, positive: bool) -> Look:
    """Look at one channel, values (N,); ``filter`` None where none is known. Options as of `recover`."""
    import numpy as np

    from blasso_flow.noise import inspection
    from blasso_flow.noise.interpolation import find_interpolation
    from blasso_flow.noise.level import estimate_noise
    from blasso_flow.noise.whiteness import LOW_PASS, whiteness
    from blasso_flow.recovery.own_rate import sentence

    missing = float(np.isnan(channel.values).mean())
    if missing == 1:
        return Look(["100 %", "-", "-", "-", "-", "-"], ["every sample is missing"], inspection.gaps(channel.values))
    estimate = estimate_noise(channel.values, filter)
    given = noise_sd if noise_sd is not None else channel.noise_sd
    sd = (
        estimate.sd
        if given is None
        else float(np.median(np.asarray(given)[~np.isnan(channel.values)] if np.ndim(given) else given))
    )
    source = "option" if noise_sd is not None else "file" if given is not None else estimate.rule.partition(":")[0]
    found = whiteness(channel.values, filter)
    colour = {True: "white", False: "coloured", None: "-"}[found.white]
    notes = list(estimate.notes) if given is None else []
    if found.white is False and found.sentence not in notes:
        notes.append(found.sentence)
    counts = inspection.are_counts(channel.values)
    slower = None if counts or channel.axis.periodic else find_interpolation(channel.values)
    if slower is not None:
        notes = [  # and none on the noise between samples, where nothing was measured
            f"{sentence(slower, channel)}: `recover` works at that rate, with the noise sd and the strength found there, unless "
            "told --sampling-rate as-given"
        ]
    elif given is None and estimate.uneven:
        notes = [note for note in notes if note != LOW_PASS]  # the next one says so too
        notes.append(
            "the noise is smooth from sample to sample (low-pass or resampled) and its sd here is too small: `recover` measures "
            "it in the residual of a first fit, and whitens samples and filter where it is coloured; or give --noise-sd"
        )
    rare = counts and float(np.nanmean(channel.values)) < RARE
    drifts = bool(inspection.drift(channel.values, sd, positive))
    if rare:
        notes.append("few counts a sample: their noise is not normal, and the Gaussian rule fails; see --loss poisson")
    elif counts:
        notes.append("counts: their noise grows with the rate, one noise sd is a compromise; see --noise counts")
    if inspection.saturated(channel.values):
        notes.append(
            "samples are piled up at the largest value (saturation): weights of these spikes come out too small, and their "
            "positions are biased; store the piled-up samples as NaN, or record with less gain"
        )
    if drifts:
        drift = "the baseline under the spikes drifts by more than the noise: a constant one makes spurious spikes of it; "
        if rare:
            notes.append(f"{drift}see --baseline {DRIFTING}, or spline:knot=LENGTH where it bends more often")
        else:
            notes.append(f"{drift}`recover` follows it with a polynomial or a spline that the samples choose (--baseline auto)")
    freedom = estimate.freedom if given is None else math.inf
    strength, least = _strength(channel, filter, sd, freedom, false_alarms, positive)
    row = [f"{missing:.1%}" if missing else "none", short(sd, 4), source, colour, strength, least]
    snr = inspection.largest_snr(channel.values, filter, sd) if filter is not None and sd > 0 else math.nan
    return Look(row, notes, inspection.gaps(channel.values), counts, rare, drifts, snr)


def _strength(
    channel: Signal, filter: Filter | None, sd: float, freedom: float, false_alarms: float, positive: bool
) -> tuple[str, str]:
    """The default strength, and the smallest weight of a lone spike that passes it."""
    if filter is None:
        return "-", "-"
    import numpy as np

    from blasso_flow.noise.strength import StrengthRule, choose_strength

    choice = choose_strength(
        StrengthRule.parse("auto"),
        filter=filter,
        noise_sd=sd,
        weights=(~np.isnan(channel.values)).astype(np.float64),
        domain=(0.0, float(channel.values.size - 1)),
        positive=positive,
        false_alarms=false_alarms,
        freedom=freedom,
    )
    return short(choice.strength, 4), short(choice.strength / filter.norm**2)


def seen_lines(looks: Sequence[Look], filter: Filter | None) -> list[str]:
    """What the samples are, and how close two spikes may come."""
    from statistics import median

    from blasso_flow.noise.inspection import resolution

    lines = []
    counted = [number for number, found in enumerate(looks) if found.counts]
    if counted:
        where = f"{channel_numbers(counted)}: " if len(looks) > 1 else ""
        lines.append(f"counts    {where}whole numbers with a variance near their mean")
    known = [found.snr for found in looks if math.isfinite(found.snr)]
    if filter is not None and known and not filter.period:
        snr = median(known)
        closest = resolution(filter, snr)
        away = f"two spikes closer than {closest:.2g} widths" if math.isfinite(closest) else "even a lone spike"
        lines.append(
            f"resolve   {away}: a position error above 1/4 width, even if as high as the largest samples\n"
            f"          (least squares at weight x ||filter|| = {snr:.3g} noise sd)"
        )
    return ["", *lines] if lines else []


def gap_lines(found: Sequence[Gaps], channels: int) -> list[str]:
    """Missing samples: one line for records that end early or begin late, one for runs within."""

    def where(numbers: Sequence[int]) -> str:
        return f"{channel_numbers(numbers)}: " if channels > 1 else ""

    lines = []
    ends = {number: own.leading + own.trailing for number, own in enumerate(found) if own.leading + own.trailing >= LONG_GAP}
    if ends:
        low, high = min(ends.values()), max(ends.values())
        size = str(low) if low == high else f"{low} to {high}"
        lines.append(
            f"{where(list(ends))}{size} samples are missing at the ends of the record: a spike there is known only by what "
            "reaches the samples, and its weight is vague"
        )
    runs = {number: own for number, own in enumerate(found) if own.longest >= LONG_GAP}
    if runs:
        most, longest = max(own.runs for own in runs.values()), max(own.longest for own in runs.values())
        lines.append(f"{where(list(runs))}samples are missing in up to {most} runs, the longest of {longest}")
    return lines


def hard_points(filter: Filter | None, description: FilterDescription | None, channels: list[Signal]) -> list[str]:
    """What the shape of filter and record makes hard."""
    if filter is None or description is None:
        return []
    from blasso_flow.filters import kind_of

    notes = []
    length = filter.length / filter.spacing  # of a decay, the width is that of its onset
    if length < NARROW:
        notes.append(f"the filter is narrow ({length:.2g} samples): positions hang on its exact shape")
    if kind_of(description.kind).averages and "exposure" not in description.parameters:
        notes.append(
            "the filter has an onset and its exposure is not given (1 is taken): where a sample does not average over the "
            "whole spacing, or its time is that of the start or end, positions are biased by up to half a sample; see "
            "--exposure and --stamp"
        )
    if filter.taps > LONG_TAIL:
        notes.append(f"one spike reaches {filter.taps} samples: spikes far apart still hang together, which takes time")
    if filter.taps > channels[0].values.size:
        notes.append("one spike reaches farther than the record: what is before and after it matters, see --margin")
    return notes
