"""Inputs and outputs as arguments name them: FILE, FILE::/dataset, and `-` for standard input and output."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from blasso_flow.errors import DataError, UsageError

STREAM = "-"


class Piped(io.BytesIO):
    """Standard input in memory, with a name for messages."""

    name = "standard input"


@dataclass(frozen=True)
class Source:
    """An input argument, as typed. Standard input is read whole, once."""

    text: str

    @property
    def is_stream(self) -> bool:
        """Whether this is standard input, with or without a dataset."""
        return self.path == STREAM

    @cached_property
    def path(self) -> str:
        """The file's part of FILE::/dataset."""
        from blasso_flow.files import split_source

        return split_source(self.text)[0]

    @property
    def name(self) -> str:
        """For messages."""
        return "standard input" if self.is_stream else self.text

    @cached_property
    def content(self) -> bytes:
        """All of standard input."""
        stream = sys.stdin.buffer
        if stream.isatty():
            raise UsageError("standard input is a terminal", allowed="HDF5 from a pipe", mend="name a file, or pipe one in")
        content = stream.read()
        if not content:
            raise DataError("standard input is empty", allowed="an HDF5 file", mend="see what the command before the pipe said")
        return content

    def opened(self) -> str | BinaryIO:
        """What readers take: the text as typed, or a binary file in memory."""
        if not self.is_stream:
            return self.text
        return Piped(self.content)

    def dataset(self) -> str | None:
        """The dataset asked for, if any."""
        from blasso_flow.files import split_source

        return split_source(self.text)[1]

    def sha256(self) -> str:
        """Digest of the whole file."""
        if self.is_stream:
            return hashlib.sha256(self.content).hexdigest()
        with open(self.path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def check_output(target: str | Path, *, force: bool, inputs: Sequence[Source] = ()) -> None:
    """Refuse an output that cannot or must not be written, before any work starts; `-` is standard output."""
    from blasso_flow.files import check_target

    check_target(target, overwrite=force, inputs=[source.path for source in inputs if not source.is_stream])
