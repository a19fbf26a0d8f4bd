"""Finished blocks, kept as they come in: for this run only, or in a file beside the output that outlives it.

The file is a line that names it and frames of (length, checksum, bytes); the first frame is JSON about the run. A frame that
is torn or damaged, and all after it, count as never written. Nothing in it is ever run.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import BinaryIO, cast

from blasso_flow.batches.plan import Range
from blasso_flow.data.blocks import Block, decode
from blasso_flow.errors import DataError, RunError, UsageError

MAGIC = b"blasso-flow unfinished run 2\n"
FRAME = struct.Struct("<QI")
PARTIAL = ".partial"
IN_MEMORY = 1 << 24  # bytes of a run that is not kept; what is more goes to a temporary file
DURABLE = 5.0  # seconds between two times the disk is asked to make it durable


def partial_path(target: str) -> Path:
    """Where the blocks of an unfinished run are kept."""
    return Path(os.path.realpath(target) + PARTIAL)


class Journal:
    """Blocks of one run, in the order they finished.

    ``about`` identifies the run. With a ``path``, blocks are kept there; ``resume`` takes over those of an earlier run.
    Raises `UsageError` when that run was another one, or is still going on, and `RunError` when nothing can be written.
    """

    def __init__(self, about: Mapping[str, object], path: Path | None = None, *, resume: bool = False) -> None:
        self.path = path
        self._places: list[tuple[int, int, int, int]] = []  # first, count, offset, length
        self._stream = _passing() if path is None else _locked(path)
        self._synced = monotonic()
        try:
            self._begin(json.dumps(about, sort_keys=True).encode(), resume)
        except BaseException:
            self._stream.close()
            raise

    def _begin(self, about: bytes, resume: bool) -> None:
        if not (resume and self._read_back(about)):
            self._end = 0
            self._stream.truncate(0)
            self._write(MAGIC + FRAME.pack(len(about), zlib.crc32(about)) + about)

    def append(self, first: int, count: int, data: bytes) -> None:
        """Keep a block. Raises `RunError` when the disk is full; what was kept before stays."""
        offset = self._end + FRAME.size
        self._write(FRAME.pack(len(data), zlib.crc32(data)) + data)
        self._places.append((first, count, offset, len(data)))
        if self.path is not None and monotonic() - self._synced > DURABLE:
            self._synced = monotonic()
            try:
                os.fsync(self._stream.fileno())  # may take a while; an interruption of it loses nothing
            except OSError as error:
                raise RunError(f"cannot write {self.path}", received=error.strerror or str(error)) from error

    def blocks(self) -> Iterator[Block]:
        """All blocks in the order of their channels."""
        for _, _, offset, length in sorted(self._places):
            self._stream.seek(offset)
            yield decode(self._stream.read(length))

    @property
    def done(self) -> int:
        """Number of channels kept."""
        return sum(count for _, count, _, _ in self._places)

    def missing(self, channels: int) -> list[Range]:
        """Channels not kept yet, as ranges."""
        ranges, place = [], 0
        for first, count, _, _ in sorted(self._places):
            if place < first:
                ranges.append((place, first))
            place = first + count
        return [*ranges, (place, channels)] if place < channels else ranges

    def close(self, *, keep: bool) -> None:
        """Close; the file stays only if it is to be kept and holds blocks."""
        if self.path is not None and not (keep and self._places):
            self.path.unlink(missing_ok=True)
        self._stream.close()

    def _write(self, data: bytes) -> None:
        try:
            self._stream.seek(self._end)
            left = memoryview(data)
            while left:  # a disk about to be full takes a part, then nothing
                left = left[self._stream.write(left) :]
        except OSError as error:
            self._stream.truncate(self._end)
            raise RunError(f"cannot write {self.path}", received=error.strerror or str(error)) from error
        except BaseException:
            self._stream.truncate(self._end)
            raise
        self._end += len(data)

    def _read_back(self, about: bytes) -> bool:
        """Take over what the file holds; False when that is nothing."""
        size = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(0)
        if self._stream.read(len(MAGIC)) != MAGIC:
            if size:
                raise DataError(f"{self.path} is no unfinished run", mend="move it away")
            return False
        before = self._frame(size)
        if before is None:
            return False
        refuse_difference(json.loads(before), json.loads(about), self.path)
        self._end = self._stream.tell()
        while (data := self._frame(size)) is not None:
            block = decode(data)
            self._places.append((block.first, block.count, self._end + FRAME.size, len(data)))
            self._end = self._stream.tell()
        self._stream.truncate(self._end)
        return True

    def _frame(self, size: int) -> bytes | None:
        head = self._stream.read(FRAME.size)
        if len(head) < FRAME.size:
            return None
        length, checksum = FRAME.unpack(head)
        if length > size - self._stream.tell():
            return None
        data = self._stream.read(length)
        return data if zlib.crc32(data) == checksum else None


def refuse_difference(before: Mapping[str, object], now: Mapping[str, object], path: Path | None) -> None:
    """Raise `UsageError` with the first thing in which the run to be resumed differs from this one."""
    old, new = _flat(before), _flat(now)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            raise UsageError(
                f"the unfinished run {path} cannot be resumed: it has another {name}",
                received=_short(new.get(name)),
                allowed=_short(old.get(name)),
                mend="resume with the same signal, options and version, or start anew with `overwrite=True`",
            )


def _flat(about: Mapping[str, object]) -> dict[str, object]:
    """One level of nesting undone: settings tol, versions numpy."""
    flat: dict[str, object] = {}
    for name, value in about.items():
        flat |= {f"{name} {key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _passing() -> BinaryIO:
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY))


def _locked(path: Path) -> BinaryIO:
    """The file, open for reading and writing, and this process's alone."""
    try:
        stream = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise RunError(f"cannot write {path}", received=error.strerror or str(error)) from error
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        return stream
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise UsageError("another run is writing this output", received=str(path), mend="wait for it, or stop it") from None
    except OSError:  # a file system without locks
        pass
    return stream
