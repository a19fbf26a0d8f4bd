"""Which dataset is the signal, and where its axis, units and noise are: our own layout, NXdata, and foreign files.

A file with one candidate is read as it is; with several, the error lists them. A group /signal that is NXdata is our own
layout and is always taken; the `default` attribute of another file is named in the list but never decides, because it
says what to plot first, not what was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import h5py
import numpy as np

from blasso_flow.data.signals import Axis
from blasso_flow.errors import DataError, UsageError
from blasso_flow.files import foreign, uncertainties
from blasso_flow.files.axes import axis_from_attributes, axis_from_dataset, axis_from_edges
from blasso_flow.files.guard import Node, check_numeric, checked, resolve, scales_of, text, text_of
from blasso_flow.files.layout import FILTER, SIGNAL, TRUTH
from blasso_flow.files.layout_version import check_version, refuse_result
from blasso_flow.files.source import Source

MOST_LISTED = 12
NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


@dataclass(frozen=True)
class Located:
    """A signal's dataset with everything that describes it. ``transposed``: samples run along the first dimension."""

    dataset: h5py.Dataset
    axis: Axis
    units: str
    long_name: str
    noise: h5py.Dataset | None
    transposed: bool


@dataclass(frozen=True)
class DatasetInfo:
    """One dataset of a file, as `inspect` lists it."""

    path: str
    shape: tuple[int, ...]
    dtype: str


def locate(source: Source, spacing: float | None = None) -> Located:
    """Find the signal of an open file. Raises `DataError` on none, several, or one that cannot be used."""
    if spacing is not None and not (np.isfinite(spacing) and spacing > 0):
        raise UsageError("`spacing=` is out of range", received=spacing, allowed="a finite number above 0")
    check_version(source.file, source.name)
    group: h5py.Group | None = None
    if source.dataset is not None:
        node = _asked_for(source, source.dataset)
    else:
        refuse_result(source.file, source.name)
        node = _only_candidate(source)
    if isinstance(node, h5py.Group):
        group, dataset = node, _signal_of(source, node)
    else:
        dataset = node
        group = _nxdata_around(source, dataset)
    _check_rank(dataset, source.name)
    check_numeric(dataset, source.name)
    return _described(source, dataset, group, spacing)


def list_datasets(source: Source) -> list[DatasetInfo]:
    """Every dataset that hard links reach, in the order of their paths."""
    found: list[DatasetInfo] = []

    def visit(path: str, node: Node) -> None:
        if isinstance(node, h5py.Dataset):
            found.append(DatasetInfo(f"/{path}", tuple(node.shape or ()), str(node.dtype)))

    source.file.visititems(visit)
    return found


def _check_rank(dataset: h5py.Dataset, name: str) -> None:
    if dataset.shape is not None and len(dataset.shape) not in {1, 2}:
        raise DataError(
            f"{name}: {dataset.name} has the wrong rank",
            received=f"{len(dataset.shape)} dimensions, shape {dataset.shape}",
            allowed="(samples) or (channels, samples)",
            mend="images and volumes are not signals on one axis",
        )


def _asked_for(source: Source, path: str) -> Node:
    node = resolve(source.file, path, source.name)
    if node is None:
        names = [info.path for info in list_datasets(source)]
        raise DataError(
            f"{source.name}: no such dataset", received=path, allowed=_listed(names) or "none: the file has no dataset"
        )
    if isinstance(node, h5py.Group):
        if not _is_nxdata(node):
            inside = [info.path for info in list_datasets(source) if info.path.startswith(f"{str(node.name).rstrip('/')}/")]
            raise DataError(f"{source.name}: {path} is a group", allowed=_listed(inside), mend="name a dataset")
        return node
    return checked(node, source.name)


def _only_candidate(source: Source) -> Node:
    own = resolve(source.file, SIGNAL, source.name)
    if isinstance(own, h5py.Group) and _is_nxdata(own):
        return own
    groups = _nxdata_groups(source)
    if groups:
        usable = [group for group in groups if _usable(_signal_of(source, group))] or groups
        return _only(source, usable)
    candidates = foreign.candidates(source.file, source.name)
    if candidates is None:
        datasets = _plain_datasets(source)
        candidates = uncertainties.without([dataset for dataset in datasets if _usable(dataset)] or datasets)
    return _only(source, candidates)


def _only(source: Source, candidates: list[h5py.Group] | list[h5py.Dataset]) -> Node:
    if len(candidates) == 1:
        node = candidates[0]
        return checked(node, source.name) if isinstance(node, h5py.Dataset) else node
    if not candidates:
        _refuse_leaving_links(source)
        raise DataError(f"{source.name}: no dataset", received="a file without a numeric dataset", allowed="see the file layout")
    default = text_of(source.file, "default").strip("/")
    names = [f"{node.name} (the file's default)" if node.name.strip("/") == default else str(node.name) for node in candidates]
    raise DataError(
        f"{source.name}: several datasets could be the signal",
        received=f"{len(names)} candidates",
        allowed=_listed(names),
        mend=f"pick one, for example {source.name}::{candidates[0].name}",
    )


