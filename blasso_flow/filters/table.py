"""A filter as data: one table of piecewise polynomials aligned with the sample grid.

A particle at position ``i0 + f`` (samples; i0 whole, 0 <= f < 1) reaches the W samples ``i0 + first + k``. The interval
[0, 1) of f is cut into p cells; on cell q, with local coordinate v in [-1, 1], tap k holds one polynomial of degree 9.
The table *is* the filter: solver, certificate, audit and figures evaluate this function and no other; ``error`` says how
far it is from the closed form. Cell edges fall on every knot of the filter, so that each polynomial is smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blasso_flow.errors import UsageError
from blasso_flow.filters.kinds import Design, FilterKind
from blasso_flow.filters.polynomials import chebyshev_nodes, derivative, powers_to_bernstein, values_to_powers
from blasso_flow.signals import FilterDescription, FloatArray

DEGREE = 9
CELLS_PER_WIDTH = 5
NARROWEST = 0.4  # samples
EDGE_TOLERANCE = 1e-9  # knots closer than this share an edge
NORMALISATIONS = ("peak", "area", "energy")


@dataclass(frozen=True)
class Filter:
    """A tabulated filter. Lengths are in samples unless said otherwise.

    Attributes
    ----------
    description : kind and parameters as given, in axis units.
    normalisation : "peak", "area" or "energy".
    spacing : axis units a sample.
    first : sample of tap 0 relative to i0.
    edges : (p + 1,) cell edges of the fractional position, from 0 to 1.
    coefficients : (5, p, DEGREE + 1, W) polynomials in v of the response and of its derivatives of order 0 to 4 with
        respect to position (a sample).
    period : whole number of samples, 0 when the domain is not periodic.
    width : resolution length sqrt(3/2) ||phi'|| / ||phi''||.
    norm, norm1, norm2, norm4 : L2 norms of the response and of its 1st, 2nd and 4th derivative over lags.
    fourth_bound : (p,) upper bound, on each cell, of the L2 norm over taps of the 4th derivative.
    value_jump, slope_jump : (p,) upper bound of the L2 norm over samples of the jump at the left edge of each cell.
    error : largest distance from the closed form, relative to the peak.
    """

    description: FilterDescription
    normalisation: str
    spacing: float
    first: int
    edges: FloatArray
    coefficients: FloatArray
    period: int
    width: float
    norm: float
    norm1: float
    norm2: float
    norm4: float
    fourth_bound: FloatArray
    value_jump: FloatArray
    slope_jump: FloatArray
    error: float

    @property
    def cells(self) -> int:
        """Number of cells a sample."""
        return self.edges.size - 1

    @property
    def taps(self) -> int:
        """Number of samples one position reaches."""
        return self.coefficients.shape[-1]

    @property
    def support(self) -> tuple[float, float]:
        """Lags (samples) outside which the response is zero."""
        return float(self.first - 1), float(self.first + self.taps)

    def response(self, lag: FloatArray, order: int = 0) -> FloatArray:
        """Response (order 0) or its derivative with respect to *position*, at lags in samples of any shape."""
        lag = np.asarray(lag, dtype=np.float64)
        if self.period:
            lag = (lag - self.first + 1) % self.period + self.first - 1
        sample = np.ceil(lag)
        fraction = sample - lag
        tap = (sample - self.first).astype(np.int64)
        inside = (tap >= 0) & (tap < self.taps)
        tap = np.where(inside, tap, 0)
        cell = np.clip(np.searchsorted(self.edges, fraction, side="right") - 1, 0, self.cells - 1)
        low, high = self.edges[cell], self.edges[cell + 1]
        v = (2 * fraction - low - high) / (high - low)
        result = np.zeros_like(lag)
        for power in range(DEGREE, -1, -1):
            result = result * v + self.coefficients[order, cell, power, tap]
        return np.where(inside, result, 0.0)


def tabulate(
    kind: FilterKind,
    description: FilterDescription,
    spacing: float,
    samples: int,
    normalisation: str = "peak",
) -> Filter:
    """Tabulate a filter for a spacing (axis units) and a record of ``samples`` samples.

    Raises `UsageError` for a bad parameter, a filter too narrow for the spacing or longer than the record.
    """
    if normalisation not in NORMALISATIONS:
        raise UsageError("unknown normalisation", received=normalisation, allowed=", ".join(NORMALISATIONS))
    design = kind.design(description, kind.checked(description), spacing, samples)
    _check_reach(description, design, spacing, samples)
    _check_width(description, design.width, spacing)
    first, taps = _window(design)
    width = design.width
    while True:
        edges = cell_edges(design.knots, design.phases or max(1, int(np.ceil(CELLS_PER_WIDTH / width - 1e-9))))
        table = _fit(design, edges, first, taps)
        norms = [_norm(order, edges) for order in table]
        width = float(np.sqrt(1.5) * norms[1] / norms[2])
        if design.phases or width >= design.width * (1 - 1e-6) or edges.size - 1 >= CELLS_PER_WIDTH / width - 1e-9:
            break
    _check_width(description, width, spacing)
    error = _distance(design, edges, table[0], first)
    factor = _factor(normalisation, kind, table[0], edges, norms[0], spacing)
    table = np.ascontiguousarray(table * factor)
    value_jump, slope_jump = (_jumps(table[order], design.period, first) for order in (0, 1))
    return Filter(
        description=description,
        normalisation=normalisation,
        spacing=spacing,
        first=first,
        edges=edges,
        coefficients=table,
        period=design.period,
        width=width,
        norm=norms[0] * abs(factor),
        norm1=norms[1] * abs(factor),
        norm2=norms[2] * abs(factor),
        norm4=norms[4] * abs(factor),
        fourth_bound=_bound(table[4]),
        value_jump=value_jump,
        slope_jump=slope_jump,
        error=error,
    )


def cell_edges(knots: Sequence[float], phases: int) -> FloatArray:
    """Edges of the cells in [0, 1], shape (p + 1,): every knot (a lag, in samples) falls on one, no cell is wider than 1/phases."""
    fractions = np.sort(np.concatenate([[0.0, 1.0], (-np.asarray(knots, dtype=np.float64)) % 1.0]))
    corners = [0.0]
    for fraction in fractions:
        if fraction - corners[-1] > EDGE_TOLERANCE and 1 - fraction > EDGE_TOLERANCE:
            corners.append(float(fraction))
    corners.append(1.0)
    edges = [np.linspace(a, b, max(1, int(np.ceil((b - a) * phases - 1e-9))) + 1)[:-1] for a, b in zip(corners[:-1], corners[1:], strict=True)]
    return np.concatenate([*edges, [1.0]])


def _check_width(description: FilterDescription, width: float, spacing: float) -> None:
    if not (np.isfinite(width) and width >= NARROWEST):
        raise UsageError(
            f"filter {description} is too narrow for the spacing {spacing:g}",
            received=f"a width of {width:.3g} samples",
            allowed=f"at least {NARROWEST:g} samples",
            mend=f"it must be {NARROWEST / width:.3g} times wider, or the signal sampled that much finer",
        )


def _check_reach(description: FilterDescription, design: Design, spacing: float, samples: int) -> None:
    if design.width > samples:
        raise UsageError(
            f"filter {description} is longer than the record",
            received=f"a width of {design.width * spacing:.4g} on a record of {samples * spacing:.4g}",
            allowed="a width shorter than the record",
        )


def _window(design: Design) -> tuple[int, int]:
    if design.period:
        return -(design.period // 2), design.period
    low, high = design.support
    first = int(np.ceil(low))
    return first, int(np.floor(high + 1)) - first + 1


def _fit(design: Design, edges: FloatArray, first: int, taps: int) -> FloatArray:
    """Polynomials of the response and its derivatives 1 to 4 by position, shape (5, p, DEGREE + 1, taps)."""
    half = np.diff(edges) / 2
    middle = (edges[:-1] + edges[1:]) / 2
    fraction = middle[:, None] + half[:, None] * chebyshev_nodes(DEGREE)  # (p, DEGREE + 1)
    lag = first + np.arange(taps) - fraction[..., None]
    table = np.empty((5, half.size, DEGREE + 1, taps))
    table[0] = np.einsum("ij,pjk->pik", values_to_powers(DEGREE), design.response(lag))
    for order in range(1, 5):
        table[order] = derivative(table[order - 1], axis=1) / half[:, None, None]
    return table


def _norm(table: FloatArray, edges: FloatArray) -> float:
    """L2 norm over all lags: exact integral of the squared polynomials by Gauss-Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(DEGREE + 1)
    values = np.einsum("nd,pdk->npk", nodes[:, None] ** np.arange(DEGREE + 1), table)
    return float(np.sqrt(np.einsum("n,p,npk->", weights / 2, np.diff(edges), values**2)))


