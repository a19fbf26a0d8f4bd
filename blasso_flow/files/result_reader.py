"""Reading result files, and finding the signal a result belongs to. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from blasso_flow.answer.rates import Rates
from blasso_flow.data.reports import ChannelReport, Paths, Section, Status, TraceRow
from blasso_flow.data.results import Fit, Recovery
from blasso_flow.data.signals import Axis, FilterDescription, FloatArray, IntArray
from blasso_flow.data.spikes import Optimum, Spikes
from blasso_flow.errors import DataError
from blasso_flow.files.companions import read_filter
from blasso_flow.files.guard import check_numeric, checked, number_of, read_numbers, reading, resolve, text, text_of
from blasso_flow.files.layout import CHANNELS, FIT, OPTIMUM, PROVENANCE, RATE, SECTIONS, SPIKES, TIMING, TRACE
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
    """Reads one open result; every column is checked against its neighbours."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = source.name

    def read(self) -> StoredResult:
        provenance = self.provenance()
        settings = provenance.get("settings")
        about = provenance.get("signal")
        about = about if isinstance(about, Mapping) else {}
        reports = self._reports()
        recovery = Recovery(
            spikes=self._spikes(len(reports)),
            optimum=self._optimum(len(reports)),
            channels=reports,
            settings=settings if isinstance(settings, Mapping) else {},
            fit=self._fit(),
        )
        axis = axis_from_plain(about.get("axis"))
        weight = self._dataset(f"{SPIKES}/weight")
        return StoredResult(
            recovery=recovery,
            provenance=provenance,
            name=self.name,
            path=self.source.path,
            axis=axis,
            units=str(about.get("units", "")),
            long_name=str(about.get("long_name", "")),
            weight_units=text_of(weight, "units"),
            filter=read_filter(self.source.file, self.name, self.source.memory),
            rates=self._rates(len(reports)),
        )

    def _holds(self, path: str) -> bool:
        return resolve(self.source.file, path, self.name) is not None

    def _dataset(self, path: str) -> h5py.Dataset:
        node = resolve(self.source.file, path, self.name)
        if not isinstance(node, h5py.Dataset):
            raise DataError(f"{self.name}: the result is incomplete", received=f"no dataset /{path}", mend="recover again")
        return checked(node, self.name)

    def _numbers(self, path: str, size: int | None = None) -> FloatArray:
        dataset = self._dataset(path)
        if size is not None and (not dataset.shape or dataset.shape[0] != size):
            raise DataError(
                f"{self.name}: /{path} has the wrong length", received=f"shape {dataset.shape}", allowed=f"{size} rows"
            )
        if dataset.size == 0:
            return np.empty(dataset.shape)
        return read_numbers(dataset, self.name, self.source.memory)

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

    def _texts(self, path: str, size: int) -> list[str]:
        dataset = self._dataset(path)
        if h5py.check_string_dtype(dataset.dtype) is None or dataset.shape != (size,):
            raise DataError(
                f"{self.name}: /{path} is no column of {size} texts", received=f"{dataset.dtype}, shape {dataset.shape}"
            )
        return [text(value) for value in dataset[()]]

    def _channel_column(self, group: str, channels: int) -> IntArray:
        channel = self._integers(f"{group}/channel")
        if channel.ndim != 1 or not np.isin(channel, np.arange(channels)).all():
            raise DataError(f"{self.name}: /{group}/channel names channels that are not there", allowed=f"0 to {channels - 1}")
        return channel

    def _spikes(self, channels: int) -> Spikes:
        channel = self._channel_column(SPIKES, channels)
        names: tuple[str, ...] = ("position", "position_errors", "weight", "weight_errors")
        if self._holds(f"{SPIKES}/width"):
            names += ("width", "width_errors")
        columns = {name: self._numbers(f"{SPIKES}/{name}", channel.size) for name in names}
        return Spikes(channel=channel, group=self._integers(f"{SPIKES}/group", channel.size), **columns)

    def _optimum(self, channels: int) -> Optimum:
        channel = self._channel_column(OPTIMUM, channels)
        return Optimum(channel, *(self._numbers(f"{OPTIMUM}/{name}", channel.size) for name in ("position", "weight", "eta")))

    def _reports(self) -> list[ChannelReport]:
        size = int(self._dataset(f"{CHANNELS}/status").size or 0)
        status, message, strength_rule, noise_rule, notes = (
            self._texts(f"{CHANNELS}/{name}", size) for name in ("status", "message", "strength_rule", "noise_rule", "notes")
        )
        baseline_rule, refit_baseline_rule = (
            self._texts(f"{CHANNELS}/{name}", size) if self._holds(f"{CHANNELS}/{name}") else [""] * size
            for name in ("baseline_rule", "refit_baseline_rule")
        )
        names = ["strength", "noise_sd", "objective", "dual_value", "gap", "gap_noise", "violation"]
        names += [name for name in ("refit_noise_sd", "refit_rate_error") if self._holds(f"{CHANNELS}/{name}")]
        numbers = {name: self._numbers(f"{CHANNELS}/{name}", size) for name in names}
        rounds = self._integers(f"{CHANNELS}/rounds", size)
        baseline, refit_baseline = self._baseline("baseline", size), self._baseline("refit_baseline", size)
        traces, seconds = self._traces(size), self._numbers(f"{TIMING}/seconds", size)
        paths = self._paths(size)
        sections = self._sections(size)
        unknown = sorted(set(status) - {str(known) for known in Status})
        if unknown:
            raise DataError(
                f"{self.name}: unknown status", received=unknown[0], allowed=", ".join(str(known) for known in Status)
            )
        return [
            ChannelReport(
                status=Status(status[row]),
                message=message[row],
                strength_rule=strength_rule[row],
                noise_rule=noise_rule[row],
                rounds=int(rounds[row]),
                baseline=baseline[row],
                refit_baseline=refit_baseline[row],
                baseline_rule=baseline_rule[row],
                sections=sections[row],
                refit_baseline_rule=refit_baseline_rule[row],
                trace=traces[row],
                paths=paths[row],
                seconds=float(seconds[row]),
                notes=tuple(notes[row].split("\n")) if notes[row] else (),
                **{name: float(column[row]) for name, column in numbers.items()},
            )
            for row in range(size)
        ]

    def _sections(self, channels: int) -> list[tuple[Section, ...]]:
        """The sections of each channel; none where one filter served the record."""
        found: list[tuple[Section, ...]] = [()] * channels
        if resolve(self.source.file, SECTIONS, self.name) is None:
            return found
        channel = self._channel_column(SECTIONS, channels)
        first, last = (self._integers(f"{SECTIONS}/{name}", channel.size) for name in ("first", "last"))
        sd, strength = (self._numbers(f"{SECTIONS}/{name}", channel.size) for name in ("sd", "strength"))
        for row, number in enumerate(channel):
            found[number] += (Section(int(first[row]), int(last[row]), float(sd[row]), float(strength[row])),)
        return found

    def _baseline(self, name: str, size: int) -> FloatArray:
        """Coefficients (C, B); (C, 0) when the run had no baseline."""
        if not self._holds(f"{CHANNELS}/{name}"):
            return np.empty((size, 0))
        table = self._numbers(f"{CHANNELS}/{name}", size)
        if table.ndim != 2:
            raise DataError(f"{self.name}: /{CHANNELS}/{name} is no table", received=f"shape {table.shape}")
        return table

    def _traces(self, channels: int) -> list[tuple[TraceRow, ...]]:
        channel = self._channel_column(TRACE, channels)
        rounds, spikes = (self._integers(f"{TRACE}/{name}", channel.size) for name in ("round", "spikes"))
        objective, gap = (self._numbers(f"{TRACE}/{name}", channel.size) for name in ("objective", "gap"))
        seconds = self._numbers(f"{TIMING}/round_seconds", channel.size)
        traces: list[list[TraceRow]] = [[] for _ in range(channels)]
        for row, number in enumerate(channel):
            state = TraceRow(int(rounds[row]), float(objective[row]), float(gap[row]), int(spikes[row]), float(seconds[row]))
            traces[number].append(state)
        return [tuple(trace) for trace in traces]

    def _paths(self, channels: int) -> list[Paths | None]:
        """The particles of a flow, one entry a channel; None where they were not kept."""
        if not self._holds(f"{TRACE}/particle_position"):
            return [None] * channels
        channel = self._channel_column(TRACE, channels)
        position, weight = (self._numbers(f"{TRACE}/particle_{name}", channel.size) for name in ("position", "weight"))
        if position.ndim != 2 or position.shape != weight.shape:
            raise DataError(f"{self.name}: /{TRACE} holds no table of particles", received=f"shape {position.shape}")
        rows = [channel == number for number in range(channels)]
        return [Paths(position[own], weight[own]) if own.any() and not np.isnan(position[own]).any() else None for own in rows]

    def _fit(self) -> Fit | None:
        if not self._holds(FIT):
            return None
        model, residual, baseline = (self._numbers(f"{FIT}/{name}") for name in ("model", "residual", "baseline"))
        if not model.shape == residual.shape == baseline.shape:
            raise DataError(f"{self.name}: the curves of /{FIT} differ in shape", received=f"{model.shape} and {residual.shape}")
        return Fit(model, residual, baseline)

    def _rates(self, channels: int) -> Rates | None:
        group = resolve(self.source.file, RATE, self.name)
        if not isinstance(group, h5py.Group):
            return None
        rate, weight_rate = (self._numbers(f"{RATE}/{name}", channels) for name in ("rate", "weight_rate"))
        width = number_of(group, "width")
        if rate.ndim != 2 or rate.shape != weight_rate.shape or width is None:
            raise DataError(f"{self.name}: /{RATE} is no pair of rates with a width", received=f"shape {rate.shape}")
        return Rates(rate, weight_rate, width)

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
