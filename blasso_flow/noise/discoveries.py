"""The level at which a given share of what exceeds it is false: Benjamini & Hochberg (1995) for the maxima of a smooth process.

Above a level u, noise alone makes E(u) spikes on average (Rice); where R(u) spikes are found there, about E(u) / R(u) of them are
false. The level is the smallest with E(u) <= share x max(R(u), 1). Numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.noise.rice import solve_level


@dataclass(frozen=True)
class Discoveries:
    """``share`` of the spikes found may be false; noise alone makes ``expected(u)`` of a significance above u."""

    share: float
    expected: Callable[[float], float]

    def level(self, significance: FloatArray) -> float:
        """The significance that a spike needs, from that of all candidates (K,)."""
        clear = np.sort(significance[np.isfinite(significance)])[::-1]
        false = np.array([self.expected(float(u)) for u in clear])
        enough = np.flatnonzero(false <= self.share * np.arange(1, clear.size + 1))
        return self.of(int(enough[-1]) + 1 if enough.size else 1)

    def of(self, count: float) -> float:
        """The level above which noise makes ``share`` of ``count`` spikes; 0 where it cannot make so many."""
        false = self.share * count
        return solve_level(self.expected, false, signed=False) if false < self.expected(0.0) else 0.0
