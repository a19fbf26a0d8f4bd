"""Flows on particles towards the optimum: one loop, into which a method plugs its start, birth and step."""

from blasso_flow.flow.loop import Method, Particles, Solution, run, solve

__all__ = ["Method", "Particles", "Solution", "run", "solve"]
