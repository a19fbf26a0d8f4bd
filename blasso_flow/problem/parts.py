"""A problem that holds parts: one record whose filter has one width, and one strength, in each section of the axis.

    J(mu, b) = 1/2 sum W (sum_s phi_s * mu_s + B b - y)^2 + sum_s strength_s |mu_s|,   mu_s the measure in section s

This is the BLASSO with a filter that depends on the position: eta(x) = -<u, phi_s(. - x)> / strength_s in section s, and the
largest of the sections' bounds proves the whole record. Positions in samples. Knows no solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.reports import Section
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter
from blasso_flow.problem.geometry import Line
from blasso_flow.problem.geometry.line import Known
from blasso_flow.problem.problem import Problem

INSIDE = 2.0**-20  # samples: a spike on a cut is moved so far into its own section


@dataclass(frozen=True, eq=False)
class PartedProblem:
    """The ``record``, on whose samples, weights and baseline all parts agree, and the ``sections`` with their ``filters``.

    The record's own filter reaches as far as any of ``filters``; its strength means nothing here.
    """

    record: Problem
    sections: tuple[Section, ...]
    filters: tuple[Filter, ...]

    @property
    def strength(self) -> float:
        """The largest of the sections' strengths."""
        return max(section.strength for section in self.sections)

    # ---- sections

    def section_of(self, position: FloatArray) -> IntArray:
        """Number of the section of each position, shape (K,). A spike exactly on a cut belongs to the section after it."""
        return np.searchsorted([section.first for section in self.sections[1:]], position, side="right").astype(np.int64)

    def strengths(self, position: FloatArray) -> FloatArray:
        """Strength at each position, shape (K,)."""
        return np.array([section.strength for section in self.sections])[self.section_of(position)]

    def widths(self, position: FloatArray) -> FloatArray:
        """Width (samples) of the filter at each position, shape (K,)."""
        return np.array([table.width for table in self.filters])[self.section_of(position)]

    def held(self, position: FloatArray, pull: FloatArray) -> NDArray[np.bool_]:
        """Which spikes sit on a cut or an end and are pulled across it: ``pull`` (K,) is the loss's slope by position."""
        section = self.section_of(position)
        first, last = (np.array([getattr(part, name) for part in self.sections])[section] for name in ("first", "last"))
        return ((position <= first + 2 * INSIDE) & (pull > 0)) | ((position >= last - 2 * INSIDE) & (pull < 0))

    def within(self, position: FloatArray, number: int) -> FloatArray:
        """Positions (K,) of spikes of one section, off its cuts, so that nobody takes them for its neighbour's."""
        low, high = self.sections[number].first, self.sections[number].last
        low_room = 0.0 if number == 0 else INSIDE
        high_room = 0.0 if number == len(self.sections) - 1 else INSIDE
        return np.clip(position, low + low_room, high - high_room)

    def inside(self, position: FloatArray, before: FloatArray) -> FloatArray:
        """Where spikes that were at ``before`` (K,) may be when they have moved to ``position`` (K,): in their own section."""
        section, moved = self.section_of(before), position.copy()
        for number in np.unique(section):
            own = section == number
            moved[own] = self.within(position[own], int(number))
        return moved

    # ---- what spikes make

    def model(self, position: FloatArray, weight: FloatArray) -> FloatArray:
        """sum_s phi_s * mu_s on the padded record, shape (M,)."""
        model, section = np.zeros(self.record.root.size), self.section_of(position)
        for number in np.unique(section):
            own = section == number
            self._geometries[number].add(position[own], weight[own], model)
        return model

    @cached_property
    def _geometries(self) -> list[Line]:
        """Each filter on the whole record, padded as for the widest."""
        record = self.record
        return [Line(table, record.values.size, record.margin, record.geometry.padding) for table in self.filters]

    def evaluated(
        self,
        position: FloatArray,
        weight: FloatArray,
        baseline: FloatArray,
        before: Known | None = None,
        out: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Baseline coefficients (B,) fitted beside the spikes, and the whitened residual (M,); nothing is taken over."""
        model = self.model(position, weight)
        if not baseline.size:
            return baseline, self.record.residual_of(model, baseline, out)
        return self.record.refitted(model, baseline, out)

    def rows(self, position: FloatArray, orders: int = 1) -> tuple[IntArray, FloatArray]:
        """Padded samples (K, W) that each spike reaches, and response and derivatives there (orders, K, W), W of the widest.

        Rows of narrower filters are padded with zeros, whose samples are further ones of the record.
        """
        section, taps = self.section_of(position), self.record.filter.taps
        index = np.zeros((position.size, taps), dtype=np.int64)
        rows = np.zeros((orders, position.size, taps))
        for number in np.unique(section):
            own = np.flatnonzero(section == number)
            place, parts = self._geometries[number].rows(position[own], orders)
            reached = place.shape[1]
            index[own] = np.minimum(place[:, :1] + np.arange(taps), self.record.root.size - 1)
            rows[:, own, :reached] = parts
        return index, rows

    def penalty(self, position: FloatArray, weight: FloatArray) -> float:
        """sum_s strength_s |mu_s|."""
        return float(self.strengths(position) @ np.abs(weight))

    # ---- the parts

    @cached_property
    def _extents(self) -> list[tuple[int, int, int, int, IntArray]]:
        """For each section the samples that its spikes reach, those that its baseline columns reach, and these columns."""
        size, found = self.record.values.size, []
        for section, table in zip(self.sections, self.filters, strict=True):
            start = min(max(0, section.first + table.first), size - 1)
            stop = min(size, max(section.last + table.first + table.taps + 1, start + 1))
            columns = np.flatnonzero(self.record.baseline[start:stop].any(axis=0))
            rows = np.flatnonzero(self.record.baseline[:, columns].any(axis=1))
            wide = (min(start, int(rows[0])), max(stop, int(rows[-1]) + 1)) if rows.size else (start, stop)
            found.append((start, stop, *wide, columns))
        return found

    def part(self, number: int, values: FloatArray | None = None) -> tuple[Problem, int, IntArray]:
        """One section as a problem of its own: the problem, its first sample, and the baseline columns it holds.

        Without ``values`` (N,) it has no baseline and is only good for certificates: the samples that the section's spikes
        reach. With them, it reaches as far as the baseline columns that the section feels.
        """
        section, table, record = self.sections[number], self.filters[number], self.record
        start, stop, low, high, columns = self._extents[number]
        if values is None:
            values, columns = record.values, np.empty(0, dtype=np.int64)
        else:
            start, stop = low, high
        axis = record.axis.part(start, stop - start)
        problem = Problem(
            filter=table,
            axis=axis,
            values=values[start:stop],
            sample_weights=record.sample_weights[start:stop],
            noise_sd=record.noise_sd,
            strength=section.strength if np.isfinite(section.strength) else 1.0,
            positive=record.positive,
            baseline=np.ascontiguousarray(self.record.baseline[start:stop, columns]),
            margin=(start - section.first, section.last - (stop - 1)),
        )
        return problem, start, columns
