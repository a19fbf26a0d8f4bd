"""The largest value of a certificate over a whole line or circle, proven between the samples too, and where it peaks.

eta(x) = -<u, phi(. - x)> / strength for a gradient u of the loss. It is evaluated at the edges of the table's cells by
filtering; on each cell the cubic Hermite interpolant plus its remainder screens; cells that the screen cannot clear are decided
by the Bernstein coefficients of eta's exact polynomial there (Duval & Peyre 2015 for the certificate, Farouki 2012 for the
polynomials). Rounding is allowed for a priori.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from blasso_flow import threads
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter
from blasso_flow.filters.fitting import DEGREE
from blasso_flow.filters.polynomials import powers_to_bernstein
from blasso_flow.problem.geometry.filtering import correlate_blocks, fast_length, stale_pieces
from blasso_flow.problem.sums import EPSILON, dot

SLACK = 1e-10  # how far above the true supremum a decided cell may stay
DIRECT_TAPS = 160  # longer filters are faster by FFT
DIRECT_PRODUCTS = 2_000_000  # below this an FFT is not worth importing
PIECE = 1 << 15  # samples of the domain that a thread takes at a time
GRAIN = 1 << 9  # samples of the domain that are evaluated anew if one in their windows has changed
TO_BERNSTEIN = powers_to_bernstein(DEGREE)
NONE = np.empty(0)


class Births(NamedTuple):
    """Local maxima of a certificate: candidates for new particles, ``position`` (C,) in samples, and ``eta`` (C,) there."""

    position: FloatArray
    eta: FloatArray


@dataclass(frozen=True, eq=False)
class _Nodes:
    """eta and its slope at the left and the right end of every cell, shapes (cells,), and the rounding of those values."""

    value: FloatArray
    slope: FloatArray
    right_value: FloatArray
    right_slope: FloatArray
    rounding: float


class LineBound:
    """Proves the supremum of certificates of one filter, domain and strength; what depends only on these is prepared once.

    Nodes and bounds are kept from one gradient to the next, and taken over where both are the same to the last bit.
    """

    def __init__(self, filter: Filter, domain: tuple[float, float], offset: int, strength: float, positive: bool) -> None:
        self.filter, self.domain, self.strength, self.positive = filter, domain, strength, positive
        low, high = domain
        self.low = int(low)
        self.begin = self.low + offset  # padded sample of tap 0 at the domain's first position
        self.blocks = int(high) - int(low)  # whole samples of the domain
        self.cells = filter.cells
        self.left_taps, self.right_taps = filter.edge_taps
        self.kinked = filter.kinks.size > 0
        # between one cell and the next, whose left end stands for the right one: a kinked filter's cells have both
        self.jumps = (np.zeros(self.cells),) * 2 if self.kinked else (filter.value_jump, filter.slope_jump)
        # products, sums over taps and the change of basis (whose entries are at most 2^degree): a generous multiple
        self.relative_rounding = EPSILON * (filter.taps + 64) * filter.response_bound * 8
        self.direct = filter.taps <= DIRECT_TAPS or (self.blocks + 1) * filter.taps <= DIRECT_PRODUCTS
        self.last_gradient: FloatArray | None = None
        self.left = np.empty((2, self.blocks + 1, self.cells))
        self.right = np.empty((2, self.blocks + 1, self.cells)) if self.kinked else self.left
        self.local_norm = np.empty(self.blocks)
        self.bound = np.empty(self.blocks * self.cells)
        self.exact = np.zeros(self.blocks * self.cells, dtype=np.bool_)  # whose bound is from the polynomial
        self.transform = 0 if self.direct else fast_length(filter.taps, self.blocks + filter.taps)
        self.grain = GRAIN if self.direct else self.transform - filter.taps + 1
        grains = -(-(self.blocks + 1) // self.grain)
        self.stale = np.ones(grains, dtype=np.bool_)  # in whose windows the gradient is not that of the last evaluation
        self.seen = np.zeros(grains)  # largest value at the nodes of each grain
        self.highest = np.zeros(grains)  # largest bound of each grain

    def __call__(self, gradient: FloatArray, birth_level: float = 1.0) -> tuple[float, Births]:
        """Proven bound of sup eta (sup |eta| when signed), and the local maxima above ``birth_level``.

        ``gradient`` (M,) is kept, and must not be changed afterwards.
        """
        from blasso_flow.kernels.line import cells as kernel

        table = self.filter
        before, self.last_gradient = self.last_gradient, gradient
        nodes = self._nodes(gradient, before)
        if self.blocks == 0:  # the domain is a single point
            value = float(nodes.value[0])
            level = value if self.positive else abs(value)
            above = np.array([value] if level > birth_level else [])
            return level + nodes.rounding, Births(np.full(above.size, float(self.low)), above)
        signed, scale = not self.positive, 1 / self.strength
        ends = nodes.value, nodes.slope, nodes.right_value, nodes.right_slope
        curves = gradient, self.begin, table.taps, scale, EPSILON, *ends, table.edges, table.fourth_bound, *self.jumps
        whole_norm = float(np.linalg.norm(gradient)) * (1 + 1e-12) * scale if table.period else 0.0
        rules = self.relative_rounding, nodes.rounding, signed, whole_norm, self.grain, self.stale
        written = self.local_norm, self.bound, self.exact, self.seen, self.highest
        work = stale_pieces(self.stale, PIECE // self.grain)
        threads.each(lambda first, last: kernel.screen(*curves, *rules, first, last, *written), work)
        target = max(1.0, float(self.seen.max()))
        taken = gradient, self.begin, table.period, table.coefficients, table.edges, TO_BERNSTEIN, -scale
        cells = self.relative_rounding, self.local_norm, signed, *ends, self.grain, self.bound, self.exact, self.highest

        def searched(first: int, last: int) -> tuple[float, FloatArray, FloatArray]:
            place, eta = np.empty((2, (last - first) * self.grain * self.cells))
            largest, count = kernel.search(first, last, target, SLACK, birth_level, *taken, *cells, place, eta)
            return largest, place[:count] + self.low, eta[:count].copy()

        found = threads.each(searched, threads.pieces(self.highest.size, max(1, PIECE // self.grain)))
        sup = max(largest for largest, _, _ in found)
        _, position, eta = found[0]
        if len(found) > 1:
            position, eta = np.concatenate([place for _, place, _ in found]), np.concatenate([eta for _, _, eta in found])
        edge, edge_eta = self._edge_peaks(nodes, birth_level)
        if not edge.size:
            return sup, Births(position, eta)
        position, eta = np.append(position, edge), np.append(eta, edge_eta)
        order = np.argsort(position, kind="stable")
        return sup, Births(position[order], eta[order])

    def _nodes(self, gradient: FloatArray, before: FloatArray | None = None) -> _Nodes:
        """eta at both ends of every cell; what is the same ``before``, the gradient (M,) of the last evaluation, is kept."""
        if before is None or self.filter.period:
            self.stale[:] = True
            before = np.empty(0)
        left, rounding = self._filtered(gradient, before, self.left_taps, self.left)
        value, slope = left[0], left[1]
        if self.kinked:
            right, _ = self._filtered(gradient, np.empty(0), self.right_taps, self.right)
            count = self.blocks * self.cells
            return _Nodes(value, slope, right[0, :count], right[1, :count], rounding)
        return _Nodes(value, slope, value[1:], slope[1:], rounding)

    def _filtered(self, gradient: FloatArray, before: FloatArray, taps: FloatArray, out: FloatArray) -> tuple[FloatArray, float]:
        """eta and slope of every cell for ``taps`` (p, 2, W), plus one node at the domain's end: (2, cells + 1), rounding.

        ``out`` (2, blocks + 1, p) holds them; only stale grains are written: where the gradient is not that of ``before``, or
        those known to be.
        """
        from blasso_flow.kernels.line import cells as kernel

        table, begin = self.filter, self.begin
        every = threads.pieces(self.stale.size, max(1, PIECE // self.grain))
        if table.period:
            gradient = np.take(gradient, np.arange(begin, begin + 2 * table.period), mode="wrap")
            begin = 0
        scale, rounding = -1 / self.strength, 0.0
        if self.direct:
            curves = gradient, before, begin, taps, scale, self.grain
            threads.each(lambda first, last: kernel.filter_nodes(*curves, first, last, self.stale, out), every)
        else:
            if before.size:
                reach = begin, table.taps, self.grain, self.blocks
                threads.each(lambda first, last: kernel.find_changes(gradient, before, *reach, first, last, self.stale), every)
            part = gradient[begin : begin + self.blocks + table.taps]
            correlate_blocks(part, taps * scale, self.transform, self.stale, out)
            size = np.log2(part.size + table.taps) + 8
            norm1 = float(np.linalg.norm(taps[:, 1], axis=-1).max())
            rounding = float(8 * EPSILON * size * np.sqrt(dot(part, part)) * (table.response_bound + norm1) * -scale)
        return out.reshape(2, -1)[:, : self.blocks * self.cells + 1], rounding

    def _edge_peaks(self, nodes: _Nodes, birth_level: float) -> tuple[FloatArray, FloatArray]:
        """Local maxima above ``birth_level`` at the ends of the domain and at kinks: positions and eta."""
        table, last = self.filter, self.bound.size - 1
        position: list[float] = []
        eta: list[float] = []
        if not table.period:
            low, high = self.domain
            for cell, where, values, slopes, inward in (
                (0, low, nodes.value, nodes.slope, 1.0),
                (last, high, nodes.right_value, nodes.right_slope, -1.0),
            ):
                if self.bound[cell] > birth_level and inward * slopes[cell] * self._sign(nodes, cell) <= 0:
                    position.append(where)
                    eta.append(float(values[cell]))
        if self.kinked:
            at = 1 + np.nonzero(self.bound[1:] > birth_level)[0]
            signs = self._sign(nodes, at)
            at = at[(nodes.right_slope[at - 1] * signs >= 0) & (nodes.slope[at] * signs <= 0)]
            position.extend(self.low + at // self.cells + table.edges[at % self.cells])
            eta.extend(nodes.value[at])
        if not position:
            return NONE, NONE
        above = (np.array(eta) if self.positive else np.abs(eta)) > birth_level
        return np.array(position)[above], np.array(eta)[above]

    def _sign(self, nodes: _Nodes, cell: int | IntArray) -> FloatArray:
        """Sign of the maxima that count in a cell, or in several."""
        middle = nodes.value[cell] + nodes.right_value[cell]
        return np.where((middle < 0) & (not self.positive), -1.0, 1.0)
