"""Blocks on a Dask cluster of two processes, which this test starts; one of them dies halfway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from command import run, running
from test_batches import assert_same_data

from blasso_flow import write_signal
from blasso_flow.batches.journal import partial_path
from blasso_flow.truth.simulation import simulate

pytest.importorskip("distributed")

DASK = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
WORKER = [sys.executable, "-m", "distributed.cli.dask_worker"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The scheduler's address and two worker processes."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    file = tmp_path / "scheduler.json"
    places = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with ExitStack() as started:
        scheduler = started.enter_context(running([*DASK, *places], **quiet))
        started.callback(scheduler.kill)
        while not file.exists() or not file.read_text().strip():
            assert scheduler.poll() is None
            time.sleep(0.05)
        address = file.read_text().split('"address": "')[1].split('"')[0]
        workers = []
        for _ in range(2):
            command = [*WORKER, address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            workers.append(started.enter_context(running(command, **quiet)))
            started.callback(workers[-1].kill)
        yield address, workers


def test_a_worker_of_a_cluster_dies_halfway(cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path) -> None:
    address, workers = cluster
    made = simulate("gaussian:sd=4", samples=1000, spikes=20, snr=25, channels=200, seed=3)
    write_signal(made, tmp_path / "long.h5")
    assert run("recover", tmp_path / "long.h5", "-o", tmp_path / "whole.h5", "--no-plot", "-q", "--jobs", 1).code == 0
    target = tmp_path / "r.h5"
    command = [sys.executable, "-m", "blasso_flow", "recover", "long.h5", "-o", str(target), "--no-plot", "-q"]
    with running([*command, "--scheduler", address], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        partial = partial_path(str(target))
        while not (partial.exists() and partial.stat().st_size > 50_000):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.kill(workers[0].pid, signal.SIGKILL)
        _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert_same_data(tmp_path / "whole.h5", target)


def test_a_scheduler_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blasso_flow.batches.executors.PATIENCE", 0.5)
    write_signal(simulate("gaussian:sd=4", samples=100, spikes=1, channels=2, seed=3), tmp_path / "a.h5")
    outcome = run("recover", tmp_path / "a.h5", "-o", tmp_path / "r.h5", "--scheduler", "tcp://127.0.0.1:9", "-q")
    assert outcome.code == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in outcome.stderr
    assert os.listdir(tmp_path) == ["a.h5"]
