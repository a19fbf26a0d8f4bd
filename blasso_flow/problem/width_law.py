"""A width that changes along the axis: sd^2 = a + b position, for Gaussian filters.

The table, the kernels, the certificate and its audit all rest on one response for every position. Warping the axis until
the width is constant would keep that, but warped samples are not uniform: resampling them correlates the noise, and the
proof would be about other data than the recording. So the axis is cut into sections with one width each, so short that the
law strays from it by a stated tolerance. `sections` makes one problem of them. Knows axes and numbers, no signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from blasso_flow.data.reports import Section
from blasso_flow.data.signals import Axis, FloatArray
from blasso_flow.errors import UsageError

TOLERANCE = 0.01  # relative: how far a width inside a section may be from that of its middle
SHORTEST = 10.0  # in sd: the length a section has at the least
CUT = 5.0  # in sd: how far a cut may move to the widest gap between spikes


@dataclass(frozen=True)
class WidthLaw:
    """sd^2 = a + b position, all in axis units."""

    a: float
    b: float

    def sd(self, position: float) -> float:
        """Standard deviation at a position. Raises `UsageError` where the law gives none."""
        square = self.a + self.b * position
        if not (np.isfinite(square) and square > 0):
            raise UsageError(
                f"the width law {self.a:g},{self.b:g} gives no width at {position:g}",
                received=f"sd^2 = {square:g}",
                allowed="above 0 on the whole axis",
            )
        return float(np.sqrt(square))

    def middle(self, first: float, last: float) -> float:
        """Standard deviation in the middle of a range of positions. Raises `UsageError` where the law gives none in all of it."""
        self.sd(first)
        self.sd(last)
        return self.sd((first + last) / 2)

    def strays(self, sections: Sequence[Section], axis: Axis) -> float:
        """Largest relative distance of a section's width, in samples, from the law inside it."""
        ends = ((section, end) for section in sections for end in (section.first, section.last))
        return max(abs(self.sd_in_samples(end, axis) / _in_samples(section, axis) - 1) for section, end in ends)

    def sd_in_samples(self, sample: float, axis: Axis) -> float:
        """Standard deviation in samples at a sample."""
        return self.sd(float(axis.from_samples(sample))) / float(axis.spacing_at(sample))


def cut(axis: Axis, law: WidthLaw, domain: tuple[int, int], tolerance: float = TOLERANCE) -> tuple[Section, ...]:
    """Sections that cover the domain (whole samples), each with the width of its middle and no strength yet.

    There are about log(ratio of sd^2) / (4 tolerance) of them. Raises `UsageError` for a law that gives no width somewhere.
    """
    first, last = (float(axis.from_samples(end)) for end in domain)
    law.middle(first, last)
    cuts = [domain[0]]
    position = first
    while cuts[-1] < domain[1]:
        sd = law.sd(position)
        change = (1 + tolerance) ** 4 - 1 if law.b > 0 else 1 - (1 - tolerance) ** 4
        length = max(change * sd**2 / abs(law.b) if law.b else np.inf, SHORTEST * sd)
        if axis.bend is not None:
            length = min(length, last - first)
            while length > SHORTEST * sd and _bends(axis, law, cuts[-1], min(position + length, last)) > 2.2 * tolerance:
                length = max(0.8 * length, SHORTEST * sd)
        end = position + length
        inside = end + SHORTEST * sd / 2 < last
        cuts.append(max(round(float(axis.to_samples(end))), cuts[-1] + 1) if inside else domain[1])
        position = float(axis.from_samples(cuts[-1]))
    return _between(cuts, axis, law)


def move_cuts(sections: Sequence[Section], position: FloatArray, axis: Axis, law: WidthLaw) -> tuple[Section, ...]:
    """Sections with every cut moved in the widest gap between the spikes near it; positions (K,) in samples, sorted.

    A response then has one width, and no spike is shared between two sections.
    """
    cuts = [sections[0].first]
    for before, after in pairwise(sections):
        reach = min(CUT * before.sd / _spacing(before, axis), (before.last - before.first) / 3, (after.last - after.first) / 3)
        near = position[np.abs(position - before.last) < reach]
        ends = np.concatenate([[before.last - reach], near, [before.last + reach]])
        widest = int(np.argmax(np.diff(ends)))
        cuts.append(round(float(ends[widest] + ends[widest + 1]) / 2) if near.size else before.last)
    return _between([*cuts, sections[-1].last], axis, law)


def _bends(axis: Axis, law: WidthLaw, start: int, end: float) -> float:
    """How far the law's width in samples changes from a sample to a position, relative."""
    return abs(law.sd_in_samples(float(axis.to_samples(end)), axis) / law.sd_in_samples(start, axis) - 1)


def _in_samples(section: Section, axis: Axis) -> float:
    return section.sd / _spacing(section, axis)


def _spacing(section: Section, axis: Axis) -> float:
    return float(axis.spacing_at((section.first + section.last) / 2))


def _between(cuts: Sequence[int], axis: Axis, law: WidthLaw) -> tuple[Section, ...]:
    return tuple(Section(a, b, law.sd(float(axis.from_samples((a + b) / 2))), np.nan) for a, b in pairwise(cuts))
