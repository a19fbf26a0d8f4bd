"""One problem whose filter has one width in each section of the axis, and a strength for each.

    J(mu) = 1/2 sum W (sum_s phi_s * mu_s + B b - y)^2 + sum_s strength_s |mu_s|,   mu_s the measure in section s

This is the BLASSO with a filter that depends on the position: eta(x) = -<u, phi_s(. - x)> / strength_s in section s, and the
largest of the sections' bounds proves the whole record. Positions in samples. Knows no solver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from blasso_flow.data.reports import Section
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter
from blasso_flow.problem.problem import Problem, Sums

INSIDE = 2.0**-20  # samples: a spike on a cut is moved so far into its own section


@dataclass(frozen=True, eq=False)
class SectionedProblem(Problem):
    """A `Problem` whose ``filter`` is the widest and whose ``strength`` is the largest of its ``sections``.

    ``filters`` are those of the sections, in order. Residuals, baseline and padding are those of the whole record.
    """

    sections: tuple[Section, ...] = ()
    filters: tuple[Filter, ...] = ()

    @classmethod
    def from_problem(cls, problem: Problem, sections: Sequence[Section], filters: Sequence[Filter]) -> SectionedProblem:
        """The same record and baseline in sections; ``problem.filter`` reaches as far as any of ``filters``."""
        strength = max(section.strength for section in sections)
        own = {name: getattr(problem, name) for name in Problem.__dataclass_fields__}
        return cls(**{**own, "strength": strength}, sections=tuple(sections), filters=tuple(filters))

    def section_of(self, position: FloatArray) -> IntArray:
        """Number of the section of each position, shape (K,)."""
        return np.searchsorted([section.first for section in self.sections[1:]], position, side="right").astype(np.int64)

    def strengths(self, position: FloatArray) -> FloatArray:
        """Strength at each position, shape (K,)."""
        return np.array([section.strength for section in self.sections])[self.section_of(position)]

    def inside(self, position: FloatArray, number: int) -> FloatArray:
        """Positions (K,) of spikes of one section, off its cuts, so that nobody takes them for its neighbour's."""
        low, high = self.sections[number].first, self.sections[number].last
        low_room = 0.0 if number == 0 else INSIDE
        high_room = 0.0 if number == len(self.sections) - 1 else INSIDE
        return np.clip(position, low + low_room, high - high_room)

    def model(self, position: FloatArray, weight: FloatArray) -> FloatArray:
        """sum_s phi_s * mu_s on the padded record, shape (M,)."""
        from blasso_flow.kernels.line.responses import add_responses

        model = np.zeros(self.root.size)
        section = self.section_of(position)
        for number in np.unique(section):
            table, own = self.filters[number], section == number
            offset = table.first + self.padding[0]
            add_responses(position[own], weight[own], table.coefficients, table.edges, offset, None, model)
        return model

    def residual_without_baseline(
        self,
        position: FloatArray,
        weight: FloatArray,
        before: tuple[FloatArray, FloatArray, FloatArray] | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """root * (sum_s phi_s * mu_s - y) on the padded record, shape (M,); nothing is taken over."""
        return self.residual_of(self.model(position, weight), np.empty(0), out)

    def penalised(self, sums: Sums, position: FloatArray, weight: FloatArray) -> float:
        """J from the sums of a residual and the spikes."""
        return 0.5 * sums.square + float(self.strengths(position) @ np.abs(weight))

    def penalised_rounding(self, sums: Sums, baseline: FloatArray) -> float:
        """Upper bound of how far the computed `penalised` can be below the exact one."""
        largest = max(1.0, max(table.response_bound for table in self.filters) / self.filter.response_bound)
        widest = sums._replace(mass=sums.mass * largest, weight_square=sums.weight_square * largest**2)
        return self.objective_rounding(widest, baseline)

    @cached_property
    def _extents(self) -> list[tuple[int, int, int, int, IntArray]]:
        """For each section the samples that its spikes reach, those that its baseline columns reach, and these columns."""
        size, found = self.values.size, []
        for section, table in zip(self.sections, self.filters, strict=True):
            start = min(max(0, section.first + table.first), size - 1)
            stop = min(size, max(section.last + table.first + table.taps + 1, start + 1))
            columns = np.flatnonzero(self.baseline[start:stop].any(axis=0))
            rows = np.flatnonzero(self.baseline[:, columns].any(axis=1))
            wide = (min(start, int(rows[0])), max(stop, int(rows[-1]) + 1)) if rows.size else (start, stop)
            found.append((start, stop, *wide, columns))
        return found

    def piece(self, number: int, values: FloatArray | None = None) -> tuple[Problem, int, IntArray]:
        """One section as a problem of its own: the problem, its first sample, and the baseline columns it holds.

        Without ``values`` (N,) it has no baseline and is only good for certificates: the samples that the section's spikes
        reach. With them, it reaches as far as the baseline columns that the section feels.
        """
        section, table = self.sections[number], self.filters[number]
        start, stop, low, high, columns = self._extents[number]
        if values is None:
            values, columns = self.values, np.empty(0, dtype=np.int64)
        else:
            start, stop = low, high
        axis = replace(self.axis, first=float(self.axis.from_samples(start)), size=stop - start)
        problem = Problem(
            filter=table,
            axis=axis,
            values=values[start:stop],
            sample_weights=self.sample_weights[start:stop],
            noise_sd=self.noise_sd,
            strength=section.strength if np.isfinite(section.strength) else 1.0,
            positive=self.positive,
            baseline=np.ascontiguousarray(self.baseline[start:stop, columns]),
            margin=(start - section.first, section.last - (stop - 1)),
        )
        return problem, start, columns
