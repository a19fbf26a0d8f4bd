"""Figure of `study support`: starts on the level lines of the objective's derivative, and how each start ends."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.plots import style
from blasso_flow.plots.study_parts import study_figure
from blasso_flow.study.outcome import Outcome

LINES = 14
SPIKE_PANELS = 4
VISIBLE = 0.02  # of the largest coordinate: smaller ends are not drawn
WHAT_TO_SEE = (
    "Grey: level lines of the derivative of the objective at the start; mass moves from solid lines (positive) to dashed ones. "
    "Dots: the start. Circles: where mass is at the end. Upper row, spikes: the start must cut up from down at every "
    "position. Lower row, ReLU neurons at |a| w (blue: a > 0, orange: a < 0, at the same places): it must enclose the origin, "
    "in both colours."
)


def draw_support(outcome: Outcome) -> Figure:
    """Eight panels: four starts of spikes, four of neurons."""
    figure = study_figure(6.9, "A start that separates finds the optimum", outcome, WHAT_TO_SEE)
    starts = outcome.tables["starts"]
    for number, name in enumerate(outcome.names("starts")):
        row, column = divmod(number, SPIKE_PANELS)
        ax = style.panel(figure, style.GUTTER + 2.35 * column, 1.95 + 2.65 * row, 1.85, 1.85)
        good = bool(starts["satisfies"][number])
        _panel(ax, outcome, number, row == 0)
        mark = "separates" if good else "does not separate"
        detail = f"{mark}; end: gap {style.at_most(starts['gap'][number])}"
        style.heading(ax, name.capitalize(), detail, wrap=60, small=True)
        labels = ("position (periods)", "weight (signal units)") if row == 0 else ("|a| w, first input", "|a| w, second input")
        style.dress(ax, labels[0], labels[1] if column == 0 else "", small=True)
    return style.finish(figure)


def _panel(ax: Axes, outcome: Outcome, number: int, spikes: bool) -> None:
    levels, particles = (outcome.tables[name].rows(start=number) for name in ("levels", "particles"))
    across = np.unique(levels["x"]).size
    x, y, value = (levels[name].reshape(-1, across) for name in ("x", "y", "value"))
    ax.contour(x, y, value, LINES, colors=style.GREY, linewidths=0.6)
    colours = np.where(particles["sign"] < 0, style.ORANGE, style.BLUE) if not spikes else style.BLUE
    ax.scatter(particles["x"], particles["y"], s=5, c=colours, zorder=3)
    height = np.abs(particles["end_y"]) if spikes else np.hypot(particles["end_x"], particles["end_y"])
    seen = height > VISIBLE * float(height.max())
    edges = list(colours[seen]) if isinstance(colours, np.ndarray) else style.BLACK
    ax.scatter(
        particles["end_x"][seen], particles["end_y"][seen], s=42, facecolors="none", edgecolors=edges, linewidths=1.2, zorder=4
    )
    ax.set_xlim(float(x.min()), float(x.max()))
    ax.set_ylim(float(y.min()), float(y.max()))
