"""blasso-flow: recover spikes from noisy filtered recordings, off the grid, with a proof of optimality.

The names below are the public API. They are imported when first used, so that `import blasso_flow` loads neither numba,
scipy, h5py nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from blasso_flow import filters
    from blasso_flow.data.results import Recovery
    from blasso_flow.data.signals import Axis, FilterDescription, Signal, Truth
    from blasso_flow.data.spikes import Spikes
    from blasso_flow.errors import BlassoFlowError
    from blasso_flow.files import read_result, read_signal, write_result, write_signal
    from blasso_flow.flow import solve
    from blasso_flow.problem.problem import Problem
    from blasso_flow.recovery.channel import recover

__all__ = [
    "Axis",
    "BlassoFlowError",
    "FilterDescription",
    "Problem",
    "Recovery",
    "Signal",
    "Spikes",
    "Truth",
    "__version__",
    "filters",
    "read_result",
    "read_signal",
    "recover",
    "solve",
    "write_result",
    "write_signal",
]

_HOMES = {
    "Axis": "data.signals",
    "BlassoFlowError": "errors",
    "FilterDescription": "data.signals",
    "Problem": "problem.problem",
    "Recovery": "data.results",
    "Signal": "data.signals",
    "Spikes": "data.spikes",
    "Truth": "data.signals",
    "read_result": "files",
    "read_signal": "files",
    "recover": "recovery.channel",
    "solve": "flow",
    "write_result": "files",
    "write_signal": "files",
}


def __getattr__(name: str) -> object:
    """Import a public name's module the first time the name is used."""
    if name == "filters":
        return import_module("blasso_flow.filters")
    if name not in _HOMES:
        raise AttributeError(f"module 'blasso_flow' has no attribute {name!r}")
    value = getattr(import_module(f"blasso_flow.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted(__all__)
