"""Every column is declared once, and is then sent, written, read, shown and documented."""

from __future__ import annotations

import math
import runpy
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from command import ROOT, run
from files_examples import assert_same, example_recovery, example_signal

from blasso_flow.data import blocks, schema
from blasso_flow.data.blocks import Block, decode, encode
from blasso_flow.data.column import KEY, Units, column, columns
from blasso_flow.data.reports import ChannelReport, Paths, Section, TraceRow, Verdict
from blasso_flow.data.results import Fit, Recovery
from blasso_flow.data.spikes import Optimum, Spikes
from blasso_flow.errors import DataError
from blasso_flow.files import read_result, write_result

NESTED = {"trace": TraceRow, "sections": Section, "paths": Paths}  # fields of a report that have columns of their own
OTHERS = {"filter", "provenance"}  # of a file


def full_recovery() -> Recovery:
    """A recovery that needs every column: widths, rules of fitted baselines, sections, particles, curves, slower samples,
    coloured noise, a verdict with reasons."""
    recovery = example_recovery()
    spikes = replace(recovery.spikes, width=np.full(5, 0.1), width_errors=np.full(5, 0.01))
    reports = [
        replace(
            report,
            sections=(Section(0, 49, 0.1, 1.0),),
            baseline_rule="exp:rate=1",
            refit_baseline_rule="exp:rate=2",
            interpolation="linear",
            whitener=np.array([0.5, -0.1]),
            fit=Verdict.WRONG,
            fit_reasons=("the residual is not white (rho 0.4)", "drift"),
        )
        for report in recovery.channels
    ]
    return replace(recovery, spikes=spikes, channels=reports)


@pytest.mark.parametrize("cls", [Spikes, Optimum, ChannelReport, TraceRow, Section, Paths, Fit])
def test_fields_are_columns_and_columns_are_fields(cls: type) -> None:
    declared = [own.name for own in fields(cls)]
    kept = [own.field for own in schema.OF[cls]]
    assert kept == [name for name in declared if cls is not ChannelReport or name not in NESTED]
    assert all(KEY in own.metadata for own in fields(cls) if own.name in kept)


def test_no_two_columns_share_a_place() -> None:
    paths = [own.path for own in schema.COLUMNS]
    assert len(paths) == len(set(paths))


def test_a_file_holds_the_columns_of_the_schema(tmp_path: Path) -> None:
    write_result(full_recovery(), tmp_path / "r.h5", save_fit=True, rate_width=0.3)
    found: dict[str, h5py.Dataset] = {}
    with h5py.File(tmp_path / "r.h5") as file:
        file.visititems(lambda name, node: found.update({name: node}) if isinstance(node, h5py.Dataset) else None)
        own = {path for path, dataset in found.items() if not dataset.is_scale and path.split("/")[0] not in OTHERS}
        assert own == {column.path for column in schema.COLUMNS}
        for expected in schema.COLUMNS:
            dataset = found[expected.path]
            assert dataset.attrs["long_name"] == expected.long_name
            units = None if expected.kind is str else expected.units.of("s", "V", "V s")
            assert dataset.attrs.get("units") == units
            assert dataset.dtype == {int: np.int64, float: np.float64, str: object}[expected.kind]
            assert dataset.ndim == len(expected.dimensions)
            assert all(len(dimension) == 1 for dimension in dataset.dims)


def test_units_follow_from_those_of_the_signal() -> None:
    assert [units.of("s", "V", "V s") for units in Units] == ["", "1", "s", "s", "V", "V^2", "V s", "1/s", "V s/s"]
    assert [units.of("", "", "") for units in Units] == ["", "1", "s", "", "", "", "", "", ""]


def test_a_full_recovery_comes_back(tmp_path: Path) -> None:
    recovery = full_recovery()
    write_result(recovery, tmp_path / "r.h5", save_fit=True)
    assert_same(read_result(tmp_path / "r.h5").recovery, replace(recovery, signal=None))
    assert Block.of(recovery).columns.keys() == {
        own.path for own in schema.COLUMNS if own.group != "rate" and (own.field or own.name == "channel")
    }


def test_a_file_from_before_the_verdict_is_read(tmp_path: Path) -> None:
    write_result(full_recovery(), tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5", "a") as file:
        for name in ("fit", "fit_reasons", "whitener", "lag"):
            del file[f"channels/{name}"]
    found = read_result(tmp_path / "r.h5").recovery
    assert [(report.fit, tuple(report.fit_reasons)) for report in found.channels] == 2 * [(Verdict.UNKNOWN, ())]
    assert found.verdict is Verdict.UNKNOWN
    assert [row.split()[3] for row in run("show", tmp_path / "r.h5", "--channels").text.splitlines()[1:3]] == 2 * ["unknown"]


def test_a_verdict_that_is_none_is_refused(tmp_path: Path) -> None:
    write_result(full_recovery(), tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5", "a") as file:
        file["channels/fit"][0] = "splendid"
    with pytest.raises(DataError, match="unknown fit; received splendid; allowed: good, doubtful, wrong, unknown"):
        read_result(tmp_path / "r.h5")


@dataclass(frozen=True)
class Longer(ChannelReport):
    """A report with columns that the package does not know."""

    skew: float = field(default=math.nan, metadata=column("skewness of the residual", Units.ONE))
    verdict: str = field(default="", metadata=column("what a test said"))
    tries: int = field(default=0, metadata=column("number of tries", Units.ONE, shown=None))


def test_a_new_column_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longer = columns(Longer, "channels", "channels")
    new = longer[len(schema.OF[ChannelReport]) :]
    assert [own.path for own in new] == ["channels/skew", "channels/verdict", "channels/tries"]
    for cls in (ChannelReport, Longer):
        monkeypatch.setitem(schema.OF, cls, longer)
    monkeypatch.setattr(schema, "COLUMNS", (*schema.COLUMNS, *new))
    monkeypatch.setattr(blocks, "ChannelReport", Longer)
    recovery = example_recovery()
    reports = [
        Longer(**vars(report), skew=0.5 + row, verdict=f"no {row}", tries=row) for row, report in enumerate(recovery.channels)
    ]
    recovery = replace(recovery, channels=reports)
    assert_same(decode(encode(Block.of(recovery))).reports(), reports)
    write_result(recovery, tmp_path / "r.h5", signal=example_signal())
    assert_same(read_result(tmp_path / "r.h5").recovery.channels, reports)
    with h5py.File(tmp_path / "r.h5") as file:
        assert dict(file["channels/skew"].attrs.items()).keys() >= {"units", "long_name"}
    header, *rows = run("show", tmp_path / "r.h5", "--channels", "--csv").text.splitlines()
    names = header.split(",")
    assert "tries" not in names
    assert [row.split(",")[names.index("skew")] for row in rows] == ["0.5", "1.5"]
    assert [row.split(",")[names.index("verdict")] for row in rows] == ["no 0", "no 1"]


def test_the_documents_have_the_columns_of_the_schema() -> None:
    for path, text in runpy.run_path(str(ROOT / "docs" / "columns.py"))["documents"]().items():
        assert path.read_text() == text, f"{path} is out of date: python docs/columns.py"
