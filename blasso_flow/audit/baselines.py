"""The baselines of a result that is audited, built again from their definition, and the best coefficients of one.

Imports no code of the solver's baselines: two ways to the same columns are the check.
"""

from __future__ import annotations

import math

import numpy as np

from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.errors import UsageError


def baseline_columns(baseline: str, channel: Signal) -> FloatArray:
    """Columns (N, B): powers by Legendre's recursion, cubic B-splines by Cox and de Boor's, one exponential."""
    kind, parameters = _parameters(baseline)
    size, spacing = channel.axis.size, channel.axis.spacing
    if kind in {"none", "const", "percentile"}:
        return np.ones((size, 0 if kind == "none" else 1))
    there = np.flatnonzero(~np.isnan(channel.values))
    span = max(int(there[-1] - there[0]), 1)
    z = np.clip((np.arange(size) - there[0]) / span, 0.0, 1.0 if there[-1] > there[0] else 0.0)
    length = float(there[-1] - there[0]) * spacing
    if kind == "poly" and "degree" in parameters:
        legendre = [np.ones(size), 2 * z - 1]
        for n in range(1, int(parameters["degree"])):
            legendre.append(((2 * n + 1) * (2 * z - 1) * legendre[n] - n * legendre[n - 1]) / (n + 1))
        return np.stack(legendre[: int(parameters["degree"]) + 1], axis=1)
    if kind == "bernstein" and "degree" in parameters:
        n = int(parameters["degree"])
        return np.stack([math.comb(n, k) * z**k * (1 - z) ** (n - k) for k in range(n + 1)], axis=1)
    if kind == "spline" and "knot" in parameters:
        return _cubic_splines(z, max(1, math.floor(length / parameters["knot"] + 1e-9)))
    if kind == "exp" and "rate" in parameters:
        return np.exp(-parameters["rate"] * length * z)[:, None]
    raise UsageError("certify: unknown baseline", received=baseline)


def running_percentile(baseline: str, channel: Signal) -> FloatArray:
    """What was taken off the signal beforehand, shape (N,): see the option's description; 0 for other baselines."""
    kind, parameters = _parameters(baseline)
    y = channel.values
    if kind != "percentile":
        return np.zeros(y.size)
    half = max(1, round(parameters["window"] / channel.axis.spacing / 2))
    share = parameters.get("percentile", 10.0) / 100
    knots, levels = [], []
    for centre in [*range(0, y.size - 1, max(1, (2 * half + 1) // 100)), y.size - 1]:
        window = y[max(0, centre - half) : centre + half + 1]
        window = np.sort(window[~np.isnan(window)])
        if window.size:
            rank = share * (window.size - 1)
            below = min(int(rank), max(window.size - 2, 0))
            knots.append(centre)
            levels.append(window[below] + (rank - below) * (window[min(below + 1, window.size - 1)] - window[below]))
    return np.interp(np.arange(y.size), knots, levels)


def best_baseline(columns: FloatArray, sample_weights: FloatArray, rest: FloatArray) -> FloatArray:
    """Weighted least squares coefficients (B,) of ``rest`` (N,), by orthogonal factors, corrected once for rounding."""
    if columns.shape[1] == 0:
        return np.empty(0)
    root = np.sqrt(sample_weights)
    u, sizes, v = np.linalg.svd(columns * root[:, None], full_matrices=False)
    determined = sizes > 1e-13 * sizes.max(initial=0.0)  # columns without samples determine nothing
    coefficients = np.zeros(columns.shape[1])
    for _ in range(3):
        left = root * (rest - columns @ coefficients)
        coefficients += v[determined].T @ ((u[:, determined].T @ left) / sizes[determined])
    return coefficients


def _parameters(baseline: str) -> tuple[str, dict[str, float]]:
    """Kind and parameters of a stored baseline's text."""
    kind, _, rest = baseline.partition(":")
    try:
        return kind, {name: float(value) for name, value in (part.split("=") for part in rest.split(",") if part)}
    except ValueError:
        raise UsageError("certify: the stored baseline cannot be read", received=baseline) from None


def _cubic_splines(z: FloatArray, intervals: int) -> FloatArray:
    """B-splines on equal intervals of [0, 1] with fourfold end knots, shape (N, intervals + 3)."""
    knots = [0.0] * 3 + [i / intervals for i in range(intervals + 1)] + [1.0] * 3
    cell = np.minimum((z * intervals).astype(np.int64), intervals - 1) + 3
    splines = np.zeros((z.size, len(knots) - 1))
    splines[np.arange(z.size), cell] = 1.0
    for degree in (1, 2, 3):
        for i in range(len(knots) - 1 - degree):
            left, right = knots[i + degree] - knots[i], knots[i + degree + 1] - knots[i + 1]
            rising = (z - knots[i]) / left * splines[:, i] if left > 0 else 0.0
            falling = (knots[i + degree + 1] - z) / right * splines[:, i + 1] if right > 0 else 0.0
            splines[:, i] = rising + falling
    return splines[:, : intervals + 3]
