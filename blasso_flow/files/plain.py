"""Between numpy and JSON: plain Python values for /provenance, and an axis as a JSON object. Touches no file."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from blasso_flow.data.signals import Axis


def plain(value: object) -> object:
    """The value in JSON's types: numpy numbers unpacked, paths as text, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def axis_to_plain(axis: Axis) -> dict[str, object]:
    """An axis as a JSON object."""
    bent = {} if axis.bend is None else {"positions": plain(axis.positions())}
    return {
        **bent,
        "first": axis.first,
        "spacing": axis.spacing,
        "size": axis.size,
        "name": axis.name,
        "units": axis.units,
        "periodic": axis.periodic,
    }


def axis_from_plain(stored: object) -> Axis | None:
    """The axis in a JSON object that `axis_to_plain` made; None if it is none."""
    if not isinstance(stored, Mapping):
        return None
    if "positions" in stored:
        return Axis.bent(stored["positions"], str(stored["name"]), str(stored["units"]))
    return Axis(
        float(stored["first"]),
        float(stored["spacing"]),
        int(stored["size"]),
        str(stored["name"]),
        str(stored["units"]),
        bool(stored["periodic"]),
    )
