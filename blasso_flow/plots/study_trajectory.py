"""Figure of `study trajectory`: the particles' paths, the gap they prove, and how many particles it takes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.plots import style
from blasso_flow.plots.study_parts import by_particle, colour_bar, logarithmic, paths, study_figure, time_scale
from blasso_flow.study.outcome import Outcome

LEAST_GAP = 1e-12
WHAT_TO_SEE = (
    "Each line is one particle. Those that are needed end in a circle, the others return to weight 0. The penalty shrinks the "
    "optimum below the true spikes."
)


def draw_trajectory(outcome: Outcome) -> Figure:
    """Paths on the left; gap and shares on the right."""
    tolerance = outcome.settings["tolerance"]
    assert isinstance(tolerance, float)
    reached = outcome.tables["gaps"]["gap"][-1] <= tolerance
    title = f"A few moving particles {'find' if reached else 'miss'} the certified optimum"
    figure = study_figure(5.95, title, outcome, WHAT_TO_SEE)
    left = style.panel(figure, style.GUTTER, 1.7, 5.3, 3.3)
    gap = style.panel(figure, 7.0, 1.7, 2.7, 1.3)
    share = style.panel(figure, 7.0, 3.9, 2.7, 1.1)
    tables = outcome.tables
    rows, truth, optimum = tables["paths"], tables["truth"], tables["optimum"]
    position, weight, iteration = (by_particle(rows[name], rows["particle"]) for name in ("position", "weight", "iteration"))
    times = iteration[:, 0]
    scale = time_scale(times)
    style.dress(left, "position (periods)", "weight (signal units)")
    style.heading(left, "Paths", small=True)
    left.axhline(0, color=style.PALE, lw=1, zorder=1)
    paths(left, position, weight, times, scale, jump=0.5)
    left.plot(position[0], weight[0], "|", color=style.GREY, ms=8, label="start", zorder=3)
    left.plot(position[-1], weight[-1], ".", color=style.BLACK, ms=6, label="end", zorder=5)
    left.plot(truth["position"], truth["weight"], "x", color=style.BLUE, ms=8, mew=1.6, label="true spike", zorder=4)
    left.plot(
        optimum["position"], optimum["weight"], "o", color=style.VERMILLION, mfc="none", ms=11, mew=1.6,
        label="certified optimum", zorder=4,
    )  # fmt: skip
    left.set_xlim(0, 1)
    everything = np.concatenate([weight.ravel(), truth["weight"]])
    left.set_ylim(1.15 * everything.min() - 0.05, 1.15 * everything.max() + 0.05)
    style.legend_above(left, columns=4)
    colour_bar(figure, style.GUTTER + 1.4, 5.45, 2.5, scale, "iteration")
    style.dress(gap, "iteration", "proven relative gap")
    style.heading(gap, "Gap", small=True)
    gaps = tables["gaps"]
    gap.plot(gaps["iteration"], np.maximum(gaps["gap"], LEAST_GAP), color=style.FIT_COLOUR, lw=1.4)
    logarithmic(gap, min(tolerance, float(gaps["gap"].min())) / 5, 2.0)
    gap.axhline(tolerance, color=style.SPIKE_COLOUR, lw=1.1, ls=(0, (4, 2)))
    gap.annotate(
        "attained below", (0.03, tolerance), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
        fontsize=style.SMALL - 1, color=style.SPIKE_COLOUR,
    )  # fmt: skip
    _shares(share, outcome)
    return style.finish(figure)


def _shares(ax: Axes, outcome: Outcome) -> None:
    shares = outcome.tables["shares"]
    places = np.arange(len(shares["share"]))
    ax.bar(places, 100 * shares["share"], width=0.65, color=style.SKY)
    for place, value in zip(places, shares["share"], strict=True):
        ax.annotate(
            f"{100 * value:.0f}", (place, 100 * value), xytext=(0, 1), textcoords="offset points", ha="center", va="bottom",
            fontsize=style.SMALL - 1, color=style.TEXT,
        )  # fmt: skip
    style.dress(ax, "number of particles (5 true spikes)", "attained (%)")
    style.heading(ax, f"Share of {outcome.settings['draws']} draws that attain it", small=True)
    ax.set_xticks(places, [f"{int(count)}" for count in shares["particles"]])
    ax.set_ylim(0, 125)
    ax.set_yticks([0, 50, 100])
