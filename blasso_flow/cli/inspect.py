"""`blasso-flow inspect`: what a recording holds, what `recover` would choose, and what will be hard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blasso_flow.cli import options
from blasso_flow.cli.channels import MOST_ROWS, gathered, with_units
from blasso_flow.cli.numbers import short, table
from blasso_flow.cli.streams import check_inputs

if TYPE_CHECKING:
    from blasso_flow.files import SignalFile
    from blasso_flow.filters import Filter
    from blasso_flow.signals import Signal

MOST_DATASETS = 12
LONG_TAIL = 500  # samples that one spike reaches
NARROW = 3.0  # samples
MANY_MISSING = 0.3


@click.command(epilog=options.example("blasso-flow inspect data/channels.h5"))
@click.argument("signal", metavar="SIGNAL")
@options.filter_options
@options.sign_option
@click.option("--noise-sd", type=float, help="Standard deviation of the noise; default: the file's, or estimated.")
@click.option("--false-alarms", type=float, default=0.05, show_default=True, help="Expected number of false spikes a channel.")
@options.memory_option
def inspect(
    signal: str,
    filter_text: str | None,
    spacing: float | None,
    positive: bool,
    noise_sd: float | None,
    false_alarms: float,
    max_memory: int | None,
) -> None:
    """Say what a recording holds and what will be hard.

    Prints the datasets, axis, missing samples and filter, and for each channel (at most 20) the noise and the strength that
    `blasso-flow recover` would choose; the least weight is that of the smallest lone spike that passes this strength.
    Writes nothing.
    """
    check_inputs([signal])
    from blasso_flow.files import open_signal
    from blasso_flow.filters import build, describe

    described = describe(filter_text) if filter_text else None
    with open_signal(signal, spacing=spacing, max_memory=max_memory) as file:
        description = described or file.filter
        tabulated = build(description, file.axis) if description else None
        lines = [*file_lines(file), *filter_lines(tabulated, file.axis.units)]
        channels = [file.channel(number) for number in range(min(file.channels, MOST_ROWS))]
    rows, remarks = [], []
    for number, channel in enumerate(channels):
        row, notes = channel_row(channel, tabulated, noise_sd, false_alarms, positive)
        rows.append([str(number), *row])
        remarks.append(notes)
    hard = hard_points(tabulated, channels) + gathered(remarks)
    header = ["channel", "missing", with_units("noise sd", file.units), "from", "noise", "strength", "least weight"]
    lines += ["", *table(header, rows, left=(3, 4))]
    if file.channels > len(channels):
        lines.append(f"... and {file.channels - len(channels)} more channels")
    lines += ["", "what will be hard:", *(f"  {note}" for note in hard)] if hard else ["", "nothing here looks hard"]
    click.echo("\n".join(lines))


def file_lines(file: SignalFile) -> list[str]:
    """Where the samples are and on which axis."""
    axis, unit = file.axis, f" {file.axis.units}" if file.axis.units else ""
    lines = [
        f"file      {file.name}",
        f"dataset   {file.dataset}, {' x '.join(map(str, file.shape))} samples" + (f" in {file.units}" if file.units else ""),
        f"axis      {axis.name}: {axis.first:.6g} to {axis.last:.6g}{unit}, spacing {axis.spacing:.6g}{unit}"
        + (", periodic" if axis.periodic else ""),
    ]
    others = [info for info in file.datasets if info.path != file.dataset]
    if others:
        shown = ", ".join(f"{info.path} {info.shape}" for info in others[:MOST_DATASETS])
        more = f" and {len(others) - MOST_DATASETS} more" if len(others) > MOST_DATASETS else ""
        lines.append(f"also      {shown}{more}")
    if file.truth is not None:
        lines.append(f"truth     {file.truth.position.size} spikes")
    return lines


def filter_lines(filter: Filter | None, units: str) -> list[str]:
    """The filter and how it lies on the samples."""
    if filter is None:
        return ["filter    none in the file: give --filter, see `blasso-flow filters`"]
    unit = f" {units}" if units else ""
    width = filter.width * filter.spacing
    return [
        f"filter    {filter.description}",
        f"width     {width:.6g}{unit} = {filter.width:.4g} samples; one spike reaches {filter.taps} samples",
    ]


def channel_row(
    channel: Signal, filter: Filter | None, noise_sd: float | None, false_alarms: float, positive: bool
) -> tuple[list[str], list[str]]:
    """Cells of a channel's row, and what is worth a note."""
    import numpy as np

    from blasso_flow.noise import estimate_noise, whiteness

    missing = float(np.isnan(channel.values).mean())
    if missing == 1:
        return ["100 %", "-", "-", "-", "-", "-"], ["every sample is missing"]
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
    if missing > MANY_MISSING:
        notes.append(f"more than {MANY_MISSING:.0%} of the samples are missing")
    strength, least = _strength(channel, filter, sd, false_alarms, positive)
    return [f"{missing:.1%}" if missing else "none", short(sd, 4), source, colour, strength, least], notes


def _strength(channel: Signal, filter: Filter | None, sd: float, false_alarms: float, positive: bool) -> tuple[str, str]:
    """The default strength, and the smallest weight of a lone spike that passes it."""
    if filter is None:
        return "-", "-"
    import numpy as np

    from blasso_flow.noise import StrengthRule, choose_strength

    choice = choose_strength(
        StrengthRule.parse("auto"),
        filter=filter,
        noise_sd=sd,
        weights=(~np.isnan(channel.values)).astype(np.float64),
        domain=(0.0, float(channel.values.size - 1)),
        positive=positive,
        false_alarms=false_alarms,
    )
    return short(choice.strength, 4), short(choice.strength / filter.norm**2)


def hard_points(filter: Filter | None, channels: list[Signal]) -> list[str]:
    """What the shape of filter and record makes hard."""
    if filter is None:
        return []
    notes = []
    if filter.width < NARROW:
        notes.append(f"the filter is narrow ({filter.width:.2g} samples): positions hang on its exact shape")
    if filter.taps > LONG_TAIL:
        notes.append(f"one spike reaches {filter.taps} samples: spikes far apart still hang together, which takes time")
    if filter.taps > channels[0].values.size:
        notes.append("one spike reaches farther than the record: what is before and after it matters, see --margin")
    return notes
