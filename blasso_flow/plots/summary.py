"""One figure with everything about one channel: fit, spikes, residual, certificate, gap, and the numbers behind them."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.data.reports import SHORT_ERRORS, ChannelReport, Status, Verdict
from blasso_flow.data.results import Recovery
from blasso_flow.filters import Filter
from blasso_flow.plots import style
from blasso_flow.plots.certificate import certificate_panel, certificate_zooms
from blasso_flow.plots.channels import draw_channels
from blasso_flow.plots.curves import Curves, gather
from blasso_flow.plots.gap import gap_panels
from blasso_flow.plots.panels import fit_panel, residual_panel, share_x, spike_panel
from blasso_flow.plots.save import save_figure
from blasso_flow.plots.spectrum import spectrum_panel
from blasso_flow.plots.zooms import zoom_ranges, zoom_row

LETTERS = 33  # in a line of the column of facts
MOST_LINES = 4
FACTS = 4.3  # inches of that column


def plot(recovery: Recovery, path: str | None = None, *, channel: int | None = None) -> Figure:
    """The figure that ``recover`` writes, as a matplotlib Figure, and at ``path`` (png, svg or pdf) where one is given.

    ``channel`` chooses one of many; by default all are shown. Raises `UsageError` as `draw_recovery` does.
    """
    figure = draw_recovery(recovery, channel)
    if path is not None:
        save_figure(figure, path)
    return figure


def draw_recovery(recovery: Recovery, channel: int | None = None, filter: Filter | None = None) -> Figure:
    """The figure `recover` writes: the summary of one channel, or the overview of many.

    ``channel`` chooses one of many. ``filter`` is the table the recovery was made with; built from the settings when not
    given. Raises `UsageError` when the recovery has no signal or its filter cannot be known.
    """
    if channel is None and len(recovery.channels) > 1:
        return draw_channels(recovery, filter)
    return draw_summary(recovery, channel or 0, filter)


def draw_summary(recovery: Recovery, channel: int = 0, filter: Filter | None = None) -> Figure:
    """Fit, spikes, residual and certificate of one channel over one axis; the gap's history and the numbers beside them."""
    curves = gather(recovery, channel, filter)
    zooms = zoom_ranges(curves)
    figure = style.new_figure(style.WIDTH, 11.55 if zooms else 8.2)
    style.headline(figure, headline(curves, recovery))
    left, width = style.GUTTER, 6.5
    top = style.panel(figure, left, 0.65, width, 2.1)
    places = ((3.1, 1.15), (4.6, 0.95), (6.25, 1.45))
    panels = [top, *(style.panel(figure, left, place, width, height, top) for place, height in places)]
    fit_panel(panels[0], curves, zooms)
    spike_panel(panels[1], curves)
    residual_panel(panels[2], curves)
    certificate_panel(panels[3], curves)
    share_x(panels, curves)
    facts_panel(style.panel(figure, 7.55, 0.65, 2.3, FACTS), curves)
    above, tolerance = style.panel(figure, 8.3, 5.25, 1.55, 1.0), curves.settings.get("tol")
    if curves.report.whitener.size:
        spectrum_panel(above, curves)
        gap_panels(style.panel(figure, 8.3, 6.9, 1.55, 0.8), None, curves.report, tolerance, "gap")
    else:
        gap_panels(above, style.panel(figure, 8.3, 6.5, 1.55, 1.2, above), curves.report, tolerance, "gap")
    zoom_row(figure, curves, zooms, 8.75, labelled=False)
    certificate_zooms(figure, curves, zooms, 10.3, titled=False)
    return style.finish(figure)


def headline(curves: Curves, recovery: Recovery) -> str:
    """The result in one line."""
    where = style.source(curves.signal.name)
    if len(recovery.channels) > 1:
        where = f"{where}, channel {curves.number}"
    found = style.counted(curves.position.size, "spike")
    outcome = {
        Status.CONVERGED: f"{found}, optimality proven",
        Status.GAP_ABOVE_TOLERANCE: f"{found}, optimality not proven to the tolerance",
        Status.ALL_MISSING: "all samples are missing",
        Status.FAILED: "failed",
    }[curves.report.status]
    return f"{where}: {outcome}{but_the_model(curves.report)}"


def but_the_model(report: ChannelReport) -> str:
    """What is wrong with the model, by its main reason: the proof is not about that. Empty where nothing is."""
    if not report.fit.faulty:
        return ""
    but = "but" if report.status is Status.CONVERGED else "and"
    reason = f": {style.plain(report.fit_reasons[0], 100)}" if report.fit_reasons else ""
    return f", {but} the model is {report.fit}{reason}"


