"""Results as columns: to bytes and back, and written block by block."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from files_examples import assert_same, example_recovery

from blasso_flow.data.blocks import Block, Totals, decode, encode
from blasso_flow.data.reports import Section
from blasso_flow.data.results import Fit, Recovery
from blasso_flow.errors import RunError
from blasso_flow.files import disk_image, result_writer, write_result
from blasso_flow.files.result_writer import Run, write_blocks


def parts(recovery: Recovery, sizes: list[int]) -> list[Block]:
    """The recovery cut into blocks of these many channels."""
    blocks, first = [], 0
    for size in sizes:
        rows = slice(first, first + size)
        whole = recovery.spikes, recovery.optimum, recovery.candidates
        own = [(column.channel >= first) & (column.channel < first + size) for column in whole]
        tables = [
            type(table)(**{name: column[kept] for name, column in vars(table).items() if column is not None})
            for table, kept in zip(whole, own, strict=True)
        ]
        assert recovery.fit is not None
        fit = Fit(*(getattr(recovery.fit, name)[rows] for name in ("model", "residual", "baseline")))
        spikes, optimum, candidates = tables
        channels = recovery.channels[rows]
        part = replace(recovery, spikes=spikes, optimum=optimum, candidates=candidates, channels=channels, fit=fit)
        blocks.append(Block.of(part, first))
        first += size
    return blocks


def contents(path: Path) -> dict[str, object]:
    """Every dataset of a file."""
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, node: found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None)
    return found


def example(channels: int = 7) -> Recovery:
    """A recovery with everything, sections included."""
    recovery = example_recovery(40, channels)
    reports = [
        replace(report, sections=(Section(0, 20, 0.1, 1.0), Section(20, 49, 0.2, 2.0))[: number % 3])
        for number, report in enumerate(recovery.channels)
    ]
    return replace(recovery, channels=reports)


def test_to_bytes_and_back() -> None:
    for block in parts(example(), [3, 4]):
        back = decode(encode(block))
        assert back.columns.keys() == block.columns.keys()
        for path, values in block.columns.items():
            assert back.columns[path].dtype == values.dtype
            np.testing.assert_array_equal(back.columns[path], values, err_msg=path)
        assert_same(back.spikes, block.spikes)
        assert_same(back.optimum, block.optimum)
        assert_same(back.fit, block.fit)
        assert_same(back.reports(), block.reports())


def test_the_reports_come_back() -> None:
    recovery = example()
    assert_same(Block.of(recovery).reports(), list(recovery.channels))


@pytest.mark.parametrize("large", [False, True])
def test_the_blocks_do_not_show_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    recovery = example()
    write_result(recovery, tmp_path / "whole.h5", save_fit=True, rate_width=0.3)
    if large:
        monkeypatch.setattr(result_writer, "LARGE", 0)
    for name, sizes in (("one.h5", [7]), ("two.h5", [3, 4]), ("seven.h5", [1] * 7)):
        blocks = parts(recovery, sizes)
        run = Run(recovery.settings, recovery.signal, {}, 0.3, True)
        write_blocks(partial(iter, blocks), Totals.of(blocks), run, tmp_path / name)
        whole, cut = contents(tmp_path / "whole.h5"), contents(tmp_path / name)
        assert whole.keys() == cut.keys()
        for path, values in whole.items():
            np.testing.assert_array_equal(values, cut[path], err_msg=path)


def test_a_disk_that_fills_while_hdf5_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_writer, "LARGE", 0)
    pwrite, left = os.pwrite, 20_000

    def limited(descriptor: int, data: bytes, place: int) -> int:
        nonlocal left
        if left <= 0:
            raise OSError(28, "No space left on device")
        written = pwrite(descriptor, data[:left], place)
        left -= written
        return written

    monkeypatch.setattr(disk_image.os, "pwrite", limited)
    with pytest.raises(RunError, match="No space left on device"):
        write_result(example(40), tmp_path / "r.h5", save_fit=True)
    assert os.listdir(tmp_path) == []


def test_an_interruption_while_hdf5_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_writer, "LARGE", 0)
    pwrite = os.pwrite

    def interrupted(descriptor: int, data: bytes, place: int) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return pwrite(descriptor, data, place)

    monkeypatch.setattr(disk_image.os, "pwrite", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have been started with it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            write_result(example(), tmp_path / "r.h5")
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == []
