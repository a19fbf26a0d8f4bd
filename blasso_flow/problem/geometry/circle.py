"""A circle: a periodic record, on which every window is the record itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.problem.geometry.line import Known, Line


class Circle(Line):
    """A periodic filter: positions in [0, period), no ends, no padding, and all spikes are felt everywhere."""

    endless = True

    @property
    def period(self) -> int:
        """Samples of the record."""
        return self.filter.period

    @property
    def domain(self) -> tuple[float, float]:
        """All positions: [0, period)."""
        return 0.0, float(self.period)

    @property
    def padding(self) -> tuple[int, int]:
        """None is needed."""
        return 0, 0

    def _table(self, first: int = 0) -> tuple[FloatArray, FloatArray, int, int | None]:
        return *super()._table()[:3], self.period

    def _padded_index(self, sample: IntArray) -> IntArray:
        return sample % self.period

    def model(self, position: FloatArray, weight: FloatArray) -> FloatArray:
        """phi * mu on the record, shape (M,), for positions and weights of shape (K,) in any order."""
        model = np.zeros(self.size)
        self.add(position, weight, model)
        return model

    def residual(
        self, position: FloatArray, weight: FloatArray, root: FloatArray, values: FloatArray, known: Known | None, out: FloatArray
    ) -> FloatArray:
        """root * phi * mu - values on the record, into ``out`` (M,); nothing is taken over from ``known``."""
        from blasso_flow.kernels.shared.curves import fill_residual

        none = np.empty(0)
        fill_residual(self.model(position, weight), root, values, np.empty((0, out.size)), none, out)
        return out

    def weigh(self, position: FloatArray, weight: FloatArray) -> tuple[float, float, int]:
        """sum |w|, sum w^2, and the most responses that one sample sums: all."""
        mass, square, _ = super().weigh(position, weight)
        return mass, square, position.size

    def inside(self, position: FloatArray) -> FloatArray:
        """Positions of any shape, turned into the domain."""
        turned = position % self.period
        return np.where(turned >= self.period, 0.0, turned)

    def spaced(self, step: float) -> FloatArray:
        """Positions ``step`` apart that cover the domain, the last one possibly nearer to the first."""
        return np.arange(0.0, self.period, step)

    def at_ends(self, position: FloatArray) -> NDArray[np.bool_]:
        """Nowhere: a circle has no ends."""
        return np.zeros(position.shape, dtype=np.bool_)

    def distance(self, position: FloatArray, others: FloatArray) -> FloatArray:
        """Distance along the circle of each position (K,) to the nearest of ``others``, in order and at least one, (K,)."""
        return super().distance(position, self._repeated(others))

    def around(self, position: FloatArray, centre: float, reach: float) -> slice | NDArray[np.bool_]:
        """Which of the positions (K,) are within ``reach`` of ``centre`` along the circle."""
        away = np.abs(position - centre)
        return np.asarray(np.minimum(away, self.period - away) <= reach)

    def near(self, position: FloatArray, centres: FloatArray, reach: float) -> NDArray[np.bool_]:
        """Which of the positions (K,) in order are within ``reach`` of any of the ``centres``, also in order."""
        turns = np.concatenate([centres - self.period, centres, centres + self.period])
        return super().near(position, turns, reach)

    def _repeated(self, others: FloatArray) -> FloatArray:
        """The positions, with the last one also before and the first one also after the circle."""
        return np.concatenate([[others[-1] - self.period], others, [others[0] + self.period]])

    @property
    def couples_all(self) -> bool:
        """Always: every window is the whole record."""
        return True

    def fits_together(self, count: int) -> bool:
        """Always: records that close on themselves are short."""
        return True
