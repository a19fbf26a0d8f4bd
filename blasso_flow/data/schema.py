"""Every column of a result, once: blocks, files, `show` and the tables of the documents all draw on it.

A new column is a field of a data class with its metadata (`column`); nothing else lists columns.
"""

from __future__ import annotations

from blasso_flow.data.column import Column, Units, columns
from blasso_flow.data.reports import ChannelReport, Paths, Section, TraceRow
from blasso_flow.data.results import Fit, Rates
from blasso_flow.data.spikes import Candidates, Optimum, Spikes

OF = {
    Spikes: columns(Spikes, "spikes", "spikes"),
    Optimum: columns(Optimum, "optimum", "optimum"),
    Candidates: columns(Candidates, "candidates", "candidates"),
    ChannelReport: columns(ChannelReport, "channels", "channels"),
    TraceRow: columns(TraceRow, "trace", "rounds"),
    Paths: columns(Paths, "trace", "rounds"),
    Section: columns(Section, "sections", "sections", when="sections"),
    Fit: columns(Fit, "fit", "channels", when="curve"),
    Rates: columns(Rates, "rate", "channels", when="rate"),
}
# What follows from how many rows each channel has.
COUNTED = (
    Column("number of spikes of the channel", Units.ONE, int, "", "channels", "row_size", ("channels",)),
    Column("number of optimum spikes of the channel", Units.ONE, int, "", "channels", "optimum_row_size", ("channels",)),
    Column("channel", Units.ONE, int, "", "trace", "channel", ("rounds",)),
    Column("channel", Units.ONE, int, "", "sections", "channel", ("sections",), when="sections"),
)
COLUMNS = (*COUNTED, *(column for own in OF.values() for column in own))
