"""Opening what the user names: a path, FILE::/dataset, standard input or a binary file object. Refuses what is no HDF5.

A stream that cannot seek is read into memory, within the limit. Nothing here knows what is inside the file.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py

from blasso_flow.errors import DataError, UsageError
from blasso_flow.files.guard import Memory, reading

SourceLike = str | os.PathLike[str] | BinaryIO
STDIN = "-"
SEPARATOR = "::"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
BLOCK = 1 << 20


@dataclass(frozen=True)
class Source:
    """An open HDF5 file: ``name`` for messages, ``path`` (absolute) unless it came from a stream, ``dataset`` asked for."""

    file: h5py.File
    name: str
    path: Path | None
    dataset: str | None
    memory: Memory
    stream: BinaryIO | None

    def sha256(self) -> str:
        """SHA-256 of the bytes of the whole file, in hexadecimal."""
        if self.stream is None:
            assert self.path is not None
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        place = self.stream.tell()
        self.stream.seek(0)
        digest = hashlib.sha256()
        while block := self.stream.read(BLOCK):
            digest.update(block)
        self.stream.seek(place)
        return digest.hexdigest()


def split_source(text: str) -> tuple[str, str | None]:
    """``FILE::/dataset`` into file and dataset; a file whose own name contains ``::`` is taken as it is."""
    if SEPARATOR not in text or os.path.exists(text):
        return text, None
    file, _, dataset = text.rpartition(SEPARATOR)
    if not file or not dataset.strip("/"):
        raise UsageError("the source names no dataset", received=text, allowed="FILE or FILE::/dataset")
    return file, dataset


@contextmanager
def open_source(source: SourceLike, dataset: str | None = None, max_memory: int | None = None) -> Iterator[Source]:
    """Open a source for reading and close it again. A file object stays open: it is its owner's.

    Raises `DataError` when it is missing, unreadable, not HDF5, truncated or corrupt; `UsageError` when two different
    datasets are asked for.
    """
    memory = Memory.of(max_memory)
    path: Path | None = None
    stream: BinaryIO | None = None
    if isinstance(source, (str, os.PathLike)):
        text, asked = split_source(os.fspath(source))
        if asked is not None and dataset is not None and asked.strip("/") != dataset.strip("/"):
            raise UsageError("two datasets are asked for", received=f"{asked} and {dataset}", mend="give one")
        dataset = dataset if asked is None else asked
        if text == STDIN:
            name, stream = "standard input", _buffered(sys.stdin.buffer, "standard input", memory)
        else:
            name, path = text, Path(os.path.abspath(text))
            stream = _special_file(path, name, memory)
            path = None if stream is not None else path
    else:
        name = str(getattr(source, "name", "the file object"))
        stream = source if _seekable(source) else _buffered(source, name, memory)
    with _open(path, stream, name) as file:
        yield Source(file, name, path, dataset, memory, stream)


@contextmanager
def _open(path: Path | None, stream: BinaryIO | None, name: str) -> Iterator[h5py.File]:
    with reading(name):
        if path is not None and not h5py.is_hdf5(path):
            raise DataError(f"{name}: not an HDF5 file", received=_first_bytes(path), allowed="HDF5")
        if stream is not None:
            stream.seek(0)
            head = stream.read(len(SIGNATURE))
            if head != SIGNATURE:
                raise DataError(f"{name}: not an HDF5 file", received=repr(head) if head else "nothing", allowed="HDF5")
            stream.seek(0)
        file = h5py.File(path if stream is None else stream, "r")
    try:
        yield file
    finally:
        with reading(name):
            file.close()


def _first_bytes(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(len(SIGNATURE))
    if head == SIGNATURE:
        return "its signature, but nothing valid behind it (truncated?)"
    return repr(head) if head else "an empty file"


def _special_file(path: Path, name: str, memory: Memory) -> BinaryIO | None:
    """None for an ordinary file; the content of a pipe or device. Raises `DataError` on what cannot be read."""
    if path.is_dir():
        raise DataError(f"{name}: is a folder", allowed="an HDF5 file")
    try:
        if path.is_file():
            with path.open("rb"):
                return None
        with path.open("rb") as stream:
            return _buffered(stream, name, memory)
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read", received=error.strerror or str(error)) from None


def _seekable(stream: BinaryIO) -> bool:
    try:
        return stream.seekable()
    except (AttributeError, ValueError):
        return False


def _buffered(stream: BinaryIO, name: str, memory: Memory) -> BinaryIO:
    """All bytes of a stream, given up as soon as they cannot be HDF5 or exceed the memory allowed."""
    buffer = io.BytesIO()
    while block := stream.read(BLOCK):
        buffer.write(block)
        memory.check(f"{name}: the file", buffer.tell())
        if buffer.tell() >= len(SIGNATURE) and buffer.getbuffer()[: len(SIGNATURE)] != SIGNATURE:
            break
    buffer.seek(0)
    return buffer
