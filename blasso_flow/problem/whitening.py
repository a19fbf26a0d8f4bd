"""Sample weights and baseline columns on the padded record, and what follows from them alone.

Records without a missing sample whose noise is even have all of it in common, so it is kept from one channel to the next.
Plain arrays in samples; nobody writes to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import Axis, FloatArray
from blasso_flow.filters.prewhitened import whitened_samples
from blasso_flow.problem import baselines, sums
from blasso_flow.problem.baselines import Baseline

SHORT_RECORD = 4096  # samples: of so short records it is kept


@dataclass(frozen=True, eq=False)
class Whitening:
    """``sample_weights`` (N,), baseline ``columns`` (N, B), and the samples before and after the record that pad it to M."""

    sample_weights: FloatArray
    columns: FloatArray
    padding: tuple[int, int]

    def padded(self, values: FloatArray) -> FloatArray:
        """A curve on the record (N,) as a curve on the padded record (M,), zero outside."""
        before, after = self.padding
        padded = np.zeros(before + values.size + after)
        padded[before : before + values.size] = values
        return padded

    @cached_property
    def root(self) -> FloatArray:
        """Square roots of the sample weights, shape (M,)."""
        root = self.padded(self.sample_weights)
        return np.sqrt(root, out=root)

    @cached_property
    def largest_root(self) -> float:
        """The largest square root of a sample weight."""
        return float(self.root.max())

    @cached_property
    def equal_weights(self) -> bool:
        """Whether every sample's weight is 0 or 1."""
        return bool(((self.root == 0) | (self.root == 1)).all())

    @cached_property
    def baseline(self) -> FloatArray:
        """Baseline columns times root, shape (B, M)."""
        columns = [self.root * self.padded(column) for column in self.columns.T]
        return np.array(columns).reshape(len(columns), self.root.size)

    @cached_property
    def products(self) -> FloatArray:
        """Inner products of the whitened columns of the baseline, shape (B, B)."""
        return np.array([sums.dots(self.baseline, column) for column in self.baseline]).reshape(2 * self.baseline.shape[:1])

    @cached_property
    def lengths(self) -> FloatArray:
        """Norms of the whitened columns of the baseline, shape (B,)."""
        return np.sqrt(np.diagonal(self.products))

    @cached_property
    def inverse(self) -> FloatArray:
        """Pseudo-inverse of the products, shape (B, B)."""
        return pseudo_inverse(self.products, 1e-13)

    @cached_property
    def orthonormal(self) -> FloatArray:
        """Orthonormal curves that span the whitened columns, shape (C, M), those without a sample left out."""
        columns = self.baseline
        if len(columns) == 1:
            length = self.lengths[0]
            return columns / length if length > 0 else columns[:0]
        return np.ascontiguousarray(np.linalg.qr(columns[columns.any(axis=1)].T)[0].T)


def weighed(sd: float | FloatArray | None, present: NDArray[np.bool_], counts: bool) -> tuple[float, FloatArray]:
    """The sd of a sample of weight 1, NaN when unknown, and the weights (N,): (median sd / sd)^2 where each has a sd."""
    weights = present.astype(np.float64)
    if not isinstance(sd, np.ndarray):
        return np.nan if sd is None else float(sd), weights
    if counts or not present.any():
        return np.nan, weights
    median = float(np.median(sd[present]))
    weights[present] = (median / sd[present]) ** 2
    return median, weights


def whitening(
    weights: FloatArray,
    baseline: Baseline,
    axis: Axis,
    present: NDArray[np.bool_],
    padding: tuple[int, int],
    whitener: FloatArray,
    periodic: bool,
) -> Whitening:
    """The whitening of sample weights (N,), 0 where missing, and of the columns of a baseline: see `baselines.columns`.

    ``whitener`` (p,) is that of coloured noise, see `filters.prewhitened`; without coefficients the noise is white.
    """
    if whitener.size:
        columns = whitened_samples(baselines.columns(baseline, axis, present), whitener, periodic)
        return Whitening(weights, np.nan_to_num(columns), padding)
    if axis.size <= SHORT_RECORD and (weights == 1.0).all():
        return _of_even_record(baseline, axis, padding)
    return Whitening(weights, baselines.columns(baseline, axis, present), padding)


@lru_cache(maxsize=4)
def _of_even_record(baseline: Baseline, axis: Axis, padding: tuple[int, int]) -> Whitening:
    present = np.ones(axis.size, dtype=np.bool_)
    return Whitening(present.astype(np.float64), baselines.columns(baseline, axis, present), padding)


def pseudo_inverse(matrix: FloatArray, threshold: float) -> FloatArray:
    """Pseudo-inverse of a positive semi-definite matrix (B, B), without eigenvalues below ``threshold`` of the largest."""
    if matrix.size == 1:
        value = float(matrix[0, 0])
        return np.array([[1 / value if value > 0 else 0.0]])
    values, vectors = np.linalg.eigh(matrix)
    large = values > threshold * values.max(initial=0.0)
    kept = vectors[:, large]
    return np.asarray(np.multiply((kept / values[large])[:, None], kept).sum(axis=-1))
