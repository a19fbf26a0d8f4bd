"""Writing what `recover` found, in the result layout. Reads nothing.

Everything but /timing and /provenance depends on the recovery alone: same recovery, same values.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import h5py
import numpy as np

from blasso_flow._version import __version__
from blasso_flow.errors import UsageError
from blasso_flow.files.atomic import Target, build_image, check_target, write_bytes
from blasso_flow.files.columns import TEXT, clean, nxdata, nxroot, write_column, write_scale, write_texts
from blasso_flow.files.companions import MEASURED, write_filter
from blasso_flow.files.layout import (
    CHANNEL,
    CHANNELS,
    COEFFICIENT,
    FILTER,
    FIT,
    LAYOUT_ATTRIBUTE,
    LAYOUT_VERSION,
    OPTIMUM,
    PARTICLE,
    PROVENANCE,
    RATE,
    ROW,
    SECTION,
    SECTIONS,
    SPIKE,
    SPIKES,
    TIMING,
    TRACE,
    weight_units,
)
from blasso_flow.files.plain import axis_to_plain, plain
from blasso_flow.files.signal_writer import short, write_sample_axis
from blasso_flow.rates import Rates, rates
from blasso_flow.signals import Axis, FilterDescription, FloatArray
from blasso_flow.spikes import ChannelReport, Fit, Optimum, Recovery, Spikes

PACKAGES = ("numpy", "scipy", "numba", "h5py")


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
    check_target(target, overwrite=overwrite, inputs=inputs)
    about = recovery.signal if signal is None else signal
    smoothed = None
    if rate_width is not None:
        if about is None:
            raise UsageError("a rate needs the signal's axis", mend="give signal")
        smoothed = rates(recovery.spikes, about.axis, rate_width, len(recovery.channels))
    image = build_image(lambda file: _build(file, recovery, about, dict(provenance or {}), save_fit, smoothed))
    write_bytes(image, target, overwrite=overwrite, inputs=inputs)


def _build(
    file: h5py.File,
    recovery: Recovery,
    about: Described | None,
    provenance: dict[str, object],
    save_fit: bool,
    smoothed: Rates | None,
) -> None:
    nxroot(file, SPIKES)
    file.attrs[LAYOUT_ATTRIBUTE] = np.int64(LAYOUT_VERSION)
    position_units = about.axis.units if about else ""
    value_units = about.units if about else ""
    used = used_filter(recovery.settings, about.filter if about else None)
    weights = weight_units(_normalisation(recovery.settings), value_units, position_units)
    _write_spikes(file.create_group(SPIKES), recovery.spikes, position_units, weights)
    _write_optimum(file.create_group(OPTIMUM), recovery.optimum, position_units, weights)
    _write_channels(file.create_group(CHANNELS), recovery, value_units)
    _write_rounds(file, recovery.channels, (position_units, weights))
    if used is not None:
        write_filter(file, used, position_units)
    if any(report.sections for report in recovery.channels):
        _write_sections(file.create_group(SECTIONS), recovery.channels, position_units)
        file[FILTER].attrs["width_law"] = "sd is that of the middle; every section has its own: /sections"
    if save_fit and recovery.fit is not None:
        _write_fit(file.create_group(FIT), recovery.fit, about, value_units)
    if smoothed is not None and about is not None:
        _write_rates(file.create_group(RATE), smoothed, about.axis, weights)
    record = {**provenance, "versions": _versions(), "settings": recovery.settings, "signal": _signal_record(about)}
    file.create_dataset(PROVENANCE, data=clean(json.dumps(plain(record), ensure_ascii=False, indent=1)), dtype=TEXT)


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


def _write_spikes(group: h5py.Group, spikes: Spikes, position_units: str, weights: str) -> None:
    scale = write_scale(group, SPIKE, len(spikes))
    _write_channel_column(group, spikes.channel, scale)
    write_column(group, "position", spikes.position, [scale], position_units, "position")
    write_column(group, "position_errors", spikes.position_errors, [scale], position_units, "standard error of the position")
    write_column(group, "weight", spikes.weight, [scale], weights, "weight")
    write_column(group, "weight_errors", spikes.weight_errors, [scale], weights, "standard error of the weight")
    write_column(group, "group", spikes.group.astype(np.int64), [scale], "1", "group of spikes not resolved from each other")
    nxdata(group, "weight", ["position"])


def _write_optimum(group: h5py.Group, optimum: Optimum, position_units: str, weights: str) -> None:
    scale = write_scale(group, SPIKE, len(optimum))
    _write_channel_column(group, optimum.channel, scale)
    write_column(group, "position", optimum.position, [scale], position_units, "position")
    write_column(group, "weight", optimum.weight, [scale], weights, "weight of the certified measure")
    write_column(group, "eta", optimum.eta, [scale], "1", "certificate at the position")
    nxdata(group, "weight", ["position"])


def _write_channel_column(group: h5py.Group, channel: np.ndarray, scale: h5py.Dataset) -> None:
    column = write_column(group, CHANNEL, channel.astype(np.int64), [scale], "1", "channel")
    column.attrs["instance_dimension"] = CHANNEL


def _write_channels(group: h5py.Group, recovery: Recovery, value_units: str) -> None:
    reports = recovery.channels
    scale = write_scale(group, CHANNEL, len(reports))
    squared = f"{value_units}^2" if value_units else ""
    for name, rows, of in (("row_size", recovery.spikes, "spikes"), ("optimum_row_size", recovery.optimum, "optimum spikes")):
        sizes = np.bincount(rows.channel, minlength=len(reports)).astype(np.int64)
        write_column(group, name, sizes, [scale], "1", f"number of {of} of the channel").attrs["sample_dimension"] = SPIKE
    write_texts(group, "status", [str(report.status) for report in reports], scale, "how the channel ended")
    write_texts(group, "message", [report.message for report in reports], scale, "what to do about it")
    write_texts(group, "strength_rule", [report.strength_rule for report in reports], scale, "where the strength came from")
    write_texts(group, "noise_rule", [report.noise_rule for report in reports], scale, "where the noise came from")
    write_texts(group, "notes", ["\n".join(report.notes) for report in reports], scale, "warnings, one a line")
    if any(report.baseline_rule for report in reports):
        rules = [report.baseline_rule for report in reports]
        write_texts(group, "baseline_rule", rules, scale, "baseline with its fitted parameters")
    numbers = (
        ("strength", "", "strength of the penalty (lambda)"),
        ("noise_sd", value_units, "standard deviation of the noise"),
        ("objective", squared, "objective of the certified measure"),
        ("dual_value", squared, "proven lower bound of the objective"),
        ("gap", "1", "proven gap relative to the objective"),
        ("gap_noise", "1", "proven gap in units of the noise variance"),
        ("violation", "1", "proven bound of sup|eta| minus 1"),
    )
    for name, units, long_name in numbers:
        column = np.array([getattr(report, name) for report in reports], dtype=np.float64)
        write_column(group, name, column, [scale], units, long_name)
    rounds = np.array([report.rounds for report in reports], dtype=np.int64)
    write_column(group, "rounds", rounds, [scale], "1", "rounds of the solver")
    most = max((max(report.baseline.size, report.refit_baseline.size) for report in reports), default=0)
    if most:
        coefficient = write_scale(group, COEFFICIENT, most)
        for name, long_name in (("baseline", "of the certified measure"), ("refit_baseline", "of the answer")):
            table = np.array([_padded(getattr(report, name), most) for report in reports])
            write_column(group, name, table, [scale, coefficient], value_units, f"baseline coefficients {long_name}")


def _padded(coefficients: FloatArray, size: int) -> FloatArray:
    """Coefficients of a channel that has none (it failed) are NaN."""
    return np.concatenate([coefficients, np.full(size - coefficients.size, np.nan)])


def _write_sections(group: h5py.Group, reports: Sequence[ChannelReport], position_units: str) -> None:
    rows = [(number, section) for number, report in enumerate(reports) for section in report.sections]
    scale = write_scale(group, SECTION, len(rows))
    _write_channel_column(group, np.array([number for number, _ in rows], dtype=np.int64), scale)
    for name, long_name in (("first", "first sample of the section"), ("last", "last sample, the next one's first")):
        samples = np.array([getattr(section, name) for _, section in rows], dtype=np.int64)
        write_column(group, name, samples, [scale], "1", long_name)
    for name, units, long_name in (
        ("sd", position_units, "standard deviation of the filter"),
        ("strength", "", "strength of the penalty (lambda)"),
    ):
        write_column(group, name, np.array([getattr(section, name) for _, section in rows]), [scale], units, long_name)


def _write_rounds(file: h5py.File, reports: Iterable[ChannelReport], units: tuple[str, str]) -> None:
    reports = list(reports)
    rows = [(number, row) for number, report in enumerate(reports) for row in report.trace]
    group = file.create_group(TRACE)
    scale = write_scale(group, ROW, len(rows))
    _write_channel_column(group, np.array([number for number, _ in rows], dtype=np.int64), scale)
    write_column(group, "round", np.array([row.round for _, row in rows], dtype=np.int64), [scale], "1", "round")
    write_column(group, "objective", np.array([row.objective for _, row in rows], dtype=np.float64), [scale], "", "objective")
    write_column(group, "gap", np.array([row.gap for _, row in rows], dtype=np.float64), [scale], "1", "best relative gap so far")
    write_column(group, "spikes", np.array([row.spikes for _, row in rows], dtype=np.int64), [scale], "1", "number of spikes")
    _write_paths(group, reports, scale, units)
    timing = file.create_group(TIMING)
    channel, row_scale = write_scale(timing, CHANNEL, len(reports)), write_scale(timing, ROW, len(rows))
    seconds = np.array([report.seconds for report in reports], dtype=np.float64)
    write_column(timing, "seconds", seconds, [channel], "s", "wall time of the channel")
    since = np.array([row.seconds for _, row in rows], dtype=np.float64)
    write_column(timing, "round_seconds", since, [row_scale], "s", "time since the channel's start, rows as in /trace")


def _write_paths(group: h5py.Group, reports: list[ChannelReport], scale: h5py.Dataset, units: tuple[str, str]) -> None:
    """All particles at every row, where some channel kept them; rows of channels without are NaN."""
    most = max((report.paths.position.shape[1] for report in reports if report.paths is not None), default=0)
    if not most:
        return
    particle = write_scale(group, PARTICLE, most)
    for name, of in (("position", units[0]), ("weight", units[1])):
        table = np.full((scale.size, most), np.nan)
        row = 0
        for report in reports:
            if report.paths is not None:
                table[row : row + len(report.trace)] = getattr(report.paths, name)
            row += len(report.trace)
        write_column(group, f"particle_{name}", table, [scale, particle], of, f"{name} of every particle at the row")


def _write_fit(group: h5py.Group, fit: Fit, about: Described | None, value_units: str) -> None:
    axis = about.axis if about else Axis(0.0, 1.0, fit.model.shape[-1], "sample")
    scales = [write_sample_axis(group, axis)]
    if fit.model.ndim == 2:
        scales.insert(0, write_scale(group, CHANNEL, fit.model.shape[0]))
    write_column(group, "model", fit.model, scales, value_units, "model of the answer, baseline included")
    write_column(group, "residual", fit.residual, scales, value_units, "signal minus model")
    write_column(group, "baseline", fit.baseline, scales, value_units, "baseline of the answer")
    nxdata(group, "model", [short(scale) for scale in scales])


def _write_rates(group: h5py.Group, smoothed: Rates, axis: Axis, weights: str) -> None:
    group.attrs["width"] = smoothed.width
    scales = [write_scale(group, CHANNEL, smoothed.rate.shape[0]), write_sample_axis(group, axis)]
    per = f"1/{axis.units}" if axis.units else ""
    write_column(group, "rate", smoothed.rate, scales, per, "events per unit of the axis")
    weighted = f"{weights}/{axis.units}" if weights and axis.units else weights or per
    write_column(group, "weight_rate", smoothed.weight_rate, scales, weighted, "weight of the events per unit of the axis")
    nxdata(group, "rate", [short(scale) for scale in scales])


def _signal_record(about: Described | None) -> dict[str, object] | None:
    if about is None:
        return None
    return {"name": about.name, "units": about.units, "long_name": about.long_name, "axis": axis_to_plain(about.axis)}


def _versions() -> dict[str, str]:
    versions = {"blasso_flow": __version__, "python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
