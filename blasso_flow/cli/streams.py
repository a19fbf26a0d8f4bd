"""Inputs and outputs as arguments name them: FILE, FILE::/dataset, and `-` for standard input and output."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from blasso_flow.errors import UsageError

STREAM = "-"


def input_path(text: str) -> str:
    """The file's part of FILE::/dataset; `-` for standard input."""
    from blasso_flow.files.source import split_source

    return split_source(text)[0]


def check_inputs(texts: Sequence[str]) -> None:
    """Refuse standard input where it would be read twice, or is a terminal: nobody types HDF5."""
    streams = sum(input_path(text) == STREAM for text in texts)
    if streams > 1:
        raise UsageError("standard input can be read once", received="- twice", mend="name a file in place of one")
    if streams and sys.stdin.isatty():
        raise UsageError("standard input is a terminal", allowed="HDF5 from a pipe", mend="name a file, or pipe one in")


def check_output(target: str, *, force: bool, inputs: Sequence[str] = ()) -> None:
    """Refuse an output that cannot or must not be written, before any work starts; `-` is standard output."""
    from blasso_flow.files import check_target

    check_target(target, overwrite=force, inputs=[input_path(text) for text in inputs])
