"""One small file a filter: its impulse response, its parameters, and the function that names it in Python."""

from blasso_flow.filters.kinds import FilterKind
from blasso_flow.filters.shapes import decay, emg, gaussian, lorentzian, lowpass, measured, ricker

KINDS: dict[str, FilterKind] = {
    module.KIND.name: module.KIND for module in (gaussian, ricker, decay, lorentzian, emg, lowpass, measured)
}
