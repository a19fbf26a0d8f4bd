"""Names of the HDF5 layout, shared by readers and writers; those of a result's columns are in `data.schema`. Nothing here
reads or writes.

Signal: /signal (NXdata), /filter, /truth. Result: /spikes (NXdata), /optimum, /candidates, /channels, /fit, /rate, /trace,
/timing, /provenance and /filter. Both are described in the README of the project.
"""

from __future__ import annotations

from blasso_flow.data.schema import COLUMNS

LAYOUT_ATTRIBUTE = "blasso_flow_layout"
LAYOUT_VERSION = 1

SIGNAL = "signal"
VALUES = "y"
CHANNEL = "channel"
NOISE = "noise_sd"
FILTER = "filter"
IMPULSE_RESPONSE = "impulse_response"
LAG = "lag"
TRUTH = "truth"

SPIKES = "spikes"
OPTIMUM = "optimum"
CANDIDATES = "candidates"
FIT = "fit"
RATE = "rate"
PROVENANCE = "provenance"

SPIKE = "spike"
ROW = "row"
# Names of the dimension scales of a result, by what they count.
SCALES = {
    "channels": CHANNEL,
    "spikes": SPIKE,
    "optimum": SPIKE,
    "candidates": SPIKE,
    "rounds": ROW,
    "particles": "particle",
    "sections": "section",
    "coefficients": "coefficient",
    "noise_order": "lag",
}

# An axis that closes on itself carries its period (axis units); its exact spacing is kept beside the rounded positions.
PERIOD = "period"
SPACING = "spacing"

CURVES = frozenset(column.name for column in COLUMNS if column.group in (FIT, RATE))
RESERVED_AXIS_NAMES = CURVES | {VALUES, CHANNEL, NOISE, SPIKE}


def axis_dataset_name(name: str) -> str:
    """A dataset name for an axis: its own name where HDF5 and the layout allow it, else one close to it."""
    cleaned = name.replace("/", "_").replace("\0", "").strip().strip(".") or "position"
    return f"{cleaned}_axis" if cleaned in RESERVED_AXIS_NAMES else cleaned


def weight_units(normalisation: str, value_units: str, axis_units: str) -> str:
    """Units of a weight: of the signal for peak, times axis units for area, times their square root for energy."""
    if normalisation == "peak" or not axis_units:
        return value_units
    per_axis = axis_units if normalisation == "area" else f"sqrt({axis_units})"
    return f"{value_units} {per_axis}".strip()
