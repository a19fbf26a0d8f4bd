"""HDF5 files: signals in, signals and results out. The only place that touches h5py."""

from __future__ import annotations

from blasso_flow.files.atomic import check_target, write_bytes
from blasso_flow.files.result_reader import StoredResult, find_signal, read_provenance, read_result
from blasso_flow.files.result_writer import write_result
from blasso_flow.files.signal_reader import SignalFile, open_signal, read_signal
from blasso_flow.files.signal_writer import write_signal

__all__ = [
    "SignalFile",
    "StoredResult",
    "check_target",
    "find_signal",
    "open_signal",
    "read_provenance",
    "read_result",
    "read_signal",
    "write_bytes",
    "write_result",
    "write_signal",
]
