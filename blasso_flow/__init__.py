"""blasso-flow: recover spikes from noisy filtered recordings, off the grid, with a proof of optimality.

The names below are the public API. They are imported when first used, so that `import blasso_flow` loads neither numba,
scipy, h5py nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from blasso_flow._version import __version__

if TYPE_CHECKING:
    from blasso_flow import filters
    from blasso_flow.errors import BlassoFlowError
    from blasso_flow.files import read_result, read_signal, write_result, write_signal
    from blasso_flow.flow import solve
    from blasso_flow.problem import Problem
    from blasso_flow.recovery import recover
    from blasso_flow.signals import Axis, FilterDescription, Signal, Truth
    from blasso_flow.spikes import Recovery, Spikes

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
    "Axis": "signals",
    "BlassoFlowError": "errors",
    "FilterDescription": "signals",
    "Problem": "problem",
    "Recovery": "spikes",
    "Signal": "signals",
    "Spikes": "spikes",
    "Truth": "signals",
    "read_result": "files",
    "read_signal": "files",
    "recover": "recovery",
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
