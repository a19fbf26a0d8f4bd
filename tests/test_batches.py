"""Many channels: results do not depend on workers, blocks or interruptions, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command import complete, run, running, start
from files_examples import example_recovery

from blasso_flow import write_signal
from blasso_flow.batches import plan
from blasso_flow.batches.executors import processes
from blasso_flow.batches.journal import Journal, partial_path
from blasso_flow.data.blocks import Block, encode
from blasso_flow.errors import BlassoFlowError, DataError, RunError, UsageError
from blasso_flow.truth.simulation import simulate

CHANNELS = 60
HANGS = 120  # s


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty channels of which two cannot be used."""
    path = tmp_path_factory.mktemp("signals") / "many.h5"
    made = simulate("gaussian:sd=4", samples=300, spikes=6, snr=25, channels=CHANNELS, seed=3)
    made.values[7] = np.nan
    write_signal(made, path)
    with h5py.File(path, "r+") as file:
        file["signal/y"][31, 5] = np.inf
    return path


def data(path: Path) -> dict[str, object]:
    """Every dataset but the times and where the result came from."""
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, node: found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None)
    return {name: values for name, values in found.items() if not name.startswith(("timing", "provenance"))}


def assert_same_data(one: Path, other: Path) -> None:
    """Equal datasets, to the last bit."""
    left, right = data(one), data(other)
    assert left.keys() == right.keys()
    for name, values in left.items():
        there = right[name]
        assert np.shape(values) == np.shape(there), name
        if isinstance(values, np.ndarray) and values.dtype.kind != "O":
            assert values.tobytes() == there.tobytes(), name  # type: ignore[attr-defined]
        else:
            np.testing.assert_array_equal(values, there, err_msg=name)


