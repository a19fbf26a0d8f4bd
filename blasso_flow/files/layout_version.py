"""Telling results from signals, and refusing layouts this version does not know."""

from __future__ import annotations

import h5py

from blasso_flow.errors import DataError
from blasso_flow.files.guard import number_of, resolve
from blasso_flow.files.layout import LAYOUT_ATTRIBUTE, LAYOUT_VERSION, OPTIMUM, SIGNAL, SPIKES


def check_version(file: h5py.File, name: str) -> None:
    """Raise `DataError` if the file states a layout version other than the one known here."""
    if LAYOUT_ATTRIBUTE in file.attrs and number_of(file, LAYOUT_ATTRIBUTE) != LAYOUT_VERSION:
        raise DataError(
            f"{name}: unknown layout version ({LAYOUT_ATTRIBUTE})",
            received=file.attrs[LAYOUT_ATTRIBUTE],
            allowed=str(LAYOUT_VERSION),
            mend="a newer blasso-flow may read it",
        )


def is_result(file: h5py.File) -> bool:
    """Whether the file holds a result of `recover`."""
    return LAYOUT_ATTRIBUTE in file.attrs and SPIKES in file and OPTIMUM in file


def refuse_result(file: h5py.File, name: str) -> None:
    """Raise `DataError` if a result was given where a signal is wanted."""
    if is_result(file):
        raise DataError(
            f"{name}: is a result of `recover`, not a signal",
            mend="give the signal it was recovered from, or name a dataset with FILE::/dataset",
        )


def require_result(file: h5py.File, name: str) -> None:
    """Raise `DataError` unless the file holds a result of a known version."""
    check_version(file, name)
    if not is_result(file):
        kind = "a signal" if resolve(file, SIGNAL, name) is not None else "an HDF5 file of another kind"
        raise DataError(f"{name}: is {kind}, not a result of `recover`", mend="give the file that `recover` wrote")
