"""blasso-flow: recover spikes from noisy filtered recordings, off the grid, with a proof of optimality.

The names below are the public API. They are imported when first used, so that `import blasso_flow` loads neither numba,
scipy, h5py nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from blasso_flow.data.version import __version__

if TYPE_CHECKING:
    from blasso_flow import filters as filters
    from blasso_flow.audit.audit import certify as certify
    from blasso_flow.data.results import Recovery as Recovery
    from blasso_flow.data.signals import Axis as Axis
    from blasso_flow.data.signals import FilterDescription as FilterDescription
    from blasso_flow.data.signals import Signal as Signal
    from blasso_flow.data.signals import Truth as Truth
    from blasso_flow.data.spikes import Spikes as Spikes
    from blasso_flow.errors import BlassoFlowError as BlassoFlowError
    from blasso_flow.files import read_result as read_result
    from blasso_flow.files import read_signal as read_signal
    from blasso_flow.files import write_result as write_result
    from blasso_flow.files import write_signal as write_signal
    from blasso_flow.flow import Flow as Flow
    from blasso_flow.plots import plot as plot
    from blasso_flow.problem.baselines import Baseline as Baseline
    from blasso_flow.problem.problem import Problem as Problem
    from blasso_flow.recovery.interface import recover as recover
    from blasso_flow.recovery.interface import solve as solve
    from blasso_flow.truth.scoring import score as score
    from blasso_flow.truth.simulation import simulate as simulate

_HOMES = {
    "Axis": "data.signals",
    "Baseline": "problem.baselines",
    "BlassoFlowError": "errors",
    "FilterDescription": "data.signals",
    "Flow": "flow",
    "Problem": "problem.problem",
    "Recovery": "data.results",
    "Signal": "data.signals",
    "Spikes": "data.spikes",
    "Truth": "data.signals",
    "certify": "audit.audit",
    "plot": "plots",
    "read_result": "files",
    "read_signal": "files",
    "recover": "recovery.interface",
    "score": "truth.scoring",
    "simulate": "truth.simulation",
    "solve": "recovery.interface",
    "write_result": "files",
    "write_signal": "files",
}

__all__ = ["__version__", "filters", *_HOMES]  # noqa: PLE0604  # names, as the keys are


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
