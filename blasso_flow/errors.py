"""Every error a user can meet. One line each: what is wrong, the value received, what is allowed, the mend.

The command line turns these into one line on stderr and the exit code written on the class; the Python API
raises them as they are. This module imports nothing of the project.
"""

from __future__ import annotations

from functools import partial

MISSING: object = object()


class BlassoFlowError(Exception):
    """Base of all errors that are the user's to mend.

    Parameters
    ----------
    what : the fault, naming the file, the dataset or, between backticks as `refit=False`, the argument (an option at the shell).
    received : the value that was given, shown as it would be typed; omitted from the line when not given.
    allowed : what would have been accepted.
    mend : what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, received: object = MISSING, allowed: str = "", mend: str = "") -> None:
        self.what = what
        self.received = received
        self.allowed = allowed
        self.mend = mend
        super().__init__(what)

    def __reduce__(self) -> tuple[object, ...]:
        """Errors come back from worker processes as they were."""
        rebuild = partial(type(self), allowed=self.allowed, mend=self.mend)
        return rebuild if self.received is MISSING else partial(rebuild, received=self.received), (self.what,)

    def __str__(self) -> str:
        parts = [self.what]
        if self.received is not MISSING:
            parts.append(f"received {self.received}")
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        if self.mend:
            parts.append(self.mend)
        return " ".join("; ".join(parts).split())


class RunError(BlassoFlowError):
    """Something failed while running: a file that cannot be written, a disk that is full."""

    exit_code = 1


class UsageError(BlassoFlowError):
    """An option, argument or parameter that cannot be used as given."""

    exit_code = 2


class UnconvergedError(BlassoFlowError):
    """Some channels failed or did not reach the tolerance; everything else was written."""

    exit_code = 3


class UnfitError(BlassoFlowError):
    """The model describes some channels less well than was required; everything was written."""

    exit_code = 3


class DataError(BlassoFlowError):
    """Input data that cannot be used as they are."""

    exit_code = 4
