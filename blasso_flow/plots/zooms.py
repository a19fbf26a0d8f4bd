"""Small fits: zooms of long records, and the first of many channels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from blasso_flow.data.signals import FloatArray
from blasso_flow.plots import style
from blasso_flow.plots.curves import Curves, model_at
from blasso_flow.plots.evaluate import present_range
from blasso_flow.plots.panels import NINETY_FIVE, Zoom, draw_signal, fine_positions, value_label

SMALL_FIT_NOTE = "Grey: signal. Blue: fit. Orange: spikes, rising from the baseline by what each adds to the signal at its peak."
ZOOM_WIDTHS = 40.0  # filter widths a zoom shows
PAIR = 0.8  # of a zoom: spikes further apart do not fit into one
CROWDED = 130.0  # filter widths in a record above which single responses are too narrow to see


def zoom_places(count: int) -> list[tuple[float, float]]:
    """Left ends and widths (inches) of up to three panels side by side."""
    width = (style.WIDTH - style.GUTTER - 0.2 + 0.5) / 3 - 0.5
    return [(style.GUTTER + index * (width + 0.5), width) for index in range(count)]


def zoom_row(figure: Figure, curves: Curves, zooms: list[Zoom], top: float, labelled: bool = True) -> None:
    """Zooms side by side, 1.35 inches high, ``top`` inches below the figure's upper edge, and what they show above.

    Not ``labelled``: for a row right above another one with the same axes.
    """
    if not zooms:
        return
    style.note(figure, top - 0.5, SMALL_FIT_NOTE)
    for index, (zoom, (left, width)) in enumerate(zip(zooms, zoom_places(len(zooms)), strict=True)):
        low, high, why = zoom
        ax = style.panel(figure, left, top, width, 1.35)
        small_fit(ax, curves, low, high)
        style.heading(ax, f"{index + 1}: {why}", small=True)
        style.dress(ax, ylabel=value_label(curves) if index == 0 else "", small=True)
        if labelled:
            ax.set_xlabel(style.axis_label(curves.axis), fontsize=style.SMALL - 1, color=style.TEXT, labelpad=2)
        else:
            ax.tick_params(labelbottom=False)
            ax.xaxis.get_offset_text().set_visible(False)


def zoom_ranges(curves: Curves) -> list[Zoom]:
    """Up to three ranges of a long record worth a closer look: low, high (axis units) and why. Empty for short records."""
    axis = curves.axis
    span = ZOOM_WIDTHS * curves.filter.width * axis.spacing
    length = axis.size * axis.spacing
    if length < CROWDED * curves.filter.width * axis.spacing or not np.isfinite(curves.signal.values).any():
        return []
    position, weight = curves.position, curves.weight
    candidates: list[tuple[str, FloatArray]] = []
    if position.size:
        candidates.append(("the largest spike", position[np.argsort(-np.abs(weight), kind="stable")]))
    if position.size > 1:
        distance = np.diff(position)
        close = np.argsort(distance, kind="stable")[: np.count_nonzero(distance < PAIR * span)]
        candidates.append(("the closest spikes", ((position[:-1] + position[1:]) / 2)[close]))
    misfit = np.abs(np.nan_to_num(curves.residual))
    if curves.noise_sd is not None:
        misfit = misfit / curves.noise_sd
    worst = np.argsort(-misfit, kind="stable")[:1000] if misfit.size < 10**5 else np.argpartition(-misfit, 1000)[:1000]
    candidates.append(("the largest residual", axis.from_samples(worst[np.argsort(-misfit[worst], kind="stable")])))
    chosen: list[Zoom] = []
    for why, centres in candidates:
        for rank, centre in enumerate(centres[:1000]):
            low = float(np.clip(centre - span / 2, axis.first, max(axis.first, axis.last - span)))
            if all(abs(low - other) >= span for other, _, _ in chosen):
                words = why if rank == 0 else why.replace("the closest", "close").replace("the largest", "a large")
                chosen.append((low, low + span, words))
                break
    return chosen


def small_fit(ax: Axes, curves: Curves, low: float, high: float) -> None:
    """Signal and fit from ``low`` to ``high``; stems rise from the baseline by what each spike adds to the signal at its peak."""
    style.dress(ax, small=True)
    axis = curves.axis
    first, last = (int(end) for end in np.clip(axis.to_samples(np.array([low, high + axis.spacing])), 0, axis.size))
    x = axis.positions()[first:last]
    draw_signal(ax, x, curves.signal.values[first:last], small=True)
    inner = present_range(curves.signal.values)
    first, last = max(first, inner.start), min(last, inner.stop)
    x = axis.positions()[first:last]
    fine = fine_positions(curves, x)
    ax.plot(
        *((x, curves.model[first:last]) if fine is None else (fine, model_at(curves, fine))),
        color=style.FIT_COLOUR,
        lw=1.2,
        zorder=4,
    )
    near = (curves.position >= low) & (curves.position <= high)
    place, height = curves.position[near], curves.weight[near] * curves.peak[near]
    foot = np.interp(place, axis.positions(), curves.baseline)
    if place.size:
        error = NINETY_FIVE * curves.weight_errors[near] * np.abs(curves.peak[near])
        ax.vlines(place, foot, foot + height, color=style.SPIKE_COLOUR, lw=1.3, zorder=3)
        ax.plot(place, foot + height, "o", ms=3.5, color=style.SPIKE_COLOUR, zorder=4.5)
        limits = ax.get_ylim()  # long error bars must not squeeze the signal
        ax.vlines(place, foot + height - error, foot + height + error, color=style.BLACK, lw=0.9, zorder=4.4)
        ax.set_ylim(*limits)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    ax.set_xlim(low, high)
