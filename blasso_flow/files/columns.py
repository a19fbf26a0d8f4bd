"""Small pieces of HDF5 writing: dimension scales, columns over them, NXdata attributes. Knows no layout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import h5py
import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray

TEXT = h5py.string_dtype("utf-8")
COMPRESSED_FROM = 1024  # values; smaller columns would only grow
LONG_CHUNK = 1 << 16  # values of a single column
LARGEST_CHUNK = 1 << 24  # values: a chunk must stay below 4 GiB


def write_scale(group: h5py.Group, name: str, size: int) -> h5py.Dataset:
    """A dimension scale of running numbers from 0."""
    column = StoredColumn(group, name, (size,), np.dtype(np.int64), (), "1", name)
    for first in range(0, size, LONG_CHUNK):
        column.append(np.arange(first, min(first + LONG_CHUNK, size), dtype=np.int64))
    column.close()
    column.dataset.make_scale(name)
    return column.dataset


def write_axis(group: h5py.Group, name: str, positions: FloatArray | IntArray, units: str, long_name: str) -> h5py.Dataset:
    """A dimension scale of given positions."""
    dataset = _create(group, name, positions.shape, positions.dtype, positions)
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name
    dataset.make_scale(name)
    return dataset


class StoredColumn:
    """A dataset over the given dimension scales, one a dimension, filled from the front piece by piece in whole chunks."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        shape: tuple[int, ...],
        kind: np.dtype[np.generic],
        scales: Sequence[h5py.Dataset],
        units: str | None,
        long_name: str,
    ) -> None:
        self.dataset = _create(group, name, shape, kind)
        if units is not None:
            self.dataset.attrs["units"] = units
        self.dataset.attrs["long_name"] = long_name
        _attach(self.dataset, scales)
        self._step = self.dataset.chunks[0] if self.dataset.chunks else 1
        self._place = 0
        self._held: list[NDArray[np.generic]] = []

    def append(self, values: NDArray[np.generic]) -> None:
        """Add rows; those that do not fill a chunk wait for more."""
        self._held.append(values)
        waiting = sum(map(len, self._held))
        self._write(waiting - waiting % self._step)

    def close(self) -> None:
        """Write what waits."""
        self._write(sum(map(len, self._held)))

    def _write(self, size: int) -> None:
        if size:
            rows = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
            self.dataset[self._place : self._place + size] = rows[:size]
            self._place += size
            self._held = [rows[size:]] if size < len(rows) else []


def write_column(
    group: h5py.Group, name: str, values: NDArray[np.generic], scales: Sequence[h5py.Dataset], units: str, long_name: str
) -> h5py.Dataset:
    """A dataset over the given dimension scales, one a dimension, written at once."""
    dataset = _create(group, name, values.shape, values.dtype, values)
    dataset.attrs["units"] = units
    dataset.attrs["long_name"] = long_name
    _attach(dataset, scales)
    return dataset


def texts(values: Iterable[str]) -> NDArray[np.generic]:
    """UTF-8 strings as HDF5 takes them."""
    return np.array([clean(text) for text in values], dtype=object)


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


def _create(
    group: h5py.Group, name: str, shape: tuple[int, ...], kind: np.dtype[np.generic], values: NDArray[np.generic] | None = None
) -> h5py.Dataset:
    if math.prod(shape) < COMPRESSED_FROM or kind == TEXT:
        return group.create_dataset(name, shape, kind, data=values)
    # About one row a chunk, so that a channel is read without its neighbours.
    longest = LARGEST_CHUNK if len(shape) > 1 else LONG_CHUNK
    chunk: tuple[int, ...] = (min(shape[-1], longest),)
    if len(shape) > 1:
        chunk = (min(max(COMPRESSED_FROM // shape[-1], 1), shape[0]), *chunk)
    return group.create_dataset(name, shape, kind, data=values, chunks=chunk, compression="gzip", shuffle=True)
