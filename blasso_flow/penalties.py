"""The penalty: strength times total variation, over signed or non-negative measures."""

from __future__ import annotations

import numpy as np

from blasso_flow.signals import FloatArray


def value(weight: FloatArray, strength: float) -> float:
    """strength * sum |w|, for weights of any shape."""
    return strength * float(np.abs(weight).sum())


def prox(weight: FloatArray, threshold: float, positive: bool) -> FloatArray:
    """Proximal map of threshold * |w| (with w >= 0 when ``positive``), same shape: soft thresholding."""
    if positive:
        return np.maximum(weight - threshold, 0.0)
    return np.sign(weight) * np.maximum(np.abs(weight) - threshold, 0.0)


def level(eta: FloatArray, positive: bool) -> FloatArray:
    """What must not exceed 1 at the optimum: eta for non-negative measures, |eta| for signed ones, same shape."""
    return eta if positive else np.abs(eta)
