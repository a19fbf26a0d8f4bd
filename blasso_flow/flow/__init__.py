"""Flows on particles towards the optimum: one loop, into which a method plugs its start, birth and step."""

from blasso_flow.flow.ledger import Solution
from blasso_flow.flow.loop import run
from blasso_flow.flow.particles import Method, Particles, largest_strength
from blasso_flow.flow.solver import MAX_ROUNDS, TOLERANCE, TOLERANCE_NOISE, solve

__all__ = [
    "MAX_ROUNDS",
    "TOLERANCE",
    "TOLERANCE_NOISE",
    "Method",
    "Particles",
    "Solution",
    "largest_strength",
    "run",
    "solve",
]
