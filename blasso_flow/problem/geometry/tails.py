"""A line whose filters end in exponentials, so that their long tails cost next to nothing: see `kernels.line.tails`."""

from __future__ import annotations

from typing import Any

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.problem.geometry.line import Line


class LineWithTails(Line):
    """A line on which every spike is felt by all that follow: they are relaxed in one system, at a linear cost."""

    def _tailed_table(self, first: int = 0) -> Any:
        """What kernels need of a filter with tails, for curves that start at padded sample ``first``."""
        coefficients, edges, offset, _ = self._table(first)
        return coefficients, edges, self.filter.tail, self.filter.tail_tap, offset

    def correlation(self, position: FloatArray, residual: FloatArray, root: FloatArray, orders: int = 1) -> FloatArray:
        """<residual, root * d^o phi(. - x)>, shape (orders, K), of all spikes at once: tails run from one to the next."""
        from blasso_flow.kernels.line.tails import correlate

        out = np.empty((orders, position.size))
        arguments: list[Any] = [position, residual, root, *self._tailed_table(), orders, out]
        correlate(*arguments)
        return out

    @property
    def couples_all(self) -> bool:
        """Always: a tail reaches all spikes after it."""
        return True

    def fits_together(self, count: int) -> bool:
        """Always: a spike is a short head and a few amplitudes."""
        return True

    def _responses(self, first: int) -> Any:
        """What Newton steps need of the filter: it as a finite response, or as one with a tail, offset and period."""
        *response, offset = self._tailed_table(first)
        return None, tuple(response), offset, None

    def _inverse_blocks(self, *given_and_out: Any, most: int) -> bool:
        from blasso_flow.kernels.line.tails import inverse_blocks

        position, fixed, root, columns, *out = given_and_out
        inverse_blocks(position, fixed, root, columns, *self._tailed_table(), *out)
        return True
