"""The certificate: eta, its proven bound over the whole domain, the dual value, and where new particles belong.

eta(x) = -<u, phi(. - x)> / strength with u = W (model - y). If |eta| <= s on the whole domain (eta <= s for non-negative
measures), u / s is feasible for the dual problem, and J minus the dual value bounds the excess of J over the optimum.

The bound (proof.md of the design; Duval & Peyre 2015 for the certificate): eta is evaluated at the edges of the table's
cells by filtering; on each cell the cubic Hermite interpolant plus its remainder screens; cells that the screen cannot
clear are decided by the Bernstein coefficients of eta's exact polynomial there. Rounding is allowed for a priori.
Uses numerics only: no files, no figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blasso_flow import threads
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters.fitting import DEGREE
from blasso_flow.filters.polynomials import powers_to_bernstein
from blasso_flow.problem import losses, penalties
from blasso_flow.problem.losses import EPSILON
from blasso_flow.problem.problem import Problem, Sums

SLACK = 1e-10  # how far above the true supremum a decided cell may stay
DIRECT_TAPS = 160  # longer filters are faster by FFT
DIRECT_PRODUCTS = 2_000_000  # below this an FFT is not worth importing
SHORTEST_BLOCK = 2048  # samples an FFT takes at least
BLOCK_NUMBERS = 1 << 18  # samples transformed at a time
PIECE = 1 << 15  # samples of the domain that a thread takes at a time
GRAIN = 1 << 9  # samples of the domain that are evaluated anew if one in their windows has changed
SPIKES_PIECE = 1 << 10  # spikes that a thread takes at a time
TO_BERNSTEIN = powers_to_bernstein(DEGREE)
NONE = np.empty(0)
BESIDE = 1e-9  # samples: how far beside a kink its one-sided slopes are taken


@dataclass(frozen=True, eq=False)
class Certificate:
    """What one evaluation proves.

    ``sup`` is a proven upper bound of eta (|eta| when signed) over the domain. ``dual_value`` is a lower bound of the
    optimum. ``position`` (K,) (samples) and ``eta`` (K,) are local maxima above 1, candidates for new particles.
    """

    sup: float
    dual_value: float
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


class Certifier:
    """Evaluates certificates of one problem; what depends only on the filter and the domain is prepared once.

    Nodes and bounds are kept from one evaluation to the next, and taken over where the gradient is the same to the last bit.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        table = problem.filter
        low, high = problem.domain
        self.low = int(low)
        self.begin = self.low + problem.offset  # padded sample of tap 0 at the domain's first position
        self.blocks = int(high) - int(low)  # whole samples of the domain
        self.cells = table.cells
        self.left_taps, self.right_taps = table.edge_taps
        self.kinked = table.kinks.size > 0
        # between one cell and the next, whose left end stands for the right one: a kinked filter's cells have both
        self.jumps = (np.zeros(self.cells),) * 2 if self.kinked else (table.value_jump, table.slope_jump)
        # products, sums over taps and the change of basis (whose entries are at most 2^degree): a generous multiple
        self.relative_rounding = EPSILON * (table.taps + 64) * table.response_bound * 8
        self.direct = table.taps <= DIRECT_TAPS or (self.blocks + 1) * table.taps <= DIRECT_PRODUCTS
        self.last_gradient: FloatArray | None = None
        self.left = np.empty((2, self.blocks + 1, self.cells))
        self.right = np.empty((2, self.blocks + 1, self.cells)) if self.kinked else self.left
        self.local_norm = np.empty(self.blocks)
        self.bound = np.empty(self.blocks * self.cells)
        self.exact = np.zeros(self.blocks * self.cells, dtype=np.bool_)  # whose bound is from the polynomial
        self.transform = 0 if self.direct else _transform(table.taps, self.blocks + table.taps)
        self.grain = GRAIN if self.direct else self.transform - table.taps + 1
        grains = -(-(self.blocks + 1) // self.grain)
        self.stale = np.ones(grains, dtype=np.bool_)  # in whose windows the gradient is not that of the last evaluation
        self.seen = np.zeros(grains)  # largest value at the nodes of each grain
        self.highest = np.zeros(grains)  # largest bound of each grain

    def __call__(self, residual: FloatArray, sums: Sums, objective: float, birth_level: float = 1.0) -> Certificate:
        """Certificate of a measure from its whitened residual (M,), the sums of that with its baseline, and its objective.

        Candidates are local maxima above ``birth_level``. The dual value is taken relative to the present baseline, which
        changes nothing in the mathematics and spares the digits of a large offset.
        """
        gradient = residual if self.problem.equal_weights else losses.gradient(residual, self.problem.root)
        sup, position, eta = self.supremum(gradient, birth_level)
        return Certificate(sup, dual_value(self.problem, sums, objective, sup), position, eta)

    def supremum(self, gradient: FloatArray, birth_level: float = 1.0) -> tuple[float, FloatArray, FloatArray]:
        """Proven bound of sup eta (sup |eta| when signed), and positions and eta of the local maxima above ``birth_level``.

        ``gradient`` (M,) is kept, and must not be changed afterwards.
        """
        from blasso_flow.kernels.line import cells as kernel

        problem, table = self.problem, self.problem.filter
        before, self.last_gradient = self.last_gradient, gradient
        nodes = self._nodes(gradient, before)
        if self.blocks == 0:  # the domain is a single point
            value = float(nodes.value[0])
            level = value if problem.positive else abs(value)
            above = np.array([value] if level > birth_level else [])
            return level + nodes.rounding, np.full(above.size, float(self.low)), above
        signed, scale = not problem.positive, 1 / problem.strength
        ends = nodes.value, nodes.slope, nodes.right_value, nodes.right_slope
        curves = gradient, self.begin, table.taps, scale, EPSILON, *ends, table.edges, table.fourth_bound, *self.jumps
        whole_norm = float(np.linalg.norm(gradient)) * (1 + 1e-12) * scale if table.period else 0.0
        rules = self.relative_rounding, nodes.rounding, signed, whole_norm, self.grain, self.stale
        written = self.local_norm, self.bound, self.exact, self.seen, self.highest
        threads.each(lambda first, last: kernel.screen(*curves, *rules, first, last, *written), self._pieces())
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
            return sup, position, eta
        position, eta = np.append(position, edge), np.append(eta, edge_eta)
        order = np.argsort(position, kind="stable")
        return sup, position[order], eta[order]

    def _pieces(self) -> list[tuple[int, int]]:
        """Ranges of grains for one thread each, those without a stale one left out."""
        return _stale_pieces(self.stale, PIECE // self.grain)

    def _nodes(self, gradient: FloatArray, before: FloatArray | None = None) -> _Nodes:
        """eta at both ends of every cell; what is the same ``before``, the gradient (M,) of the last evaluation, is kept."""
        if before is None or self.problem.filter.period:
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

        problem, table, begin = self.problem, self.problem.filter, self.begin
        every = threads.pieces(self.stale.size, max(1, PIECE // self.grain))
        if table.period:
            gradient = np.take(gradient, np.arange(begin, begin + 2 * table.period), mode="wrap")
            begin = 0
        scale, rounding = -1 / problem.strength, 0.0
        if self.direct:
            curves = gradient, before, begin, taps, scale, self.grain
            threads.each(lambda first, last: kernel.filter_nodes(*curves, first, last, self.stale, out), every)
        else:
            if before.size:
                reach = begin, table.taps, self.grain, self.blocks
                threads.each(lambda first, last: kernel.find_changes(gradient, before, *reach, first, last, self.stale), every)
            part = gradient[begin : begin + self.blocks + table.taps]
            _correlate(part, taps * scale, self.transform, self.stale, out)
            size = np.log2(part.size + table.taps) + 8
            norm1 = float(np.linalg.norm(taps[:, 1], axis=-1).max())
            rounding = float(8 * EPSILON * size * np.sqrt(losses.dot(part, part)) * (table.response_bound + norm1) * -scale)
        return out.reshape(2, -1)[:, : self.blocks * self.cells + 1], rounding

    def _edge_peaks(self, nodes: _Nodes, birth_level: float) -> tuple[FloatArray, FloatArray]:
        """Local maxima above ``birth_level`` at the ends of the domain and at kinks: positions and eta."""
        table, last = self.problem.filter, self.bound.size - 1
        position: list[float] = []
        eta: list[float] = []
        if not table.period:
            low, high = self.problem.domain
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
        above = penalties.level(np.array(eta), self.problem.positive) > birth_level
        return np.array(position)[above], np.array(eta)[above]

    def _sign(self, nodes: _Nodes, cell: int | IntArray) -> FloatArray:
        """Sign of the maxima that count in a cell, or in several."""
        middle = nodes.value[cell] + nodes.right_value[cell]
        return np.where((middle < 0) & (not self.problem.positive), -1.0, 1.0)


def _stale_pieces(stale: NDArray[np.bool_], most: int) -> list[tuple[int, int]]:
    """Ranges of at most so many flags, but one at least, in which any is set; a single range in any case."""
    every = threads.pieces(stale.size, max(1, most))
    return every if len(every) == 1 else [piece for piece in every if stale[slice(*piece)].any()]


def _transform(taps: int, size: int) -> int:
    """Samples an FFT takes at a time to filter ``size`` of them with so many taps."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(min(max(4 * taps, SHORTEST_BLOCK), size), real=True))


def _correlate(values: FloatArray, taps: FloatArray, length: int, stale: NDArray[np.bool_], out: FloatArray) -> None:
    """out[o, i, q] = sum_k taps[q, o, k] values[i + k] by FFT of overlapping blocks, each transformed once for all taps.

    Only ``stale`` blocks are written; a block takes ``length`` samples in and gives ``length - W + 1``.
    """
    from scipy.fft import irfft, rfft

    width = taps.shape[-1]
    step = length - width + 1
    responses = rfft(taps[..., ::-1], length, axis=-1)

    def correlated(first: int, last: int) -> None:
        chosen = first + np.nonzero(stale[first:last])[0]
        windows = np.zeros((chosen.size, length))
        for block, window in zip(chosen, windows, strict=True):
            part = values[block * step : block * step + length]
            window[: part.size] = part
        spectra = rfft(windows, axis=-1)
        for q in range(taps.shape[0]):
            for order in range(taps.shape[1]):
                valid = irfft(spectra * responses[q, order], length, axis=-1)[:, width - 1 :]
                for block, row in zip(chosen, valid, strict=True):
                    target = out[order, block * step : (block + 1) * step, q]
                    target[:] = row[: target.size]

    threads.each(correlated, _stale_pieces(stale, BLOCK_NUMBERS // length))


def dual_value(problem: Problem, sums: Sums, objective: float, sup: float) -> float:
    """Lower bound of the optimum from the sums of a residual whose certificate is at most ``sup``, less its rounding."""
    value, allowance = losses.best_dual_value(sums.square, sums.product, sums.energy, sums.size, 1 / max(1.0, sup))
    return value - allowance - _baseline_allowance(problem, sums, objective)


def _baseline_allowance(problem: Problem, sums: Sums, objective: float) -> float:
    """What rounding leaves of B^T u = 0, times how far the optimal baseline can be from the present one.

    At the optimum 1/2 ||B b + phi * mu - y||^2 + strength |mu| is at most the present objective; the triangle
    inequality then bounds ||B b||.
    """
    if not problem.orthonormal_baseline.size:
        return 0.0
    left = sums.left + 4 * EPSILON * math.sqrt(sums.square)
    reach = math.sqrt(2 * objective) + math.sqrt(sums.energy)
    reach += problem.largest_root * problem.filter.response_bound * objective / problem.strength
    return left * reach


def sample_eta(problem: Problem, position: FloatArray, residual: FloatArray) -> FloatArray:
    """eta at positions (samples) of shape (K,), from a whitened residual (M,)."""
    return eta_and_slopes(problem, position, residual, orders=1)[0]


def eta_and_slopes(problem: Problem, position: FloatArray, residual: FloatArray, orders: int = 2) -> FloatArray:
    """eta and its derivatives by position (per sample), shape (orders, K)."""
    parts = _by_spikes(lambda own: _eta_and_slopes(problem, position[own], residual, orders), problem, position)
    return np.concatenate(parts, axis=1)


def stationarity(problem: Problem, position: FloatArray, weight: FloatArray, residual: FloatArray) -> FloatArray:
    """KKT residual of each spike, shape (K,): max(|1 - sign(w) eta|, |eta'| width).

    On an end of the domain only the inward slope counts, on a kink of the filter only slopes that lead away from it.
    """
    parts = _by_spikes(lambda own: _stationarity(problem, position[own], weight[own], residual), problem, position)
    return np.concatenate(parts)


def _by_spikes(function: Callable[[slice], FloatArray], problem: Problem, position: FloatArray) -> list[FloatArray]:
    """``function`` of slices that make up the spikes, in order; on all of them at once where tails run from one to the next."""
    most = position.size + 1 if problem.filter.tail.size else SPIKES_PIECE
    return threads.each(lambda first, last: function(slice(first, last)), threads.pieces(position.size, most))


def _eta_and_slopes(problem: Problem, position: FloatArray, residual: FloatArray, orders: int) -> FloatArray:
    from blasso_flow.kernels.line import responses

    table = problem.filter
    curves = residual, problem.root, table.coefficients, table.edges
    out = np.empty((orders, position.size))
    if table.tail.size:
        from blasso_flow.kernels.line import tails

        tails.correlate(position, *curves, table.tail, table.tail_tap, problem.offset, orders, out)
    else:
        responses.correlate(position, *curves, problem.offset, table.period or None, orders, out)
    out *= -1 / problem.strength
    return out


def _stationarity(problem: Problem, position: FloatArray, weight: FloatArray, residual: FloatArray) -> FloatArray:
    from blasso_flow.kernels.line.particles import kkt

    table, (low, high) = problem.filter, problem.domain
    eta, slope = _eta_and_slopes(problem, position, residual, 2)
    steepness = np.abs(slope)
    for there in _on_kinks(table.kinks, position):
        beside = (np.clip(position[there] + d, low, high) for d in (-BESIDE, BESIDE))
        left, right = (np.sign(weight[there]) * _eta_and_slopes(problem, place, residual, 2)[1] for place in beside)
        steepness[there] = np.maximum(0.0, np.maximum(-left, right))
    unrest = np.empty(position.size)
    kkt(position, weight, eta, slope, steepness, low, high, table.period, table.width, unrest)
    return unrest


def _on_kinks(kinks: FloatArray, position: FloatArray) -> list[IntArray]:
    """Indices of the positions (K,) that lie on each kink."""
    away = [np.abs((position - kink + 0.5) % 1.0 - 0.5) for kink in kinks]
    found = [np.nonzero(distance < 0.5 * BESIDE)[0] for distance in away]
    return [there for there in found if there.size]
