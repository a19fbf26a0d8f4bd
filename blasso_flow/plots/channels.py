"""Many channels at once: a raster of their spikes, how the proofs ended, and the first channels as small fits."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from blasso_flow.data.blocks import Block, Overview
from blasso_flow.data.reports import FAULTY, Status, Verdict
from blasso_flow.data.results import Recovery
from blasso_flow.filters import Filter
from blasso_flow.plots import style
from blasso_flow.plots.curves import Curves, filter_of, gather, signal_of
from blasso_flow.plots.panels import x_limits
from blasso_flow.plots.zooms import SMALL_FIT_NOTE, small_fit, zoom_places

SMALL_FITS = 6
EDGE = 0.012  # of a panel's width: the mark of a wrong model
COLOURS = {Verdict.GOOD: style.FIT_COLOUR, Verdict.DOUBTFUL: style.ORANGE, Verdict.WRONG: style.SPIKE_COLOUR}
VISIBLE = 800  # a bar this part of the panel high, twice, can still be seen
GROWING = LinearSegmentedColormap.from_list("blasso-growing", ["#7DBBE6", style.BLUE, "#1B0A3C"])
SIGNED = LinearSegmentedColormap.from_list("blasso-signed", ["#7A2E00", style.VERMILLION, "#C9C9C9", style.BLUE, "#012A45"])


def draw_channels(recovery: Recovery, filter: Filter | None = None, overview: Overview | None = None, step: int = 1) -> Figure:
    """Raster of spikes, histogram of gaps, statuses, and the first channels as small fits.

    Of very many channels the recovery may hold every ``step``-th, its signal those that are drawn as fits; ``overview``
    counts all of them. Raises `UsageError` when the recovery has no signal or its filter cannot be known.
    """
    signal = signal_of(recovery)
    filter = filter_of(recovery) if filter is None else filter
    shown = min(SMALL_FITS, len(recovery.channels))
    lines = -(-shown // 3)
    figure = style.new_figure(style.WIDTH, 5.8 + 1.75 * lines)
    if overview is None:
        overview = Overview()
        overview.add(Block.of(recovery, keep_fit=False))
    style.headline(figure, headline(signal.name, overview))
    raster = style.panel(figure, style.GUTTER, 0.75, 5.2, 4.2)
    raster_panel(raster, style.panel(figure, 6.12, 0.75, 0.12, 4.2), recovery, filter, step)
    gaps_panel(style.panel(figure, 7.7, 0.75, 2.05, 1.65), recovery, overview)
    status_panel(style.panel(figure, 7.7, 3.3, 2.05, 1.65), overview)
    style.note(figure, 5.4, f"{'The first' if step == 1 else 'Some of the'} channels. {SMALL_FIT_NOTE}")
    places = zoom_places(3)
    for number in range(shown):
        row, column = divmod(number, 3)
        left, width = places[column]
        ax = style.panel(figure, left, 5.95 + 1.75 * row, width, 1.2)
        curves = gather(recovery, number, filter, certificate=False)
        small_fit(ax, curves, *present_limits(curves))
        found = style.counted(curves.position.size, "spike")
        missed = f", fit {curves.report.fit}" if curves.report.fit.faulty else ""
        style.heading(ax, f"Channel {number * step}: {found}{missed}", small=True)
        last = number + 3 >= shown
        style.dress(
            ax,
            xlabel=style.axis_label(signal.axis) if last else "",
            ylabel=style.with_units("signal", signal.units) if number % 3 == 0 else "",
            small=True,
        )
    return style.finish(figure)


def present_limits(curves: Curves) -> tuple[float, float]:
    """Limits that hold the samples that are there and the spikes: padding with missing samples is left out."""
    present = np.flatnonzero(np.isfinite(curves.signal.values))
    if not present.size:
        return x_limits(curves)
    ends = np.concatenate([curves.axis.from_samples(present[[0, -1]]), curves.position])
    room = max(0.02 * float(np.ptp(ends)), 0.5 * curves.axis.spacing)
    return float(ends.min()) - room, float(ends.max()) + room


def headline(name: str, overview: Overview) -> str:
    """The result in one line."""
    total = style.counted(overview.spikes, "spike")
    proven = overview.statuses[Status.CONVERGED]
    poor = [f"{fit} for {overview.fits[fit]:,}" for fit in FAULTY if overview.fits[fit]]
    model = f", but the model is {', '.join(poor)}" if poor else ""
    return f"{style.source(name)}: {total} in {overview.channels:,} channels, optimality proven for {proven:,}{model}"


def raster_panel(ax: Axes, scale: Axes, recovery: Recovery, filter: Filter, step: int) -> None:
    """One row a channel, one bar a spike: taller and darker with its weight. ``step`` is from one channel to the next."""
    signal, spikes = signal_of(recovery), recovery.spikes
    channels = len(recovery.channels)
    style.dress(ax, xlabel=style.axis_label(signal.axis), ylabel="channel")
    low, high = signal.axis.first, signal.axis.last
    if len(spikes):
        low, high = min(low, float(spikes.position.min())), max(high, float(spikes.position.max()))
    room = max(0.01 * (high - low), 0.5 * signal.axis.spacing)
    ax.set_xlim(low - room, high + room)
    ax.set_ylim((channels - 0.4) * step, -0.6 * step)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, steps=[1, 2, 5, 10]))
    unfinished = [number for number, report in enumerate(recovery.channels) if report.status is not Status.CONVERGED]
    shown = "Spikes of all channels" if step == 1 else f"Spikes of every {step}th channel"
    wrong = [number for number, report in enumerate(recovery.channels) if report.fit is Verdict.WRONG]
    marks = [*(["shaded: not proven"] if unfinished else []), *(["red at the right: model wrong"] if wrong else [])]
    style.heading(ax, shown + (f" ({'; '.join(marks)})" if marks else ""))
    ax.barh(
        step * np.array(wrong),
        EDGE,
        left=1.0,
        height=step,
        transform=ax.get_yaxis_transform(),
        color=style.SPIKE_COLOUR,
        lw=0,
        clip_on=False,
    )
    shaded = step * np.array(unfinished)
    ax.barh(shaded, high - low + 2 * room, left=low - room, height=step, color="#FBE3D2", lw=0, zorder=0)
    if not len(spikes):
        style.message(ax, "no spikes in any channel")
        scale.set_axis_off()
        return
    size = np.abs(spikes.weight)
    largest = float(np.percentile(size, 98)) or 1.0
    signed = bool((spikes.weight < 0).any())
    half = np.maximum(0.22 + 0.26 * np.sqrt(np.minimum(size / largest, 1.0)), channels / VISIBLE)
    ends = step * np.stack([spikes.channel - half, spikes.channel + half], axis=1)
    segments = np.stack([np.repeat(spikes.position[:, None], 2, axis=1), ends], axis=2)
    bars = LineCollection(
        list(segments),
        array=spikes.weight,
        cmap=SIGNED if signed else GROWING,
        norm=Normalize(-largest if signed else 0.0, largest),
        linewidths=2.0 if len(spikes) <= style.MANY else 0.8,
        zorder=2,
        rasterized=len(spikes) > style.MANY,
    )
    ax.add_collection(bars)
    bar = Colorbar(scale, bars, extend="both" if signed else "max")
    units = style.weight_units(filter.normalisation, signal.units, signal.axis.units)
    bar.set_label(style.with_units("weight", units), fontsize=style.SMALL, color=style.TEXT)
    scale.yaxis.set_label_coords(4.6, 0.5)
    scale.tick_params(labelsize=style.SMALL - 1, color=style.TEXT, labelcolor=style.TEXT)
    bar.outline.set_visible(False)


def gaps_panel(ax: Axes, recovery: Recovery, overview: Overview) -> None:
    """Histogram of proven gaps by decades, with the tolerance."""
    style.dress(ax, xlabel="proven relative gap", ylabel="channels")
    style.heading(ax, "Gaps (dashed: tolerance)")
    if not overview.decades:
        style.message(ax, "no gap in any channel")
        return
    tolerance = recovery.settings.get("tol")
    tolerance = float(tolerance) if isinstance(tolerance, (int, float)) and tolerance > 0 else None
    within = [*overview.decades, *([math.floor(math.log10(tolerance))] if tolerance else [])]
    decades = np.arange(min(within), max(within) + 2)
    edges = 10.0**decades
    ax.set_xscale("log")
    counts = np.array([overview.decades[int(decade)] for decade in decades[:-1]])
    beyond = np.zeros(counts.size, dtype=bool) if tolerance is None else edges[:-1] >= tolerance * (1 - 1e-9)
    colours = [style.SPIKE_COLOUR if late else style.FIT_COLOUR for late in beyond]
    ax.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours, edgecolor="white", linewidth=0.8)
    if tolerance is not None:
        ax.axvline(tolerance, color=style.SPIKE_COLOUR, lw=1.2, ls=(0, (4, 2)))
        ax.set_xlim(edges[0], max(edges[-1], tolerance * 10))
    ax.minorticks_off()
    ax.xaxis.set_major_locator(LogLocator(numticks=5))
    style.powers(ax.xaxis)
    ax.set_ylim(0, counts.max() * 1.15)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))


def status_panel(ax: Axes, overview: Overview) -> None:
    """How many channels ended in which way, and what the verdicts on their models are."""
    style.heading(ax, "How channels ended")
    style.dress(ax, xlabel="channels")
    counts = {status.value.replace("_", " "): overview.statuses[status] for status in Status}
    counts |= {f"fit {fit}": overview.fits[fit] for fit in COLOURS}
    proven = Status.CONVERGED.value
    counts = {words: count for words, count in counts.items() if count or words == proven}
    colours = {proven: style.FIT_COLOUR} | {f"fit {fit}": colour for fit, colour in COLOURS.items()}
    rows = np.arange(len(counts))
    ax.barh(rows, list(counts.values()), height=0.4, color=[colours.get(words, style.SPIKE_COLOUR) for words in counts])
    for row, (words, count) in enumerate(counts.items()):
        ax.annotate(
            f"{words}: {count:,}",
            (0, row - 0.27),
            xytext=(2, 1),
            textcoords="offset points",
            va="bottom",
            fontsize=style.SMALL,
            color=style.TEXT,
        )
    ax.set_ylim(len(counts) - 0.5, -0.85)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
