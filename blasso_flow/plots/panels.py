"""Panels that share one axis: signal and fit, spikes with their errors, residual."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from blasso_flow.data.signals import FloatArray
from blasso_flow.plots import style
from blasso_flow.plots.curves import Curves, model_at
from blasso_flow.plots.evaluate import COLUMNS, envelope, missing_runs, present_range

Zoom = tuple[float, float, str]  # low and high end (axis units), and why it is shown
NINETY_FIVE = 1.96  # standard errors in half a 95 % interval
FEW_SAMPLES = 400  # below this the model is drawn between the samples too


def share_x(panels: list[Axes], curves: Curves) -> None:
    """One axis label below panels that share it; limits hold the whole record and domain."""
    low, high = x_limits(curves)
    panels[0].set_xlim(low, high)
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
        panel.xaxis.get_offset_text().set_visible(False)
    panels[-1].set_xlabel(style.axis_label(curves.axis), fontsize=style.SMALL, color=style.TEXT, labelpad=2)


def x_limits(curves: Curves) -> tuple[float, float]:
    """Limits that hold the record and the domain with a little room."""
    axis = curves.axis
    low, high = min(axis.first, curves.domain[0]), max(axis.last, curves.domain[1])
    room = max(0.01 * (high - low), 0.5 * axis.spacing)
    return low - room, high + room


def fit_panel(ax: Axes, curves: Curves, zooms: list[Zoom] | None = None) -> None:
    """Signal, model and baseline; missing samples shaded; zooms numbered above."""
    style.dress(ax, ylabel=value_label(curves))
    x = curves.axis.positions()
    draw_missing(ax, curves)
    draw_signal(ax, x, curves.signal.values)
    if np.isfinite(curves.signal.values).any():
        draw_model(ax, curves, x)
    else:
        style.message(ax, "all samples are missing")
        ax.set_yticks([])
    if zooms:
        for index, (low, high, _) in enumerate(zooms):
            ax.axvspan(low, high, color=style.ORANGE, alpha=0.35, lw=0)
            ax.annotate(
                str(index + 1),
                ((low + high) / 2, 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=style.SMALL,
                fontweight="bold",
                bbox={"boxstyle": "circle,pad=0.15", "fc": style.ORANGE, "ec": "none"},
                zorder=6,
            )
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.12 * (high - low))
    style.heading(ax, "Signal and fit")
    style.legend_above(ax)


def draw_model(ax: Axes, curves: Curves, x: FloatArray) -> None:
    """Baseline dashed; fit solid, between the first and the last sample that is there: beyond, nothing holds the fit.

    The fit is drawn between the samples too where there are few.
    """
    if curves.settings.get("baseline") != "none":
        dashes = (0, (5, 2))
        ax.plot(*envelope(x, curves.baseline), color=style.BASELINE_COLOUR, lw=1.4, ls=dashes, label="baseline", zorder=5)
    inner = present_range(curves.signal.values)
    fine = fine_positions(curves, x[inner])
    model = envelope(x[inner], curves.model[inner]) if fine is None else (fine, model_at(curves, fine))
    ax.plot(*model, color=style.FIT_COLOUR, lw=1.5 if x.size <= 4 * COLUMNS else 0.8, label="fit", zorder=4)


def value_label(curves: Curves) -> str:
    """Label of the signal's values."""
    return style.with_units("signal", curves.signal.units)


def fine_positions(curves: Curves, x: FloatArray) -> FloatArray | None:
    """Positions between the samples for a smooth model, or None where samples are dense enough."""
    if x.size > FEW_SAMPLES or x.size < 2:
        return None
    return np.linspace(x[0], x[-1], (x.size - 1) * max(1, int(np.ceil(2 * FEW_SAMPLES / x.size))) + 1)


def draw_signal(ax: Axes, x: FloatArray, values: FloatArray, small: bool = False, named: bool = True) -> None:
    """Samples as dots where there are few, else as a thin line."""
    label = "signal" if named else None
    if x.size <= COLUMNS:
        size = (5.0 if x.size <= 60 else 3.6 if x.size <= FEW_SAMPLES else 2.4) * (0.8 if small else 1.0)
        ax.plot(x, values, ls="", marker="o", ms=size, mec="none", color=style.SAMPLE_COLOUR, label=label, zorder=2)
    else:
        ax.plot(*envelope(x, values), color="#A6A6A6", lw=0.6, label=label, zorder=2)


def draw_missing(ax: Axes, curves: Curves, named: bool = True) -> None:
    """Shade runs of missing samples, each at least a hair wide."""
    values, axis = curves.signal.values, curves.axis
    runs = missing_runs(values)
    total = int(np.isnan(values).sum())
    if not total:
        return
    if runs.shape[0] > COLUMNS:  # shade only what a column of pixels shows as missing throughout
        runs = runs[runs[:, 1] - runs[:, 0] >= axis.size / COLUMNS]
    hair = axis.size / COLUMNS
    for index, (start, stop) in enumerate(runs):
        room = max(0.0, hair - (stop - start)) / 2
        low, high = axis.from_samples(np.array([start - 0.5 - room, stop - 0.5 + room]))
        ax.axvspan(low, high, fc=style.PALE, lw=0, zorder=0, label=f"missing ({total:,})" if named and index == 0 else None)


