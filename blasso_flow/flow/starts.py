"""Where the paper's flows start: positions on a uniform grid or drawn at random, of a given number of particles."""

from __future__ import annotations

import numpy as np

from blasso_flow.problem import Problem
from blasso_flow.signals import FloatArray

STARTS = ("uniform", "random")


def positions(problem: Problem, particles: int, start: str, random: np.random.Generator) -> FloatArray:
    """Sorted positions (samples), shape (particles,): the middles of equal parts of the domain, or uniform draws from it."""
    low, high = problem.domain
    shares = (np.arange(particles) + 0.5) / particles if start == "uniform" else np.sort(random.random(particles))
    return low + shares * (high - low)
