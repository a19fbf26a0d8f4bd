"""From positions, attributes or a given spacing to one `Axis`, uniform or bent. The one place where either is judged.

Works on datasets that are already found; which dataset holds an axis is the business of the readers.
"""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np

from blasso_flow.data.signals import Axis, FloatArray
from blasso_flow.errors import DataError
from blasso_flow.files.guard import Memory, Node, number_of, read_numbers, text_of
from blasso_flow.files.layout import PERIOD, SPACING

TOLERANCE = 1e-6  # of the spacing, beyond what rounding of the stored positions explains
MOST_ROUNDING = 0.05  # of the spacing: positions rounded more coarsely than this say too little
MOST_CHANGE = 0.01  # of the spacing from one sample to the next: an axis that bends faster jumps
FEWEST = 8  # positions of which one can say that they bend
INTERVAL_ATTRIBUTES = ("dt", "sampling_interval")
RATE_ATTRIBUTE = "sampling_rate"


def uniform(positions: FloatArray, where: str, rounding: float = np.finfo(np.float64).eps) -> tuple[float, float]:
    """First position and spacing of uniform, increasing positions, shape (N,), N >= 2.

    ``rounding`` is the relative precision they were stored with. Raises `DataError` on positions that are not finite,
    do not increase, or leave the straight line by more than 1e-6 of the spacing and the rounding together.
    """
    _check_finite(positions, where)
    spacing = float((positions[-1] - positions[0]) / (positions.size - 1))
    if spacing < 0:
        raise DataError(f"{where}: the axis decreases", received=f"spacing {spacing:.6g}", mend="reverse axis and samples")
    if spacing == 0:
        raise DataError(f"{where}: the axis does not advance", received="spacing 0", allowed="a uniform spacing above 0")
    worst, deviation, allowed = _from_line(positions, spacing, rounding)
    if deviation > allowed:
        raise DataError(
            f"{where}: the axis is not uniform",
            received=f"sample {worst} lies {deviation:.3g} spacings from its place (mean spacing {spacing:.6g})",
            allowed=f"at most {allowed:.2g} spacings",
            mend="resample, or give `spacing=` to ignore the stored axis",
        )
    return float(positions[0]), spacing


def _check_finite(positions: FloatArray, where: str) -> None:
    if not np.isfinite(positions).all():
        bad = int(np.flatnonzero(~np.isfinite(positions))[0])
        raise DataError(f"{where}: the axis is not finite", received=f"{positions[bad]} at sample {bad}")


def _from_line(positions: FloatArray, spacing: float, rounding: float) -> tuple[int, float, float]:
    """The sample farthest from the straight line, how far it is and how far it may be (spacings).

    The last position enters the spacing too, so the line itself is only known to the rounding of its ends.
    """
    allowed = TOLERANCE + min(2 * rounding * float(np.abs(positions).max()) / spacing, MOST_ROUNDING)
    deviation = np.abs(positions - (positions[0] + spacing * np.arange(positions.size))) / spacing
    worst = int(np.argmax(deviation))
    return worst, float(deviation[worst]), allowed


def bent(positions: FloatArray, where: str, rounding: float = np.finfo(np.float64).eps) -> Axis | None:
    """The axis through positions (N,) that bend: the spacing changes slowly. None where they are uniform, or few.

    Raises `DataError` where they do not increase throughout, or where the spacing changes by more than 1 % from one sample to
    the next and what rounding explains.
    """
    _check_finite(positions, where)
    spacing = float((positions[-1] - positions[0]) / (positions.size - 1))
    if positions.size < FEWEST or spacing <= 0:
        return None
    _, deviation, allowed = _from_line(positions, spacing, rounding)
    if deviation <= allowed:
        return None
    steps = np.diff(positions)
    turns = np.flatnonzero(steps <= 0)
    if turns.size:
        at = int(turns[0]) + 1
        raise DataError(
            f"{where}: the axis does not increase throughout",
            received=f"{positions[at]:.9g} after {positions[at - 1]:.9g} at sample {at}",
            allowed="positions that increase from sample to sample",
            mend="sort axis and samples, or give `spacing=` to ignore the stored axis",
        )
    jitter = 4 * rounding * float(np.abs(positions).max()) / spacing
    change = np.abs(np.diff(steps)) / np.minimum(steps[:-1], steps[1:])
    at = int(np.argmax(change))
    if change[at] > MOST_CHANGE + min(jitter, MOST_ROUNDING):
        raise DataError(
            f"{where}: the axis jumps",
            received=f"spacing {steps[at + 1]:.6g} after {steps[at]:.6g} at sample {at + 1}",
            allowed=f"a uniform axis, or one whose spacing changes by at most {MOST_CHANGE:.0%} from sample to sample",
            mend="resample, store lost samples as NaN, or give `spacing=` to ignore the stored axis",
        )
    return Axis.bent(positions)


