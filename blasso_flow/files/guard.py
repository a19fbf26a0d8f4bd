"""Looking into HDF5 files that may be broken or hostile: links followed by hand, datasets checked before a byte is read.

Every dataset that this package reads passes through here: nothing reaches another file (external links, external raw
storage, virtual datasets), nothing is allocated beyond the memory allowed, and whatever the HDF5 library stumbles over
becomes one line of `DataError`. Nothing here knows a layout.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import h5py
import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import BlassoFlowError, DataError

Node: TypeAlias = "h5py.Group | h5py.Dataset"
MOST_LINKS = 16
FALLBACK_MEMORY = 2 << 30  # where the machine does not say how much it has
FEW_NUMBERS = 1 << 20


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn whatever the HDF5 library raises on a broken file into one `DataError` naming the file."""
    try:
        yield
    except BlassoFlowError:
        raise
    except MemoryError as error:
        raise DataError(f"{name}: does not fit the memory", mend="read fewer channels or a smaller file") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        reason = str(error).strip("\"'") or type(error).__name__
        raise DataError(f"{name}: truncated, corrupt or not readable HDF5", received=reason) from error


@dataclass(frozen=True)
class Memory:
    """The number of bytes that one read may need."""

    limit: int

    @classmethod
    def of(cls, max_memory: int | None) -> Memory:
        """The limit given, or half of the machine's memory."""
        if max_memory is not None:
            if not max_memory > 0:
                raise DataError("the memory limit is not usable", received=max_memory, allowed="bytes above 0")
            return cls(int(max_memory))
        try:
            return cls(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
        except (AttributeError, OSError, ValueError):
            return cls(FALLBACK_MEMORY)

    def check(self, what: str, needed: int) -> None:
        """Raise `DataError` if ``needed`` bytes are more than allowed."""
        if needed > self.limit:
            raise DataError(
                f"{what} does not fit the memory allowed",
                received=readable(needed),
                allowed=f"at most {readable(self.limit)}",
                mend="raise `max_memory=` if the machine has more",
            )


def readable(count: int) -> str:
    """A number of bytes as a text for users, with its unit."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.4g} TB"


def resolve(file: h5py.File, path: str, name: str) -> Node | None:
    """The group or dataset at ``path``, or None if nothing is there.

    Links are followed one by one, so that an external link is met before it is opened, behind soft links too.
    Raises `DataError` on a link that leaves the file and on links that never end.
    """
    parts = _parts(path)
    node: Node = file["/"]
    links = 0
    while parts:
        part = parts.pop(0)
        if not isinstance(node, h5py.Group):
            return None
        link = link_of(node, part, name)
        if link is None:
            return None
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > MOST_LINKS:
                raise DataError(f"{name}: links in a circle", received=path)
            if link.path.startswith("/"):
                node = file["/"]
            parts = _parts(link.path) + parts
        else:
            node = node[part]
            if not isinstance(node, (h5py.Group, h5py.Dataset)):
                return None
    return node


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def link_of(group: h5py.Group, part: str, name: str) -> h5py.HardLink | h5py.SoftLink | None:
    """The link called ``part``; None if there is none. Raises `DataError` on any link that leaves the file."""
    if not group.id.links.exists(part.encode()):
        return None
    try:
        link = group.get(part, getlink=True)
    except TypeError:
        link = None
    if not isinstance(link, (h5py.HardLink, h5py.SoftLink)):
        target = f"{link.filename}::{link.path}" if isinstance(link, h5py.ExternalLink) else "a user-defined link"
        raise DataError(
            f"{name}: {group.name.rstrip('/')}/{part} is an external link and is not followed",
            received=target,
            mend="copy the data into one file (h5repack, h5copy)",
        )
    return link


def checked(dataset: h5py.Dataset, name: str) -> h5py.Dataset:
    """The dataset itself, once it is known to hold its own data. Raises `DataError` otherwise."""
    where = f"{name}: {dataset.name}"
    if dataset.is_virtual:
        raise DataError(f"{where} is a virtual dataset and is not followed", mend="copy its data (h5repack)")
    if dataset.external:
        raise DataError(
            f"{where} keeps its data in another file (external raw storage) and is not followed", mend="copy its data (h5repack)"
        )
    return dataset


def check_numeric(dataset: h5py.Dataset, name: str) -> None:
    """Raise `DataError` unless the dataset holds real numbers, and stores the ones it declares."""
    where = f"{name}: {dataset.name}"
    if dataset.dtype.kind not in "fiu" or dataset.dtype.subdtype is not None:
        kinds = {
            "c": "complex numbers",
            "O": "strings or references",
            "S": "strings",
            "U": "strings",
            "V": "records",
            "b": "flags",
        }
        raise DataError(
            f"{where} does not hold real numbers",
            received=kinds.get(dataset.dtype.kind, str(dataset.dtype)),
            allowed="integers or floating-point numbers",
        )
    if dataset.shape is None or 0 in dataset.shape:
        raise DataError(f"{where} is empty", received=f"shape {dataset.shape or '()'}")
    if dataset.id.get_storage_size() == 0:
        raise DataError(f"{where} declares {dataset.size} samples but stores none", received=f"shape {dataset.shape}")
    if dataset.chunks:
        expected = math.prod(-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        stored = dataset.id.get_num_chunks()
        if stored < expected and not np.isnan(float(dataset.fillvalue)):
            raise DataError(
                f"{where} is incomplete: some of its chunks were never stored", received=f"{stored} of {expected} chunks"
            )


def scales_of(dataset: h5py.Dataset, dimension: int, name: str) -> list[h5py.Dataset]:
    """The scales of a dimension that still have a name: a reference to a deleted one leads to bytes that mean nothing.

    Taken one by one, because asking h5py for their labels too ends the process on a damaged label.
    """
    attached = dataset.dims[dimension]
    scales = [attached[number] for number in range(len(attached))]
    return [checked(scale, name) for scale in scales if scale.name]


def chunk_bytes(dataset: h5py.Dataset) -> int:
    """Bytes of one chunk once it is unpacked; 0 for a dataset without chunks."""
    return math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0


def read_numbers(dataset: h5py.Dataset, name: str, memory: Memory) -> FloatArray:
    """All numbers of a dataset as float64, any shape. Raises `DataError` as the checks of this module do."""
    check_numeric(checked(dataset, name), name)
    memory.check(f"{name}: {dataset.name}", dataset.size * 8 + chunk_bytes(dataset))
    numbers = np.empty(dataset.shape, dtype=np.float64)
    dataset.read_direct(numbers)
    return numbers


def read_part(dataset: h5py.Dataset, selected: tuple[int | slice, ...], shape: tuple[int, ...]) -> FloatArray:
    """The part of a checked dataset that is ``selected``, of this shape, as float64."""
    if math.prod(shape) <= FEW_NUMBERS:  # four times faster where the part is small, but holds it twice where it is no float64
        return np.asarray(dataset[selected], dtype=np.float64)
    numbers = np.empty(shape, dtype=np.float64)
    dataset.read_direct(numbers, source_sel=selected)
    return numbers


def text_of(node: Node, attribute: str) -> str:
    """An attribute as text; "" when it is absent or holds something else."""
    return text(node.attrs[attribute]) if attribute in node.attrs else ""


def text(value: object) -> str:
    """Text from what HDF5 gives for a string; "" for anything else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value) if isinstance(value, str) else ""


def number_of(node: Node, attribute: str) -> float | None:
    """An attribute as one real number; None when it is absent or holds something else."""
    if attribute not in node.attrs:
        return None
    value = np.asarray(node.attrs[attribute])
    return float(value.reshape(-1)[0]) if value.size == 1 and value.dtype.kind in "fiu" else None
