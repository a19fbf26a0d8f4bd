"""`blasso-flow inspect`: what a recording holds, what `recover` would choose, and what will be hard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from blasso_flow.cli import options
from blasso_flow.cli.channels import MOST_ROWS, gathered, with_units
from blasso_flow.cli.look import DRIFTING, Look, gap_lines, hard_points, look, seen_lines
from blasso_flow.cli.numbers import table
from blasso_flow.cli.streams import check_inputs

if TYPE_CHECKING:
    from blasso_flow.data.signals import Axis, FilterDescription
    from blasso_flow.files import SignalFile
    from blasso_flow.filters import Filter

MOST_DATASETS = 12


@click.command(epilog=options.example("blasso-flow inspect data/channels.h5"))
@click.argument("signal", metavar="SIGNAL")
@options.filter_options
@options.sign_option
@options.noise_option
@options.false_alarms_option
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
    Ends with what is known to go wrong with such data, and the command to run. Writes nothing.
    """
    check_inputs([signal])
    from blasso_flow.files import open_signal
    from blasso_flow.filters import build, describe

    described = describe(filter_text) if filter_text else None
    with open_signal(signal, spacing=spacing, max_memory=max_memory) as file:
        description = described or file.filter
        tabulated = build(description, file.axis) if description else None
        lines = [*file_lines(file), *filter_lines(tabulated, file.axis.units)]
        stored_noise = file.noise
        channels = [file.channel(number) for number in range(min(file.channels, MOST_ROWS))]
    looks = [look(channel, tabulated, noise_sd, false_alarms, positive) for channel in channels]
    rows = [[str(number), *found.row] for number, found in enumerate(looks)]
    hard = [
        *hard_points(tabulated, description, channels),
        *gap_lines([found.gaps for found in looks], len(channels)),
        *gathered([found.notes for found in looks]),
    ]
    header = ["channel", "missing", with_units("noise sd", file.units), "from", "noise", "strength", "least weight"]
    lines += ["", *table(header, rows, left=(3, 4))]
    if file.channels > len(channels):
        lines.append(f"... and {file.channels - len(channels)} more channels")
    lines += seen_lines(looks, tabulated)
    lines += ["", "what will be hard:", *(f"  {note}" for note in hard)] if hard else ["", "nothing here looks hard"]
    options_given = filter_text, description, spacing, positive, noise_sd, false_alarms
    lines += ["", "try", f"  {suggestion(signal, *options_given, looks, stored_noise)}"]
    click.echo("\n".join(lines))


def file_lines(file: SignalFile) -> list[str]:
    """Where the samples are and on which axis."""
    axis, unit = file.axis, f" {file.axis.units}" if file.axis.units else ""
    lines = [
        f"file      {file.name}",
        f"dataset   {file.dataset}, {' x '.join(map(str, file.shape))} samples" + (f" in {file.units}" if file.units else ""),
        f"axis      {axis.name}: {axis.first:.6g} to {axis.last:.6g}{unit}, spacing {spacing_words(axis, unit)}"
        + (", periodic" if axis.periodic else ""),
    ]
    if file.noise == "sample":
        lines.append(f"noise     {file.noise_dataset}, one sd a sample; the table below has its median")
    others = [info for info in file.datasets if info.path != file.dataset]
    if others:
        shown = ", ".join(f"{info.path} {info.shape}" for info in others[:MOST_DATASETS])
        more = f" and {len(others) - MOST_DATASETS} more" if len(others) > MOST_DATASETS else ""
        lines.append(f"also      {shown}{more}")
    if file.truth is not None:
        lines.append(f"truth     {file.truth.position.size} spikes")
    return lines


def spacing_words(axis: Axis, unit: str) -> str:
    """The spacing, or from where to where it goes on an axis that bends."""
    if axis.bend is None:
        return f"{axis.spacing:.6g}{unit}"
    ends = axis.spacing_at([0.0, axis.size - 1.0])
    return f"{ends[0]:.6g} to {ends[1]:.6g}{unit}: it bends, and the filter's lengths are taken at the median, {axis.spacing:.6g}"


def filter_lines(filter: Filter | None, units: str) -> list[str]:
    """The filter, its width and how many samples one spike reaches."""
    if filter is None:
        return ["filter    none in the file: give --filter, see `blasso-flow filters`"]
    unit = f" {units}" if units else ""
    width = filter.width * filter.spacing
    return [
        f"filter    {filter.description}",
        f"width     {width:.6g}{unit} = {filter.width:.4g} samples; one spike reaches {filter.taps} samples",
    ]


def suggestion(
    signal: str,
    filter_text: str | None,
    description: FilterDescription | None,
    spacing: float | None,
    positive: bool,
    noise_sd: float | None,
    false_alarms: float,
    looks: Sequence[Look],
    stored_noise: str = "none",
) -> str:
    """The command that recovers this recording, with the options that its samples ask for."""
    from shlex import quote

    words = ["blasso-flow", "recover", quote(signal)]
    if filter_text is not None:
        words += ["--filter", quote(filter_text)]
    elif description is None:
        words += ["--filter", "NAME:KEY=VALUE"]
    if spacing is not None:
        words += ["--spacing", f"{spacing:.12g}"]
    words += [] if positive else ["--signed"]
    if any(found.rare for found in looks) and noise_sd is None and positive:
        words += ["--baseline", DRIFTING] if any(found.drifts for found in looks) else []
        words += ["--loss", "poisson"]
    elif any(found.counts for found in looks) and noise_sd is None and stored_noise == "none":
        words += ["--noise", "counts"]
    words += [] if noise_sd is None else ["--noise-sd", f"{noise_sd:.12g}"]
    words += [] if false_alarms == 0.05 else ["--false-alarms", f"{false_alarms:.12g}"]
    words += ["-o", "-"] if signal == "-" else []
    return " ".join(words)
