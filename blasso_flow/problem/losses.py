"""The losses: how far a model m is from the samples y, with what gradient, curvature and lower bounds.

A loss speaks of one curve of a model on the padded record (M,), from which everything follows: least squares of the whitened
residual sqrt(W) (m - y), counts of the model itself. ``root`` (M,) holds sqrt(W), 0 where nothing was recorded, ``values`` (M,)
the samples times that. A lower bound of the optimum is -R*(u), R* the conjugate of the loss, u a dual point.

A loss says what it is: ``name``; ``fits_baseline``, whether a baseline is fitted in closed form beside any measure, and
``least_baseline``, the least that a coefficient may be; ``counts``, whether the noise follows from the model. And it gives, of
a curve: `value`, `change` from one to another, `gradient`, `curvature` and `information` (Fisher's, the expected
curvature) at each sample, and dual values, in the form that its proof needs.
"""

from __future__ import annotations

import math

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.sums import EPSILON, dot, sum_rounding


class Squared:
    """Half the weighted squared error R(m) = 1/2 sum W (m - y)^2, of the whitened residual r = sqrt(W) (m - y).

    The gradient by m is u = W (m - y), the conjugate R*(u) = sum u^2 / (2 W) + u y, finite where u = 0 wherever W = 0.
    """

    name = "squared"
    fits_baseline = True
    least_baseline = -math.inf
    counts = False

    def value(self, curve: FloatArray, values: FloatArray | None = None) -> float:
        """Loss of a whitened residual of any shape."""
        return 0.5 * dot(curve, curve)

    def change(self, before: FloatArray, after: FloatArray, values: FloatArray) -> float:
        """What the loss grows by, without the digits that both have in common."""
        return 0.5 * dot(after - before, after + before)

    def gradient(self, curve: FloatArray, root: FloatArray, values: FloatArray | None = None) -> FloatArray:
        """The whitened residual itself."""
        return curve

    def curvature(self, curve: FloatArray, root: FloatArray, values: FloatArray | None = None) -> FloatArray:
        """1."""
        return np.ones_like(curve)

    def information(self, curve: FloatArray, root: FloatArray) -> FloatArray:
        """1."""
        return np.ones_like(curve)

    @staticmethod
    def best_dual_value(square: float, product: float, energy: float, size: int, largest_scale: float) -> tuple[float, float]:
        """Largest -R*(t u) over 0 <= t <= ``largest_scale``, closed form because it is concave in t.

        From sums of ``size`` terms: ``square`` of the whitened residual, its ``product`` with the whitened values, ``energy`` of
        those. Returns (dual value, allowance): the allowance bounds the rounding of the sums.
        """
        scale = 0.0 if square == 0.0 else min(max(-product / square, 0.0), largest_scale)
        terms = 0.5 * scale**2 * square + scale * math.sqrt(square * energy)
        allowance = sum_rounding(size) * terms
        return -0.5 * scale**2 * square - scale * product, allowance


class Poisson:
    """Counts: R(m) = sum m - y + y log(y / m) >= 0, of the model m, 0 where nothing was recorded; W is 0 or 1.

    Gradient u = 1 - y / m, conjugate R*(u) = -sum y log(1 - u), finite for u < 1 where y > 0 and u <= 1 elsewhere.
    """

    name = "poisson"
    fits_baseline = False
    least_baseline = 0.0
    counts = True

    def value(self, curve: FloatArray, values: FloatArray) -> float:
        """Loss of a model for counts >= 0: at least 0, infinite where a model of 0 cannot have made a count."""
        counted = values > 0
        m, y = curve[counted], values[counted]
        if not (m > 0).all():
            return math.inf
        return float(curve.sum() - y.sum() + (y * np.log(y / m)).sum())

    def change(self, before: FloatArray, after: FloatArray, values: FloatArray) -> float:
        """What the loss grows by."""
        return self.value(after, values) - self.value(before, values)

    def ratio(self, curve: FloatArray, values: FloatArray) -> FloatArray:
        """y / m, 0 where nothing was counted."""
        return np.divide(values, curve, out=np.zeros_like(curve), where=(values > 0) & (curve > 0))

    def gradient(self, curve: FloatArray, root: FloatArray, values: FloatArray) -> FloatArray:
        """u = 1 - y / m."""
        gradient: FloatArray = root - self.ratio(curve, values)
        return gradient

    def curvature(self, curve: FloatArray, root: FloatArray, values: FloatArray) -> FloatArray:
        """y / m^2."""
        return np.divide(self.ratio(curve, values), curve, out=np.zeros_like(curve), where=values > 0)

    def information(self, curve: FloatArray, root: FloatArray) -> FloatArray:
        """1 / m, 0 where nothing was recorded or is expected."""
        return np.where(curve > 0, root, 0.0) / np.maximum(curve, EPSILON)

    @staticmethod
    def dual_value(complement: FloatArray, values: FloatArray) -> tuple[float, float]:
        """-R*(u) = sum y log(1 - u) from ``complement`` = 1 - u, and the allowance for its rounding; equal shapes."""
        counted = values > 0
        if not (complement[counted] > 0).all():
            return -math.inf, 0.0
        terms = values[counted] * np.log(complement[counted])
        size = float(np.abs(terms).sum() + values.sum())
        return float(terms.sum()), sum_rounding(values.size) * size


SQUARED, POISSON = Squared(), Poisson()
LOSSES: dict[str, Squared | Poisson] = {loss.name: loss for loss in (SQUARED, POISSON)}
