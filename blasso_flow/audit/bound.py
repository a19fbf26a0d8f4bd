"""A rigorous bound of the certificate over the whole domain, by Taylor models on a dense grid, for the audit only.

    eta(x) = -<u, phi(. - x)> / strength

Between two table cell edges every tap is one smooth polynomial. The domain is cut into pieces that never straddle such an
edge. On a piece, expanded at one of its points c with r the largest distance from c,

    eta(c + t) <= eta(c) + eta'(c) t + K t^2 / 2,   K = eta''(c) + |eta'''(c)| r + M r^2 / 2 >= eta'' on the piece,

where M = sum |u| * (upper bound of each tap's fourth derivative on its cell) / strength. So K is rigorous, and the largest
value of the parabola on the piece bounds eta there. Pieces whose bound is too high are expanded again at the top of the
parabola (if K < 0) or halved; what cannot be settled raises the bound and is never dropped. Both ends of every cell are
included, so a jump at a knot is seen from both sides.

Imports nothing but the filter's table, as data.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter

EPS = float(np.finfo(np.float64).eps)
BLOCK = 100_000  # products of a residual sample and a tap held at once
MOST_ROUNDS = 60
MOST_PIECES = 4_000_000
ORDERS = 4  # value and derivatives 1 to 3


@dataclass(frozen=True)
class Bound:
    """``supremum``: proven bound of sup eta (sup |eta| if signed). ``attained``: the largest value met on the grid."""

    supremum: float
    attained: float
    evaluations: int


@dataclass(frozen=True)
class _Pieces:
    """Pieces of table cells; columns (P,). Coordinates v are those of the cell, in [-1, 1].

    ``sample`` i0 and ``cell`` q name the table cell, [low, high] the piece, ``centre`` its expansion point, ``sign`` whether
    eta (1) or -eta (-1) is bounded; ``fourth`` is M (v coordinates), ``rounding`` the allowance; ``value`` and ``bound`` are
    eta at the centre and the piece's bound, ``top`` where the parabola is largest, ``concave`` whether K < 0.
    """

    sample: IntArray
    cell: IntArray
    low: FloatArray
    high: FloatArray
    sign: FloatArray
    centre: FloatArray
    fourth: FloatArray
    rounding: FloatArray
    value: FloatArray
    bound: FloatArray
    top: FloatArray
    concave: FloatArray

    def take(self, index: NDArray[Any]) -> _Pieces:
        return _Pieces(*(getattr(self, column.name)[index] for column in fields(self)))


def _join(parts: list[_Pieces]) -> _Pieces:
    return _Pieces(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(_Pieces)))


def bound_certificate(
    filter: Filter, u: FloatArray, strength: float, domain: tuple[float, float], positive: bool, slack: float
) -> Bound:
    """Bound sup eta (positive) or sup |eta| over the domain (first, last) in samples; ``u`` (N,) is the dual vector.

    The result exceeds max(1, true supremum) by at most about ``slack`` plus rounding, unless the work limit is reached; it
    is an upper bound always. On a periodic filter the whole circle is covered.
    """
    table = _Table(filter, u, strength, domain, (1.0,) if positive else (1.0, -1.0))
    attained, kept, settled = table.screen(slack)
    evaluations = table.count
    pieces = kept
    for _ in range(MOST_ROUNDS):
        target = max(1.0, attained) + slack
        open_ = pieces.bound > target + pieces.rounding  # what is left of the others is rounding
        settled = max(settled, float(pieces.bound[~open_].max(initial=-np.inf)))
        pieces = pieces.take(open_)
        if not pieces.bound.size or pieces.bound.size > MOST_PIECES:
            break
        pieces = table.refine(pieces)
        evaluations += pieces.bound.size
        attained = max(attained, float(pieces.value.max()))
    supremum = max(float(settled), float(pieces.bound.max(initial=-np.inf)))
    return Bound(supremum, attained, evaluations)


class _Table:
    """The filter's table in v coordinates, and the dual vector laid out so that every window can be read."""

    def __init__(
        self, filter: Filter, u: FloatArray, strength: float, domain: tuple[float, float], signs: tuple[float, ...]
    ) -> None:
        self.edges, self.taps, self.cells, self.signs = filter.edges, filter.taps, filter.cells, signs
        self.domain = domain
        self.first = int(np.floor(domain[0]))
        last = int(np.floor(domain[1])) - (1 if filter.period else 0)
        self.count = last - self.first + 1  # values of i0
        reach = self.first + filter.first + np.arange(self.count + self.taps - 1)
        if filter.period:
            laid = u[reach % filter.period]
        else:
            laid = np.where((reach >= 0) & (reach < u.size), u[np.clip(reach, 0, u.size - 1)], 0.0)
        self.windows = sliding_window_view(-laid / strength, self.taps)  # row i: window of i0 = first + i
        self.power = filter.coefficients[0]  # (p, degree + 1, taps)
        self.derivatives = _derivatives(self.power)  # ORDERS + 1 of them
        self.steepest = np.abs(self.derivatives[ORDERS]).sum(axis=1)  # (p, taps): bounds |4th derivative| on the cell
        degree = np.arange(self.power.shape[1])
        # bounds value, slope and half the curvature, each with the error of its own evaluation, on the cell
        weight = (1.0 + degree) ** 2
        self.size = np.einsum("d,pdk->pk", weight, np.abs(self.power)) * EPS * (self.taps + 24)

    def screen(self, slack: float) -> tuple[float, _Pieces, float]:
        """One piece a cell, expanded at its middle. Largest value met, pieces that stay open, largest bound of the others."""
        middle = np.stack([table[:, 0, :] for table in self.derivatives[:ORDERS]])  # (ORDERS, p, taps) at v = 0
        columns = middle.reshape(-1, self.taps).T
        limits = np.concatenate([self.steepest, self.size]).T
        rows = max(1, BLOCK // self.taps)
        attained, settled = -np.inf, -np.inf
        kept: list[_Pieces] = []
        for start in range(0, self.count, rows):
            block = np.array(self.windows[start : start + rows])  # a copy, also of a single row
            local = (block @ columns).reshape(-1, ORDERS, self.cells)
            np.abs(block, out=block)
            fourth, rounding = np.moveaxis((block @ limits).reshape(-1, 2, self.cells), 1, 0)
            sample, cell = (index.ravel() for index in np.indices(fourth.shape))
            sample = sample + start
            low, high = self._clipped(sample, cell)
            inside = low <= high
            centre = np.zeros(low.size)
            cut = ((low > -1) | (high < 1)) & inside
            for sign in self.signs:
                whole = _Pieces(
                    sample,
                    cell,
                    low,
                    high,
                    np.full(low.size, sign),
                    centre,
                    fourth.ravel(),
                    rounding.ravel(),
                    centre,
                    centre,
                    centre,
                    centre,
                )
                pieces = _bounded(whole, np.moveaxis(local, 1, 0).reshape(ORDERS, -1))
                plain = inside & ~cut
                attained = max(attained, float(pieces.value[plain].max(initial=-np.inf)))
                again = plain & (pieces.bound > max(1.0, attained) + slack)
                settled = max(settled, float(pieces.bound[plain & ~again].max(initial=-np.inf)))
                kept.append(pieces.take(again))
                if cut.any():
                    part = pieces.take(cut)
                    kept.append(self.evaluate(replace(part, centre=(part.low + part.high) / 2)))
        pieces = _join(kept)
        return max(attained, float(pieces.value.max(initial=-np.inf))), pieces, settled

    def _clipped(self, sample: IntArray, cell: IntArray) -> tuple[FloatArray, FloatArray]:
        """The part of each cell that lies in the domain, in v; low > high when none does. An end may be a single point."""
        left, right = self.edges[cell], self.edges[cell + 1]
        start = self.first + sample
        low = 2 * (self.domain[0] - start - left) / (right - left) - 1
        high = 2 * (self.domain[1] - start - left) / (right - left) - 1
        return np.maximum(low, -1.0), np.minimum(high, 1.0)

    def refine(self, pieces: _Pieces) -> _Pieces:
        """Expand concave pieces at the top of their parabola, halve the others and those that would not move."""
        at_top = (pieces.concave > 0) & (pieces.top != pieces.centre)
        first, rest = pieces.take(at_top), pieces.take(~at_top)
        middle = (rest.low + rest.high) / 2
        left = replace(rest, high=middle, centre=(rest.low + middle) / 2)
        right = replace(rest, low=middle, centre=(middle + rest.high) / 2)
        moved = self.evaluate(replace(first, centre=first.top))
        # a step that gained little is not repeated: the piece is halved next time
        slow = moved.bound - moved.value > 0.5 * (first.bound - first.value)
        moved = replace(moved, concave=np.where(slow, 0.0, moved.concave), bound=np.minimum(moved.bound, first.bound))
        return _join([moved, self.evaluate(left), self.evaluate(right)])

    def evaluate(self, pieces: _Pieces) -> _Pieces:
        """Value and derivatives 1 to 3 at the centres, from the residual itself, and the bounds that follow."""
        local = np.empty((ORDERS, pieces.sample.size))
        rows = max(1, BLOCK // (4 * self.taps))
        for cell in np.unique(pieces.cell):
            own = np.flatnonzero(pieces.cell == cell)
            for start in range(0, own.size, rows):
                part = own[start : start + rows]
                powers = pieces.centre[part, None] ** np.arange(self.power.shape[1])
                window = self.windows[pieces.sample[part]]
                for order in range(ORDERS):
                    local[order, part] = np.einsum("nk,nk->n", powers @ self.derivatives[order][cell], window)
        return _bounded(pieces, local)


def _derivatives(power: FloatArray) -> list[FloatArray]:
    """Coefficients of derivatives 0 to ORDERS with respect to v, each of shape (p, degree + 1, taps)."""
    result = [power]
    for _ in range(ORDERS):
        last = result[-1]
        following = np.zeros_like(last)
        following[:, :-1] = last[:, 1:] * np.arange(1, last.shape[1])[:, None]
        result.append(following)
    return result


def _bounded(pieces: _Pieces, local: FloatArray) -> _Pieces:
    """Bounds from value and derivatives 1 to 3 of eta (4, P) at the centres."""
    value, slope, curvature, third = local
    value, slope, curvature = pieces.sign * value, pieces.sign * slope, pieces.sign * curvature
    before, after = pieces.low - pieces.centre, pieces.high - pieces.centre
    radius = np.maximum(-before, after)
    steepest = curvature + np.abs(third) * radius + 0.5 * pieces.fourth * radius**2
    concave = steepest < 0
    top = np.where(concave, -slope / np.where(concave, steepest, -1.0), np.where(slope > 0, after, before))
    top = np.clip(top, before, after)
    gain = np.maximum(slope * top + 0.5 * steepest * top**2, 0.0)
    for end in (before, after):
        gain = np.maximum(gain, slope * end + 0.5 * steepest * end**2)
    return replace(
        pieces,
        value=value,
        bound=(value + gain) * (1 + 4 * EPS * np.sign(value + gain)) + pieces.rounding,
        top=pieces.centre + top,
        concave=concave.astype(np.float64),
    )
