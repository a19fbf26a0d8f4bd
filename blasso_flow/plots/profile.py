"""The profile of a fitted filter: what the objective says about each of its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.plots import style

if TYPE_CHECKING:
    from blasso_flow.recovery.filter_fit import FilterFit

LEVELS = 14


def draw_profile(fit: FilterFit, units: str = "") -> Figure:
    """Objective above its minimum against one parameter, or as contours over two; the fitted values are marked."""
    figure = style.new_figure(7.0, 4.8)
    ax = style.panel(figure, style.GUTTER, 0.8, 5.4, 3.3)
    if len(fit.values) == 1:
        _curve(ax, fit, units)
    else:
        _contours(figure, ax, fit, units)
    fitted = ", ".join(f"{name} {value:.4g} {style.plain(units, 16)}".rstrip() for name, value in fit.values.items())
    scale = "log-likelihood" if fit.loss == "poisson" else "noise variances"
    used = style.counted(len(fit.channels), "channel")
    style.heading(
        ax,
        f"Fitted: {fitted}",
        f"objective in {scale} above its minimum, {used}, {len(fit.objectives)} filters tried (dots)",
        wrap=88,
    )
    return style.finish(figure)


def _curve(ax: Axes, fit: FilterFit, units: str) -> None:
    (name,) = fit.values
    order = np.argsort(fit.tried[:, 0])
    usable = order[np.isfinite(fit.objectives[order])]
    above = fit.objectives[usable] - fit.objective
    ax.plot(fit.tried[usable, 0], above, "-o", color=style.FIT_COLOUR, lw=1.4, ms=4, zorder=3, clip_on=False)
    ax.axvline(fit.values[name], color=style.SPIKE_COLOUR, lw=1.4, ls=(0, (4, 2)), zorder=2)
    style.dress(ax, xlabel=style.with_units(name, units), ylabel="objective above its minimum")
    ax.set_xscale("log")
    _plain_ticks(ax, fit, "x", 0)


def _contours(figure: Figure, ax: Axes, fit: FilterFit, units: str) -> None:
    first, second = fit.values
    usable = np.isfinite(fit.objectives)
    x, y = fit.tried[usable].T
    height = np.log10(1 + fit.objectives[usable] - fit.objective)
    if usable.sum() >= 4:
        filled = ax.tricontourf(np.log10(x), np.log10(y), height, levels=LEVELS, cmap="viridis_r")
        bar = figure.colorbar(filled, ax=ax, ticks=range(int(height.max()) + 1))
        bar.ax.set_yticklabels(["0" if power == 0 else style.power_of_ten(10.0**power) for power in range(int(height.max()) + 1)])
        bar.set_label("objective above its minimum", fontsize=style.SMALL, color=style.TEXT)
    ax.plot(np.log10(x), np.log10(y), ls="", marker="o", ms=3, color=style.GREY, mec="white", mew=0.4, zorder=3)
    marked = np.log10(fit.values[first]), np.log10(fit.values[second])
    ax.plot(*marked, ls="", marker="*", ms=14, color=style.SPIKE_COLOUR, mec="white", zorder=4)
    style.dress(ax, xlabel=style.with_units(first, units), ylabel=style.with_units(second, units))
    _label_logarithms(ax, fit)


def _label_logarithms(ax: Axes, fit: FilterFit) -> None:
    """Logarithms on linear axes, labelled by the values: contours between points need a linear plane."""
    for letter, column in (("x", 0), ("y", 1)):
        low, high = list(fit.ranges.ranges.values())[column]
        ticks = np.geomspace(low, high, 5)
        getattr(ax, f"set_{letter}ticks")(np.log10(ticks), [f"{tick:.2g}" for tick in ticks])
        getattr(ax, f"set_{letter}lim")(np.log10(low), np.log10(high))


def _plain_ticks(ax: Axes, fit: FilterFit, letter: str, column: int) -> None:
    low, high = list(fit.ranges.ranges.values())[column]
    ticks = np.geomspace(low, high, 5)
    getattr(ax, f"set_{letter}ticks")(ticks, [f"{tick:.2g}" for tick in ticks])
    ax.minorticks_off()
    getattr(ax, f"set_{letter}lim")(low, high)
