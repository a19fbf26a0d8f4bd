"""Small pieces of HDF5 writing: dimension scales, columns over them, NXdata attributes. Knows no layout."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np
from numpy.typing import NDArray

from blasso_flow.signals import FloatArray, IntArray

TEXT = h5py.string_dtype("utf-8")
COMPRESSED_FROM = 1024  # values; smaller columns would only grow


def write_scale(group: h5py.Group, name: str, size: int) -> h5py.Dataset:
    """A dimension scale of running numbers from 0."""
    return write_axis(group, name, np.arange(size, dtype=np.int64), "1", name)


def write_axis(group: h5py.Group, name: str, positions: FloatArray | IntArray, units: str, long_name: str) -> h5py.Dataset:
    """A dimension scale of given positions."""
    dataset = _create(group, name, positions)
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name
    dataset.make_scale(name)
    return dataset


def write_column(
    group: h5py.Group, name: str, values: NDArray[np.generic], scales: Sequence[h5py.Dataset], units: str, long_name: str
) -> h5py.Dataset:
    """A dataset over the given dimension scales, one a dimension."""
    dataset = _create(group, name, values)
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name
    _attach(dataset, scales)
    return dataset


def write_texts(group: h5py.Group, name: str, texts: Sequence[str], scale: h5py.Dataset, long_name: str) -> h5py.Dataset:
    """A column of UTF-8 strings."""
    dataset = group.create_dataset(name, data=np.array([clean(text) for text in texts], dtype=object), dtype=TEXT)
    dataset.attrs["long_name"] = long_name
    _attach(dataset, [scale])
    return dataset


def clean(text: str) -> str:
    """Text that HDF5 can hold: no NUL, and valid UTF-8."""
    return text.replace("\0", "").encode("utf-8", errors="replace").decode("utf-8")


def nxdata(group: h5py.Group, signal: str, axes: Sequence[str]) -> None:
    """Mark a group as NXdata."""
    group.attrs["NX_class"] = "NXdata"
    group.attrs["signal"] = signal
    group.attrs["axes"] = np.array(list(axes), dtype=TEXT)


def nxroot(file: h5py.File, default: str) -> None:
    """Mark a file as NeXus with its default plot."""
    file.attrs["NX_class"] = "NXroot"
    file.attrs["default"] = default


def _attach(dataset: h5py.Dataset, scales: Sequence[h5py.Dataset]) -> None:
    for dimension, scale in enumerate(scales):
        dataset.dims[dimension].attach_scale(scale)


def _create(group: h5py.Group, name: str, values: NDArray[np.generic]) -> h5py.Dataset:
    if values.size < COMPRESSED_FROM:
        return group.create_dataset(name, data=values)
    # One row a chunk, so that a channel is read without its neighbours; a chunk must stay below 4 GiB.
    chunk = (1,) * (values.ndim - 1) + (min(values.shape[-1], 1 << 24),)
    return group.create_dataset(name, data=values, chunks=chunk, compression="gzip", shuffle=True)
