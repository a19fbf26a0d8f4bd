"""A line: positions between two ends, and filters whose responses are finite.

``root`` (M,) are the square roots of the sample weights on the padded record; residuals are whitened.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blasso_flow import threads
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.problem.geometry.bound import LineBound
from blasso_flow.problem.geometry.covariance import LineCovariance, determined, resolved_groups
from blasso_flow.problem.geometry.interval import Interval
from blasso_flow.problem.geometry.neighbourhoods import LONG_TAIL_WINDOW, MOST, REACH, windows, within

Known = tuple[FloatArray, FloatArray, FloatArray]  # positions and weights of a measure, and its residual
MODEL_PIECE = 1 << 11  # spikes whose responses a thread adds at a time
SPIKES_PIECE = 1 << 10  # spikes that a thread correlates at a time
PIECE = 1 << 15  # samples whose residual a thread computes at a time
GRAIN = 1 << 9  # samples, or 4 filters: whose residual is taken over where the spikes are the same
BESIDE = 1e-9  # samples: how far beside a kink its one-sided slopes are taken
ITERATIONS = 8  # of Newton on one window
ROOM = 4.0  # widths a spike may travel in one sweep
TAPS_PIECE = 10_000  # samples that the spikes reach in the windows that a thread takes at a time
MERGE = 0.5  # widths within which the particles of a flow are written as one


class Line(Interval):
    """What spikes on a line make of the samples, how far they are from optimal, and how they are moved."""

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
        self, position: FloatArray, weight: FloatArray, root: FloatArray, values: FloatArray, known: Known | None, out: FloatArray
    ) -> FloatArray:
        """root * phi * mu - values on the padded record, into ``out`` (M,): see `Problem.residual_without_baseline`."""
        from blasso_flow.kernels.line.responses import fill_residual

        grain, none = max(GRAIN, 4 * self.filter.taps), np.empty(0)
        curves = root, values, *self._table()[:3], grain
        others = *(known or (none, none, none)), out
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

    # ---- moving spikes

    def sweep(
        self,
        x: FloatArray,
        w: FloatArray,
        residual: FloatArray,
        root: FloatArray,
        unsettled: NDArray[np.bool_],
        strength: float,
        tolerance: float,
        shifted: bool,
    ) -> tuple[IntArray, IntArray]:
        """Relax the neighbourhoods of the ``unsettled`` spikes (K,), everything outside each frozen, in place.

        Neighbourhoods are windows of at most so many spikes, cut elsewhere when ``shifted``. Those that touch are swept one after
        the other, others on threads. Returns which spikes are left, in order, and which of these may have another KKT residual.
        """
        from blasso_flow.kernels.line.spikes import sweep

        table, room = self.filter, ROOM * self.filter.width
        limit, reach = (LONG_TAIL_WINDOW, np.inf) if self.couples_all else (MOST, REACH * table.width)
        starts, ends = windows(unsettled, x, reach, float(table.taps), limit, shifted)
        far = room + table.taps + 1  # a spike further from a window has none of its samples
        low, high = x[starts] - far, x[ends - 1] + far
        keep = np.ones(x.size, dtype=np.bool_)
        fixed = *self._table()[:3], *self.domain, strength, table.width, table.norm, self.kinks
        cuts = np.nonzero(np.diff(np.cumsum(ends - starts) * table.taps // TAPS_PIECE, prepend=-1))[0]
        after = np.append(cuts[1:], starts.size)
        threads.alternating(
            lambda a, b: sweep(x, w, keep, residual, root, *fixed, starts[a:b], ends[a:b], room, ITERATIONS, tolerance),
            list(zip(cuts, after, strict=True)),
            np.floor(x[starts[cuts]] - room).astype(np.int64),
            np.floor(x[ends[after - 1] - 1] + room).astype(np.int64) + table.taps,
        )
        left = np.nonzero(keep)[0]
        left = left[self.order(x[left])]
        return left, np.nonzero(within(x[left], low, high))[0]

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
        """Newton on all spikes of a range of samples and the baseline together, everything in place.

        ``residual`` (L,) starts at padded sample ``first``, as do the whitened baseline ``columns`` (B, L). Positions stay in
        ``domain``, by default the whole. Returns the number of spikes left, which come first in ``x`` and ``w``, and the
        KKT residual.
        """
        from blasso_flow.kernels.line.newton import relax

        table = self.filter
        curves = x, w, baseline, residual, root[first : first + residual.size], columns
        scales = *(domain or self.domain), strength, table.width, table.norm, self.kinks
        arguments: list[Any] = [*curves, *self._responses(first), *scales, iterations, tolerance]
        count, _, kkt = relax(*arguments)
        return count, kkt

    def _responses(self, first: int) -> Any:
        """What Newton steps need of the filter: it as a finite response, or as one with a tail, offset and period."""
        coefficients, edges, *place = self._table(first)
        return (coefficients, edges), None, *place

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
