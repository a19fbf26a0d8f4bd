"""Reading result files, and finding the signal a result belongs to. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from blasso_flow.data import schema
from blasso_flow.data.blocks import Array, Block
from blasso_flow.data.column import Column
from blasso_flow.data.reports import Status, Verdict
from blasso_flow.data.results import Rates, Recovery
from blasso_flow.data.signals import Axis, FilterDescription, FloatArray, IntArray
from blasso_flow.errors import DataError
from blasso_flow.files.companions import read_filter
from blasso_flow.files.guard import check_numeric, checked, number_of, read_numbers, reading, resolve, text, text_of
from blasso_flow.files.layout import CHANNEL, FIT, PROVENANCE, RATE, SPIKES
from blasso_flow.files.layout_version import require_result
from blasso_flow.files.plain import axis_from_plain
from blasso_flow.files.signal_reader import SignalFile
from blasso_flow.files.source import STDIN, Source, SourceLike, open_source


@dataclass(frozen=True)
class StoredResult:
    """A result as it was written.

    Attributes
    ----------
    recovery : everything that was found; its signal is None, its fit too unless it was saved.
    provenance : argv, versions, input, settings and what the caller of `write_result` added.
    name : the file, for messages. path : its absolute path, None when it came from a stream.
    axis, units, long_name : of the signal (axis None when it was not known). weight_units : of the weights.
    filter : the filter that was used, a measured response included.
    rates : what /rate holds, None without it.
    """

    recovery: Recovery
    provenance: Mapping[str, object]
    name: str
    path: Path | None
    axis: Axis | None
    units: str
    long_name: str
    weight_units: str
    filter: FilterDescription | None
    rates: Rates | None = None

    @property
    def signal_path(self) -> str | None:
        """Absolute path of the signal's file; None when it came from a stream."""
        return self._input("path")

    @property
    def signal_sha256(self) -> str | None:
        """SHA-256 of the signal's file, in hexadecimal."""
        return self._input("sha256")

    @property
    def signal_dataset(self) -> str | None:
        """Path of the signal's dataset inside its file."""
        return self._input("dataset")

    def _input(self, key: str) -> str | None:
        stored = self.provenance.get("input")
        value = stored.get(key) if isinstance(stored, Mapping) else None
        return value if isinstance(value, str) else None


def read_result(source: SourceLike, max_memory: int | None = None) -> StoredResult:
    """Read a result from a path, "-" (HDF5 on standard input) or a binary file object.

    Raises `DataError` when it is no result (a signal is refused by name), of an unknown version, incomplete or corrupt.
    """
    with open_source(source, None, max_memory) as opened, reading(opened.name):
        require_result(opened.file, opened.name)
        return _Reader(opened).read()


def read_provenance(source: SourceLike) -> Mapping[str, object]:
    """What a result says of its run, nothing else of it being read. Raises `DataError` as `read_result` does."""
    with open_source(source) as opened, reading(opened.name):
        require_result(opened.file, opened.name)
        return _Reader(opened).provenance()


@contextmanager
def find_signal(result: StoredResult, signal: SourceLike | None = None, max_memory: int | None = None) -> Iterator[SignalFile]:
    """Open the signal of a result: the one given, else the one its provenance names.

    The stored path is tried, then the same name beside the result; its SHA-256 must match. A signal that is given is
    taken as it is (compare its ``sha256`` with ``result.signal_sha256`` to notice a difference). The dataset and spacing
    of the run are used again unless ``FILE::/dataset`` says otherwise.
    Raises `DataError` when there is none, or the file has changed.
    """
    given = signal is not None
    with open_source(signal if signal is not None else _stored_path(result), None, max_memory) as opened:
        with reading(opened.name):
            stored = result.signal_dataset
            if opened.dataset is None and stored is not None and resolve(opened.file, stored, opened.name) is not None:
                file = SignalFile(replace(opened, dataset=stored), _stored_spacing(result))
            else:
                file = SignalFile(opened, _stored_spacing(result))
        if not given and file.sha256 != result.signal_sha256:
            raise DataError(
                f"{opened.name}: the signal has changed since it was recovered",
                received=f"SHA-256 {file.sha256[:12]}...",
                allowed=f"{str(result.signal_sha256)[:12]}...",
                mend="give SIGNAL to use it all the same, or recover again",
            )
        yield file


def _stored_path(result: StoredResult) -> str:
    stored = result.signal_path
    if stored is None or stored == STDIN:
        raise DataError(f"{result.name}: its signal came from a stream, not from a file", mend="give SIGNAL")
    if Path(stored).is_file():
        return stored
    beside = None if result.path is None else result.path.parent / Path(stored).name
    if beside is not None and beside.is_file():
        return str(beside)
    raise DataError(f"{result.name}: its signal is no longer there", received=stored, mend="give SIGNAL")