def spike_panel(ax: Axes, curves: Curves) -> None:
    """The answer: one stem a spike, with 95 % error bars for position and weight."""
    units = style.weight_units(curves.filter.normalisation, curves.signal.units, curves.axis.units)
    style.dress(ax, ylabel=style.with_units("weight", units))
    draw_truth(ax, curves)
    if curves.position.size:
        stems(ax, curves.position, curves.weight, curves)
    elif curves.signal.truth is None or not curves.signal.truth.position.size:
        ax.set_yticks([])
    if not curves.position.size:
        style.message(ax, "no spikes")
    ax.axhline(0, color=style.TEXT, lw=0.8, zorder=1)
    ax.set_ylim(*weight_limits(curves)[:2])
    style.heading(ax, f"Spikes ({curves.position.size:,})")
    style.legend_above(ax)


def weight_limits(curves: Curves) -> tuple[float, float, bool]:
    """Limits that hold all weights and zero; and whether error bars reach beyond, as those of unresolved spikes may by far."""
    truth = curves.signal.truth
    known = truth.weight if truth is not None and truth.weight is not None else np.empty(0)
    heights = np.concatenate([curves.weight, known, [0.0]])
    low, high = float(heights.min()), float(heights.max())
    if low == high:
        return 0.0, 1.0, False
    span = high - low
    error = NINETY_FIVE * np.nan_to_num(curves.weight_errors)
    longest = (curves.weight - error).min(initial=low), (curves.weight + error).max(initial=high)
    bottom, top = max(longest[0], low - 0.35 * span), min(longest[1], high + 0.35 * span)
    room = 0.08 * span
    cut = bottom > longest[0] or top < longest[1]
    return bottom - room if bottom < 0 else 0.0, top + room if top > 0 else 0.0, cut


def draw_truth(ax: Axes, curves: Curves) -> None:
    """Known spikes as open circles; where their weights are unknown, as ticks on the axis."""
    truth = curves.signal.truth
    if truth is None or not truth.position.size:
        return
    if truth.weight is None:
        ax.plot(
            truth.position,
            np.zeros(truth.position.size),
            transform=ax.get_xaxis_transform(),
            ls="",
            marker="|",
            ms=9,
            color=style.TRUTH_COLOUR,
            label="true position",
            zorder=5,
            clip_on=False,
        )
    else:
        ax.plot(
            truth.position,
            truth.weight,
            ls="",
            marker="o",
            ms=7 if truth.position.size <= 60 else 4,
            mfc="none",
            mec=style.TRUTH_COLOUR,
            mew=1.0,
            label="truth",
            zorder=5,
            rasterized=truth.position.size > style.MANY,
        )


def stems(ax: Axes, position: FloatArray, weight: FloatArray, curves: Curves) -> None:
    """Stems with markers and error bars; crowded ones get thinner and lose their markers."""
    count = position.size
    width = 1.6 if count <= 60 else 1.0 if count <= 400 else 0.5
    colour = style.SPIKE_COLOUR
    if count > 400:  # one broken line is drawn many times faster than as many lines
        foot, gap = np.zeros(count), np.full(count, np.nan)
        x, y = (np.stack(columns, axis=1).ravel() for columns in ((position, position, gap), (foot, weight, gap)))
        ax.plot(x, y, color=colour, lw=width, zorder=3, rasterized=count > style.MANY, label="spike")
        return
    ax.vlines(position, 0, weight, color=colour, lw=width, zorder=3)
    words = "95 % error bars" + (" (cut)" if weight_limits(curves)[2] else "")
    x_error, y_error = NINETY_FIVE * curves.position_errors, NINETY_FIVE * curves.weight_errors
    ax.vlines(position, weight - y_error, weight + y_error, color=style.BLACK, lw=1.0, zorder=4.8, label=words)
    ax.hlines(weight, position - x_error, position + x_error, color=style.BLACK, lw=1.0, zorder=4.8)
    single = ~curves.unresolved
    size = 5.5 if count <= 60 else 3.0
    for chosen, face, label in ((single, colour, "spike"), (~single, "white", "not resolved from its neighbour")):
        if chosen.any():
            ax.plot(position[chosen], weight[chosen], "o", ms=size, mfc=face, mec=colour, mew=1.2, label=label, zorder=4.5)


def residual_panel(ax: Axes, curves: Curves) -> None:
    """Residual with the band that should hold 95 % of it."""
    style.dress(ax, ylabel=style.with_units("residual", curves.signal.units))
    x, residual = curves.axis.positions(), curves.residual
    draw_missing(ax, curves, named=False)
    present = np.isfinite(residual)
    title = "Residual"
    if curves.noise_sd is not None and present.any():
        sd = np.broadcast_to(np.asarray(curves.noise_sd, dtype=np.float64), x.shape)
        share = float(np.mean(np.abs(residual[present]) <= NINETY_FIVE * sd[present]))
        noise = "coloured" if curves.report.whitener.size else "white"
        title = f"Residual: {100 * share:.0f} % within the band ({noise} noise: 95 %)"
        edge_x, edge = envelope(x, NINETY_FIVE * sd) if np.ptp(sd[present]) else (x[[0, -1]], NINETY_FIVE * sd[[0, -1]])
        ax.fill_between(edge_x, -edge, edge, color=style.SKY, alpha=0.35, lw=0, zorder=1, label="±2 noise sd")
        for side in (-edge, edge):
            ax.plot(edge_x, side, color=style.SKY, lw=1.0, zorder=3)
    draw_signal(ax, x, residual, named=False)
    ax.axhline(0, color=style.TEXT, lw=0.8, zorder=3)
    style.heading(ax, title)
    style.legend_above(ax)
