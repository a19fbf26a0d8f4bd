"""A filter as data: one table of piecewise polynomials aligned with the sample grid.

A particle at position ``i0 + f`` (samples; i0 whole, 0 <= f < 1) reaches the W samples ``i0 + first + k``. The interval
[0, 1) of f is cut into p cells; on cell q, with local coordinate v in [-1, 1], tap k holds one polynomial of degree 9.
The table *is* the filter: solver, certificate, audit and figures evaluate this function and no other; ``error`` says how
far it is from the closed form. Cell edges fall on every knot of the filter, so that each polynomial is smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters import fitting
from blasso_flow.filters.exposure import designed
from blasso_flow.filters.fitting import DEGREE
from blasso_flow.filters.kinds import CELLS_PER_WIDTH, Design, FilterKind

KINK = 1e-9  # relative jump from which an edge of a cell counts as a kink
NARROWEST = 0.4  # samples
LARGEST_ERROR = 1e-13  # of the peak: above it, the table gets more cells
MOST_CELLS = 100  # a sample
MOST_NUMBERS = 60_000_000  # in one table: 480 MB
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
    tail, tail_tap : (2, E) rates r (per sample) and amplitudes a: from tap ``tail_tap`` on, the response at lag l is
        sum a exp(-r (l - first)). E is 0 and ``tail_tap`` the number of taps for a filter without exponential tail.
    whitener, before_whitening : (p,) coefficients and the filter they were applied to, where samples of coloured noise are
        whitened: see `prewhitened`.
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
    tail: FloatArray
    tail_tap: int
    whitener: FloatArray = field(default_factory=lambda: np.empty(0))
    before_whitening: Filter | None = None

    @property
    def plain(self) -> Filter:
        """The filter as the samples of the recording see it."""
        return self.before_whitening or self

    @property
    def cells(self) -> int:
        """Number of cells a sample."""
        return self.edges.size - 1

    @property
    def taps(self) -> int:
        """Number of samples one position reaches."""
        return int(self.coefficients.shape[-1])

    @cached_property
    def response_bound(self) -> float:
        """Upper bound of the L2 norm over samples of the response, whatever the position."""
        return float(fitting.bound(self.coefficients[0]).max())

    @cached_property
    def kinks(self) -> FloatArray:
        """Fractions of a sample, shape (n,), at which the response's slope jumps as the position passes."""
        jumps = (self.slope_jump > KINK * self.norm1) | (self.value_jump > KINK * self.norm)
        return self.edges[:-1][jumps]

    @cached_property
    def length(self) -> float:
        """Length of one response (axis units): its width, or for filters with tails its area over its peak, scaled such that
        a Gaussian has its standard deviation."""
        response = np.abs(self.response(np.arange(self.first, self.first + self.taps, dtype=np.float64)))
        peak = float(response.max())
        area = float(response.sum()) / peak if peak > 0 else 0.0
        return max(self.width, area / np.sqrt(2 * np.pi)) * self.spacing

    @cached_property
    def overlaps(self) -> FloatArray:
        """Autocorrelations of response and of slope at whole lags 0, 1, ..., each 1 at lag 0, summed; shape (W,)."""
        lag = np.arange(self.first, self.first + self.taps, dtype=np.float64)
        total = np.zeros(lag.size)
        for row in (self.response(lag, order) for order in (0, 1)):
            spectrum = np.abs(np.fft.rfft(row, 2 * row.size)) ** 2
            products = np.fft.irfft(spectrum, 2 * row.size)[: row.size]
            total += products / products[0] if products[0] > 0 else 0.0
        return total

    @cached_property
    def edge_taps(self) -> tuple[FloatArray, FloatArray]:
        """Response and slope at the left and at the right end of every cell, two arrays of shape (p, 2, W)."""
        signs = (-1.0) ** np.arange(DEGREE + 1)
        left = np.einsum("d,oqdk->qok", signs, self.coefficients[:2])
        return np.ascontiguousarray(left), np.ascontiguousarray(np.einsum("oqdk->qok", self.coefficients[:2]))

    @property
    def support(self) -> tuple[float, float]:
        """Lags (samples) outside which the response is zero."""
        return float(self.first - 1), float(self.first + self.taps)

    def response(self, lag: FloatArray, order: int = 0) -> FloatArray:
        """Response (order 0) or its derivative with respect to *position*, at lags in samples of any shape."""
        lag = np.asarray(lag, dtype=np.float64)
        sample = np.ceil(lag)
        fraction = sample - lag
        tap = sample.astype(np.int64) - self.first
        if self.period:
            tap %= self.period
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
    kind: FilterKind, description: FilterDescription, spacing: float, samples: int, normalisation: str = "peak"
) -> Filter:
    """Tabulate a filter for a spacing (axis units) and a record of ``samples`` samples.

    Raises `UsageError` for a bad parameter, a filter too narrow for the spacing or longer than the record, and whatever
    the filter's own design refuses.
    """
    if normalisation not in NORMALISATIONS:
        raise UsageError("unknown normalisation", received=normalisation, allowed=", ".join(NORMALISATIONS))
    design = designed(kind, description, spacing, samples)
    if not design.width >= NARROWEST / 4:
        raise _too_narrow(description, design, design.width, spacing)
    _check_length(description, design, spacing, samples)
    first, taps = _window(design)
    edges, table, norms, error = _fitted(description, design, spacing, first, taps)
    factor = _factor(normalisation, kind, table[0], edges, norms[0], spacing)
    table *= factor
    tail, tail_tap = fitting.exponential_tail(table[0], edges, first, design.tail_rates, design.tail_from)
    return Filter(
        description=description,
        normalisation=normalisation,
        spacing=spacing,
        first=first,
        edges=edges,
        coefficients=table,
        period=design.period,
        width=resolution_length(norms),
        norm=norms[0] * abs(factor),
        norm1=norms[1] * abs(factor),
        norm2=norms[2] * abs(factor),
        norm4=norms[4] * abs(factor),
        fourth_bound=fitting.bound(table[4]),
        value_jump=fitting.jumps(table[0], design.period > 0),
        slope_jump=fitting.jumps(table[1], design.period > 0),
        error=error,
        tail=tail,
        tail_tap=tail_tap,
    )


