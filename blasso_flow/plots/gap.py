"""How the solver got there: the proven gap and the number of spikes, round by round."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from blasso_flow.data.reports import ChannelReport
from blasso_flow.data.results import Recovery
from blasso_flow.data.signals import FloatArray
from blasso_flow.plots import style

LABEL = "proven relative gap"
FLOOR = 1e-16  # a gap of zero is drawn here


def draw_gap(recovery: Recovery, channel: int = 0) -> Figure:
    """Gap against rounds on a logarithmic scale with the tolerance; number of spikes below."""
    figure = style.new_figure(6.0, 4.6)
    top = style.panel(figure, style.GUTTER, 0.4, 5.0, 2.2)
    below = style.panel(figure, style.GUTTER, 2.8, 5.0, 1.3, top)
    gap_panels(top, below, recovery.channels[channel], recovery.settings.get("tol"))
    return style.finish(figure)


def rounds_and_gaps(report: ChannelReport) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rounds, proven gaps and numbers of spikes; the final proof is the last point where the trace ends before it."""
    rounds = [float(row.round) for row in report.trace]
    gaps = [float(row.gap) for row in report.trace]
    spikes = [float(row.spikes) for row in report.trace]
    if rounds and np.isfinite(report.gap) and report.gap != gaps[-1]:
        rounds.append(max(float(report.rounds), rounds[-1] + 1))
        gaps.append(report.gap)
        spikes.append(spikes[-1])
    return np.array(rounds), np.array(gaps), np.array(spikes)


def gap_panels(top: Axes, below: Axes | None, report: ChannelReport, tolerance: object, label: str = LABEL) -> None:
    """Gap above, and where there is room spikes below, over one axis of rounds."""
    style.dress(top, ylabel=label)
    lowest = top if below is None else below
    lowest.set_xlabel("round", fontsize=style.SMALL, color=style.TEXT, labelpad=2)
    lowest.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    style.heading(top, "Gap against rounds" if not np.isfinite(report.gap) else f"Gap ≤ {style.at_most(report.gap)}")
    rounds, gaps, spikes = rounds_and_gaps(report)
    if below is not None:
        style.dress(below, ylabel="spikes")
        below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
        top.tick_params(labelbottom=False)
    usable = np.isfinite(gaps)
    if not usable.any():
        style.message(top, "no rounds")
        top.set_yticks([])
        return
    shown = np.maximum(gaps[usable], FLOOR)
    top.set_yscale("log")
    top.plot(rounds[usable], shown, "-o", color=style.FIT_COLOUR, lw=1.4, ms=4, zorder=3)
    low, high = float(shown.min()), float(shown.max())
    if isinstance(tolerance, (int, float)) and tolerance > 0:
        top.axhline(tolerance, color=style.SPIKE_COLOUR, lw=1.2, ls=(0, (4, 2)), zorder=2)
        top.annotate(
            f"tolerance {style.power_of_ten(float(tolerance))}",
            (0.02, tolerance),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=style.SMALL - 1,
            color=style.SPIKE_COLOUR,
        )
        low, high = min(low, float(tolerance)), max(high, float(tolerance))
    top.set_ylim(low / 5, high * 10)
    top.yaxis.set_major_locator(LogLocator(numticks=7 if label == LABEL else 5))
    style.powers(top.yaxis)
    top.minorticks_off()
    if rounds.size == 1:
        top.set_xlim(rounds[0] - 1, rounds[0] + 1)
    if below is not None:
        below.plot(rounds, spikes, "-s", color=style.GREEN, lw=1.4, ms=4)
        below.set_ylim(0, max(1.0, float(spikes.max())) * 1.15)