def precision(dataset: h5py.Dataset, positions: FloatArray) -> float:
    """Relative precision of stored positions; float64 values that are all float32 values were rounded as such."""
    if dataset.dtype.kind != "f":
        return float(np.finfo(np.float64).eps)
    stored = float(np.finfo(dataset.dtype).eps)
    with np.errstate(over="ignore"):
        single = positions.astype(np.float32).astype(np.float64)
    whole = np.array_equal(positions, np.round(positions))
    if not whole and np.array_equal(single, positions):
        return max(stored, float(np.finfo(np.float32).eps))
    return stored


def axis_from_dataset(dataset: h5py.Dataset, size: int, name: str, memory: Memory) -> Axis:
    """The axis stored in a dataset, for ``size`` samples. Raises `DataError` when it does not fit, turns or jumps."""
    where = f"{name}: {dataset.name}"
    if dataset.shape != (size,):
        edges = "these look like bin edges: store the centres" if dataset.shape == (size + 1,) else ""
        raise DataError(f"{where}: the axis does not fit {size} samples", received=f"shape {dataset.shape}", mend=edges)
    positions = read_numbers(dataset, name, memory)
    stated = number_of(dataset, SPACING)
    if size == 1:
        if stated is None:
            raise DataError(f"{where}: an axis of one sample has no spacing", mend="give `spacing=`")
        first, spacing = float(positions[0]), stated
    else:
        rounding = precision(dataset, positions)
        if PERIOD not in dataset.attrs and (axis := bent(positions, where, rounding)) is not None:
            return replace(axis, name=short_name(dataset), units=text_of(dataset, "units"))
        first, spacing = uniform(positions, where, rounding)
        # The exact spacing, where the writer left it, spares one rounding; one that contradicts the positions is no spacing.
        slack = (1e-9 * spacing + 4 * rounding * float(np.abs(positions).max())) / (size - 1)
        if stated is not None and abs(stated - spacing) <= slack:
            spacing = stated
    return Axis(first, spacing, size, short_name(dataset), text_of(dataset, "units"), _periodic(dataset, spacing * size, where))


def _periodic(dataset: h5py.Dataset, length: float, where: str) -> bool:
    if PERIOD not in dataset.attrs:
        return False
    period = number_of(dataset, PERIOD)
    if period is None or not abs(period - length) <= TOLERANCE * length:
        raise DataError(
            f"{where}: the period is not the length of the axis",
            received=f"period {period}",
            allowed=f"{length:.9g} (samples times spacing: the end of a period is not repeated)",
        )
    return True


def axis_from_edges(dataset: h5py.Dataset, size: int, name: str, memory: Memory) -> Axis:
    """The axis of bin centres from ``size + 1`` bin edges: a sample sits in the middle of its bin."""
    where = f"{name}: {dataset.name}"
    if dataset.shape != (size + 1,):
        raise DataError(f"{where}: {size} bins need {size + 1} edges", received=f"shape {dataset.shape}")
    edges = read_numbers(dataset, name, memory)
    if bent(edges, where, precision(dataset, edges)) is not None:
        return Axis.bent((edges[:-1] + edges[1:]) / 2, short_name(dataset), text_of(dataset, "units"))
    first, spacing = uniform(edges, where, precision(dataset, edges))
    return Axis(first + spacing / 2, spacing, size, short_name(dataset), text_of(dataset, "units"))


def axis_from_attributes(dataset: h5py.Dataset, above: list[Node], size: int, name: str) -> Axis | None:
    """The axis given by dt, sampling_interval or sampling_rate on the dataset or the nearest group above it."""
    for node in [dataset, *above]:
        stated = {key: number_of(node, key) for key in (*INTERVAL_ATTRIBUTES, RATE_ATTRIBUTE) if key in node.attrs}
        if not stated:
            continue
        spacings = []
        for key, value in stated.items():
            where = f"{name}: attribute {key} of {node.name}"
            if value is None or not (np.isfinite(value) and value > 0):
                shown = value if value is not None else "no single number"
                raise DataError(f"{where} is no usable spacing", received=shown, allowed="a finite number above 0")
            spacings.append(1 / value if key == RATE_ATTRIBUTE else value)
        if max(spacings) - min(spacings) > TOLERANCE * max(spacings):
            raise DataError(f"{name}: attributes of {node.name} disagree about the spacing", received=", ".join(stated))
        return Axis(0.0, spacings[0], size, "time")
    return None


def short_name(node: Node) -> str:
    """The last part of a node's path."""
    return str(node.name or "position").rpartition("/")[2] or "position"
