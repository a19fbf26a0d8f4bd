"""Where spikes may be: a line, a circle, a line with exponential tails, each an object that answers the same questions."""

from __future__ import annotations

from blasso_flow.filters import Filter
from blasso_flow.problem.geometry.circle import Circle
from blasso_flow.problem.geometry.contract import Births
from blasso_flow.problem.geometry.line import Line
from blasso_flow.problem.geometry.tails import LineWithTails

__all__ = ["Births", "Circle", "Line", "LineWithTails", "geometry_of"]


def geometry_of(filter: Filter, samples: int, margin: tuple[int, int] = (0, 0)) -> Line:
    """The geometry that suits a filter, for a record of so many samples with whole samples of margin before and after."""
    if filter.period:
        return Circle(filter, samples)
    return (LineWithTails if filter.tail.size else Line)(filter, samples, margin)
