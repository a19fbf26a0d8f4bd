"""Where spikes may be, and what they make of the samples: a line, a circle, a line with exponential tails.

Each is an object that answers the same questions; they alone call the compiled kernels on spikes, and nobody else knows how a
filter is tabulated, how the record is padded, or how positions are ordered:

- `domain`, `padding`, `size`, `endless`, `spaced`: where spikes may be, and the padded record around them;
- `model`, `add`, `residual`, `rows`: what spikes make, as a curve or as the windows of single ones;
- `correlation`, `squared_norms`, `weigh`: products with a curve (the certificate and its slopes), norms, sums over spikes;
- `bound`, `kkt`: the certificate's supremum with its births, and how far each spike is from stationary;
- `order`, `near`, `around`, `beside`, `distance`, `stretch`, `inside`, `at_ends`: in order, near whom, within the domain;
- `moves_together`, `fits_together`, `relax`, `sweep`, `condense`: how spikes are moved, all at once or by neighbourhoods;
- `covariance`, `groups`: error bars, and who cannot be told from whom.

Positions (K,) are in samples, weights (K,) in signal units, curves (M,) lie on the padded record.
"""

from __future__ import annotations

from blasso_flow.filters import Filter
from blasso_flow.problem.geometry.bound import Births
from blasso_flow.problem.geometry.circle import Circle
from blasso_flow.problem.geometry.line import Line
from blasso_flow.problem.geometry.tails import LineWithTails

__all__ = ["Births", "Circle", "Line", "LineWithTails", "geometry_of"]


def geometry_of(filter: Filter, samples: int, margin: tuple[int, int] = (0, 0)) -> Line:
    """The geometry that suits a filter, for a record of so many samples with whole samples of margin before and after."""
    if filter.period:
        return Circle(filter, samples)
    return (LineWithTails if filter.tail.size else Line)(filter, samples, margin)
