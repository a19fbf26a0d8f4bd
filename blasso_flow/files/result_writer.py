"""Writing what `recover` found, in the result layout, from memory or block by block. Reads nothing.

Everything but /timing and /provenance depends on the recovery alone: same recovery, same values, whatever the blocks.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import h5py
import numpy as np

from blasso_flow.answer.rates import check_width
from blasso_flow.data.blocks import Block, Totals
from blasso_flow.data.results import Recovery
from blasso_flow.data.signals import Axis, FilterDescription
from blasso_flow.data.version import __version__
from blasso_flow.errors import UsageError
from blasso_flow.files.atomic import Target, build_image, check_target, write_bytes, write_large
from blasso_flow.files.columns import TEXT, clean, nxroot
from blasso_flow.files.companions import MEASURED, write_filter
from blasso_flow.files.layout import FILTER, LAYOUT_ATTRIBUTE, LAYOUT_VERSION, PROVENANCE, SPIKES, weight_units
from blasso_flow.files.plain import axis_to_plain, plain
from blasso_flow.files.result_tables import About, ResultTables

LARGE = 1 << 23  # bytes: a result that may be larger is built on disk


class Described(Protocol):
    """What a result needs to know of its signal: a `Signal` or an open `SignalFile`."""

    @property
    def axis(self) -> Axis: ...
    @property
    def units(self) -> str: ...
    @property
    def long_name(self) -> str: ...
    @property
    def filter(self) -> FilterDescription | None: ...
    @property
    def name(self) -> str: ...


def write_result(
    recovery: Recovery,
    target: Target,
    *,
    provenance: Mapping[str, object] | None = None,
    overwrite: bool = False,
    save_fit: bool = False,
    rate_width: float | None = None,
    signal: Described | None = None,
    inputs: Iterable[object] = (),
) -> None:
    """Write a result file, whole or not at all.

    Parameters
    ----------
    target : a path, or "-" for standard output (never a terminal).
    provenance : what the caller knows of the run, JSON-ready: ``argv``, ``seed``, and ``input`` as `SignalFile.identity`
        gives it. Versions, settings and the signal's axis are added here.
    overwrite : replace an existing file.
    save_fit : keep the sampled curves (model, residual, baseline) too.
    rate_width : sd (axis units) of the Gaussian that smooths the spikes to /rate; None for no rate.
    signal : the signal's axis, units and filter, where ``recovery.signal`` is None.
    inputs : files that were read; the target may be none of them.

    Raises `UsageError` and `RunError` as `files.atomic.check_target` and `write_bytes` do.
    """
    if save_fit and recovery.fit is None:
        raise UsageError("the fit cannot be saved: the recovery holds none", mend="keep it while recovering")
    about = recovery.signal if signal is None else signal
    blocks = [Block.of(recovery, keep_fit=save_fit)]
    run = Run(recovery.settings, about, dict(provenance or {}), rate_width, save_fit)
    write_blocks(lambda: blocks, Totals.of(blocks), run, target, overwrite=overwrite, inputs=inputs)


@dataclass(frozen=True)
class Run:
    """What a result says beside its tables: settings (JSON-ready), signal, provenance; and whether it has rates and curves."""

    settings: Mapping[str, object]
    signal: Described | None
    provenance: Mapping[str, object]
    rate_width: float | None = None
    save_fit: bool = False


def write_blocks(
    blocks: Callable[[], Iterable[Block]],
    totals: Totals,
    run: Run,
    target: Target,
    *,
    overwrite: bool = False,
    inputs: Iterable[object] = (),
) -> None:
    """Write a result from ``blocks()``, in the order of channels, and their ``totals``; further as in `write_result`."""
    check_target(target, overwrite=overwrite, inputs=inputs)
    axis = run.signal.axis if run.signal else None
    if run.rate_width is not None:
        if axis is None:
            raise UsageError("a rate needs the signal's axis", mend="give signal")
        check_width(run.rate_width, axis)
    value_units = run.signal.units if run.signal else ""
    weights = weight_units(_normalisation(run.settings), value_units, axis.units if axis else "")
    about = About(totals, axis, value_units, weights, run.rate_width, run.save_fit)

    def build(file: h5py.File, check: Callable[[], None] = lambda: None) -> None:
        nxroot(file, SPIKES)
        file.attrs[LAYOUT_ATTRIBUTE] = np.int64(LAYOUT_VERSION)
        tables = ResultTables(file, about)
        for block in blocks():
            tables.append(block)
            check()
        tables.close()
        check()
        used = used_filter(run.settings, run.signal.filter if run.signal else None)
        if used is not None:
            write_filter(file, used, axis.units if axis else "")
            if totals.sections:
                file[FILTER].attrs["width_law"] = "sd is that of the middle; every section has its own: /sections"
        record = {**run.provenance, "versions": versions(), "settings": run.settings, "signal": _signal_record(run.signal)}
        file.create_dataset(PROVENANCE, data=clean(json.dumps(plain(record), ensure_ascii=False, indent=1)), dtype=TEXT)

    if about.upper_size > LARGE:
        write_large(build, target, overwrite=overwrite, inputs=inputs)
    else:
        write_bytes(build_image(build), target, overwrite=overwrite, inputs=inputs)


def used_filter(settings: Mapping[str, object], stored: FilterDescription | None) -> FilterDescription | None:
    """The filter of a run: kind and parameters from the settings, a measured response from the signal."""
    chosen = settings.get("filter")
    if not isinstance(chosen, Mapping) or not isinstance(chosen.get("kind"), str):
        return stored
    given = chosen.get("parameters")
    parameters = {str(key): float(value) for key, value in given.items()} if isinstance(given, Mapping) else {}
    if chosen["kind"] == MEASURED and stored is not None:
        return FilterDescription(MEASURED, parameters, stored.lag, stored.response)
    return FilterDescription(str(chosen["kind"]), parameters)


def _normalisation(settings: Mapping[str, object]) -> str:
    chosen = settings.get("filter")
    return str(chosen.get("normalisation", "peak")) if isinstance(chosen, Mapping) else "peak"


def _signal_record(about: Described | None) -> dict[str, object] | None:
    if about is None:
        return None
    return {"name": about.name, "units": about.units, "long_name": about.long_name, "axis": axis_to_plain(about.axis)}


@cache
def versions() -> Mapping[str, str]:
    """Of this package and of what its numbers depend on."""
    found = {
        "blasso_flow": __version__,
        "python": platform.python_version(),
        "hdf5": h5py.version.hdf5_version,
        "h5py": h5py.__version__,
        "numpy": np.__version__,
    }
    for package in ("scipy", "numba"):  # not imported to write a file
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
