"""Figure of a filter's response and slope against lag."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.filters import Filter
from blasso_flow.plots import style

NEGLIGIBLE = 1e-3  # of the peak: lags beyond are not drawn
POINTS = 2001


def draw_filter(filter: Filter, units: str = "", samples: bool = True) -> Figure:
    """Response above, slope (its derivative by position) below, lags in axis units called ``units``.

    ``samples`` marks the lags at which a spike sitting on a sample meets the grid, where there are few enough of
    them.
    """
    figure = style.new_figure(7.0, 5.4)
    top = style.panel(figure, style.GUTTER, 0.75, 6.0, 2.1)
    below = style.panel(figure, style.GUTTER, 3.25, 6.0, 1.65, top)
    low, high = lag_range(filter)
    lag = np.unique(np.concatenate([np.linspace(low, high, POINTS), [0.0]]))
    dots = np.arange(np.ceil(low), np.floor(high) + 1)
    if not samples or dots.size > 250:
        dots = np.empty(0)
    spacing = filter.spacing
    for ax, order, scale in ((top, 0, 1.0), (below, 1, 1 / spacing)):
        ax.axhline(0, color=style.PALE, lw=0.8, zorder=1)
        ax.axvline(0, color=style.PALE, lw=0.8, zorder=1)
        ax.plot(lag * spacing, scale * filter.response(lag, order), color=style.FIT_COLOUR, lw=1.6, zorder=3)
        ax.plot(
            dots * spacing,
            scale * filter.response(dots, order),
            ls="",
            marker="o",
            ms=3.5 if dots.size < 80 else 2.2,
            color=style.FIT_COLOUR,
            zorder=4,
        )
    mark_width(top, filter, units)
    style.dress(top, ylabel="response")
    style.dress(
        below, xlabel=style.with_units("lag", units), ylabel="slope" + (f" (per {style.plain(units, 16)})" if units else "")
    )
    top.tick_params(labelbottom=False)
    style.heading(top, style.plain(f"Filter {filter.description}", 70), filter_words(filter, units, bool(dots.size)), wrap=88)
    style.heading(below, "Slope: derivative by position")
    top.set_xlim(low * spacing, high * spacing)
    return style.finish(figure)


def lag_range(filter: Filter) -> tuple[float, float]:
    """Lags (samples) that hold all that is not negligible, and lag zero, with a little room."""
    low, high = filter.support
    if filter.period:
        low, high = -filter.period / 2, filter.period / 2
    lag = np.linspace(low, high, 4 * POINTS)
    size = np.abs(filter.response(lag))
    lag = np.append(lag[size > NEGLIGIBLE * size.max()], 0.0)
    room = 0.06 * float(np.ptp(lag))
    return float(lag.min()) - room, float(lag.max()) + room


def mark_width(ax: Axes, filter: Filter, units: str) -> None:
    """A bar as long as the width, from the peak outwards, explained in the corner that the response leaves free."""
    low, high = lag_range(filter)
    lag = np.linspace(low, high, POINTS)
    values = filter.response(lag)
    top = int(np.argmax(np.abs(values)))
    height = float(values[top]) * float(np.exp(-0.5))
    start, end = lag[top] * filter.spacing, (lag[top] + filter.width) * filter.spacing
    words = f"width {style.power_of_ten(filter.width * filter.spacing)} {style.plain(units, 16)}".rstrip()
    ax.plot([start, end], [height, height], color=style.SPIKE_COLOUR, lw=1.6, marker="|", ms=8, mew=1.6, zorder=5, label=words)
    right = np.abs(values[-POINTS // 3 :]).max() < 0.6 * abs(values[top])
    ax.legend(
        loc="upper right" if right else "upper left",
        fontsize=style.SMALL,
        frameon=False,
        borderaxespad=0.2,
        labelcolor=style.SPIKE_COLOUR,
    )


def filter_words(filter: Filter, units: str, dots: bool) -> str:
    """A line on what the figure shows."""
    step = f"{style.power_of_ten(filter.spacing)} {style.plain(units, 16)}".rstrip()
    words = f"{filter.normalisation} normalisation; width {filter.width:.3g} samples"
    words += f"; dots are {step} apart, the spacing of the samples" if dots else f" of {step}"
    return f"{words}; table within {style.at_most(filter.error)} of the peak"
