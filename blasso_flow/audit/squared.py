"""The independent check of a result of least squares: objective, feasible dual point and gap, in plain numpy, for `audit` only.

    J = 1/2 sum W (m - y)^2 + strength sum |w|,    u = W (m - y),    eta(x) = -<u, phi(. - x)> / strength
    D(t) = -t^2/2 sum u^2 / W - t sum u y   is a lower bound of every objective for 0 <= t <= 1 / sup eta (sup |eta| if signed)

The floating-point u is taken as an exact vector; what rounding can add to J, D and sup eta is allowed for in the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blasso_flow.audit.baselines import best_baseline
from blasso_flow.audit.bound import Bound, bound_certificate
from blasso_flow.audit.parts import Part
from blasso_flow.data.signals import FloatArray
from blasso_flow.filters.superposition import filtered

ROUNDING = 8 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Measured:
    """The signal as the loss sees it, and the measure to be checked; ``columns`` (N, B).

    Of coloured noise ``whitener`` (p,) takes from each sample what the p before it predict, on a record that is ``periodic`` or
    not; samples for which one of them is missing have weight 0.
    """

    values: FloatArray
    sample_weights: FloatArray
    columns: FloatArray
    parts: Sequence[Part]
    positive: bool
    whitener: FloatArray
    periodic: bool

    def whitened(self, curve: FloatArray) -> FloatArray:
        """What the samples before do not predict of a curve (N,) or of columns (N, B), where all of them are."""
        result = curve.copy()
        for lag, share in enumerate(self.whitener, 1):
            result -= share * self._later(curve, lag)
        return result

    def adjoint(self, curve: FloatArray) -> FloatArray:
        """The transposed operation: <adjoint(u), y> = <u, whitened(y)>."""
        result = curve.copy()
        for lag, share in enumerate(self.whitener, 1):
            result -= share * self._later(curve[::-1], lag)[::-1]
        return result

    def _later(self, curve: FloatArray, lag: int) -> FloatArray:
        moved = np.roll(curve, lag, axis=0)
        if not self.periodic:
            moved[:lag] = 0.0
        return moved


def prove_squared(measured: Measured, baseline: FloatArray, slack: float) -> tuple[float, float, float, Bound, float]:
    """Own objective, dual value, relative gap, bound, and the relative rounding of the objective.

    ``slack`` is what the bound of the certificate may add to the gap by being no supremum.
    The objective belongs to the stored measure with its stored baseline; the dual point to the best baseline, for which
    columns^T u = 0 holds by itself.
    """
    weights, columns = measured.sample_weights, measured.whitened(measured.columns)
    y = measured.whitened(measured.values)
    magnitude = np.zeros(y.size)
    clean = np.sum([filtered(part.filter, part.position, part.weight, y.size, magnitude) for part in measured.parts], axis=0)
    clean = measured.whitened(clean)
    penalty = sum(part.strength * float(np.abs(part.weight).sum()) for part in measured.parts)
    stored = clean + columns @ baseline
    objective = 0.5 * float(np.sum(weights * (stored - y) ** 2)) + penalty
    best = best_baseline(columns, weights, y - clean)
    fit = clean + columns @ best
    u = weights * (fit - y)
    seen = measured.adjoint(u)
    bounds = [
        bound_certificate(part.filter, seen, part.strength, part.domain, measured.positive, slack) for part in measured.parts
    ]
    bound = max(bounds, key=lambda each: each.supremum)
    present = weights > 0
    square = float(np.sum(u[present] ** 2 / weights[present]))
    product = float(np.sum(u * y))
    scale = _best_scale(square, product, bound.supremum)
    dual_value = -0.5 * scale**2 * square - scale * product
    magnitude *= (1 + np.abs(measured.whitener).sum()) ** 2
    size = np.abs(u) * (magnitude + np.abs(columns) @ np.abs(best) + np.abs(y))
    leak = float(np.sum(np.abs(columns.T @ u) * np.abs(best))) if best.size else 0.0
    rounding = ROUNDING * (float(np.sum(size)) + objective) + leak
    if objective <= 0:
        return objective, dual_value, 0.0, bound, 0.0
    excess = max(objective - dual_value, 0.0) + rounding
    return objective, dual_value, excess / objective, bound, rounding / objective


def _best_scale(square: float, product: float, supremum: float) -> float:
    """The t >= 0 that makes -t^2/2 square - t product largest while t * supremum <= 1."""
    best = max(-product / square, 0.0) if square > 0 else 1.0
    return min(best, 1 / supremum) if supremum > 0 else best