def _area(table: FloatArray, edges: FloatArray) -> float:
    even = np.where(np.arange(DEGREE + 1) % 2 == 0, 1 / (np.arange(DEGREE + 1) + 1.0), 0.0)
    return float(np.einsum("d,p,pdk->", even, np.diff(edges), table))


def _peak(table: FloatArray) -> float:
    """Largest |response| over all lags, with its sign dropped."""
    v = np.linspace(-1, 1, 33)
    values = np.abs(np.einsum("nd,pdk->npk", v[:, None] ** np.arange(DEGREE + 1), table))
    _, cell, tap = np.unravel_index(np.argmax(values), values.shape)
    polynomial = np.polynomial.Polynomial(table[cell, :, tap])
    turns = polynomial.deriv().roots()
    turns = turns.real[(np.abs(turns.imag) < 1e-9) & (np.abs(turns.real) <= 1)]
    return float(max(np.abs(polynomial(np.append(turns, [-1.0, 1.0])))))


def _factor(normalisation: str, kind: FilterKind, table: FloatArray, edges: FloatArray, norm: float, spacing: float) -> float:
    if normalisation == "peak":
        return 1 / _peak(table)
    if normalisation == "energy":
        return 1 / (norm * float(np.sqrt(spacing)))
    area = _area(table, edges)
    if kind.zero_area or abs(area) < 1e-9 * norm:
        raise UsageError(
            f"filter {kind.name} has no area to normalise by", received="normalisation area", allowed="peak or energy"
        )
    return 1 / (area * spacing)


