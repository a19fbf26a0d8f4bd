"""HDF5 files: signals in, signals and results out. The only place that touches h5py."""

from __future__ import annotations

from blasso_flow.files.atomic import check_target, write_bytes
from blasso_flow.files.signal_reader import SignalFile, open_signal, read_signal
from blasso_flow.files.signal_writer import write_signal

__all__ = [
    "SignalFile",
    "check_target",
    "open_signal",
    "read_signal",
    "write_bytes",
    "write_signal",
]
