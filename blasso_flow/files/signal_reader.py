"""Reading signals, whole or channel by channel, from every layout this package knows. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np

from blasso_flow.data.signals import Axis, FilterDescription, FloatArray, Signal, Truth
from blasso_flow.errors import DataError
from blasso_flow.files.companions import read_filter, read_truth
from blasso_flow.files.guard import check_numeric, checked, chunk_bytes, read_numbers, read_part, reading
from blasso_flow.files.locate import DatasetInfo, Located, list_datasets, locate
from blasso_flow.files.source import Source, SourceLike, open_source
from blasso_flow.files.uncertainties import applied

GATHERED = 64  # channels that are read together where their samples alternate
BLOCK_SHARE = 4  # rows that share chunks are read together while they take at most this fraction of the memory


class SignalFile:
    """A signal on file: everything about it is known, samples are read channel by channel.

    Made by `open_signal`. A signal stored with one dimension has one channel.

    Attributes
    ----------
    name : the file as given. dataset : path of the dataset inside it.
    axis, units, long_name, filter, truth : as in `Signal`.
    shape : of the values, (N,) or (C, N); channels : C, or 1.
    """

    def __init__(self, source: Source, spacing: float | None) -> None:
        self._source = source
        self._spacing = spacing
        located = locate(source, spacing)
        self._located: Located = located
        self.name = source.name
        self.dataset = str(located.dataset.name)
        self.axis: Axis = located.axis
        self.units = located.units
        self.long_name = located.long_name
        stored = tuple(int(size) for size in located.dataset.shape)
        self.shape = stored[::-1] if located.transposed else stored
        self.channels = 1 if len(self.shape) == 1 else self.shape[0]
        self._check_memory()
        self.filter: FilterDescription | None = read_filter(source.file, source.name, source.memory, self.axis.units)
        self._noise = self._read_noise()
        self._block: tuple[int, FloatArray] | None = None

    @property
    def noise(self) -> str:
        """How the noise is known: "none", "scalar", "channel" or "sample"."""
        if self._located.noise is None:
            return "none"
        if self._noise is None:
            return "sample"
        return "channel" if isinstance(self._noise, np.ndarray) else "scalar"

    @property
    def noise_dataset(self) -> str:
        """Path of the dataset with the noise; "" where there is none."""
        return "" if self._located.noise is None else str(self._located.noise.name)

    @cached_property
    def truth(self) -> Truth | None:
        """The known spikes, read when they are first asked for. Raises `DataError` where they cannot be used."""
        with reading(self.name):
            return read_truth(self._source.file, self.name, self._source.memory, self.channels)

    @property
    def datasets(self) -> list[DatasetInfo]:
        """Every dataset of the file."""
        with reading(self.name):
            return list_datasets(self._source)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes."""
        return self._source.sha256()

    @cached_property
    def together(self) -> int:
        """Number of channels whose samples share chunks, and are read faster together."""
        chunks = self._located.dataset.chunks
        if len(self.shape) == 1 or not (chunks or self._located.transposed):
            return 1
        return int(chunks[1 if self._located.transposed else 0]) if chunks else GATHERED

    @property
    def described(self) -> Signal:
        """A signal without samples (zeros, shape (N,)) that has everything else but the truth."""
        return Signal(np.zeros(self.axis.size), self.axis, self.units, self.long_name, None, self.filter, None, self.name)

    @property
    def path(self) -> str | None:
        """Absolute path of the file; None where it came as a stream."""
        path = self._source.path
        return None if path is None else str(path)

    @property
    def identity(self) -> dict[str, object]:
        """What finds this signal again (JSON-ready): name, absolute path or None, dataset, spacing if given, SHA-256."""
        return {
            "name": self.name,
            "path": self.path,
            "dataset": self.dataset,
            "spacing": self._spacing,
            "sha256": self.sha256,
        }

    def channel(self, number: int, *, with_truth: bool = True) -> Signal:
        """One channel as a signal of shape (N,), its truth numbered 0. Raises `DataError` on samples that cannot be used."""
        if not 0 <= number < self.channels:
            raise DataError(f"{self.name}: no such channel", received=number, allowed=f"0 to {self.channels - 1}")
        with reading(self.name):
            values = self._row(number)
            noise: float | FloatArray | None = None
            if self._located.noise is not None:
                noise = self._noise if self._noise is not None else self._noise_row(number)
                noise = float(noise[number]) if isinstance(noise, np.ndarray) and self.noise == "channel" else noise
            if isinstance(noise, np.ndarray):
                values, noise = applied(values, noise, self._noise_place(number))
        truth = self.truth.of_channel(number) if with_truth and self.truth is not None else None
        name = self.name if self.channels == 1 else f"{self.name}, channel {number}"
        return Signal(values, self.axis, self.units, self.long_name, noise, self.filter, truth, name)

    def __iter__(self) -> Iterator[Signal]:
        return (self.channel(number) for number in range(self.channels))

    def read(self) -> Signal:
        """The whole signal. Raises `DataError` when it does not fit the memory allowed or has no sample at all."""
        samples = int(np.prod(self.shape))
        copies = 2 if self.noise == "sample" else 1
        where = f"{self.name}: {self.dataset} with {self.channels} channels"
        self._source.memory.check(where, samples * 8 * copies + chunk_bytes(self._located.dataset))
        noise: float | FloatArray | None = self._noise
        with reading(self.name):
            dataset = self._located.dataset
            stored = read_part(dataset, (slice(None),) * len(self.shape), dataset.shape)
            values = np.ascontiguousarray(stored.T) if self._located.transposed else stored
            if self.noise == "sample":
                assert self._located.noise is not None
                noise = np.broadcast_to(read_numbers(self._located.noise, self.name, self._source.memory), values.shape)
                values, noise = applied(values, noise, self._noise_place())
        if np.isnan(values).all():
            raise DataError(f"{self.name}: every sample is missing (NaN)", received=f"shape {self.shape}")
        return Signal(values, self.axis, self.units, self.long_name, noise, self.filter, self.truth, self.name)

    def _check_memory(self) -> None:
        dataset = self._located.dataset
        where = f"{self.name}: {self.dataset}"
        self._source.memory.check(f"{where}: one chunk", chunk_bytes(dataset))
        self._source.memory.check(f"{where}: one channel", self.axis.size * 8 + chunk_bytes(dataset))

    def _row(self, number: int) -> FloatArray:
        """Samples of one channel, (N,). Channels that share chunks are unpacked once, together, where memory allows."""
        if len(self.shape) == 1:
            return read_part(self._located.dataset, (slice(None),), self.shape)
        across = 1 if self._located.transposed else 0
        rows = self.together
        if rows * self.axis.size * 8 > self._source.memory.limit // BLOCK_SHARE:
            rows = 1
        start = number - number % rows
        if self._block is None or self._block[0] != start:
            stop = min(start + rows, self.channels)
            selected = (slice(None), slice(start, stop)) if across else (slice(start, stop), slice(None))
            shape = (self.axis.size, stop - start) if across else (stop - start, self.axis.size)
            block = read_part(self._located.dataset, selected, shape)
            self._block = (start, block.T if across else block)
        row: FloatArray = self._block[1][number - start].copy()
        return row

    def _read_noise(self) -> float | FloatArray | None:
        """A noise sd that is small enough to hold: scalar or (C,). None when there is none, or one a sample."""
        dataset = self._located.noise
        if dataset is None:
            return None
        check_numeric(checked(dataset, self.name), self.name)
        of_samples = dataset.shape == self.shape or (dataset.shape == self.shape[1:] and self.axis.size != self.channels)
        if of_samples and dataset.size > 1:
            self._source.memory.check(f"{self.name}: {dataset.name}: one chunk", chunk_bytes(dataset))
            return None
        noise = read_numbers(dataset, self.name, self._source.memory)
        where = f"{self.name}: {dataset.name}"
        if noise.size > 1 and noise.shape != (self.channels,):
            raise DataError(
                f"{where} has the wrong shape", received=noise.shape, allowed=f"a scalar, ({self.channels},) or {self.shape}"
            )
        if not (np.isfinite(noise).all() and (noise > 0).all()):
            raise DataError(f"{where} must be finite and above 0", received=f"{float(np.min(noise)):.6g} as the smallest value")
        if noise.size == 1 and not (len(self.shape) == 2 and noise.shape == (self.channels,)):
            return float(noise.reshape(-1)[0])
        return noise

    def _noise_row(self, number: int) -> FloatArray:
        dataset = self._located.noise
        assert dataset is not None
        return read_part(dataset, (number,) if len(dataset.shape) == 2 else (slice(None),), (self.axis.size,))

    def _noise_place(self, number: int | None = None) -> str:
        assert self._located.noise is not None
        own = f", channel {number}" if number is not None and self.channels > 1 else ""
        return f"{self.name}{own}: {self._located.noise.name}"


@contextmanager
def open_signal(
    source: SourceLike, dataset: str | None = None, spacing: float | None = None, max_memory: int | None = None
) -> Iterator[SignalFile]:
    """Open a signal for reading channel by channel.

    Parameters
    ----------
    source : a path, ``FILE::/dataset``, "-" for HDF5 on standard input, or a binary file object.
    dataset : path of the dataset (or NXdata group) inside the file; needed when it has several candidates.
    spacing : distance of two samples in axis units, for data without an axis; it overrides a stored one (first sample at 0).
    max_memory : bytes that one channel, one chunk or a stream may take; half of the machine's memory by default.

    Raises `DataError` on anything that cannot be used, in one line; `UsageError` on arguments that contradict each other.
    """
    with open_source(source, dataset, max_memory) as opened:
        with reading(opened.name):
            file = SignalFile(opened, spacing)
        yield file


def read_signal(
    source: SourceLike, dataset: str | None = None, spacing: float | None = None, max_memory: int | None = None
) -> Signal:
    """Read a whole signal into memory; arguments and errors as in `open_signal`."""
    with open_signal(source, dataset, spacing, max_memory) as file:
        return file.read()