@pytest.fixture(scope="module")
def whole(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of an uninterrupted run in one process, with everything that can be stored."""
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    outcome = run("recover", recording, "-o", path, "--no-plot", "--jobs", 1, "--save-fit", "--rate", 8)
    assert outcome.code == 3, outcome.stderr
    assert "60 channels (58 converged, 1 all_missing, 1 failed)" in outcome.stderr
    return path


EVERYTHING = ("--no-plot", "--save-fit", "--rate", "8")


def test_a_bad_channel_is_reported_and_the_others_go_on(whole: Path) -> None:
    with h5py.File(whole) as file:
        status = file["channels/status"].asstr()[()]
        message = file["channels/message"].asstr()[()]
    assert status[7] == "all_missing"
    assert status[31] == "failed"
    assert "infinite" in message[31]
    assert list(status).count("converged") == CHANNELS - 2


def test_processes_give_the_same_data(recording: Path, whole: Path, tmp_path: Path) -> None:
    done = start("recover", recording, "-o", tmp_path / "r.h5", *EVERYTHING, "--jobs", 3, "-q")
    assert done.returncode == 3, done.stderr
    assert_same_data(whole, tmp_path / "r.h5")
    assert not partial_path(str(tmp_path / "r.h5")).exists()


def test_blocks_that_are_sent_give_the_same_data(recording: Path, whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "blasso_flow", "recover", "-", "-o", "-", *EVERYTHING[1:], "--jobs", "2", "-q"]
    with recording.open("rb") as stream:
        done = complete(command, stdin=stream)
    assert done.returncode == 3, done.stderr
    (tmp_path / "r.h5").write_bytes(done.stdout)
    assert_same_data(whole, tmp_path / "r.h5")


def heeds() -> None:
    """In a new process: a parent may have been started with signals ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def begin(command: list[str], folder: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A process without a terminal, in a folder, that signals end."""
    return running(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeds)


def slow(arguments: list[object], folder: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A run in a process, whose channels take 50 ms more than they would."""
    script = (
        "import time, sys, blasso_flow.batches.worker as worker; from blasso_flow.cli import main\n"
        "real = worker.recover_channel\n"
        "def slow(*a): time.sleep(0.05); return real(*a)\n"
        "worker.recover_channel = slow; sys.argv = ['blasso-flow', *sys.argv[1:]]; main()"
    )
    return begin([sys.executable, "-c", script, *map(str, arguments)], folder)


def wait_for(path: Path, size: int, process: subprocess.Popen[bytes]) -> None:
    """Until the file has the size, or the process has ended, which is a failure."""
    while not (path.exists() and path.stat().st_size > size):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_goes_on(recording: Path, whole: Path, tmp_path: Path, number: int, code: int) -> None:
    target, partial = tmp_path / "r.h5", tmp_path / "r.h5.partial"
    arguments = ["recover", recording, "-o", target, *EVERYTHING, "--jobs", 1]
    with slow(arguments, tmp_path) as process:
        wait_for(partial, 60_000, process)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=HANGS)
    assert process.returncode == code, stderr
    assert not target.exists()
    if code > 0:
        assert b"channels are kept in" in stderr
        assert b"--resume" in stderr
    refused = run(*arguments)
    assert refused.code == 2
    assert "an unfinished run is there" in refused.stderr
    resumed = run(*arguments, "--resume")
    assert resumed.code == 3
    assert not resumed.stderr.startswith("blasso-flow: resuming many.h5: 0 of")
    assert_same_data(whole, target)
    assert not partial.exists()


def test_an_interruption_ends_processes(recording: Path, whole: Path, tmp_path: Path) -> None:
    values = simulate("gaussian:sd=4", samples=4000, spikes=80, snr=25, channels=300, seed=3)
    write_signal(values, tmp_path / "long.h5")
    arguments = [sys.executable, "-m", "blasso_flow", "recover", "long.h5", "--no-plot", "--jobs", "2", "--log-json", "log"]
    with begin(arguments, tmp_path) as process:
        wait_for(tmp_path / "log", 200, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=HANGS)
    assert process.returncode == 130, stderr
    assert b"channels are kept in" in stderr
    workers = {entry["process"] for entry in map(json.loads, (tmp_path / "log").read_text().splitlines()) if "process" in entry}
    assert workers
    for _ in range(100):
        if not any(map(_alive, workers)):
            break
        time.sleep(0.1)
    assert not any(map(_alive, workers))


def test_an_interruption_that_python_swallows_is_heeded(recording: Path, tmp_path: Path) -> None:
    """An exception in the callback of a weak reference is lost: no further channel is finished nevertheless."""
    script = (
        "import os, signal, sys, weakref, blasso_flow.batches.worker as worker; from blasso_flow.cli import main\n"
        "real = worker.recover_channel\n"
        "class Thing: pass\n"
        "def swallowing(row, number, *a):\n"
        "    if number == 20:\n"
        "        thing = Thing(); kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT)); del thing\n"
        "    done = real(row, number, *a); print(number); return done\n"
        "worker.recover_channel = swallowing; sys.argv = ['blasso-flow', *sys.argv[1:]]; main()"
    )
    arguments = ["recover", str(recording), "-o", "r.h5", "--no-plot", "-q", "--jobs", "1"]
    with begin([sys.executable, "-c", script, *arguments], tmp_path) as process:
        stdout, stderr = process.communicate(timeout=HANGS)
    assert process.returncode == 130, stderr
    assert b"Traceback" not in stderr
    assert b"20" not in stdout.splitlines()
    assert (tmp_path / "r.h5.partial").exists()


def test_a_killed_run_leaves_no_word_and_no_process(tmp_path: Path) -> None:
    write_signal(simulate("gaussian:sd=4", samples=4000, spikes=80, snr=25, channels=300, seed=3), tmp_path / "long.h5")
    arguments = [sys.executable, "-m", "blasso_flow", "recover", "long.h5", "--no-plot", "-q", "--jobs", "2", "--log-json", "log"]
    with begin(arguments, tmp_path) as process:
        wait_for(tmp_path / "log", 200, process)
        process.send_signal(signal.SIGKILL)
        _, stderr = process.communicate(timeout=HANGS)  # until the last process that holds this stream has ended
    assert (process.returncode, stderr) == (-signal.SIGKILL, b"")


def _alive(number: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


def test_a_worker_that_dies_costs_time_only(recording: Path, tmp_path: Path) -> None:
    made = simulate("gaussian:sd=4", samples=2000, spikes=40, snr=25, channels=80, seed=3)
    write_signal(made, tmp_path / "long.h5")
    assert run("recover", tmp_path / "long.h5", "-o", tmp_path / "whole.h5", "--no-plot", "-q", "--jobs", 1).code == 0
    arguments = ["recover", "long.h5", "-o", "r.h5", "--no-plot", "-q", "--jobs", "2", "--log-json", "log"]
    command = [sys.executable, "-m", "blasso_flow", *arguments]
    with begin(command, tmp_path) as process:
        wait_for(tmp_path / "log", 200, process)
        entry = json.loads((tmp_path / "log").read_text().splitlines()[1])
        os.kill(entry["process"], signal.SIGKILL)
        _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert_same_data(tmp_path / "whole.h5", tmp_path / "r.h5")


def half_a_result(sent: str) -> None:
    """In a worker: the beginning of a result is sent, and no more; then there is a file ``sent``."""
    writer = sys._getframe(1).f_locals["result_queue"]._writer
    os.write(writer.fileno(), b"\0\0\xff\xff" + bytes(1000))
    Path(sent).touch()
    time.sleep(HANGS)


def test_stopping_waits_for_no_task_half_sent_and_no_result_half_received(tmp_path: Path) -> None:
    crew = processes(1)
    pool: Any = crew.executor
    manager, tasks, results = pool._executor_manager_thread, pool._call_queue, pool._result_queue
    try:
        crew.executor.submit(half_a_result, str(tmp_path / "sent"))
        more = [crew.executor.submit(len, bytes(1 << 20)) for _ in range(3)]
        while not ((tmp_path / "sent").exists() and more[0].running()):
            time.sleep(0.01)
        time.sleep(0.5)  # what is sent to the worker fills the pipe by then
        crew.stop()
        for thread in (manager, tasks._thread):
            thread.join(HANGS / 4)
            assert not thread.is_alive(), thread
    finally:
        tasks._reader.close()
        results._writer.close()


def test_fail_fast_stops_at_the_first(recording: Path, tmp_path: Path) -> None:
    target = tmp_path / "r.h5"
    outcome = run("recover", recording, "-o", target, "--no-plot", "--jobs", 1, "--fail-fast", "-q")
    assert outcome.code == 3
    assert "stopped at channel 7: all_missing; every sample is missing" in outcome.stderr
    assert not target.exists()
    assert run("recover", recording, "-o", target, "--no-plot", "-q", "--resume").code == 3
    assert target.exists()
    refused = run("recover", recording, "-o", target, "--fail-fast", "--accept-unconverged", "--force")
    assert refused.code == 2


def test_a_resumed_run_must_be_the_same(recording: Path, tmp_path: Path) -> None:
    arguments = ["recover", recording, "-o", tmp_path / "r.h5", "--no-plot", "-q", "--jobs", 1]
    assert run(*arguments, "--fail-fast").code == 3
    other = run(*arguments, "--resume", "--false-alarms", 0.1)
    assert other.code == 2
    assert "another settings false_alarms; received 0.1; allowed: 0.05" in other.stderr
    changed = tmp_path / "other.h5"
    write_signal(simulate("gaussian:sd=4", samples=300, spikes=6, channels=CHANNELS, seed=4), changed)
    other = run("recover", changed, *arguments[2:], "--resume")
    assert other.code == 2
    assert "another signal" in other.stderr
    assert run(*arguments, "--resume").code == 3
    again = run(*arguments[:-3], "--jobs", 1, "--resume")
    assert again.code == 0
    assert "is there already" in again.stderr
    other = run(*arguments, "--resume", "--false-alarms", 0.1)
    assert (other.code, "made with other options" in other.stderr) == (2, True)


# ---- the journal -----------------------------------------------------------------------------------------------------
def blocks(count: int) -> list[Block]:
    """Blocks of two channels each."""
    return [Block.of(example_recovery(0, 2, seed=number), 2 * number) for number in range(count)]


def test_the_journal_gives_back_blocks_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.partial"
    journal = Journal({"signal": "x"}, path)
    made = blocks(4)
    for number in (2, 0, 3):
        journal.append(made[number].first, 2, encode(made[number]))
    assert journal.missing(9) == [(2, 4), (8, 9)]
    assert [block.first for block in journal.blocks()] == [0, 4, 6]
    journal.close(keep=True)
    again = Journal({"signal": "x"}, path, resume=True)
    assert [encode(block) for block in again.blocks()] == [encode(made[number]) for number in (0, 2, 3)]
    with pytest.raises(UsageError, match="another run is writing"):
        Journal({"signal": "x"}, path, resume=True)
    again.close(keep=False)
    assert not path.exists()


def test_an_interruption_while_the_disk_works_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("blasso_flow.batches.journal.DURABLE", 0.0)
    monkeypatch.setattr(os, "fsync", interrupt)
    journal = Journal({}, tmp_path / "a.partial")
    block = blocks(1)[0]
    with pytest.raises(KeyboardInterrupt):
        journal.append(0, 2, encode(block))
    journal.close(keep=True)
    again = Journal({}, tmp_path / "a.partial", resume=True)
    assert again.done == 2
    again.close(keep=False)


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_a_torn_journal_loses_the_torn_block_only(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.partial"
    journal = Journal({}, path)
    for block in blocks(3):
        journal.append(block.first, 2, encode(block))
    journal.close(keep=True)
    size = path.stat().st_size
    os.truncate(path, size - min(cut, size // 4))
    again = Journal({}, path, resume=True)
    assert again.missing(6) == [(4, 6)]
    again.close(keep=False)


def test_a_damaged_journal_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.partial"
    journal = Journal({}, path)
    for block in blocks(3):
        journal.append(block.first, 2, encode(block))
    journal.close(keep=True)
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)
    again = Journal({}, path, resume=True)
    assert again.missing(6)[-1][1] == 6
    again.close(keep=True)
    path.write_bytes(b"something else that is no run")
    with pytest.raises(DataError, match="no unfinished run"):
        Journal({}, path, resume=True)


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, recording: Path, whole: Path) -> None:
    """The largest size of a file stands in for the room on the disk: writes beyond it are refused likewise."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))\n"
        "from blasso_flow.cli import main; sys.argv = ['blasso-flow', *sys.argv[1:]]; main()"
    )
    arguments = ["recover", str(recording), "-o", str(tmp_path / "r.h5"), *EVERYTHING, "--jobs", "1", "-q"]
    done = complete([sys.executable, "-c", script, *arguments])
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert b"cannot write" in done.stderr
    assert b"channels are kept in" in done.stderr
    assert os.listdir(tmp_path) == ["r.h5.partial"]
    assert run(*arguments, "--resume").code == 3
    assert_same_data(whole, tmp_path / "r.h5")


# ---- the plan --------------------------------------------------------------------------------------------------------
def test_cores_follow_affinity_and_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    (root / "a" / "b").mkdir(parents=True)
    membership.write_text("0::/a/b\n")
    (root / "a" / "b" / "cpu.max").write_text("max 100000\n")
    assert list(plan._quotas(root, membership)) == []
    (root / "a" / "cpu.max").write_text("350000 100000\n")
    assert list(plan._quotas(root, membership)) == [3]
    (root / "cpu" / "c").mkdir(parents=True)
    (root / "cpu" / "c" / "cpu.cfs_quota_us").write_text("150000")
    (root / "cpu" / "c" / "cpu.cfs_period_us").write_text("100000")
    membership.write_text("3:cpu,cpuacct:/c\n2:memory:/c\n")
    assert list(plan._quotas(root, membership)) == [1]
    monkeypatch.setattr(plan, "_quotas", lambda: [3])
    assert plan.available_cores() == 3


@pytest.mark.parametrize("channels", [1, 8, 100, 10_000])
@pytest.mark.parametrize("samples", [100, 1000, 17_000, 1_000_000])
@pytest.mark.parametrize("together", [1, 16, 1000])
def test_blocks_cover_every_channel_once(channels: int, samples: int, together: int) -> None:
    size = plan.block_size(channels, samples, 2, 10**9, together)
    assert size == 1 or size * samples <= max(plan.SAMPLES, together * samples)
    cut = list(plan.blocks_of([(0, channels // 2), (channels // 2, channels)], size))
    assert [number for first, stop in cut for number in range(first, stop)] == list(range(channels))


def test_jobs_keep_to_the_memory() -> None:
    assert plan.fitting_jobs(8, 1000, 10**10) == 8
    assert plan.fitting_jobs(8, 1000, 600 << 20) == 2
    assert plan.fitting_jobs(8, 10**6, 100 << 20) == 1
    with pytest.raises(UsageError, match="`jobs=` is out of range"):
        plan.checked_jobs(0)


@pytest.mark.parametrize("error", [RunError("a", received=3, mend="b"), DataError("a"), UsageError("x", allowed="y")])
def test_errors_come_back_from_workers_as_they_were(error: BlassoFlowError) -> None:
    import pickle

    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back)) == (type(error), str(error))