def cell_edges(knots: Sequence[float], phases: int) -> FloatArray:
    """Edges of the cells in [0, 1], shape (p + 1,): every knot (a lag, in samples) is one, no cell is wider than 1/phases."""
    fractions = np.sort(np.concatenate([[0.0, 1.0], (-np.asarray(knots, dtype=np.float64)) % 1.0]))
    corners = [0.0]
    for fraction in fractions:
        if fraction - corners[-1] > EDGE_TOLERANCE and 1 - fraction > EDGE_TOLERANCE:
            corners.append(float(fraction))
    corners.append(1.0)
    edges = [np.linspace(a, b, max(1, int(np.ceil((b - a) * phases - 1e-9))) + 1)[:-1] for a, b in pairwise(corners)]
    return np.concatenate([*edges, [1.0]])


def _fitted(
    description: FilterDescription, design: Design, spacing: float, first: int, taps: int
) -> tuple[FloatArray, FloatArray, list[float], float]:
    """Edges, table, norms and error, with as few cells as the measured width and the error allow."""
    phases = design.phases or max(1, int(np.ceil(CELLS_PER_WIDTH / design.width - 1e-9)))
    while True:
        edges = cell_edges(design.knots, phases)
        _check_size(description, (edges.size - 1) * taps)
        table = fitting.fit(design.response, edges, first, taps)
        norms = [fitting.l2_norm(order, edges) for order in table]
        width = resolution_length(norms)
        if not width >= NARROWEST:
            raise _too_narrow(description, design, width, spacing)
        error = fitting.distance(design.response, table[0], edges, first)
        needed = int(np.ceil(CELLS_PER_WIDTH / width * (1 - 1e-3)))
        if error > LARGEST_ERROR:
            needed = max(needed, phases + max(1, phases // 2))
        if design.phases or needed <= phases or phases >= MOST_CELLS:
            return edges, table, norms, error
        phases = min(needed, MOST_CELLS)


def resolution_length(norms: list[float]) -> float:
    return float(np.sqrt(1.5) * norms[1] / norms[2]) if norms[2] > 0 else float("nan")


def _too_narrow(description: FilterDescription, design: Design, width: float, spacing: float) -> UsageError:
    times = f"it must be {NARROWEST / width:.3g} times wider, or the signal sampled that much finer" if width > 0 else ""
    return UsageError(
        f"filter {description} is too narrow for the spacing {spacing:g}",
        received=f"a width of {width:.3g} samples",
        allowed=f"at least {NARROWEST:g} samples",
        mend="; ".join(part for part in (times, design.advice) if part),
    )


def _check_length(description: FilterDescription, design: Design, spacing: float, samples: int) -> None:
    """The length of a filter is the area of |response| over its peak: 2.5 sd of a Gaussian, the time of a decay."""
    if design.period:
        return
    response = np.abs(design.response(np.linspace(*design.support, 20_001)))
    length = response.mean() / response.max() * (design.support[1] - design.support[0]) if response.max() > 0 else 0.0
    if length > samples:
        raise UsageError(
            f"filter {description} is longer than the record",
            received=f"a filter of {length * spacing:.4g} on a record of {samples * spacing:.4g}",
            allowed="a filter shorter than the record",
        )


def _check_size(description: FilterDescription, numbers: int) -> None:
    numbers *= fitting.ORDERS * (DEGREE + 1)
    if numbers > MOST_NUMBERS:
        raise UsageError(
            f"filter {description} needs too large a table",
            received=f"{numbers * 8 / 1e6:.0f} MB",
            allowed=f"{MOST_NUMBERS * 8 / 1e6:.0f} MB",
            mend="sample the signal more coarsely, or shorten the filter",
        )


def _window(design: Design) -> tuple[int, int]:
    if design.period:
        return -(design.period // 2), design.period
    low, high = design.support
    first = int(np.ceil(low))
    return first, int(np.floor(high + 1)) - first + 1


def _factor(normalisation: str, kind: FilterKind, table: FloatArray, edges: FloatArray, norm: float, spacing: float) -> float:
    if normalisation == "peak":
        return 1 / fitting.peak(table)
    if normalisation == "energy":
        return 1 / (norm * float(np.sqrt(spacing)))
    area = fitting.area(table, edges)
    if kind.zero_area or abs(area) < 1e-9 * norm:
        raise UsageError(
            f"filter {kind.name} has no area to normalise by", received="normalisation area", allowed="peak or energy"
        )
    return 1 / (area * spacing)
