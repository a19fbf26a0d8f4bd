"""Figure of `study limit`: objectives against flow time, and distances from the flow with the most particles."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.plots import style
from blasso_flow.plots.study_parts import COLOURS, counts_axis, logarithmic, study_figure
from blasso_flow.study.outcome import Outcome

LEAST = 1e-8
WHAT_TO_SEE = (
    "Left: with more particles the curves fall onto one, the flow of infinitely many. A curve that levels off is stuck above the "
    "optimum: too few particles. Right: the distance from that one curve falls about as 1/√m."
)


def draw_limit(outcome: Outcome) -> Figure:
    """Curves on the left; distances in objective and in position on the right."""
    figure = study_figure(5.7, "More particles, same path: the limit of the flow", outcome, WHAT_TO_SEE)
    left = style.panel(figure, style.GUTTER, 1.75, 5.2, 3.3)
    upper = style.panel(figure, 7.0, 1.75, 2.7, 1.2)
    lower = style.panel(figure, 7.0, 3.85, 2.7, 1.2)
    flows = outcome.tables["flows"]
    counts = np.unique(flows["particles"])
    style.dress(left, "flow time (non-dimensional)", "objective / certified optimum - 1")
    style.heading(left, f"Objective, median of {outcome.settings['draws']} random starts", small=True)
    for number, m in enumerate(counts):
        own = flows.rows(particles=m)
        draws = np.unique(own["draw"]).size
        curves = own["excess"].reshape(draws, -1)
        times = own["flow_time"].reshape(draws, -1)[0]
        colour = COLOURS(0.12 + 0.88 * number / max(1, counts.size - 1))
        left.plot(times, np.maximum(np.median(curves, axis=0), LEAST), color=colour, lw=1.6, label=f"m = {m:,.0f}")
    left.set_xscale("log")
    style.powers(left.xaxis)
    logarithmic(left, LEAST / 2, 30.0)
    left.legend(loc="lower left", fontsize=style.SMALL, frameon=False, labelcolor=style.TEXT)
    _distance(upper, outcome, "objective", "objective")
    style.heading(upper, f"Mean distance from m = {counts[-1]:,.0f}", small=True)
    _distance(lower, outcome, "position", "position (periods)")
    lower.set_xlabel("number of particles m", fontsize=style.SMALL, color=style.TEXT)
    return style.finish(figure)


def _distance(ax: Axes, outcome: Outcome, name: str, label: str) -> None:
    distances, medians = outcome.tables["distances"], outcome.tables["medians"]
    style.dress(ax, "", label)
    ax.plot(distances["particles"], distances[name], "o", color=style.PALE, ms=4, zorder=1)
    ax.plot(medians["particles"], medians[name], "-o", color=style.BLUE, ms=5, lw=1.5, label="median", zorder=3)
    guide = medians[name][0] * np.sqrt(medians["particles"][0] / medians["particles"])
    ax.plot(medians["particles"], guide, ls=(0, (4, 2)), color=style.GREY, lw=1.1, label="1/√m", zorder=2)
    counts_axis(ax, medians["particles"])
    logarithmic(ax)
    if name == "objective":
        ax.legend(loc="lower left", fontsize=style.SMALL - 1, frameon=False, labelcolor=style.TEXT)
