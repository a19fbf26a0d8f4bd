"""Neighbourhoods on a line: runs of spikes that are relaxed together, everything outside them frozen in the residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from blasso_flow import threads
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter

REACH = 6.0  # widths: spikes this close to an unsettled one move with it
LONG_TAIL_WINDOW = 1000  # spikes, where all of them are coupled
TAPS_PIECE = 10_000  # samples that the spikes reach in the windows that a thread takes at a time
ITERATIONS = 8
ROOM = 4.0  # widths a spike may travel in one sweep


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Windows of at most so many spikes, positions in order. ``table`` is what kernels need of the filter."""

    MOST: ClassVar[int] = 48  # spikes; longer runs are cut, at alternating places

    filter: Filter
    table: tuple[FloatArray, FloatArray, int]
    domain: tuple[float, float]
    kinks: FloatArray | None
    couples_all: bool

    def sweep(
        self,
        x: FloatArray,
        w: FloatArray,
        residual: FloatArray,
        root: FloatArray,
        unsettled: NDArray[np.bool_],
        *,
        strength: float,
        tolerance: float,
        shifted: bool,
    ) -> tuple[IntArray, IntArray]:
        """Relax the windows around the ``unsettled`` spikes (K,), in place; cuts lie elsewhere when ``shifted``.

        Returns which spikes are left, in order, and which of these may have another KKT residual than before.
        """
        table = self.filter
        limit = LONG_TAIL_WINDOW if self.couples_all else self.MOST
        reach = np.inf if self.couples_all else REACH * table.width
        starts, ends = windows(unsettled, x, reach, float(table.taps), limit, shifted)
        far = ROOM * table.width + table.taps + 1  # a spike further from a window has none of its samples
        low, high = x[starts] - far, x[ends - 1] + far
        keep = np.ones(x.size, dtype=np.bool_)
        self._sweep(x, w, keep, residual, root, starts, ends, strength, tolerance)
        left = np.nonzero(keep)[0]
        left = left[np.argsort(x[left], kind="stable")]
        return left, np.nonzero(within(x[left], low, high))[0]

    def _sweep(
        self,
        x: FloatArray,
        w: FloatArray,
        keep: NDArray[np.bool_],
        residual: FloatArray,
        root: FloatArray,
        starts: IntArray,
        ends: IntArray,
        strength: float,
        tolerance: float,
    ) -> None:
        """Relax the windows [start, end) of spikes; ``keep`` (K,) becomes False where a spike was dropped.

        Runs of neighbouring windows are swept one after the other, runs that do not touch each other on threads.
        """
        from blasso_flow.kernels.line.spikes import sweep

        table, room = self.filter, ROOM * self.filter.width
        curves = residual, root, *self.table, *self.domain
        scales = strength, table.width, table.norm, self.kinks
        cuts = np.nonzero(np.diff(np.cumsum(ends - starts) * table.taps // TAPS_PIECE, prepend=-1))[0]
        after = np.append(cuts[1:], starts.size)
        threads.alternating(
            lambda a, b: sweep(x, w, keep, *curves, *scales, starts[a:b], ends[a:b], room, ITERATIONS, tolerance),
            list(zip(cuts, after, strict=True)),
            np.floor(x[starts[cuts]] - room).astype(np.int64),
            np.floor(x[ends[after - 1] - 1] + room).astype(np.int64) + table.taps,
        )


def windows(
    bad: NDArray[np.bool_], x: FloatArray, reach: float, taps: float, limit: int, shifted: bool
) -> tuple[IntArray, IntArray]:
    """Runs [start, end) of spikes to relax together: all within ``reach`` of a bad one, cut where responses no longer
    overlap and after ``limit`` spikes, with the cuts half a window further on when ``shifted``."""
    centres = x[bad]
    chosen = np.nonzero(within(x, centres - reach, centres + reach))[0]
    fresh = np.nonzero((np.diff(chosen, prepend=-2) > 1) | (np.diff(x[chosen], prepend=-np.inf) > taps))[0]
    length = np.diff(fresh, append=chosen.size)
    inside = np.arange(chosen.size) - np.repeat(fresh, length)  # of its run
    first = limit // 2 if shifted else limit
    cut = np.repeat(length > limit, length) & (inside >= first) & ((inside - first) % limit == 0)
    starts = np.nonzero((inside == 0) | cut)[0]
    return chosen[starts], chosen[np.append(starts[1:], chosen.size) - 1] + 1


def within(x: FloatArray, low: FloatArray, high: FloatArray) -> NDArray[np.bool_]:
    """Which of the positions (K,) lie in any of the ranges [low, high], all of them in order."""
    from blasso_flow.kernels.line import particles

    inside = np.empty(x.size, dtype=np.bool_)
    particles.within(x, low, high, inside)
    return inside
