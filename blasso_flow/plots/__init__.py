"""Figures of results and filters, one file a figure, drawn with matplotlib's Figure API only.

Importing this package imports matplotlib; the rest of blasso_flow must not. Nothing here touches pyplot, keeps global
state or computes a result: curves are evaluated from the filter's table, which is what the solver used.

    figure = draw_recovery(recovery)          summary of one channel, or of all of them
    save_figure(figure, "a.spikes.png")       png, svg or pdf by suffix
"""

from __future__ import annotations

from blasso_flow.plots.certificate import draw_certificate
from blasso_flow.plots.channels import draw_channels
from blasso_flow.plots.filter import draw_filter
from blasso_flow.plots.fit import draw_fit
from blasso_flow.plots.gap import draw_gap
from blasso_flow.plots.profile import draw_profile
from blasso_flow.plots.save import FORMATS, figure_format, save_figure
from blasso_flow.plots.summary import draw_recovery, draw_summary, plot

__all__ = [
    "FORMATS",
    "draw_certificate",
    "draw_channels",
    "draw_filter",
    "draw_fit",
    "draw_gap",
    "draw_profile",
    "draw_recovery",
    "draw_summary",
    "figure_format",
    "plot",
    "save_figure",
]
