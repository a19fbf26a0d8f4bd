"""Baselines: low-dimensional, unpenalised parts of the model, as columns that the solver refits together with the spikes."""

from __future__ import annotations

import numpy as np

from blasso_flow.errors import UsageError
from blasso_flow.signals import Axis, FloatArray

NAMES = ("const", "none")


def columns(name: str, axis: Axis) -> FloatArray:
    """Baseline columns on the axis, shape (N, B): the baseline is ``columns @ coefficients``, in the signal's units."""
    if name == "none":
        return np.empty((axis.size, 0))
    if name == "const":
        return np.ones((axis.size, 1))
    raise UsageError("unknown baseline", received=name, allowed=", ".join(NAMES))
