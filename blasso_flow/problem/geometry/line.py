"""A line: positions between two ends, and filters whose responses are finite.

Everything that depends on where spikes may be, and on how a filter is tabulated, is asked of a geometry: see `contract`.
Positions are in samples, sorted where they are many; ``root`` (M,) are the square roots of the sample weights on the padded
record, residuals are whitened. "In order" is the order of the positions, "near" a distance along the line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blasso_flow import threads
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter
from blasso_flow.problem.geometry.bound import LineBound
from blasso_flow.problem.geometry.covariance import LineCovariance, determined, resolved_groups
from blasso_flow.problem.geometry.neighbourhoods import Neighbourhoods, within

MODEL_PIECE = 1 << 11  # spikes whose responses a thread adds at a time
SPIKES_PIECE = 1 << 10  # spikes that a thread correlates at a time
PIECE = 1 << 15  # samples whose residual a thread computes at a time
GRAIN = 1 << 9  # samples, or 4 filters: whose residual is taken over where the spikes are the same
BESIDE = 1e-9  # samples: how far beside a kink its one-sided slopes are taken
JOINT_BYTES = 800e6  # of a system of all spikes, which keeps six rows for each
LONG_TAIL = 30.0  # widths: filters with longer windows couple all spikes
MERGE = 0.5  # widths within which the particles of a flow are written as one


@dataclass(frozen=True, eq=False)
class Line:
    """A filter on a record of ``samples`` samples, whose spikes sit between ``margin`` samples before and after it.

    The record is padded so that every window of the domain lies inside it: curves on it have shape (M,). ``room`` is the padding
    of a wider filter on the same record, to be used instead.
    """

    filter: Filter
    samples: int
    margin: tuple[int, int] = (0, 0)
    room: tuple[int, int] | None = None

    # ---- the domain and the record

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

    # ---- curves

    def model(self, position: FloatArray, weight: FloatArray) -> FloatArray:
        """phi * mu on the padded record, shape (M,), for positions and weights of shape (K,) in any order."""
        model = np.zeros(self.size)
        if position.size <= MODEL_PIECE or (np.diff(position) < 0).any():
            self.add(position, weight, model)
            return model
        work = threads.pieces(position.size, MODEL_PIECE)
        first, last = np.array(work).T
        threads.alternating(
            lambda a, b: self.add(position[a:b], weight[a:b], model),
            work,
            np.floor(position[first]).astype(np.int64),
            np.floor(position[last - 1]).astype(np.int64) + self.filter.taps,
        )
        return model

    def add(self, position: FloatArray, weight: FloatArray, curve: FloatArray, first: int = 0) -> None:
        """Add the responses of particles (K,) to a curve that starts at padded sample ``first`` and holds their windows."""
        from blasso_flow.kernels.line.responses import add_responses

        add_responses(position, weight, *self._table(first), curve)

    def residual(
        self,
        position: FloatArray,
        weight: FloatArray,
        root: FloatArray,
        values: FloatArray,
        before: tuple[FloatArray, FloatArray, FloatArray] | None,
        out: FloatArray,
    ) -> FloatArray:
        """root * phi * mu - values on the padded record, into ``out`` (M,): see `Problem.residual_without_baseline`."""
        from blasso_flow.kernels.line.responses import fill_residual

        grain, none = max(GRAIN, 4 * self.filter.taps), np.empty(0)
        curves = root, values, *self._table()[:3], grain
        others = *(before or (none, none, none)), out
        threads.each(
            lambda first, last: fill_residual(position, weight, *curves, first, last, *others),
            threads.pieces(-(-out.size // grain), max(1, PIECE // grain)),
        )
        return out

    def rows(self, position: FloatArray, orders: int = 1) -> tuple[IntArray, FloatArray]:
        """Padded samples (K, W) that each particle reaches, and response and derivatives by position there (orders, K, W)."""
        table = self.filter
        target = np.floor(position).astype(np.int64)[:, None] + table.first + np.arange(table.taps)
        responses = np.array([table.response(target - position[:, None], order) for order in range(orders)])
        return self._padded_index(target), responses

    def _padded_index(self, sample: IntArray) -> IntArray:
        return sample + self.padding[0]

    # ---- products

    def correlation(self, position: FloatArray, residual: FloatArray, root: FloatArray, orders: int = 1) -> FloatArray:
        """<residual, root * d^o phi(. - x)>, shape (orders, K): the certificate and its slopes but for -1 / strength."""
        parts = threads.each(
            lambda first, last: self._correlation(position[first:last], residual, root, orders),
            threads.pieces(position.size, SPIKES_PIECE),
        )
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _correlation(self, position: FloatArray, residual: FloatArray, root: FloatArray, orders: int) -> FloatArray:
        from blasso_flow.kernels.line.responses import correlate

        out = np.empty((orders, position.size))
        correlate(position, residual, root, *self._table(), orders, out)
        return out

    def squared_norms(self, position: FloatArray, root: FloatArray) -> FloatArray:
        """sum root^2 phi(. - x)^2 at positions (K,), shape (K,)."""
        from blasso_flow.kernels.line.responses import squared_norms

        out = np.empty(position.size)
        threads.each(
            lambda first, last: squared_norms(position[first:last], root, *self._table(), out[first:last]),
            threads.pieces(position.size, MODEL_PIECE),
        )
        return out

    def weigh(self, position: FloatArray, weight: FloatArray) -> tuple[float, float, int]:
        """sum |w|, sum w^2, and the most responses that one sample sums, of spikes in order."""
        from blasso_flow.kernels.shared.curves import weigh

        mass, square, overlap = weigh(position, weight, self.filter.taps + 1.0)
        return mass, square, overlap

    # ---- optimality

    def bound(self, strength: float, positive: bool) -> LineBound:
        """What proves the supremum of the certificate over the domain: see `bound.LineBound`."""
        return LineBound(self.filter, self.domain, self.offset, strength, positive)

    def kkt(
        self, position: FloatArray, weight: FloatArray, residual: FloatArray, root: FloatArray, strength: float
    ) -> FloatArray:
        """KKT residual of each spike, shape (K,): max(|1 - sign(w) eta|, |eta'| width).

        On an end of the domain only the inward slope counts, on a kink of the filter only slopes that lead away from it.
        """
        from blasso_flow.kernels.line.particles import kkt

        def eta_and_slope(place: FloatArray) -> FloatArray:
            correlation = self.correlation(place, residual, root, 2)
            correlation *= -1 / strength
            return correlation

        low, high = self.domain
        eta, slope = eta_and_slope(position)
        steepness = np.abs(slope)
        for there in _on_kinks(self.filter.kinks, position):
            beside = (np.clip(position[there] + d, low, high) for d in (-BESIDE, BESIDE))
            left, right = (np.sign(weight[there]) * eta_and_slope(place)[1] for place in beside)
            steepness[there] = np.maximum(0.0, np.maximum(-left, right))
        out = np.empty(position.size)
        kkt(position, weight, eta, slope, steepness, low, high, self.filter.period, self.filter.width, out)
        return out

    # ---- order and neighbourhood

    def order(self, position: FloatArray) -> IntArray:
        """Numbers that put positions (K,) in order, shape (K,)."""
        return position.argsort(kind="stable")

    def inside(self, position: FloatArray) -> FloatArray:
        """Positions of any shape, moved into the domain where they are outside."""
        return np.clip(position, *self.domain)

    @property
    def endless(self) -> bool:
        """Whether the domain has no ends."""
        return False

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
        """Those of the positions (K,) in order that are within ``reach`` of ``centre``."""
        low, high = centre - reach, centre + reach
        return slice(int(np.searchsorted(position, low)), int(np.searchsorted(position, high, side="right")))

    def stretch(self, position: FloatArray) -> tuple[tuple[float, float], tuple[int, int]]:
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

    # ---- moving spikes

    @property
    def couples_all(self) -> bool:
        """Whether a spike is felt so far away that neighbourhoods are no help."""
        return self.filter.taps > LONG_TAIL * self.filter.width

    def fits_together(self, count: int) -> bool:
        """Whether one system of ``count`` spikes fits into memory."""
        return 48.0 * self.filter.taps * count <= JOINT_BYTES

    def moves_together(self, count: int) -> bool:
        """Whether one system of ``count`` spikes and the baseline is solved instead of sweeps over neighbourhoods."""
        return self.fits_together(count) and (count <= Neighbourhoods.MOST or self.couples_all)

    @cached_property
    def sweep(self) -> Callable[..., tuple[IntArray, IntArray]]:
        """Relaxes the neighbourhoods of unsettled spikes: see `neighbourhoods.Neighbourhoods.sweep`."""
        return Neighbourhoods(self.filter, self._table()[:3], self.domain, self.kinks, self.couples_all).sweep

    def relax(
        self,
        x: FloatArray,
        w: FloatArray,
        baseline: FloatArray,
        residual: FloatArray,
        root: FloatArray,
        columns: FloatArray,
        strength: float,
        tolerance: float,
        iterations: int,
        *,
        first: int = 0,
        domain: tuple[float, float] | None = None,
    ) -> tuple[int, float]:
        """Newton on all spikes of one stretch and the baseline together, everything in place.

        ``residual`` (L,) starts at padded sample ``first``, as do the whitened baseline ``columns`` (B, L). Positions stay in
        ``domain``, by default the whole. Returns the number of spikes left, which come first in ``x`` and ``w``, and the
        KKT residual.
        """
        table = self.filter
        stretch = x, w, baseline, residual, root[first : first + residual.size], columns
        scales = *(domain or self.domain), strength, table.width, table.norm, self.kinks
        return self._relax(stretch, first, scales, iterations, tolerance)

    def _relax(self, stretch: Any, first: int, scales: Any, iterations: int, tolerance: float) -> tuple[int, float]:
        from blasso_flow.kernels.line.spikes import relax

        arguments: list[Any] = [*stretch, *self._table(first), *scales, iterations, tolerance]
        count, _, kkt = relax(*arguments)
        return count, kkt

    def condense(self, x: FloatArray, w: FloatArray, residual: FloatArray, root: FloatArray, strength: float, most: float) -> int:
        """Drop particles of a flow and merge close ones where the objective does not rise, in place; returns how many are left.

        What is left out changes the certificate by at most ``most`` a particle.
        """
        from blasso_flow.kernels.line.spikes import condense

        return int(condense(x, w, residual, root, *self._table(), strength, MERGE * self.filter.width, most))

    # ---- error bars

    def covariance(
        self, position: FloatArray, fixed: NDArray[np.bool_], root: FloatArray, columns: FloatArray, products: FloatArray
    ) -> LineCovariance:
        """Inverse Gauss-Newton matrix of spikes (K,) in order and a whitened baseline: ``columns`` (B, M) with their inner
        ``products`` (B, B). ``fixed`` (2 K,) parameters do not move."""
        return determined(self._inverse_blocks, position, fixed, root, columns, products)

    def _inverse_blocks(self, *given_and_out: Any, most: int) -> bool:
        from blasso_flow.kernels.line.covariance import inverse_blocks

        position, fixed, root, columns, *out = given_and_out
        return bool(inverse_blocks(position, fixed, root, columns, *self._table(), most, *out))

    def groups(self, x: FloatArray, errors: FloatArray, common: FloatArray, width: float | FloatArray) -> IntArray:
        """Numbers of the groups of spikes that are not resolved from each other: see `covariance.resolved_groups`."""
        return resolved_groups(x, errors, common, width)


def _on_kinks(kinks: FloatArray, position: FloatArray) -> list[IntArray]:
    """Indices of the positions (K,) that lie on each kink."""
    away = [np.abs((position - kink + 0.5) % 1.0 - 0.5) for kink in kinks]
    found = [np.nonzero(distance < 0.5 * BESIDE)[0] for distance in away]
    return [there for there in found if there.size]
