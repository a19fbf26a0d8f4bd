"""Where spikes may be on a line: its ends, the padded record around it, who is near whom, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter
from blasso_flow.problem.geometry.neighbourhoods import MOST, within

JOINT_BYTES = 800e6  # of a system of all spikes, which keeps six rows for each
LONG_TAIL = 30.0  # widths: filters with longer windows couple all spikes


@dataclass(frozen=True, eq=False)
class Interval:
    """A filter on a record of ``samples`` samples, whose spikes sit between ``margin`` samples before and after it.

    The record is padded so that every window of the domain lies inside it: curves on it have shape (M,). ``room`` is the padding
    of a wider filter on the same record, to be used instead. "In order" is the order of the positions, "near" a distance.
    """

    endless: ClassVar[bool] = False  # whether the domain has no ends
    filter: Filter
    samples: int
    margin: tuple[int, int] = (0, 0)
    room: tuple[int, int] | None = None

    @property
    def domain(self) -> tuple[float, float]:
        """First and last position that a spike may have."""
        return -float(self.margin[0]), float(self.samples - 1 + self.margin[1])

    @cached_property
    def padding(self) -> tuple[int, int]:
        """Samples added before and after the record."""
        if self.room is not None:
            return self.room
        low, high = -self.margin[0], self.samples - 1 + self.margin[1]
        first, taps = self.filter.first, self.filter.taps
        return max(0, -(low + first)), max(0, high + first + taps - self.samples)

    @property
    def size(self) -> int:
        """Samples of the padded record, M."""
        return self.padding[0] + self.samples + self.padding[1]

    @property
    def offset(self) -> int:
        """Padded index of the first tap of a particle in [0, 1)."""
        return self.filter.first + self.padding[0]

    def _table(self, first: int = 0) -> tuple[FloatArray, FloatArray, int, int | None]:
        """What kernels need of the filter, for curves that start at padded sample ``first``."""
        table = self.filter
        return table.coefficients, table.edges, self.offset - first, None

    @cached_property
    def kinks(self) -> FloatArray | None:
        """Fractions of a sample at which the slope of a response jumps, None where there is none."""
        return self.filter.kinks if self.filter.kinks.size else None

    # ---- order and neighbourhood

    def order(self, position: FloatArray) -> IntArray:
        """Numbers that put positions (K,) in order, shape (K,)."""
        return position.argsort(kind="stable")

    def inside(self, position: FloatArray) -> FloatArray:
        """Positions of any shape, moved into the domain where they are outside."""
        return np.clip(position, *self.domain)

    def spaced(self, step: float) -> FloatArray:
        """Positions ``step`` apart that cover the domain, both ends included."""
        low, high = self.domain
        return np.arange(low, high + step, step).clip(low, high)

    def at_ends(self, position: FloatArray) -> NDArray[np.bool_]:
        """Which positions (K,) lie on an end of the domain, where a spike can only move inwards."""
        low, high = self.domain
        return (position <= low) | (position >= high)

    def distance(self, position: FloatArray, others: FloatArray) -> FloatArray:
        """Distance of each position (K,) to the nearest of ``others``, in order and at least one, shape (K,)."""
        others = np.concatenate([[-np.inf], others, [np.inf]])
        right = np.searchsorted(others, position)
        nearest: FloatArray = np.minimum(position - others[right - 1], others[right] - position)
        return nearest

    def around(self, position: FloatArray, centre: float, reach: float) -> slice | NDArray[np.bool_]:
        """Which of the positions (K,), in order, are within ``reach`` of ``centre``."""
        low, high = centre - reach, centre + reach
        return slice(int(np.searchsorted(position, low)), int(np.searchsorted(position, high, side="right")))

    def surroundings(self, position: FloatArray) -> tuple[tuple[float, float], tuple[int, int]]:
        """Where spikes in order may move that stay within a width of them all, and the padded samples that they reach then."""
        low, high = self.domain
        low, high = max(low, float(position[0]) - self.filter.width), min(high, float(position[-1]) + self.filter.width)
        return (low, high), (int(np.floor(low)) + self.offset, int(np.floor(high)) + self.offset + self.filter.taps)

    def near(self, position: FloatArray, centres: FloatArray, reach: float) -> NDArray[np.bool_]:
        """Which of the positions (K,) in order are within ``reach`` of any of the ``centres``, also in order."""
        return within(position, centres - reach, centres + reach)

    def beside(self, place: FloatArray, eta: FloatArray, position: FloatArray, weight: FloatArray, reach: float) -> IntArray:
        """The spikes to the left and right of each candidate ``place`` (C,) that are nearer than ``reach`` and have the sign
        of its ``eta``: their numbers, -1 for none, shape (2, C)."""
        from blasso_flow.kernels.line.particles import beside

        neighbour = np.empty((2, place.size), dtype=np.int64)
        beside(place, eta, position, weight, reach, self.filter.period, neighbour)
        return neighbour

    @property
    def couples_all(self) -> bool:
        """Whether a spike is felt so far away that neighbourhoods are no help."""
        return self.filter.taps > LONG_TAIL * self.filter.width

    def fits_together(self, count: int) -> bool:
        """Whether one system of ``count`` spikes fits into memory."""
        return 48.0 * self.filter.taps * count <= JOINT_BYTES

    def moves_together(self, count: int) -> bool:
        """Whether one system of ``count`` spikes and the baseline is solved instead of sweeps over neighbourhoods."""
        return self.fits_together(count) and (count <= MOST or self.couples_all)