def because(rule: str) -> str:
    """Where a number came from, where that is known."""
    return f": {rule}" if rule else ""


def facts(curves: Curves) -> list[tuple[str, str]]:
    """The numbers behind the figure: name and value."""
    report, axis = curves.report, curves.axis
    filter = curves.filter
    width = f"{filter.width:.3g} samples"
    if axis.units or axis.spacing != 1:
        width = f"{style.power_of_ten(filter.width * axis.spacing)} {axis.units}".rstrip() + f" = {width}"
    missing = int(np.isnan(curves.signal.values).sum())
    slower = f", slower ones: the file's were interpolated, {report.ratio:.3g} to one" if report.interpolation else ""
    law = ""
    if report.sections:
        a, b = curves.settings["width_law"]
        ends = f"{report.sections[0].sd:.3g} to {report.sections[-1].sd:.3g} {axis.units}".rstrip()
        law = f"gaussian, sd² = {a:g} + {b:g} position: {ends}, in {len(report.sections)} sections"
    rows = [
        ("Samples", f"{axis.size:,}" + (f" ({missing:,} missing)" if missing else "") + slower),
        ("Filter", law or f"{filter.description}, {filter.normalisation} normalisation, width {width}"),
        ("Noise sd", noise_words(curves) + ("" if report.whitener.size else because(report.noise_rule))),
        ("Strength of the penalty", style.power_of_ten(report.strength) + because(report.strength_rule)),
    ]
    if report.fit is not Verdict.UNKNOWN:
        grave = f", and {SHORT_ERRORS}" if report.fit is Verdict.WRONG else ""
        reasons = "; ".join(report.fit_reasons) if report.fit.faulty else "what is left is noise"
        rows.insert(0, ("Fit of the model", f"{report.fit}{grave}: {reasons}"))
    if not curves.eta.size:
        return [*rows, ("Message", report.message)]
    best, found = (style.counted(column.size, "spike") for column in (curves.optimum_position, curves.position))
    sign = "weights not negative" if curves.positive else "weights of either sign"
    rows.append(("Optimum", f"{best}, {sign}; the proof is about this one"))
    widths = ", each with its own width" if curves.settings.get("refit_width") else ""
    refitted = bool(curves.settings.get("refit", True))
    rows.append(("Answer", f"{found}: refitted and pruned{widths}" if refitted else "the optimum itself (no refit)"))
    return rows


def noise_words(curves: Curves) -> str:
    """The noise sd; where every sample has its own, their range and median; of coloured noise its order, and both sds."""
    units, sd = curves.signal.units, curves.noise_sd
    if curves.report.whitener.size:
        a_sample = f"{style.power_of_ten(float(np.median(np.asarray(sd))))} {units}".rstrip()
        own = style.power_of_ten(curves.report.noise_sd)
        return f"coloured, order {curves.report.whitener.size}, sd {a_sample} a sample, {own} of its innovations"
    if isinstance(sd, np.ndarray) and curves.settings.get("loss", "squared") == "squared":
        present = sd[np.isfinite(curves.signal.values) & np.isfinite(sd)]
        if present.size and present.min() < present.max():
            ends = " to ".join(style.power_of_ten(float(end)) for end in (present.min(), present.max()))
            return f"{ends} {units}".rstrip() + f", median {style.power_of_ten(curves.report.noise_sd)}"
    return f"{style.power_of_ten(curves.report.noise_sd)} {units}".rstrip()


def wrapped_fact(value: str, most: int) -> list[str]:
    """The lines of a fact, at most so many."""
    return textwrap.wrap(style.plain(value, LETTERS * most), LETTERS, max_lines=most, placeholder=" …") or [""]


def facts_panel(ax: Axes, curves: Curves) -> None:
    """The facts as a column of text."""
    ax.set_axis_off()
    line, place = 12.0, 0.0
    rows = facts(curves)
    room = 72 * FACTS
    for most in range(MOST_LINES, 0, -1):  # the first row is that of the verdict
        wrapped = [wrapped_fact(value, most + 4 * (row == 0)) for row, (_, value) in enumerate(rows)]
        if sum(line * (1 + len(lines)) + 3.0 for lines in wrapped) <= room:
            break
    for (name, _), lines in zip(rows, wrapped, strict=True):
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
        place += line * (1 + len(lines)) + 3.0