def _distance(design: Design, edges: FloatArray, table: FloatArray, first: int) -> float:
    v = np.linspace(-1, 1, 15)
    half, middle = np.diff(edges) / 2, (edges[:-1] + edges[1:]) / 2
    fraction = middle[None, :] + half[None, :] * v[:, None]
    lag = first + np.arange(table.shape[-1]) - fraction[..., None]
    values = np.einsum("nd,pdk->npk", v[:, None] ** np.arange(DEGREE + 1), table)
    exact = design.response(lag)
    return float(np.abs(values - exact).max() / np.abs(exact).max())


def _bound(table: FloatArray) -> FloatArray:
    """Upper bound of the L2 norm over taps on each cell, shape (p,): Bernstein coefficients bound every tap."""
    largest = np.abs(np.einsum("ij,pjk->pik", powers_to_bernstein(DEGREE), table)).max(axis=1)
    return np.sqrt((largest**2).sum(axis=-1)) * (1 + 1e-9)


def _jumps(table: FloatArray, period: int, first: int) -> FloatArray:
    """L2 norm over samples of the jump at the left edge of each cell, shape (p,); at cell 0 the window moves by one sample."""
    left = np.einsum("d,pdk->pk", (-1.0) ** np.arange(DEGREE + 1), table)
    right = table.sum(axis=1)
    jumps = np.empty(left.shape[0])
    jumps[1:] = np.sqrt(((left[1:] - right[:-1]) ** 2).sum(axis=-1))
    if period:
        jumps[0] = np.sqrt(((left[0] - np.roll(right[-1], -1)) ** 2).sum())
    else:
        before, after = np.append(right[-1], 0.0), np.append(0.0, left[0])
        jumps[0] = np.sqrt(((after - before) ** 2).sum())
    return jumps
