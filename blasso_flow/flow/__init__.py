"""Flows on particles towards the optimum: one loop, into which a method plugs its start, birth and step."""

from blasso_flow.flow.ledger import Solution
from blasso_flow.flow.loop import run
from blasso_flow.flow.particles import Method, Particles, largest_strength
from blasso_flow.flow.solver import MAX_ROUNDS, METHODS, TOLERANCE, TOLERANCE_NOISE, FlowChoice, follow, solve

__all__ = [
    "MAX_ROUNDS",
    "METHODS",
    "TOLERANCE",
    "TOLERANCE_NOISE",
    "FlowChoice",
    "Method",
    "Particles",
    "Solution",
    "follow",
    "largest_strength",
    "run",
    "solve",
]
