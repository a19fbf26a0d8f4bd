"""What is asked of a geometry: where spikes may be, what they make of the samples, and who is near whom.

Objects for a line, a circle and a line with exponential tails answer; they alone call the compiled kernels on spikes, and nobody
else knows how a filter is tabulated, how the record is padded, or how positions are ordered. Positions (K,) are in samples,
weights (K,) in signal units; ``root`` (M,) holds the square roots of the sample weights on the padded record, and curves
have its length.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.filters import Filter


class Births(NamedTuple):
    """Where the certificate peaks: candidates for new particles, ``position`` (C,) in samples, and ``eta`` (C,) there."""

    position: FloatArray
    eta: FloatArray


class Bound(Protocol):
    """Proves suprema of certificates, one gradient after the other."""

    def __call__(self, gradient: FloatArray, birth_level: float = 1.0) -> tuple[float, Births]:
        """Upper bound of the certificate (of its size when signed) over the whole domain, and its maxima above a level."""


class Covariance(Protocol):
    """Error bars of one set of spikes."""

    def least_increase(self, position: FloatArray, weight: FloatArray, reach: float) -> FloatArray:
        """What leaving each spike out costs in twice the loss at least, (K,), 0 where it is not known."""

    def standard_errors(self, weight: FloatArray, noise_sd: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Standard errors of positions and of weights, (K,), NaN where unknown, and the covariance of neighbours' positions."""


class Geometry(Protocol):
    """A filter on a record and its domain; see `line.Line` for what each operation takes and gives."""

    filter: Filter

    # the record
    @property
    def size(self) -> int: ...
    @property
    def padding(self) -> tuple[int, int]: ...

    # what spikes make: the model, its residual, and windows of single spikes
    def model(self, position: FloatArray, weight: FloatArray) -> FloatArray: ...
    def residual(
        self,
        position: FloatArray,
        weight: FloatArray,
        root: FloatArray,
        values: FloatArray,
        before: tuple[FloatArray, FloatArray, FloatArray] | None,
        out: FloatArray,
    ) -> FloatArray: ...
    def rows(self, position: FloatArray, orders: int = 1) -> tuple[IntArray, FloatArray]: ...

    # products with curves
    def correlation(self, position: FloatArray, residual: FloatArray, root: FloatArray, orders: int = 1) -> FloatArray: ...
    def squared_norms(self, position: FloatArray, root: FloatArray) -> FloatArray: ...
    def weigh(self, position: FloatArray, weight: FloatArray) -> tuple[float, float, int]: ...

    # optimality: the bound with its births, and how far each spike is from stationary
    def bound(self, strength: float, positive: bool) -> Bound: ...
    def kkt(
        self, position: FloatArray, weight: FloatArray, residual: FloatArray, root: FloatArray, strength: float
    ) -> FloatArray: ...

    # in order, near, inside
    def order(self, position: FloatArray) -> IntArray: ...
    def inside(self, position: FloatArray) -> FloatArray: ...
    @property
    def endless(self) -> bool: ...
    def spaced(self, step: float) -> FloatArray: ...
    def at_ends(self, position: FloatArray) -> NDArray[np.bool_]: ...
    def distance(self, position: FloatArray, others: FloatArray) -> FloatArray: ...
    def around(self, position: FloatArray, centre: float, reach: float) -> slice | NDArray[np.bool_]: ...
    def near(self, position: FloatArray, centres: FloatArray, reach: float) -> NDArray[np.bool_]: ...

    # moving spikes: one system of all of them, sweeps over neighbourhoods, or none (a flow), and what of a flow is written
    def fits_together(self, count: int) -> bool: ...
    def moves_together(self, count: int) -> bool: ...
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
    ) -> tuple[int, float]: ...
    def sweep(
        self,
        x: FloatArray,
        w: FloatArray,
        residual: FloatArray,
        root: FloatArray,
        unsettled: NDArray[np.bool_],
        *,
        strength: float,
        tolerance: float,
        shifted: bool,
    ) -> tuple[IntArray, IntArray]: ...
    def beside(self, place: FloatArray, eta: FloatArray, position: FloatArray, weight: FloatArray, reach: float) -> IntArray: ...
    def condense(
        self, x: FloatArray, w: FloatArray, residual: FloatArray, root: FloatArray, strength: float, most: float
    ) -> int: ...

    # error bars, and who cannot be told from whom
    def covariance(
        self, position: FloatArray, fixed: NDArray[np.bool_], root: FloatArray, columns: FloatArray, products: FloatArray
    ) -> Covariance: ...
    def groups(self, x: FloatArray, errors: FloatArray, common: FloatArray, width: float | FloatArray) -> IntArray: ...
