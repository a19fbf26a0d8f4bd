"""Two-layer networks f(z) = sum_i a_i act(w_i . z) on standard normal inputs, with losses in closed form.

E relu(w.z) relu(v.z) is the arc-cosine kernel (Cho and Saul 2009). For the sigmoid, here the normal distribution function,
E Phi(w.z) Phi(v.z) = 1/4 + arcsin(w.v / sqrt((1 + |w|^2)(1 + |v|^2))) / (2 pi). So the squared loss against a teacher, and
its gradient, carry no sampling noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray

TINY = 1e-300
GROWTH, SHRINK = 1.1, 0.5  # of accepted and refused steps
LEAST_STEP = 1e-14
ROUNDING = 1e-15  # of the zero model's loss: what the loss cannot resolve


@dataclass(frozen=True, eq=False)
class Network:
    """Output weights (m,) and inner weights (m, d)."""

    outer: FloatArray
    inner: FloatArray


@dataclass(frozen=True)
class Activation:
    """``kernel`` is E act(w.z) act(v.z), shape (m, n), for inner weights w (m, d) and v (n, d). ``gradient`` is, for coefficients
    (n,) too, the sum over v of coefficients times the kernel, (m,), and its gradient by w, (m, d)."""

    kernel: Callable[[FloatArray, FloatArray], FloatArray]
    gradient: Callable[[FloatArray, FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


def _angles(w: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    lengths, others = np.maximum(np.linalg.norm(w, axis=1), TINY), np.maximum(np.linalg.norm(v, axis=1), TINY)
    cosine = np.clip((w @ v.T) / np.outer(lengths, others), -1.0, 1.0)
    return lengths, others, cosine, np.arccos(cosine)


def relu_kernel(w: FloatArray, v: FloatArray) -> FloatArray:
    """The arc-cosine kernel of degree 1."""
    lengths, others, cosine, angle = _angles(w, v)
    return np.outer(lengths, others) * (np.sqrt(1 - cosine**2) + (np.pi - angle) * cosine) / (2 * np.pi)


def relu_gradient(w: FloatArray, v: FloatArray, coefficients: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum over v of coefficients times the kernel, (m,), and its gradient by w, (m, d)."""
    lengths, others, cosine, angle = _angles(w, v)
    sine = np.sqrt(1 - cosine**2)
    values = lengths * (((sine + (np.pi - angle) * cosine) * others) @ coefficients) / (2 * np.pi)
    along = ((sine * others) @ coefficients / lengths)[:, None] * w
    return values, (along + ((np.pi - angle) * coefficients) @ v) / (2 * np.pi)


def _correlations(w: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    own, others = 1 + (w * w).sum(axis=1), 1 + (v * v).sum(axis=1)
    scale = np.sqrt(np.outer(own, others))
    return own, scale, np.clip((w @ v.T) / scale, -1.0, 1.0)


def sigmoid_kernel(w: FloatArray, v: FloatArray) -> FloatArray:
    """The arcsine kernel of the normal distribution function."""
    return 0.25 + np.arcsin(_correlations(w, v)[2]) / (2 * np.pi)


def sigmoid_gradient(w: FloatArray, v: FloatArray, coefficients: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum over v of coefficients times the kernel, (m,), and its gradient by w, (m, d)."""
    own, scale, correlation = _correlations(w, v)
    values = (0.25 + np.arcsin(correlation) / (2 * np.pi)) @ coefficients
    slopes = coefficients / (2 * np.pi * np.sqrt(np.maximum(1 - correlation**2, TINY)))
    return values, (slopes / scale) @ v - ((slopes * correlation).sum(axis=1) / own)[:, None] * w


ACTIVATIONS = {"relu": Activation(relu_kernel, relu_gradient), "sigmoid": Activation(sigmoid_kernel, sigmoid_gradient)}


def loss(activation: Activation, network: Network, teacher: Network) -> float:
    """Half the mean squared difference of two networks over all inputs."""
    inner = np.concatenate([network.inner, teacher.inner])
    outer = np.concatenate([network.outer, -teacher.outer])
    return 0.5 * float(outer @ activation.kernel(inner, inner) @ outer)


def descend(
    activation: Activation,
    network: Network,
    teacher: Network,
    *,
    mobility: float,
    strength: float,
    iterations: int,
    target: float,
) -> tuple[Network, int]:
    """Gradient descent on all weights until the loss, penalty included, is below ``target``; steps halve where it would rise.

    ``mobility`` is that of the inner weights relative to the outer ones; the penalty is strength * sum (a^2 + |w|^2) / 2.
    Returns the network and the number of iterations.
    """

    def value(of: Network) -> float:
        return loss(activation, of, teacher) + 0.5 * strength * float((of.outer**2).sum() + (of.inner**2).sum())

    zero = Network(np.zeros(1), teacher.inner[:1])
    step, now, rounding = 0.1, value(network), ROUNDING * loss(activation, zero, teacher)
    for iteration in range(iterations):
        if now <= target:
            return network, iteration
        inner = np.concatenate([network.inner, teacher.inner])
        values, slopes = activation.gradient(network.inner, inner, np.concatenate([network.outer, -teacher.outer]))
        outer_slope = values + strength * network.outer
        inner_slope = network.outer[:, None] * slopes + strength * network.inner
        square = float((outer_slope**2).sum() + mobility * (inner_slope**2).sum())
        while True:
            moved = Network(network.outer - step * outer_slope, network.inner - step * mobility * inner_slope)
            after = value(moved)
            if after <= now - 0.5 * step * square + rounding:
                break
            step *= SHRINK
            if step < LEAST_STEP:
                return network, iteration
        network, now, step = moved, after, step * GROWTH
    return network, iterations


def best_outer(activation: Activation, inner: FloatArray, teacher: Network) -> FloatArray:
    """Output weights of least loss for fixed inner weights: the convex problem, solved exactly."""
    target = activation.kernel(inner, teacher.inner) @ teacher.outer
    return np.asarray(np.linalg.lstsq(activation.kernel(inner, inner), target, rcond=None)[0], dtype=np.float64)
