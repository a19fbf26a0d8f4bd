"""Error bars on a line: the inverse of the Gauss-Newton matrix of weights, positions and baseline, and what follows from it.

Positions in samples, weights in signal units. The loops are in `kernels.line.covariance`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.problem.whitening import pseudo_inverse

UNRESOLVED = 0.25  # widths of position error
MOST_NUMBERS = 25_000_000  # of a banded matrix: 200 MB


@dataclass(frozen=True, eq=False)
class LineCovariance:
    """Inverse of J^T W J near its diagonal, J the Jacobian by weights, positions and baseline.

    In units of each column's norm, ``norms`` (K, 2) of response and slope: ``blocks`` (K, 3) are the entries (w w), (w x) and
    (x x) of a spike, ``near`` (K,) the entry (x_i, x_i+1). ``fixed`` (2 K,) parameters, weight and position of each spike by
    turns, do not move; ``lost`` (2 K,) are not identifiable.
    """

    fixed: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    norms: FloatArray
    blocks: FloatArray
    near: FloatArray

    def least_increase(self, position: FloatArray, weight: FloatArray, reach: float) -> FloatArray:
        """What leaving each spike out costs in twice the loss, shape (K,): the linear model's value, lowered for neighbours.

        Those within ``reach`` (samples) may take it over by moving together. 0 where the linear model says nothing.
        """
        from blasso_flow.kernels.line import covariance

        cost = np.empty(position.size)
        covariance.least_increase(position, weight, self.blocks, self.norms, self.lost, reach, cost)
        return cost

    def standard_errors(self, weight: FloatArray, noise_sd: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Errors of positions and of weights, (K,), NaN where unknown; covariance of neighbouring positions, (K - 1,)."""
        from blasso_flow.kernels.line import covariance

        of_weight, of_position, common = np.empty((3, weight.size))
        known = self.fixed, self.lost, self.norms, self.blocks, self.near
        covariance.standard_errors(weight, noise_sd, *known, of_weight, of_position, common)
        return of_position, of_weight, common[:-1]


def determined(
    inverse_blocks: Callable[..., bool],
    position: FloatArray,
    fixed: NDArray[np.bool_],
    root: FloatArray,
    columns: FloatArray,
    products: FloatArray,
) -> LineCovariance:
    """The covariance of spikes (K,) in order: ``inverse_blocks`` fills in their own, then the baseline's share is added.

    Everything is lost where the matrix would be too large.
    """
    from blasso_flow.kernels.line import covariance

    count = position.size
    lost = np.zeros(2 * count, dtype=np.bool_)
    norms, blocks, near = np.empty((count, 2)), np.empty((count, 3)), np.empty(count)
    coupling, solved = np.empty((2, columns.shape[0], 2 * count))
    out = lost, norms, blocks, near, coupling, solved
    if inverse_blocks(position, fixed, root, columns, *out, most=MOST_NUMBERS) and columns.size:
        rest = np.empty(products.shape)
        covariance.border(products, coupling, solved, rest)
        covariance.add_border(pseudo_inverse(rest, 1e-12), solved, blocks, near)
    return LineCovariance(fixed, lost, norms, blocks, near)


def nothing_fixed(count: int) -> NDArray[np.bool_]:
    """Weights and positions of ``count`` spikes all move, (2 K,)."""
    return np.zeros(2 * count, dtype=np.bool_)


def resolved_groups(x: FloatArray, errors: FloatArray, common: FloatArray, width: float | FloatArray) -> IntArray:
    """Group numbers (K,): a spike whose position error exceeds a quarter of a width, or is unknown, joins the neighbours it
    is not resolved from: nearer than a width, or than twice the standard error of the distance. ``common`` (K - 1,) is the
    covariance of neighbouring positions; ``width`` one for all, or (K,)."""
    from blasso_flow.kernels.line import covariance

    group = np.empty(x.size, dtype=np.int64)
    covariance.groups(x, errors, common, np.broadcast_to(width, x.shape), UNRESOLVED, group)
    return group
