"""The one question that a loop asks of a problem: what is proven of this iterate, and where do new particles belong?

eta(x) = -<u, phi(. - x)> / strength with u the gradient of the loss. If |eta| <= s on the whole domain (eta <= s for
non-negative measures), a multiple of u is feasible for the dual problem, and the objective minus the dual value there bounds how
far the iterate is above the optimum.

An *examiner* of a problem prepares once what depends on the problem alone. Called with an iterate and ``target``, the largest gap
at an objective that will do, which decides what is worth a birth, it gives `Evidence`; its ``eta`` gives the certificate at
the particles. There is one for least squares, for counts, and for problems with parts: see `examiner`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.geometry import Births
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem

BIRTH_SHARE = 0.1  # of the tolerance: candidates so close to 1 cannot keep the gap above it

Target = Callable[[float], float]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one evaluation proves of an iterate.

    Attributes
    ----------
    objective : of the iterate, as computed; the exact one is at most ``rounding`` above it.
    dual_value : a lower bound of the optimum.
    sup : a proven upper bound of eta (|eta| when signed) over the domain.
    births : local maxima of eta above a level a little above 1.
    """

    objective: float
    dual_value: float
    sup: float
    rounding: float
    births: Births


def birth_level(objective: float, target: Target) -> float:
    """Level of eta above which a candidate can keep the gap above its target."""
    return 1 + BIRTH_SHARE * (target(objective) / objective if objective > 0 else 0.0)


def eta_and_slopes(problem: Problem, position: FloatArray, curve: FloatArray, orders: int = 2) -> FloatArray:
    """eta and its derivatives by position (per sample), shape (orders, K), from the whitened residual (M,) of least squares."""
    eta = problem.geometry.correlation(position, curve, problem.root, orders)
    eta *= -1 / problem.strength
    return eta


def kkt_residuals(problem: Problem, position: FloatArray, weight: FloatArray, residual: FloatArray) -> FloatArray:
    """KKT residual of each spike, shape (K,), in order, from the whitened residual (M,): see `Line.kkt`."""
    return problem.geometry.kkt(position, weight, residual, problem.root, problem.strength)


def largest_strength(problem: Problem) -> float:
    """The smallest strength at which the optimum is the zero measure: sup <-u, phi_x> (its size when signed) without spikes.

    Of least squares; counts have a background to fit first, see `answer.counts`.
    """
    empty = Particles.none(problem)
    bound, _ = problem.geometry.bound(1.0, problem.positive)(problem.root * empty.curve)
    return bound
