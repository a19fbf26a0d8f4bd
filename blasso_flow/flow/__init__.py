"""Flows on particles towards the optimum: one loop, into which a method plugs its start, births and steps."""

from blasso_flow.flow.ledger import Solution
from blasso_flow.flow.loop import run
from blasso_flow.flow.method import Method
from blasso_flow.flow.solver import MAX_ROUNDS, METHODS, TOLERANCE, TOLERANCE_NOISE, Flow, solve

__all__ = ["MAX_ROUNDS", "METHODS", "TOLERANCE", "TOLERANCE_NOISE", "Flow", "Method", "Solution", "run", "solve"]