def _refuse_leaving_links(source: Source) -> None:
    """Where nothing is found, an external link is the likely reason: resolving it says so."""
    paths: list[str] = []
    source.file.visititems_links(lambda path, link: paths.append(path) if not isinstance(link, h5py.HardLink) else None)
    for path in paths:
        node = resolve(source.file, path, source.name)
        if isinstance(node, h5py.Dataset):
            raise DataError(f"{source.name}: no dataset but behind a link", mend=f"name it: {source.name}::/{path}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_LISTED])
    return f"{shown} and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else shown


def _is_nxdata(group: h5py.Group) -> bool:
    return text_of(group, "NX_class") == "NXdata" and bool(text_of(group, "signal"))


def _nxdata_groups(source: Source) -> list[h5py.Group]:
    found: list[h5py.Group] = [source.file["/"]] if _is_nxdata(source.file) else []

    def visit(_: str, node: Node) -> None:
        if isinstance(node, h5py.Group) and _is_nxdata(node):
            found.append(node)

    source.file.visititems(visit)
    return found


def _plain_datasets(source: Source) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []

    def visit(path: str, node: Node) -> None:
        if isinstance(node, h5py.Dataset) and not node.is_scale and path.partition("/")[0] not in {FILTER, TRUTH}:
            found.append(node)

    source.file.visititems(visit)
    return found


def _usable(dataset: h5py.Dataset) -> bool:
    shape = dataset.shape
    return shape is not None and len(shape) in {1, 2} and 0 not in shape and dataset.dtype.kind in "fiu"


def _inside(source: Source, group: h5py.Group, name: str) -> h5py.Dataset | None:
    node = resolve(source.file, name if name.startswith("/") else f"{group.name}/{name}", source.name)
    return checked(node, source.name) if isinstance(node, h5py.Dataset) else None


def _signal_of(source: Source, group: h5py.Group) -> h5py.Dataset:
    name = text_of(group, "signal")
    dataset = _inside(source, group, name)
    if dataset is None:
        raise DataError(f"{source.name}: {group.name} names a signal that is not there", received=name)
    return dataset


def _parent(source: Source, node: Node) -> h5py.Group | None:
    """The group above, reached by the path and never by the library's own link following."""
    above, _, own = str(node.name).rpartition("/")
    parent = resolve(source.file, above, source.name) if own else None
    return parent if isinstance(parent, h5py.Group) else None


def _nxdata_around(source: Source, dataset: h5py.Dataset) -> h5py.Group | None:
    parent = _parent(source, dataset)
    return parent if parent is not None and text_of(parent, "NX_class") == "NXdata" else None


def _described(source: Source, dataset: h5py.Dataset, group: h5py.Group | None, spacing: float | None) -> Located:
    units, long_name = text_of(dataset, "units"), text_of(dataset, "long_name")
    axis = _axis_of(source, dataset, group, spacing)
    main = group is not None and str(dataset.name).rpartition("/")[2] == text_of(group, "signal").rpartition("/")[2]
    noise = uncertainties.find(source, dataset, main)
    transposed = foreign.is_gprmax(source.file) and len(dataset.shape) == 2
    if foreign.is_gprmax(source.file):
        units = units or foreign.gprmax_units(dataset)
        long_name = long_name or str(dataset.name).removeprefix("/rxs/")
    elif foreign.bin_edges(source.file, dataset, source.name) is not None:
        units, long_name = units or "count", long_name or "counts"
    return Located(dataset, axis, units, long_name, noise, transposed)


def _axis_of(source: Source, dataset: h5py.Dataset, group: h5py.Group | None, spacing: float | None) -> Axis:
    name, memory = source.name, source.memory
    gprmax = foreign.is_gprmax(source.file)
    along = 0 if gprmax else len(dataset.shape) - 1
    size = int(dataset.shape[along])
    if spacing is not None:
        return Axis(0.0, float(spacing), size)
    if group is not None and (stored := _nxdata_axis(source, group)) is not None:
        return axis_from_dataset(stored, size, name, memory)
    if (scale := _dimension_scale(dataset, along, name)) is not None:
        return axis_from_dataset(scale, size, name, memory)
    if (edges := foreign.bin_edges(source.file, dataset, name)) is not None:
        axis = axis_from_edges(checked(edges, name), size, name, memory)
        return replace(axis, name="energy", units=axis.units or "keV")
    above: list[Node] = []
    parent = _parent(source, dataset)
    while parent is not None:
        above.append(parent)
        parent = _parent(source, parent) if parent.name != "/" else None
    axis_or_none = axis_from_attributes(dataset, above, size, name)
    if axis_or_none is None:
        raise DataError(
            f"{name}: {dataset.name} has no axis",
            allowed="a dimension scale, NXdata axes, an attribute dt, sampling_interval or sampling_rate, or `spacing=`",
            mend="give `spacing=`, the distance of two samples",
        )
    return Axis(axis_or_none.first, axis_or_none.spacing, size, axis_or_none.name, "s" if gprmax else "")


def _nxdata_axis(source: Source, group: h5py.Group) -> h5py.Dataset | None:
    if "axes" not in group.attrs:
        return None
    names = [text(value) for value in np.asarray(group.attrs["axes"], dtype=object).reshape(-1)]
    last = names[-1] if names else ""
    if last in {"", "."}:
        return None
    dataset = _inside(source, group, last)
    if dataset is None:
        raise DataError(f"{source.name}: {group.name} names an axis that is not there", received=last)
    return dataset


def _dimension_scale(dataset: h5py.Dataset, along: int, name: str) -> h5py.Dataset | None:
    """The first scale of a dimension; netCDF dimensions without positions do not count."""
    for scale in scales_of(dataset, along, name):
        if not text_of(scale, "NAME").startswith(NO_VARIABLE):
            return scale
    return None
