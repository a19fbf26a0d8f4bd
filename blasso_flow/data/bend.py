"""Axes that bend: positions that are no multiples of the sample number, as those of a spectrum with a quadratic calibration.

Between the samples the axis is the monotone cubic of Fritsch and Carlson (PCHIP), beyond the ends its tangent. Nothing here reads
files or knows a signal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
STEPS = 60  # of Newton's method between two samples, halving where it would leave them


@dataclass(frozen=True, eq=False)
class Bend:
    """Increasing positions (N,), N >= 3, of samples from number ``-start`` on: sample 0 of a part is that of number ``start``."""

    position: FloatArray
    start: int = 0
    _key: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", hash((self.position.tobytes(), self.start)))

    def __hash__(self) -> int:
        return self._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bend) and self.start == other.start and np.array_equal(self.position, other.position)

    @cached_property
    def slopes(self) -> FloatArray:
        """Axis units a sample at every sample, (N,): harmonic means of the spacings beside it, at the ends from a parabola."""
        spacing = np.diff(self.position)
        inner = 2 * spacing[:-1] * spacing[1:] / (spacing[:-1] + spacing[1:])
        ends = (3 * spacing[0] - spacing[1]) / 2, (3 * spacing[-1] - spacing[-2]) / 2
        first, last = (max(end, 0.1 * beside) for end, beside in zip(ends, (spacing[0], spacing[-1]), strict=True))
        return np.concatenate([[first], inner, [last]])

    def at(self, sample: ArrayLike) -> FloatArray:
        """Positions of fractional samples."""
        place, inside, cell = self._cell(sample)
        return self._cubic(cell, inside - cell)[0] + (place - inside) * self.slope(sample)

    def slope(self, sample: ArrayLike) -> FloatArray:
        """Axis units a sample there."""
        _, inside, cell = self._cell(sample)
        return self._cubic(cell, inside - cell)[1]

    def samples(self, position: ArrayLike) -> FloatArray:
        """Fractional samples at which positions lie: the inverse of `at`."""
        asked = np.asarray(position, dtype=np.float64)
        inside = np.clip(asked, self.position[0], self.position[-1])
        cell = np.clip(np.searchsorted(self.position, inside, side="right") - 1, 0, self.position.size - 2)
        low, high = np.zeros(asked.shape), np.ones(asked.shape)
        part = (inside - self.position[cell]) / (self.position[cell + 1] - self.position[cell])
        for _ in range(STEPS):
            value, slope = self._cubic(cell, part)
            over = value > inside
            low, high = np.where(over, low, part), np.where(over, part, high)
            step = part - (value - inside) / slope
            moved = np.where((step >= low) & (step <= high), step, (low + high) / 2)
            if np.array_equal(moved, part, equal_nan=True):
                break
            part = moved
        ends = np.where(asked < inside, self.slopes[0], self.slopes[-1])
        return np.asarray(cell + part + (asked - inside) / ends - self.start)

    def shifted(self, by: float) -> Bend:
        """The same bend ``by`` axis units later."""
        return replace(self, position=self.position + by)

    def part(self, start: int) -> Bend:
        """The same bend with samples numbered from ``start`` on."""
        return replace(self, start=self.start + start)

    def _cell(self, sample: ArrayLike) -> tuple[FloatArray, FloatArray, IntArray]:
        place = np.asarray(sample, dtype=np.float64) + self.start
        inside = np.clip(place, 0.0, self.position.size - 1.0)
        known = np.where(np.isnan(inside), 0.0, inside)
        return place, inside, np.minimum(known.astype(np.int64), self.position.size - 2)

    def _cubic(self, cell: IntArray, part: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Value and slope at the fraction ``part`` of the way from sample ``cell`` to the next."""
        left, a, b = self.position[cell], self.slopes[cell], self.slopes[cell + 1]
        rise = self.position[cell + 1] - left
        square, cube = 3 * rise - 2 * a - b, a + b - 2 * rise
        value = np.where(part == 1, self.position[cell + 1], left + part * (a + part * (square + part * cube)))
        return value, a + part * (2 * square + 3 * part * cube)
