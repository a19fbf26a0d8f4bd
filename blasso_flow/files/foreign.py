"""Layouts of other programs, recognised by what only they write: gprMax receivers and becquerel spectra.

gprMax (.out): attribute dt on the root in seconds, /rxs/rxN/Ez; several traces merged into one file run along the second
dimension. becquerel: /counts with /bin_edges_kev, one edge more than counts.
"""

from __future__ import annotations

import h5py

from blasso_flow.files.guard import resolve

GPRMAX_OUTPUT = "Ez"  # the component that gprMax's own tools show first
GPRMAX_UNITS = {"E": "V/m", "H": "A/m", "I": "A"}
COUNTS = "counts"
BIN_EDGES = "bin_edges_kev"


def candidates(file: h5py.File, name: str) -> list[h5py.Dataset] | None:
    """Datasets that could be the signal in a foreign layout; None if the layout is none of those known here."""
    if is_gprmax(file):
        receivers = resolve(file, "rxs", name)
        outputs: list[h5py.Dataset] = []
        for receiver in receivers if isinstance(receivers, h5py.Group) else ():
            output = resolve(file, f"rxs/{receiver}/{GPRMAX_OUTPUT}", name)
            if isinstance(output, h5py.Dataset):
                outputs.append(output)
        return outputs or None
    counts = resolve(file, COUNTS, name)
    if isinstance(counts, h5py.Dataset) and BIN_EDGES in file:
        return [counts]
    return None


def is_gprmax(file: h5py.File) -> bool:
    """Whether gprMax wrote the file."""
    return "gprMax" in file.attrs and "dt" in file.attrs and "rxs" in file


def gprmax_units(dataset: h5py.Dataset) -> str:
    """Units of a receiver's output, from its name: electric and magnetic field, current."""
    return GPRMAX_UNITS.get(str(dataset.name).rpartition("/")[2][:1], "")


def bin_edges(file: h5py.File, dataset: h5py.Dataset, name: str) -> h5py.Dataset | None:
    """The bin edges of a becquerel spectrum that belong to one of its columns; None elsewhere."""
    if "/" in str(dataset.name).strip("/") or COUNTS not in file or BIN_EDGES not in file or dataset.ndim != 1:
        return None
    edges = resolve(file, BIN_EDGES, name)
    if not isinstance(edges, h5py.Dataset) or dataset.name == edges.name:
        return None
    counts = resolve(file, COUNTS, name)
    return edges if isinstance(counts, h5py.Dataset) and counts.shape == dataset.shape else None
