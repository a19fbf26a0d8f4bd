"""Writes a figure to a file: by suffix, whole or not at all, the same bytes for the same figure."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from blasso_flow.errors import RunError, UsageError

FORMATS = ("png", "svg", "pdf")
DPI = 150
UNDATED: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def figure_format(path: str | os.PathLike[str], format: str | None = None) -> str:
    """The format of a figure file: as given, else by the suffix. Raises `UsageError` for anything but png, svg, pdf."""
    chosen = (format or Path(path).suffix.removeprefix(".")).lower()
    if chosen not in FORMATS:
        raise UsageError(
            "unknown figure format",
            received=format or f"{Path(path).suffix or 'no suffix'} in {path}",
            allowed=", ".join(FORMATS),
            mend="give the file one of these suffixes",
        )
    return chosen


def render(figure: Figure, format: str) -> bytes:
    """The bytes of a figure: no dates, no random names, fonts embedded so that text stays text in PDF."""
    buffer = io.BytesIO()
    # SVG takes the salt of its element names only from the settings, so they are set for the length of this call.
    fixed: Any = {"svg.hashsalt": "blasso-flow", "pdf.fonttype": 42, "savefig.bbox": None, "savefig.transparent": False}
    with warnings.catch_warnings(), matplotlib.rc_context(fixed):
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)  # names in any script
        figure.savefig(buffer, format=format, dpi=DPI, metadata=UNDATED[format])
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str], format: str | None = None) -> Path:
    """Write a figure and return its path; an existing file is replaced.

    The file is written beside its target under another name, then renamed, so that it is never torn. Raises `UsageError`
    for an unknown format and `RunError` when the file cannot be written.
    """
    target = Path(path)
    content = render(figure, figure_format(target, format))
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise RunError(
            "cannot write the figure",
            received=str(target),
            mend=f"{error.strerror or error}; choose another place",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return target
