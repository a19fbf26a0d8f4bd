"""Writing a file whole or not at all: checks before the work starts, a temporary file in the same folder, fsync, rename.

What fits is built in memory first, so that a full disk or a closed pipe meets plain bytes and never a half-written HDF5
file; what is larger goes to a temporary file by way of `disk_image`.
This module knows no layout.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import h5py

from blasso_flow.errors import RunError, UsageError
from blasso_flow.files.disk_image import LIBVER, building

Target = str | os.PathLike[str]
STDOUT = "-"


def is_stdout(target: Target) -> bool:
    """Whether the target is standard output."""
    return os.fspath(target) == STDOUT


def check_target(target: Target, *, overwrite: bool = False, inputs: Iterable[object] = ()) -> None:
    """Refuse a target that cannot or must not be written, before any work is done.

    ``inputs`` are the paths that are read (anything that is no path is ignored). Raises `UsageError` when the target is a
    terminal, a folder, one of the inputs, or an existing file without ``overwrite``; `RunError` when its folder is missing
    or not writable.
    """
    if is_stdout(target):
        if sys.stdout.isatty():
            raise UsageError("HDF5 is not written to a terminal", received="-", mend="give -o a file, or pipe the output")
        return
    path = Path(target)
    for source in inputs:
        if isinstance(source, (str, os.PathLike)) and _same_file(path, source):
            raise UsageError("output and input are the same file", received=str(path), mend="choose another output")
    if path.is_dir():
        raise UsageError("the output is a folder", received=str(path), allowed="the path of a file")
    if _is_device(path):
        if _is_terminal(path):
            raise UsageError("HDF5 is not written to a terminal", received=str(path), mend="give the path of a file")
        return
    if path.exists() and not overwrite:
        raise UsageError("the output exists already", received=str(path), mend="give `overwrite=True` to replace it")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise RunError("the folder of the output does not exist", received=str(folder), mend="create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError("the folder of the output is not writable", received=str(folder))


def build_image(build: Callable[[h5py.File], None]) -> memoryview:
    """The bytes of an HDF5 file made in memory by ``build``."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=LIBVER) as file:
        build(file)
    return buffer.getbuffer()


def write_large(
    build: Callable[[h5py.File, Callable[[], None]], None],
    target: Target,
    *,
    overwrite: bool = False,
    inputs: Iterable[object] = (),
) -> None:
    """Like `write_bytes`, for an HDF5 file too large for the memory: it is built on disk, in the target's folder.

    ``build`` calls its second argument after each piece of work, which raises what has gone wrong.
    """

    def fill(descriptor: int) -> None:
        with building(descriptor) as (file, check):
            build(file, check)

    def copy(stream: BinaryIO) -> None:
        with tempfile.TemporaryFile() as temporary:
            fill(temporary.fileno())
            temporary.seek(0)
            shutil.copyfileobj(temporary, stream, 1 << 20)
            stream.flush()

    _write(target, copy, fill, overwrite, inputs)


def write_bytes(data: bytes | memoryview, target: Target, *, overwrite: bool = False, inputs: Iterable[object] = ()) -> None:
    """Write ``data`` to a path or to standard output ("-"), whole or not at all.

    Raises what `check_target` raises, and `RunError` when the system refuses (disk full, no permission). A closed pipe
    stays a `BrokenPipeError`. The temporary file is removed on every failure, an interruption included.
    """

    def fill(descriptor: int) -> None:
        with os.fdopen(descriptor, "wb", closefd=False) as stream:
            _stream(data, stream)
        os.fsync(descriptor)

    _write(target, lambda stream: _stream(data, stream), fill, overwrite, inputs)


def _write(
    target: Target, copy: Callable[[BinaryIO], None], fill: Callable[[int], None], overwrite: bool, inputs: Iterable[object]
) -> None:
    """Copy to a stream or device, or fill a temporary file and give it the target's name."""
    check_target(target, overwrite=overwrite, inputs=inputs)
    path = Path(target)
    try:
        if is_stdout(target):
            copy(sys.stdout.buffer)
        elif _is_device(path):
            with path.open("wb") as device:
                copy(device)
        else:
            _replace(fill, Path(os.path.realpath(path)), overwrite)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RunError(f"cannot write {path}", received=error.strerror or str(error)) from error


def _stream(data: bytes | memoryview, stream: BinaryIO) -> None:
    stream.write(data)
    stream.flush()


def _replace(fill: Callable[[int], None], path: Path, overwrite: bool) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
    try:
        try:
            fill(descriptor)
        finally:
            os.close(descriptor)
        os.chmod(temporary, _mode(path))
        if overwrite:
            os.replace(temporary, path)
        else:
            _place_new(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _place_new(temporary: str, path: Path) -> None:
    """Give the finished file its name, unless somebody else has taken it meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise UsageError("the output exists already", received=str(path), mend="give `overwrite=True` to replace it") from None
    except OSError:  # a file system without hard links
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _mode(path: Path) -> int:
    """Permissions of the file that is replaced, else what an ordinary new file gets."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the new name durable; some systems cannot open a folder, and then the name is theirs to keep."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _same_file(path: Path, source: object) -> bool:
    text = str(source).partition("::")[0]
    if os.path.realpath(text) == os.path.realpath(path):
        return True
    try:
        return path.samefile(text)
    except OSError:
        return False


def _is_device(path: Path) -> bool:
    """An existing thing that is neither a file nor a folder: it is written to, never replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_terminal(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)