def _stored_spacing(result: StoredResult) -> float | None:
    stored = result.provenance.get("input")
    value = stored.get("spacing") if isinstance(stored, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None


class _Reader:
    """Reads one open result; every column is checked against the schema and its neighbours."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = source.name

    def read(self) -> StoredResult:
        provenance = self.provenance()
        settings = provenance.get("settings")
        about = provenance.get("signal")
        about = about if isinstance(about, Mapping) else {}
        columns = self._columns()
        block = Block(0, columns["channels/status"].size, columns)
        recovery = Recovery(
            spikes=block.spikes,
            optimum=block.optimum,
            channels=block.reports(),
            settings=settings if isinstance(settings, Mapping) else {},
            fit=block.fit,
            candidates=block.candidates,
        )
        return StoredResult(
            recovery=recovery,
            provenance=provenance,
            name=self.name,
            path=self.source.path,
            axis=axis_from_plain(about.get("axis")),
            units=str(about.get("units", "")),
            long_name=str(about.get("long_name", "")),
            weight_units=text_of(self._dataset(f"{SPIKES}/weight"), "units"),
            filter=read_filter(self.source.file, self.name, self.source.memory),
            rates=self._rates(columns),
        )

    def _columns(self) -> dict[str, Array]:
        """The columns of the schema by their place, without those that follow from others; tables that a run had no use for
        have no columns."""
        channels = int(self._dataset("channels/status").size or 0)
        there = [column for column in schema.COLUMNS if self._is_there(column)]
        found: dict[str, Array] = {
            column.path: self._channel_column(column.path, channels) for column in there if column.name == CHANNEL
        }
        rows = {column.dimensions[0]: found[column.path].size for column in there if column.name == CHANNEL}
        rows["channels"] = channels
        shapes: dict[tuple[str, ...], tuple[int, ...]] = {}
        for column in schema.COLUMNS:
            if column.field and column.name != CHANNEL and column in there:
                own = found[column.path] = self._column(column, rows[column.dimensions[0]])
                if len(column.dimensions) > 1 and shapes.setdefault((column.group, *column.dimensions), own.shape) != own.shape:
                    raise DataError(f"{self.name}: tables of /{column.group} differ in shape", received=f"{own.shape}")
            elif column.when in column.dimensions[1:]:
                found[column.path] = np.empty((rows[column.dimensions[0]], 0))
        for name, words in (("status", Status), ("fit", Verdict)):
            unknown = sorted(set(found.get(f"channels/{name}", ())) - set(words))
            if unknown:
                raise DataError(f"{self.name}: unknown {name}", received=unknown[0], allowed=", ".join(words))
        return found

    def _is_there(self, column: Column) -> bool:
        """Whether the file must have a column: always, or because it has another one that comes with it, or has it unasked."""
        if column.later:
            return resolve(self.source.file, column.path, self.name) is not None
        with_it = (other.path for other in schema.COLUMNS if (other.group, other.when) == (column.group, column.when))
        return not column.when or any(resolve(self.source.file, path, self.name) is not None for path in with_it)

    def _column(self, column: Column, rows: int) -> Array:
        if column.kind is str:
            return self._texts(column.path, rows)
        if column.kind is int:
            return self._integers(column.path, rows)
        numbers = self._numbers(column.path)
        if column.group != FIT and (numbers.ndim != len(column.dimensions) or len(numbers) != rows):
            raise DataError(
                f"{self.name}: /{column.path} has the wrong length", received=f"shape {numbers.shape}", allowed=f"{rows} rows"
            )
        return numbers

    def _dataset(self, path: str) -> h5py.Dataset:
        node = resolve(self.source.file, path, self.name)
        if not isinstance(node, h5py.Dataset):
            raise DataError(f"{self.name}: the result is incomplete", received=f"no dataset /{path}", mend="recover again")
        return checked(node, self.name)

    def _numbers(self, path: str) -> FloatArray:
        dataset = self._dataset(path)
        return read_numbers(dataset, self.name, self.source.memory) if dataset.size else np.empty(dataset.shape)

    def _integers(self, path: str, size: int | None = None) -> IntArray:
        dataset = self._dataset(path)
        if dataset.size:
            check_numeric(dataset, self.name)
        if dataset.dtype.kind not in "iu" or (size is not None and dataset.shape != (size,)):
            raise DataError(
                f"{self.name}: /{path} is no column of whole numbers", received=f"{dataset.dtype}, shape {dataset.shape}"
            )
        self.source.memory.check(f"{self.name}: /{path}", dataset.size * 8)
        return np.asarray(dataset[()], dtype=np.int64)

    def _texts(self, path: str, size: int) -> Array:
        dataset = self._dataset(path)
        if h5py.check_string_dtype(dataset.dtype) is None or dataset.shape != (size,):
            raise DataError(
                f"{self.name}: /{path} is no column of {size} texts", received=f"{dataset.dtype}, shape {dataset.shape}"
            )
        return np.array([text(value) for value in dataset[()]], dtype=object)

    def _channel_column(self, path: str, channels: int) -> IntArray:
        channel = self._integers(path)
        if channel.ndim != 1 or not np.isin(channel, np.arange(channels)).all():
            raise DataError(f"{self.name}: /{path} names channels that are not there", allowed=f"0 to {channels - 1}")
        return channel

    def _rates(self, columns: Mapping[str, Array]) -> Rates | None:
        own = {column.field: columns[column.path] for column in schema.OF[Rates] if column.path in columns}
        if not own:
            return None
        width = number_of(self.source.file[RATE], "width")
        if width is None:
            raise DataError(f"{self.name}: /{RATE} does not say its width", mend="recover again")
        return Rates(**own, width=width)

    def provenance(self) -> dict[str, object]:
        """The JSON of /provenance."""
        dataset = self._dataset(PROVENANCE)
        stored = text(dataset[()]) if dataset.shape == () else ""
        try:
            record = json.loads(stored)
        except json.JSONDecodeError as error:
            raise DataError(f"{self.name}: /{PROVENANCE} is no JSON", received=str(error)) from None
        if not isinstance(record, dict):
            raise DataError(f"{self.name}: /{PROVENANCE} is no JSON object", received=type(record).__name__)
        return record
