"""What the loop asks of a method: particles to start with, and particles that are better."""

from __future__ import annotations

from typing import Protocol, TypeVar

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.evidence import Evidence

Moved = TypeVar("Moved", bound=Particles)
Posed = TypeVar("Posed", Problem, PartedProblem, contravariant=True)  # noqa: PLC0105


class Method(Protocol[Posed, Moved]):
    """Moves particles of one kind of problem; what it moves may know more than the measure."""

    def start(self, problem: Posed) -> Moved:
        """Initial particles."""

    def advance(self, problem: Posed, particles: Moved, evidence: Evidence, spare: FloatArray | None = None) -> Moved:
        """Particles after births, where the method has them, and one round of steps, or several.

        ``spare`` (M,) is the curve of an earlier iterate that nobody needs any more: it may be overwritten.
        """
