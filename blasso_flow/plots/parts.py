"""The filter at every position, for figures: one for the whole domain, or one for each section of a width law.

Plain numpy on the filters' tables. Nothing here imports matplotlib or draws. Positions in samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.reports import Section
from blasso_flow.data.signals import Axis, FloatArray, IntArray
from blasso_flow.filters import Filter, gaussian_like
from blasso_flow.filters.superposition import filtered
from blasso_flow.plots.evaluate import correlation_curve, products, signed_peak


@dataclass(frozen=True)
class Part:
    """A part of the domain, from ``low`` to ``high``, where one filter and one strength hold."""

    filter: Filter
    low: float
    high: float
    strength: float


@dataclass(frozen=True)
class Parts:
    """The parts of the domain, in order; together they cover it."""

    each: tuple[Part, ...]

    @classmethod
    def of(cls, filter: Filter, sections: Sequence[Section], axis: Axis, domain: tuple[float, float], strength: float) -> Parts:
        """The sections' Gaussians, which share exposure and normalisation with ``filter``; without sections ``filter`` alone."""
        if not sections:
            return cls((Part(filter, *domain, strength),))
        return cls(tuple(Part(gaussian_like(filter, own.sd, axis), own.first, own.last, own.strength) for own in sections))

    def number(self, position: FloatArray) -> IntArray:
        """Number of the part that each position lies in, shape (K,)."""
        return np.searchsorted([part.low for part in self.each[1:]], position, side="right").astype(np.int64)

    def filtered(self, position: FloatArray, weight: FloatArray, size: int) -> FloatArray:
        """Sum of weighted responses at ``size`` samples: positions (K,), weights (K,)."""
        number = self.number(position)
        result = np.zeros(size)
        for index in np.unique(number):
            own = number == index
            result += filtered(self.each[index].filter, position[own], weight[own], size)
        return result

    def eta(self, position: FloatArray, gradient: FloatArray) -> FloatArray:
        """Certificate at positions (K,) for a gradient (N,)."""
        number = self.number(position)
        result = np.empty(position.size)
        for index in np.unique(number):
            part, own = self.each[index], number == index
            result[own] = -products(part.filter, position[own], gradient) / part.strength
        return result

    def eta_curve(self, gradient: FloatArray, density: int) -> tuple[FloatArray, FloatArray]:
        """Positions over the domain and the certificate there; see `evaluate.correlation_curve`."""
        curves = [correlation_curve(part.filter, (part.low, part.high), gradient, density) for part in self.each]
        eta = [-correlation / part.strength for (_, correlation), part in zip(curves, self.each, strict=True)]
        return np.concatenate([at for at, _ in curves]), np.concatenate(eta)

    def peaks(self, position: FloatArray) -> FloatArray:
        """The largest response with its sign, of a spike at each position (K,)."""
        number = self.number(position)
        every = {index: signed_peak(self.each[index].filter) for index in np.unique(number)}
        return np.array([every[index] for index in number], dtype=np.float64)

    def response(self, position: float, at: FloatArray) -> FloatArray:
        """Response of a spike at ``position`` at any places ``at``, of any shape."""
        return self.each[int(self.number(np.array([position]))[0])].filter.response(at - position)
