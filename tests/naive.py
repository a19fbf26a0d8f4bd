"""Slow, obvious oracles in plain numpy: dense matrices, dense grids, textbook formulas. Positions are in samples.

Signals here are one channel: values ``y`` (N,), 0 where missing, and sample weights ``sample_weights`` (N,), 0 where missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def response_matrix(filter, position, samples, order=0):
    """Column i: response (or its derivative by position) of a spike at ``position[i]``, at samples 0 to N - 1. Shape (N, K)."""
    return filter.response(np.arange(samples)[:, None] - np.asarray(position, dtype=float)[None, :], order)


def model(filter, position, weight, samples):
    """Sum of filtered spikes, shape (N,)."""
    return response_matrix(filter, position, samples) @ np.asarray(weight, dtype=float)


def split(values, noise_sd=None):
    """Values with NaN to (values, sample weights): 0 where missing, else (median sd / sd)^2."""
    missing = np.isnan(values)
    weights = np.ones(values.size)
    if noise_sd is not None and np.ndim(noise_sd) == 1:
        weights = (np.median(noise_sd[~missing]) / noise_sd) ** 2
    return np.where(missing, 0.0, values), np.where(missing, 0.0, weights)


def best_baseline(y, sample_weights, fit, columns):
    """Weighted least squares coefficients (B,) of ``y - fit`` on baseline columns (N, B), by the normal equations."""
    if columns.shape[1] == 0:
        return np.empty(0)
    weighted = columns * sample_weights[:, None]
    return np.linalg.solve(weighted.T @ columns, weighted.T @ (y - fit))


def objective(y, sample_weights, fit, strength, weight):
    """1/2 sum W (m - y)^2 + strength sum |w|."""
    return 0.5 * np.sum(sample_weights * (fit - y) ** 2) + strength * np.sum(np.abs(weight))


def gradient(y, sample_weights, fit):
    """u = W (m - y), shape (N,)."""
    return sample_weights * (fit - y)


def certificate(filter, u, strength, position, order=0):
    """eta, or its derivative by position, at positions (K,): -<u, phi(. - x)> / strength."""
    position = np.asarray(position, dtype=float)
    result = np.empty(position.size)
    for start in range(0, position.size, 2000):
        part = slice(start, start + 2000)
        result[part] = -response_matrix(filter, position[part], u.size, order).T @ u / strength
    return result


def dense_grid(filter, low, high, per_width=50):
    """Positions from low to high, ends and all cell edges included, at least ``per_width`` a width and 8 a cell."""
    count = int(np.ceil((high - low) * per_width / filter.width)) + 2
    whole = np.arange(np.floor(low), np.floor(high) + 1)
    edges = (whole[:, None] + filter.edges[None, :]).ravel()
    inner = (edges[:-1, None] + np.diff(edges)[:, None] * np.linspace(0, 1, 9)).ravel()
    grid = np.concatenate([np.linspace(low, high, count), edges, inner])
    return np.unique(np.clip(grid, low, high))


def highest(filter, u, strength, grid, positive, zooms=5):
    """(position, eta) where eta (positive) or |eta| (signed) is largest, found on a sorted grid and on ever finer ones around
    each of its local maxima that could matter."""

    def size(place):
        eta = certificate(filter, u, strength, place)
        return eta if positive else np.abs(eta)

    sampled = size(grid)
    beside = np.concatenate([[-np.inf], sampled, [-np.inf]])
    tops = np.flatnonzero((sampled >= beside[:-2]) & (sampled >= beside[2:]) & (sampled >= sampled.max() - 0.05))
    best, height = grid[np.argmax(sampled)], sampled.max()
    for top in tops[np.argsort(-sampled[tops])][:20]:
        low, high = grid[max(top - 1, 0)], grid[min(top + 1, grid.size - 1)]
        for _ in range(zooms):
            fine = np.linspace(low, high, 17)
            values = size(fine)
            middle = int(np.argmax(values))
            low, high = fine[max(middle - 1, 0)], fine[min(middle + 1, 16)]
            if values[middle] > height:
                best, height = fine[middle], values[middle]
    return float(best), float(certificate(filter, u, strength, [best])[0])


def supremum(filter, u, strength, low, high, positive, per_width=50):
    """Largest eta (positive) or |eta| (signed) that sampling finds: a lower bound of the supremum."""
    eta = highest(filter, u, strength, dense_grid(filter, low, high, per_width), positive)[1]
    return eta if positive else abs(eta)


def dual_value(y, sample_weights, u, scale=1.0):
    """-R*(scale u) of the squared loss."""
    present = sample_weights > 0
    scaled = scale * u[present]
    return float(-np.sum(scaled**2 / (2 * sample_weights[present]) + scaled * y[present]))


def best_dual_value(y, sample_weights, u, supremum):
    """Largest dual value of t u over a fine scan of 0 <= t <= 1/supremum (all t up to 2 if supremum < 1/2)."""
    last = min(2.0, 1 / supremum) if supremum > 0 else 2.0
    return max(dual_value(y, sample_weights, u, t) for t in np.append(np.linspace(0, last, 2001), min(1.0, last)))


@dataclass
class Solution:
    """Positions, weights, baseline coefficients, objective and u of a measure."""

    position: np.ndarray
    weight: np.ndarray
    baseline: np.ndarray
    objective: float
    u: np.ndarray


def solve(filter, y, sample_weights, strength, *, positive=True, columns=None, domain=None, tol=1e-9, rounds=60):
    """Minimise the objective over measures, slowly: add the largest violation that sampling finds, then descend on everything.

    The descent is a damped Newton method on (w, x) with the exact Hessian and the baseline eliminated, dense throughout.
    """
    samples = y.size
    columns = np.ones((samples, 0)) if columns is None else columns
    low, high = (0.0, samples - 1.0) if domain is None else domain
    if filter.period:
        high = float(filter.period)
    grid = np.linspace(low, high, int(np.ceil((high - low) * 12 / filter.width)) + 2)
    position, weight = np.empty(0), np.empty(0)
    for _ in range(rounds):
        state = _state(filter, y, sample_weights, strength, columns, position, weight)
        best, eta = highest(filter, state.u, strength, grid, positive)
        if (eta if positive else abs(eta)) <= 1 + tol:
            break
        position, weight = np.append(position, best), np.append(weight, 0.0)
        position, weight = _descend(filter, y, sample_weights, strength, columns, position, weight, eta, positive, (low, high))
    order = np.argsort(position)
    return _state(filter, y, sample_weights, strength, columns, position[order], weight[order])


def _state(filter, y, sample_weights, strength, columns, position, weight):
    fit = model(filter, position, weight, y.size) if position.size else np.zeros(y.size)
    baseline = best_baseline(y, sample_weights, fit, columns)
    fit = fit + columns @ baseline
    return Solution(
        position, weight, baseline, objective(y, sample_weights, fit, strength, weight), gradient(y, sample_weights, fit)
    )


def _descend(filter, y, sample_weights, strength, columns, position, weight, eta, positive, domain):
    weight = weight.copy()
    weight[-1] = np.sign(eta) * 0.5 * (abs(eta) - 1) * strength / filter.norm**2 / max(sample_weights.max(), 1e-300)
    sign = np.sign(weight)
    damping = 1e-6
    for _ in range(300):
        state = _state(filter, y, sample_weights, strength, columns, position, weight)
        step, slope = _newton(filter, state, sample_weights, strength, columns, sign, damping, domain)
        size = position.size
        moved = np.clip(position + np.clip(step[size:], -0.5 * filter.width, 0.5 * filter.width), *domain)
        changed = weight + step[:size]
        kept = changed * sign > 0
        changed = np.where(kept, changed, 0.0)
        trial = _state(filter, y, sample_weights, strength, columns, moved, changed)
        if trial.objective > state.objective * (1 + 4e-16):
            damping *= 10
            if damping > 1e12:
                break
            continue
        damping = max(damping / 10, 1e-14)
        position, weight, sign = moved[kept], changed[kept], sign[kept]
        near = np.flatnonzero(np.diff(np.sort(position)) < 1e-3 * filter.width)
        if near.size:
            order = np.argsort(position)
            position, weight, sign = position[order], weight[order], sign[order]
            if sign[near[0]] == sign[near[0] + 1]:
                joined = np.delete(weight, near[0] + 1)
                joined[near[0]] += weight[near[0] + 1]
                position, weight, sign = np.delete(position, near[0] + 1), joined, np.delete(sign, near[0] + 1)
        if not position.size or slope < 1e-13:
            break
    return position, weight


def _newton(filter, state, sample_weights, strength, columns, sign, damping, domain):
    """Damped Newton step in (w, x) and the size of the scaled gradient."""
    position, weight, samples = state.position, state.weight, state.u.size
    value, first, second = (response_matrix(filter, position, samples, order) for order in range(3))
    jacobian = np.hstack([value, first * weight])
    weighted = jacobian * sample_weights[:, None]
    hessian = jacobian.T @ weighted
    if columns.shape[1]:
        across = columns.T @ weighted
        hessian -= across.T @ np.linalg.solve(columns.T @ (columns * sample_weights[:, None]), across)
    size = position.size
    gradient_w = value.T @ state.u + strength * sign
    slope = first.T @ state.u
    gradient_x = weight * slope
    index = np.arange(size)
    hessian[size + index, size + index] += weight * (second.T @ state.u)
    hessian[index, size + index] += slope
    hessian[size + index, index] += slope
    fixed = ((position <= domain[0]) & (gradient_x > 0)) | ((position >= domain[1]) & (gradient_x < 0))
    gradient_x = np.where(fixed, 0.0, gradient_x)
    hessian[size + index[fixed]] = 0.0
    hessian[:, size + index[fixed]] = 0.0
    scale = np.concatenate([np.full(size, filter.norm), np.abs(weight) * filter.norm1 + 1e-300])
    hessian = hessian / scale / scale[:, None]
    hessian[size + index[fixed], size + index[fixed]] = 1.0
    eigenvalues, vectors = np.linalg.eigh(hessian)
    gradient_all = np.concatenate([gradient_w, gradient_x]) / scale
    step = -vectors @ ((vectors.T @ gradient_all) / (np.abs(eigenvalues) + damping)) / scale
    return step, float(np.max(np.abs(gradient_all))) * filter.norm / strength
