"""The penalty: strength times total variation, over signed or non-negative measures."""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray


def value(weight: FloatArray, strength: float) -> float:
    """strength * sum |w|, for weights of any shape."""
    return strength * float(np.abs(weight).sum())


def level(eta: FloatArray, positive: bool) -> FloatArray:
    """What must not exceed 1 at the optimum: eta for non-negative measures, |eta| for signed ones, same shape."""
    return eta if positive else np.abs(eta)
