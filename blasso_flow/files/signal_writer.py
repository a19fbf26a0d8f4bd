"""Writing signals in our own layout. Reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import h5py
import numpy as np

from blasso_flow.data.signals import Axis, Signal
from blasso_flow.files.atomic import Target, build_image, check_target, write_bytes
from blasso_flow.files.columns import clean, nxdata, nxroot, write_axis, write_column, write_scale
from blasso_flow.files.companions import write_filter, write_truth
from blasso_flow.files.layout import CHANNEL, NOISE, PERIOD, SIGNAL, SPACING, VALUES, axis_dataset_name

OWN_ATTRIBUTES = frozenset({"NX_class", "default"})


def write_signal(
    signal: Signal,
    target: Target,
    *,
    overwrite: bool = False,
    attributes: Mapping[str, str | int | float] | None = None,
    inputs: Iterable[object] = (),
) -> None:
    """Write a signal with its noise, filter and truth, whole or not at all. Same signal, same bytes.

    Parameters
    ----------
    target : a path, or "-" for standard output (never a terminal).
    overwrite : replace an existing file.
    attributes : more about the recording, as attributes of the root (a seed, a command, a source).
    inputs : files that were read; the target may be none of them.

    Raises `UsageError` and `RunError` as `files.atomic.check_target` and `write_bytes` do.
    """
    check_target(target, overwrite=overwrite, inputs=inputs)
    image = build_image(lambda file: _build(file, signal, dict(attributes or {})))
    write_bytes(image, target, overwrite=overwrite, inputs=inputs)


def write_sample_axis(group: h5py.Group, axis: Axis) -> h5py.Dataset:
    """The dimension scale of an axis, with its exact spacing, and its period where it closes on itself."""
    scale = write_axis(group, axis_dataset_name(axis.name), axis.positions(), axis.units, axis.name)
    if axis.bend is None:
        scale.attrs[SPACING] = axis.spacing
    if axis.periodic:
        scale.attrs[PERIOD] = axis.size * axis.spacing
    return scale


def short(dataset: h5py.Dataset) -> str:
    """A dataset's name within its group."""
    return str(dataset.name).rpartition("/")[2]


def _build(file: h5py.File, signal: Signal, attributes: dict[str, str | int | float]) -> None:
    nxroot(file, SIGNAL)
    for name, value in attributes.items():
        if name not in OWN_ATTRIBUTES:
            file.attrs[name] = clean(value) if isinstance(value, str) else value
    group = file.create_group(SIGNAL)
    axis = write_sample_axis(group, signal.axis)
    scales = [axis]
    if signal.values.ndim == 2:
        scales = [write_scale(group, CHANNEL, signal.channels), axis]
    write_column(group, VALUES, signal.values, scales, signal.units, signal.long_name or "signal")
    nxdata(group, VALUES, [short(scale) for scale in scales])
    if signal.noise_sd is not None:
        noise = np.asarray(signal.noise_sd, dtype=np.float64)
        noise_scales = {0: [], 1: scales[:1], 2: scales}[noise.ndim]
        write_column(group, NOISE, noise, noise_scales, signal.units, "standard deviation of the noise")
    if signal.filter is not None:
        write_filter(file, signal.filter, signal.axis.units)
    if signal.truth is not None:
        write_truth(file, signal.truth, signal.axis.units, signal.units)
