"""Figure of `study overparameterization`: excess loss against the number of particles, three problems side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.plots import style
from blasso_flow.plots.study_parts import counts_axis, logarithmic, study_figure
from blasso_flow.study.outcome import Outcome

TITLES = {
    "deconvolution": "Spikes, one dimension",
    "relu": "ReLU network, 100 inputs",
    "sigmoid": "Sigmoid network, 100 inputs",
}
TICKS = 6
WHAT_TO_SEE = (
    "Blue: positions (or inner weights) move too. Orange: only weights move, the best ones for random positions. A little beyond "
    "the number needed (dashed), moving particles reach the optimum (runs stop at the lowest blue line); fixed ones would have "
    "to fill the whole space."
)


def draw_overparameterization(outcome: Outcome) -> Figure:
    """One panel a problem."""
    figure = study_figure(5.05, "How many particles it takes", outcome, WHAT_TO_SEE)
    least = outcome.settings["least"]
    assert isinstance(least, Mapping)
    for number, problem in enumerate(outcome.names("problems")):
        ax = style.panel(figure, style.GUTTER + 3.1 * number, 2.25, 2.45, 2.2)
        _panel(ax, outcome, number, float(least[problem]))
        style.heading(ax, TITLES[problem], small=True)
        style.dress(ax, "number of particles m", "excess loss / loss of the zero model" if number == 0 else "")
    figure.axes[1].legend(loc="lower left", fontsize=style.SMALL - 1, frameon=False, labelcolor=style.TEXT)
    return style.finish(figure)


def _panel(ax: Axes, outcome: Outcome, number: int, least: float) -> None:
    runs, medians = (outcome.tables[name].rows(problem=number) for name in ("runs", "medians"))
    ax.axvline(least, color=style.TEXT, lw=1.1, ls=(0, (4, 2)), zorder=1)
    for name, colour, marker, label in (
        ("flow", style.BLUE, "o", "flow: everything moves"),
        ("fixed", style.ORANGE, "s", "weights only"),
    ):
        ax.plot(runs["particles"], runs[name], marker, color=colour, alpha=0.3, ms=3, mew=0, zorder=2)
        ax.plot(medians["particles"], medians[name], f"-{marker}", color=colour, ms=5, lw=1.5, label=label, zorder=3)
    counts = medians["particles"]
    counts_axis(ax, counts[:: max(1, int(np.ceil(counts.size / TICKS)))])
    logarithmic(ax, float(runs["flow"].min()) / 3, 3.0)
    ax.annotate(
        f"{least:.0f} needed", (least, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -9), textcoords="offset points",
        fontsize=style.SMALL - 1, color=style.TEXT,
    )  # fmt: skip
