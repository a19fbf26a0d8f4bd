"""The fit of one channel: signal, model, baseline, spikes with their errors, residual, zooms."""

from __future__ import annotations

from matplotlib.figure import Figure

from blasso_flow.data.results import Recovery
from blasso_flow.filters import Filter
from blasso_flow.plots import style
from blasso_flow.plots.curves import gather
from blasso_flow.plots.panels import fit_panel, residual_panel, share_x, spike_panel
from blasso_flow.plots.zooms import zoom_ranges, zoom_row


def draw_fit(recovery: Recovery, channel: int = 0, filter: Filter | None = None) -> Figure:
    """Signal and fit, spikes with 95 % error bars, residual, and zooms of long records.

    Raises `UsageError` when the recovery has no signal or its filter cannot be known.
    """
    curves = gather(recovery, channel, filter, certificate=False)
    zooms = zoom_ranges(curves)
    figure = style.new_figure(style.WIDTH, 8.4 if zooms else 6.0)
    left, width = style.GUTTER, style.WIDTH - style.GUTTER - 0.2
    top = style.panel(figure, left, 0.4, width, 2.3)
    panels = [top, style.panel(figure, left, 3.05, width, 1.15, top), style.panel(figure, left, 4.55, width, 0.95, top)]
    fit_panel(panels[0], curves, zooms)
    spike_panel(panels[1], curves)
    residual_panel(panels[2], curves)
    share_x(panels, curves)
    zoom_row(figure, curves, zooms, 6.7)
    return style.finish(figure)
