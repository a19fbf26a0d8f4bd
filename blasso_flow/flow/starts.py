"""Where the paper's flows start: positions on a uniform grid or drawn at random, of a given number of particles."""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.problem import Problem

STARTS = ("uniform", "random")


def positions(problem: Problem, particles: int, start: str, random: np.random.Generator) -> FloatArray:
    """Sorted positions (samples), shape (particles,): the middles of equal parts of the domain, or uniform draws from it."""
    low, high = problem.domain
    shares = (np.arange(particles) + 0.5) / particles if start == "uniform" else np.sort(random.random(particles))
    return low + shares * (high - low)


def sparse(problem: Problem, particles: int) -> tuple[str, ...]:
    """One line where particles start further apart than the filter's width, and how many do not; empty otherwise.

    A particle finds what lies within about a width of it, so a gap between two may hide a spike for ever.
    """
    low, high = problem.domain
    width, spacing = problem.filter.width, problem.axis.spacing
    apart = (high - low) / particles
    if apart <= width:
        return ()
    enough = int(np.ceil((high - low) / width))
    return (
        f"{particles} particles start {apart * spacing:.3g} apart, further than the filter's width of {width * spacing:.3g}: "
        f"a spike between two may be missed, `particles={enough}` or more is dense enough",
    )
