"""One figure that says it all for one channel: fit, spikes, residual, certificate, gap, and the numbers in words."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.filters import Filter
from blasso_flow.plots import style
from blasso_flow.plots.certificate import certificate_panel
from blasso_flow.plots.channels import draw_channels
from blasso_flow.plots.curves import Curves, gather
from blasso_flow.plots.fit import fit_panel, residual_panel, share_x, spike_panel, zoom_panel, zoom_ranges
from blasso_flow.plots.gap import gap_panels
from blasso_flow.signals import FloatArray
from blasso_flow.spikes import Recovery, Status

LETTERS = 34  # in a line of the column of facts


def draw_recovery(recovery: Recovery, channel: int | None = None, filter: Filter | None = None) -> Figure:
    """The figure `recover` writes: the summary of one channel, or the overview of many.

    ``channel`` chooses one of many. ``filter`` is the table the recovery was made with; built from the settings when not
    given. Raises `UsageError` when the recovery has no signal or its filter cannot be known.
    """
    if channel is None and len(recovery.channels) > 1:
        return draw_channels(recovery, filter)
    return draw_summary(recovery, channel or 0, filter)


def draw_summary(
    recovery: Recovery,
    channel: int = 0,
    filter: Filter | None = None,
    eta_position: FloatArray | None = None,
    eta: FloatArray | None = None,
) -> Figure:
    """Fit, spikes, residual and certificate of one channel over one axis; the gap's history and the numbers beside them."""
    curves = gather(recovery, channel, filter, eta_position, eta)
    zooms = zoom_ranges(curves)
    figure = style.new_figure(style.WIDTH, 10.4 if zooms else 8.6)
    figure.suptitle(headline(curves, recovery), x=0.008, ha="left", fontsize=style.BASE + 3, fontweight="bold", color=style.BLACK)
    outer = figure.add_gridspec(2 if zooms else 1, 1, height_ratios=[8.0, 1.9] if zooms else [1.0])
    rows = outer[0].subgridspec(4, 2, width_ratios=[3.1, 1.0], height_ratios=[2.2, 1.2, 1.0, 1.5])
    top = figure.add_subplot(rows[0, 0])
    panels = [top] + [figure.add_subplot(rows[row, 0], sharex=top) for row in (1, 2, 3)]
    fit_panel(panels[0], curves, zooms)
    spike_panel(panels[1], curves)
    residual_panel(panels[2], curves)
    certificate_panel(panels[3], curves)
    share_x(panels, curves)
    side = rows[2:, 1].subgridspec(2, 1, height_ratios=[1.8, 1.0])
    above = figure.add_subplot(side[0])
    gap_panels(above, figure.add_subplot(side[1], sharex=above), curves.report, curves.settings.get("tol"))
    facts_panel(figure.add_subplot(rows[:2, 1]), curves)
    if zooms:
        row = outer[1].subgridspec(1, len(zooms))
        for index, zoom in enumerate(zooms):
            zoom_panel(figure.add_subplot(row[index]), curves, index, zoom)
    return figure


def headline(curves: Curves, recovery: Recovery) -> str:
    """The result in one line."""
    where = style.plain(curves.signal.name, 40)
    if len(recovery.channels) > 1:
        where = f"{where}, channel {curves.number}"
    found = style.counted(curves.position.size, "spike")
    outcome = {
        Status.CONVERGED: f"{found}, optimality proven",
        Status.GAP_ABOVE_TOLERANCE: f"{found}, optimality not proven to the tolerance",
        Status.ALL_MISSING: "all samples are missing",
        Status.FAILED: "failed",
    }[curves.report.status]
    return f"{where}: {outcome}"


def facts(curves: Curves) -> list[tuple[str, str]]:
    """The numbers behind the figure: name and value."""
    report, axis = curves.report, curves.axis
    filter = curves.filter
    width = style.with_units(style.power_of_ten(filter.width * axis.spacing), "").strip()
    missing = int(np.isnan(curves.signal.values).sum())
    rows = [
        ("Status", report.status.value.replace("_", " ")),
        ("Samples", f"{axis.size:,}" + (f", {missing:,} missing" if missing else "")),
        ("Filter", f"{filter.description}, {filter.normalisation} normalisation"),
        ("Width", f"{width} {axis.units}".strip() + f" = {filter.width:.3g} samples"),
        ("Noise sd", f"{style.power_of_ten(report.noise_sd)} {curves.signal.units}".strip() + f" ({report.noise_rule})"),
        ("Strength", f"{style.power_of_ten(report.strength)} ({report.strength_rule})"),
        ("Weights", "non-negative" if curves.positive else "of either sign"),
    ]
    if curves.eta.size:
        rows += [
            ("Optimum", f"{style.counted(curves.optimum_position.size, 'spike')}, penalised: the proof is about this one"),
            ("Answer", f"{style.counted(curves.position.size, 'spike')}, refitted without penalty and pruned")
            if curves.settings.get("refit", True)
            else ("Answer", "the optimum itself (no refit)"),
            ("Gap", f"at most {style.at_most(report.gap)} in {style.counted(report.rounds, 'round')}"),
        ]
    else:
        rows.append(("Message", report.message))
    return rows


def facts_panel(ax: Axes, curves: Curves) -> None:
    """The facts as a column of text."""
    ax.set_axis_off()
    line, place = 12.5, 0.0
    for name, value in facts(curves):
        lines = textwrap.wrap(style.plain(value, 160), LETTERS) or [""]
        for text, offset, colour, size in (
            (name, 0.0, style.GREY, style.SMALL - 1),
            ("\n".join(lines), line - 1.5, style.BLACK, style.SMALL),
        ):
            ax.annotate(
                text,
                (0, 1),
                xytext=(0, -place - offset),
                xycoords="axes fraction",
                textcoords="offset points",
                va="top",
                fontsize=size,
                color=colour,
                linespacing=1.15,
                annotation_clip=False,
            ).set_in_layout(False)
        place += line * (1 + len(lines)) + 1.0
