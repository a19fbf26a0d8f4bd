"""What may lie beside a signal: its filter and the known spikes. Read and written alike in signal and result files."""

from __future__ import annotations

import h5py
import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray, Truth
from blasso_flow.errors import DataError
from blasso_flow.files.axes import precision, uniform
from blasso_flow.files.columns import write_axis, write_column, write_scale
from blasso_flow.files.guard import Memory, checked, number_of, read_numbers, resolve, scales_of, text_of
from blasso_flow.files.layout import FILTER, IMPULSE_RESPONSE, LAG, SPIKE, TRUTH

MEASURED = "measured"


def read_filter(file: h5py.File, name: str, memory: Memory, axis_units: str = "") -> FilterDescription | None:
    """The filter stored in /filter, or None. Its kind and parameters are judged where it is tabulated.

    Raises `DataError` when the group does not describe a filter, or its lags do not fit or are in other units.
    """
    group = resolve(file, FILTER, name)
    if group is None:
        return None
    if not isinstance(group, h5py.Group):
        raise DataError(f"{name}: /{FILTER} is no group", mend="see the file layout")
    kind = text_of(group, "kind")
    parameters = {key: value for key in group.attrs if (value := number_of(group, key)) is not None}
    response = resolve(file, f"{FILTER}/{IMPULSE_RESPONSE}", name)
    if response is None:
        if not kind or kind == MEASURED:
            missing = f"no dataset {IMPULSE_RESPONSE}" if kind else "neither an attribute kind nor a dataset impulse_response"
            raise DataError(f"{name}: /{FILTER} describes no filter", received=missing)
        return FilterDescription(kind, parameters)
    if kind not in {"", MEASURED} or not isinstance(response, h5py.Dataset):
        raise DataError(f"{name}: /{FILTER} has a kind and an impulse response", received=kind, allowed=MEASURED)
    lag, values = _measured(file, checked(response, name), name, memory, axis_units)
    return FilterDescription(MEASURED, parameters, lag, values)


def _measured(
    file: h5py.File, response: h5py.Dataset, name: str, memory: Memory, axis_units: str
) -> tuple[FloatArray, FloatArray]:
    where = f"{name}: {response.name}"
    if response.ndim != 1 or response.size < 2:
        raise DataError(f"{where}: the impulse response needs one dimension and two lags", received=f"shape {response.shape}")
    stored = next(iter(scales_of(response, 0, name)), None) or resolve(file, f"{FILTER}/{LAG}", name)
    if not isinstance(stored, h5py.Dataset):
        raise DataError(f"{where}: the impulse response has no lags", mend=f"add the dimension scale /{FILTER}/{LAG}")
    units = text_of(stored, "units")
    if units and axis_units and units != axis_units:
        raise DataError(
            f"{name}: lags and axis have different units", received=f"{units} and {axis_units}", mend="convert the lags"
        )
    lag = read_numbers(stored, name, memory)
    values = read_numbers(response, name, memory)
    if lag.shape != values.shape:
        raise DataError(f"{where}: lags and impulse response differ in length", received=f"{lag.size} and {values.size}")
    uniform(lag, f"{name}: {stored.name}", precision(stored, lag))
    if not np.isfinite(values).all():
        raise DataError(f"{where}: the impulse response is not finite", received=f"{int((~np.isfinite(values)).sum())} lags")
    return lag, values


def write_filter(file: h5py.File, description: FilterDescription, axis_units: str) -> None:
    """Write /filter: kind and parameters as attributes, a measured response with its lags."""
    group = file.create_group(FILTER)
    group.attrs["kind"] = description.kind
    for parameter, value in description.parameters.items():
        group.attrs[parameter] = float(value)
    if description.lag is not None and description.response is not None:
        lag = write_axis(group, LAG, description.lag, axis_units, "lag")
        write_column(group, IMPULSE_RESPONSE, description.response, [lag], "", "impulse response")


def read_truth(file: h5py.File, name: str, memory: Memory, channels: int) -> Truth | None:
    """The known spikes of /truth, or None. Rows without a finite position (surfaces that are not there) are left out, and
    the order of the others says so."""
    group = resolve(file, TRUTH, name)
    if not isinstance(group, h5py.Group) or resolve(file, f"{TRUTH}/position", name) is None:
        return None
    columns = {key: _truth_column(file, key, name, memory) for key in ("position", "weight", "channel", "group", "order")}
    position, weight, channel, kind, order = columns.values()
    assert position is not None
    if channel is None:
        channel = np.zeros(position.shape)
    for key, column in (("weight", weight), ("channel", channel), ("group", kind), ("order", order)):
        if column is not None and column.shape != position.shape:
            raise DataError(
                f"{name}: /{TRUTH}/{key} and position differ in length", received=f"{column.size} and {position.size}"
            )
    known = np.isfinite(position)
    if not np.isin(channel[known], np.arange(channels)).all():
        raise DataError(f"{name}: /{TRUTH}/channel names channels that are not there", allowed=f"0 to {channels - 1}")
    for key, column in (("group", kind), ("order", order)):
        if column is not None and not (np.isfinite(column[known]) & (np.round(column[known]) == column[known])).all():
            raise DataError(f"{name}: /{TRUTH}/{key} is no column of whole numbers")
    if order is None and not known.all():
        order = Truth(np.nan_to_num(channel).astype(np.int64), position).numbered().astype(np.float64)
    return Truth(
        channel[known].astype(np.int64),
        position[known],
        None if weight is None else weight[known],
        None if kind is None else kind[known].astype(np.int64),
        None if order is None else order[known].astype(np.int64),
    )


def _truth_column(file: h5py.File, key: str, name: str, memory: Memory) -> FloatArray | None:
    dataset = resolve(file, f"{TRUTH}/{key}", name)
    if dataset is None:
        return None
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1:
        raise DataError(f"{name}: /{TRUTH}/{key} is no column")
    if dataset.size == 0:
        return np.empty(0)
    return read_numbers(dataset, name, memory)


def write_truth(file: h5py.File, truth: Truth, axis_units: str, units: str) -> None:
    """Write /truth: channel, position and (where known) weight over one scale."""
    group = file.create_group(TRUTH)
    spike = write_scale(group, SPIKE, truth.position.size)
    write_column(group, "channel", truth.channel, [spike], "1", "channel")
    write_column(group, "position", truth.position, [spike], axis_units, "position")
    if truth.weight is not None:
        write_column(group, "weight", truth.weight, [spike], units, "weight")
    if truth.group is not None:
        write_column(group, "group", truth.group, [spike], "1", "kind of spike")
    if truth.order is not None:
        write_column(group, "order", truth.order, [spike], "1", "number within the channel")
