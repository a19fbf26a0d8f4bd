"""Writing a study's numbers: one HDF5 file with a group a table, and one CSV a table. Same numbers, same bytes."""

from __future__ import annotations

import csv
import io
import json

import h5py
import numpy as np

from blasso_flow.data.version import __version__
from blasso_flow.files.atomic import build_image, write_bytes
from blasso_flow.files.columns import TEXT, write_column, write_scale
from blasso_flow.files.layout import ROW
from blasso_flow.files.plain import plain
from blasso_flow.study.outcome import Outcome, Table


def study_targets(prefix: str, tables: tuple[str, ...]) -> list[str]:
    """The files that `write_study` makes of tables with these names."""
    return [f"{prefix}.h5", *(f"{prefix}.{name}.csv" for name in tables)]


def write_study(outcome: Outcome, prefix: str, *, overwrite: bool = False) -> list[str]:
    """Write PREFIX.h5 and PREFIX.TABLE.csv, each whole or not at all; returns their names.

    Raises what `files.atomic.write_bytes` raises.
    """
    targets = study_targets(prefix, tuple(outcome.tables))
    write_bytes(build_image(lambda file: _build(file, outcome)), targets[0], overwrite=overwrite)
    for target, table in zip(targets[1:], outcome.tables.values(), strict=True):
        write_bytes(_csv(table), target, overwrite=overwrite)
    return targets


def _build(file: h5py.File, outcome: Outcome) -> None:
    file.attrs["study"] = outcome.study
    file.attrs["blasso_flow"] = __version__
    file.attrs["settings"] = json.dumps(plain(outcome.settings))
    file.attrs["findings"] = np.array(outcome.findings, dtype=TEXT)
    for name, table in outcome.tables.items():
        group = file.create_group(name)
        group.attrs["long_name"] = table.about
        size = len(next(iter(table.columns.values())))
        scale = write_scale(group, ROW, size)
        for column, values in table.columns.items():
            write_column(group, column, values, [scale], table.units.get(column, "1"), column)


def _csv(table: Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f"{name} [{table.units[name]}]" if name in table.units else name for name in table.columns])
    for row in zip(*table.columns.values(), strict=True):
        writer.writerow([f"{float(value):.17g}" for value in row])
    return text.getvalue().encode()
