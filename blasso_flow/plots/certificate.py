"""Figure of the certificate of the optimum over the domain: the picture of the proof."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from blasso_flow.data.reports import Status
from blasso_flow.data.results import Recovery
from blasso_flow.filters import Filter
from blasso_flow.plots import style
from blasso_flow.plots.curves import Curves, gather
from blasso_flow.plots.evaluate import envelope
from blasso_flow.plots.panels import share_x
from blasso_flow.plots.zooms import zoom_places, zoom_ranges

Chosen = NDArray[np.bool_]
LOWEST = -2.5  # positive weights: what lies below is of no interest and would hide the line at 1


def draw_certificate(recovery: Recovery, channel: int = 0, filter: Filter | None = None) -> Figure:
    """Certificate of one channel over the whole domain, and in the zooms of a long record.

    Raises `UsageError` when the recovery has no signal or its filter cannot be known.
    """
    curves = gather(recovery, channel, filter)
    zooms = zoom_ranges(curves)
    figure = style.new_figure(style.WIDTH, 5.2 if zooms else 3.6)
    ax = style.panel(figure, style.GUTTER, 0.75, style.WIDTH - style.GUTTER - 0.2, 2.4)
    certificate_panel(ax, curves, wrap=135)
    share_x([ax], curves)
    certificate_zooms(figure, curves, zooms, 3.9)
    return style.finish(figure)


def certificate_zooms(
    figure: Figure, curves: Curves, zooms: list[tuple[float, float, str]], top: float, titled: bool = True
) -> None:
    """The certificate in the zooms of the fit, 0.8 inches high, ``top`` inches below the figure's upper edge."""
    for index, ((low, high, why), (left, width)) in enumerate(zip(zooms, zoom_places(len(zooms)), strict=True)):
        ax = style.panel(figure, left, top, width, 0.8)
        near = (curves.eta_position >= low) & (curves.eta_position <= high)
        touching = (curves.optimum_position >= low) & (curves.optimum_position <= high)
        draw_eta(ax, curves, near, touching)
        ax.set_xlim(low, high)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        if titled:
            style.heading(ax, f"{index + 1}: {why}", small=True)
        style.dress(ax, xlabel=style.axis_label(curves.axis), ylabel="certificate η" if index == 0 else "", small=True)


def certificate_panel(ax: Axes, curves: Curves, wrap: int = 94) -> None:
    """The certificate, the lines it must not cross, and a ring where each spike of the optimum touches them."""
    style.dress(ax, ylabel="certificate η")
    style.heading(ax, *certificate_words(curves), wrap=wrap)
    if not curves.eta.size:
        style.message(ax, "no certificate: nothing was solved")
        ax.set_yticks([])
        return
    low = float(np.min(curves.eta))
    draw_eta(ax, curves)
    if curves.positive and low < LOWEST:
        ax.annotate(
            f"η falls to {style.power_of_ten(low)}; only η > 1 would count, as weights are non-negative",
            (0.995, 0.04),
            xycoords="axes fraction",
            ha="right",
            va="bottom",
            fontsize=style.SMALL - 1,
            color=style.TEXT,
            bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.5},
            zorder=5,
        )


def draw_eta(ax: Axes, curves: Curves, near: Chosen | None = None, touching: Chosen | None = None) -> None:
    """The curve, its bounds and the rings, of the whole domain or of the points chosen."""
    every = slice(None)
    at, eta = curves.eta_position[every if near is None else near], curves.eta[every if near is None else near]
    chosen = every if touching is None else touching
    spikes, height = curves.optimum_position[chosen], curves.eta_at_optimum[chosen]
    ax.plot(*envelope(at, eta), color=style.FIT_COLOUR, lw=1.1, zorder=3)
    ax.axhline(1, color=style.BLACK, lw=1.6, zorder=2)
    ax.axhline(0, color=style.PALE, lw=0.8, zorder=1)
    if curves.positive:
        ax.axhline(-1, color=style.GREY, lw=0.7, ls=":", zorder=2)
    else:
        ax.axhline(-1, color=style.BLACK, lw=1.6, zorder=2)
    count = spikes.size
    ax.plot(
        spikes,
        height,
        ls="",
        marker="o",
        ms=6 if count <= 60 else 3.5 if count <= 400 else 1.5,
        mfc="white" if count <= 400 else style.SPIKE_COLOUR,
        mec=style.SPIKE_COLOUR,
        mew=1.4 if count <= 60 else 0.8,
        zorder=4,
        rasterized=count > style.MANY,
    )
    low, high = (float(eta.min()), float(eta.max())) if eta.size else (0.0, 0.0)
    bottom = min(max(low, LOWEST), -0.1) if curves.positive else min(low, -1.0)
    ax.set_ylim(bottom - 0.12, max(high, 1.0) + 0.25)


def certificate_words(curves: Curves) -> tuple[str, str]:
    """Title and detail: what was proven, for a reader who knows no formula."""
    report = curves.report
    lines = "1" if curves.positive else "±1"
    if report.status is Status.CONVERGED:
        title = f"Proof of optimality: η touches {lines} at the optimum's spikes and never goes beyond"
    elif report.status is Status.GAP_ABOVE_TOLERANCE:
        title = "Certificate: not proven to the tolerance"
    else:
        return "Certificate", ""
    size = "η" if curves.positive else "|η|"
    bound = "1" if report.violation <= 0 else f"1 + {style.at_most(report.violation)}"
    if not curves.optimum_position.size:
        title = f"Proof of optimality: η stays within {lines}, so having no spikes is optimal"
    excess = f" by more than {style.at_most(report.gap)} of it (the gap)" if report.gap > 0 else ""
    return title, f"Proven: {size} ≤ {bound} on the whole domain, and no other set of spikes lowers the objective{excess}."
