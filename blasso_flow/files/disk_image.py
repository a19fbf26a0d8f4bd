"""An HDF5 file built on disk, safely: for results too large to be built in memory first.

The HDF5 library ends the process when a write fails or is interrupted in its midst. So it writes through `DiskImage`, which
never fails: what a full disk refuses is held in memory until the builder asks, and gives up in an orderly way. Signals are
held back likewise. Knows no layout.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import h5py

# From version 1.8 of the format on, everything but the samples carries a checksum: damage is noticed, not believed.
LIBVER = ("v108", "v110")


class DiskImage(io.RawIOBase):
    """A file object for `h5py.File`; the first error that the system gave is kept for `check`."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._place = 0
        self._end = 0
        self._refused: list[tuple[int, bytes]] = []
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the error that a write met earlier. To be asked often: what was refused is in memory."""
        if self.error is not None:
            raise self.error

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place, and return it."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        return self._place

    def tell(self) -> int:
        """The place of the next read or write."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """Remember the size: the file itself is cut when it is finished."""
        self._end = self._place if size is None else size
        return self._end

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` with what was written at the place, refused or not; zeros elsewhere."""
        size = len(buffer)
        stored = os.pread(self._descriptor, size, self._place)
        buffer[:] = stored.ljust(size, b"\0")
        for place, data in self._refused:
            low, high = max(place, self._place), min(place + len(data), self._place + size)
            if low < high:
                buffer[low - self._place : high - self._place] = data[low - place : high - place]
        self._place += size
        return size

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        """Write all of ``data``, or keep in memory what the system refuses."""
        size, done = len(data), 0
        try:
            while self.error is None and done < size:
                done += os.pwrite(self._descriptor, data[done:], self._place + done)
        except OSError as error:
            self.error = error
        if done < size:
            self._refused.append((self._place + done, bytes(data[done:])))
        self._place += size
        self._end = max(self._end, self._place)
        return size

    def finish(self) -> None:
        """Cut the file to its size and make it durable."""
        self.check()
        os.ftruncate(self._descriptor, self._end)
        os.fsync(self._descriptor)


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold SIGINT and SIGTERM back; the function that is given lets those that came through."""
    came: list[int] = []
    before: dict[int, Callable[[int, FrameType | None], object]] = {}

    def let_through() -> None:
        while came:
            number = came.pop(0)
            before[number](number, None)

    for held in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(held)
        try:
            if callable(handler):
                signal.signal(held, lambda caught, frame: came.append(caught))
                before[held] = handler
        except ValueError:  # not in the main thread, where no signal arrives
            break
    try:
        yield let_through
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    let_through()


@contextmanager
def building(descriptor: int) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """An open HDF5 file to fill, and what to call after each piece of work: it raises what went wrong meanwhile."""
    image = DiskImage(descriptor)
    with held_back() as let_through:
        file = h5py.File(image, "w", libver=LIBVER)

        def check() -> None:
            image.check()
            let_through()

        try:
            yield file, check
        finally:
            file.close()
        image.finish()
