"""Outputs are whole or not there: refusals before the work, failures that leave nothing behind."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from files_examples import example_recovery, example_signal

from blasso_flow.errors import RunError, UsageError
from blasso_flow.files import atomic, check_target, read_signal, write_bytes, write_result, write_signal


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    target = tmp_path / "a.h5"
    target.write_bytes(b"kept")
    for write, content in ((write_signal, example_signal()), (write_result, example_recovery())):
        with pytest.raises(UsageError, match=r"exists already.*`overwrite=True`"):
            write(content, target)
    assert target.read_bytes() == b"kept"
    write_signal(example_signal(), target, overwrite=True)
    assert read_signal(target).channels == 2
    assert os.listdir(tmp_path) == ["a.h5"]


def test_the_output_is_never_the_input(tmp_path: Path) -> None:
    target = tmp_path / "a.h5"
    write_signal(example_signal(), target)
    (tmp_path / "link.h5").symlink_to(target)
    os.link(target, tmp_path / "hard.h5")
    for source in (target, f"{target}::/signal/y", tmp_path / "link.h5", tmp_path / "hard.h5"):
        with pytest.raises(UsageError, match="same file"):
            write_signal(example_signal(), target, overwrite=True, inputs=[io.BytesIO(), source])


def test_folders_that_are_missing_or_taken(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        check_target(tmp_path / "nowhere" / "a.h5")
    with pytest.raises(UsageError, match="is a folder"):
        check_target(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="not writable"):
            check_target(tmp_path / "a.h5")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_the_system_calls_unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RunError, match="not writable"):
        check_target(tmp_path / "a.h5")


def test_never_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(UsageError, match="not written to a terminal"):
        write_signal(example_signal(), "-")
    main, side = os.openpty()
    try:
        with pytest.raises(UsageError, match="not written to a terminal"):
            write_signal(example_signal(), os.ttyname(side))
    finally:
        os.close(main)
        os.close(side)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "link", "chmod"])
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, step: str
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, step, fail)
    if step == "link":
        monkeypatch.setattr(os, "replace", fail)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else RunError
    with pytest.raises(expected):
        write_signal(example_signal(), tmp_path / "a.h5")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_full_disk_and_devices_are_written_never_replaced() -> None:
    with pytest.raises(RunError, match="cannot write /dev/full; received No space left on device"):
        write_signal(example_signal(), "/dev/full")
    write_signal(example_signal(), os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "Operation not permitted")))
    write_bytes(b"data", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"data"


def test_a_name_taken_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    monkeypatch.setattr(os, "fsync", lambda _: target.write_bytes(b"first"))
    with pytest.raises(UsageError, match="exists already"):
        write_bytes(b"second", target)
    assert target.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


def test_a_closed_pipe_stays_a_closed_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: False, buffer=SimpleNamespace(write=closed)))
    with pytest.raises(BrokenPipeError):
        write_bytes(b"data", atomic.STDOUT)


def test_permissions_and_links_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    plain, target, link = tmp_path / "plain", tmp_path / "a.h5", tmp_path / "link.h5"
    plain.touch()
    write_bytes(b"data", target)
    assert target.stat().st_mode == plain.stat().st_mode
    target.chmod(0o640)
    link.symlink_to(target)
    write_bytes(b"more", link, overwrite=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"more"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
