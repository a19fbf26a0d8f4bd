"""What the figures of the studies share: title and caption, paths coloured by time, numbers of particles as an axis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from blasso_flow.data.signals import FloatArray
from blasso_flow.plots import style
from blasso_flow.study.outcome import Outcome

COLOURS = colormaps["viridis_r"]
LETTERS = 128  # in a line of a caption
MOST_POINTS = 30_000  # of all paths: beyond, every so many are left out


def study_figure(height: float, title: str, outcome: Outcome, what_to_see: str) -> Figure:
    """A figure 10 inches wide under its title, what the study found, and what to see in the panels that are added to it."""
    figure = style.new_figure(style.WIDTH, height)
    style.headline(figure, title)
    lines = [line for sentence in (*outcome.findings, what_to_see) for line in textwrap.wrap(sentence, LETTERS)]
    for number, line in enumerate(lines):
        style.note(figure, 0.42 + 0.17 * number, line)
    return figure


def time_scale(times: FloatArray) -> Normalize:
    """A logarithmic scale of times; 0 is drawn as the first time after it."""
    positive = times[times > 0]
    if not positive.size or positive.min() == positive.max():
        return Normalize(0, 1)
    return LogNorm(float(positive.min()), float(positive.max()), clip=True)


def paths(ax: Axes, x: FloatArray, y: FloatArray, times: FloatArray, scale: Normalize, jump: float = np.inf) -> None:
    """One line a particle, coloured by time, from ``x`` and ``y`` of shape (times, m); steps longer than ``jump`` are gaps."""
    every = max(1, x.size // MOST_POINTS)
    kept = np.unique(np.concatenate([np.arange(0, len(times), every), [len(times) - 1]]))
    x, y, times = x[kept], y[kept], times[kept]
    begins, ends = np.stack([x[:-1], y[:-1]], -1), np.stack([x[1:], y[1:]], -1)
    segments = np.stack([begins, ends], axis=2).reshape(-1, 2, 2)
    when = np.repeat(times[1:], x.shape[1])
    near = np.abs(segments[:, 1, 0] - segments[:, 0, 0]) <= jump
    lines = LineCollection(
        list(segments[near]),
        colors=COLOURS(scale(np.maximum(when[near], 1e-300))),
        linewidths=1.3,
        capstyle="round",
        zorder=2,
        rasterized=len(segments) > style.MANY,
    )
    ax.add_collection(lines)


def colour_bar(figure: Figure, left: float, top: float, width: float, scale: Normalize, label: str) -> None:
    """A flat bar of the time scale, by its place in inches."""
    ax = style.panel(figure, left, top, width, 0.09)
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), cax=ax, orientation="horizontal")
    bar.set_label(label, fontsize=style.SMALL - 1, color=style.TEXT, labelpad=1)
    bar.ax.tick_params(labelsize=style.SMALL - 1, length=2, color=style.TEXT, labelcolor=style.TEXT)
    bar.ax.xaxis.set_major_locator(LogLocator(numticks=6))
    style.powers(bar.ax.xaxis)
    bar.ax.xaxis.set_minor_locator(NullLocator())


def logarithmic(ax: Axes, low: float | None = None, high: float | None = None) -> None:
    """A logarithmic vertical axis with powers of ten as plain text."""
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    bottom, top = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if top > 50 * bottom else (1.0, 2.0, 5.0), numticks=8))
    style.powers(ax.yaxis)
    ax.minorticks_off()


def counts_axis(ax: Axes, counts: Sequence[float] | FloatArray) -> None:
    """A logarithmic horizontal axis whose ticks are the numbers of particles that were run."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(list(map(float, counts))))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def by_particle(values: FloatArray, particles: FloatArray) -> FloatArray:
    """A column of a table of paths as (times, m): rows are ordered by time, then particle."""
    return values.reshape(-1, int(particles.max()) + 1)
