"""File arguments: FILE::/dataset, `-` for standard input and output, and what is refused before any work starts."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from blasso_flow.errors import DataError, RunError, UsageError

if TYPE_CHECKING:
    from blasso_flow.signals import Signal

STREAM = "-"
BLOCK = 1 << 20


@dataclass(frozen=True)
class Source:
    """An input argument: ``path`` and ``dataset`` of FILE::/dataset; ``path`` is `-` for standard input."""

    path: str
    dataset: str | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """Split FILE::/dataset."""
        path, separator, dataset = text.partition("::")
        if separator and not dataset:
            raise UsageError("no dataset after ::", received=text, allowed="FILE::/dataset")
        if not path:
            raise UsageError("no file name", received=repr(text), allowed="FILE, FILE::/dataset or - for standard input")
        return cls(path, dataset or None)

    @property
    def is_stream(self) -> bool:
        """Whether this is standard input."""
        return self.path == STREAM

    @property
    def name(self) -> str:
        """For messages."""
        return "standard input" if self.is_stream else self.path

    @cached_property
    def content(self) -> bytes:
        """All of standard input, read once."""
        stream = sys.stdin.buffer
        if stream.isatty():
            raise UsageError(
                "standard input is a terminal", allowed="HDF5 from a pipe or a file", mend="name a file, or pipe one in"
            )
        content = stream.read()
        if not content:
            raise DataError("standard input is empty", allowed="an HDF5 file", mend="see what the command before the pipe said")
        return content

    def opened(self) -> str | BinaryIO:
        """What readers take: the path, or a binary file in memory."""
        return io.BytesIO(self.content) if self.is_stream else self.path

    def sha256(self) -> str:
        """Digest of the whole file."""
        digest = hashlib.sha256()
        if self.is_stream:
            digest.update(self.content)
            return digest.hexdigest()
        with open(self.path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()


def check_output(target: Path, *, force: bool, inputs: tuple[Source, ...] = (), option: str = "--output") -> None:
    """Refuse a file that cannot be written, before the work starts."""
    for source in inputs:
        if not source.is_stream and _same_file(target, Path(source.path)):
            raise UsageError(f"{option}: the output is the input", received=target, mend="choose another name")
    if target.is_dir():
        raise UsageError(f"{option}: this is a folder", received=target, allowed="a file name")
    if target.exists() and not force:
        raise UsageError(f"{option}: the file exists", received=target, mend="give --force to replace it, or choose another name")
    if target.exists() and not target.is_file():
        raise UsageError(f"{option}: not an ordinary file", received=target, allowed="a file, or - for standard output")
    folder = target.parent
    if not folder.is_dir():
        raise RunError(f"{option}: no such folder", received=folder, mend="make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(f"{option}: the folder is not writable", received=folder, mend="choose another with --output")


def check_stdout_takes_bytes() -> None:
    """HDF5 is never written to a terminal."""
    if sys.stdout.isatty():
        raise UsageError(
            "HDF5 is not written to a terminal", received="--output -", mend="pipe it into another command, or name a file"
        )


def write_stdout(content: bytes) -> None:
    """Bytes to standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def write_signal_to(signal: Signal, output: str) -> None:
    """A signal file, on standard output when ``output`` is `-`."""
    from blasso_flow.files import write_signal  # noqa: PLC0415

    if output != STREAM:
        write_signal(signal, output)
        return
    buffer = io.BytesIO()
    write_signal(signal, buffer)
    write_stdout(buffer.getvalue())
