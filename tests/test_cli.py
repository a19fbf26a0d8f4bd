"""The commands: what they print, write and return."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command import COMMANDS, DATA, complete, examples, run, running, shell, start

from blasso_flow import read_result, read_signal, write_signal
from blasso_flow.cli.program import SUMMARIES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the three examples, made once."""
    made = tmp_path_factory.mktemp("results")
    assert run("recover", DATA / "gaussian.h5", DATA / "channels.h5", "--output-dir", made, "--no-plot", "-q").code == 0
    assert run("recover", DATA / "ricker.h5", "--signed", "--output-dir", made, "--no-plot", "-q", "--save-fit").code == 0
    return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- every command ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_that_runs(command: str, here: Path) -> None:
    lines = examples(command)
    assert lines
    assert all(line.startswith("blasso-flow ") for line in lines)
    (here / "data").symlink_to(DATA)
    for line in lines:
        if "|" in line:
            done = shell(line, here)
            assert done.returncode == 0, done.stderr
        else:
            outcome = run(*shlex.split(line)[1:])
            assert outcome.code == 0, outcome.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_summary_in_the_list_is_the_first_line_of_the_help(command: str) -> None:
    text = " ".join(run(command, "--help").text.split())
    assert SUMMARIES[command] in text


def test_without_a_command_the_help_is_shown() -> None:
    outcome = run()
    assert outcome.code == 0
    assert all(re.search(rf"^  {command} ", outcome.text, re.MULTILINE) for command in COMMANDS)


def test_the_version() -> None:
    assert re.fullmatch(r"blasso-flow \d+\.\d+\.\d+\n", run("--version").text)


# ---- recover ---------------------------------------------------------------------------------------------------------
def test_recover_writes_result_and_figure_and_prints_a_table(here: Path) -> None:
    outcome = run("recover", DATA / "gaussian.h5")
    assert outcome.code == 0
    assert sorted(path.name for path in here.iterdir()) == ["gaussian.spikes.h5", "gaussian.spikes.png"]
    header, row = outcome.text.splitlines()
    assert header.split()[:5] == ["channel", "spikes", "status", "fit", "gap"]
    assert row.split()[:3] == ["0", "10", "converged"]
    assert "wrote gaussian.spikes.h5 and gaussian.spikes.png" in outcome.stderr
    stored = read_result("gaussian.spikes.h5")
    assert stored.provenance["argv"][0] == "blasso-flow"
    assert stored.signal_path == str(DATA / "gaussian.h5")
    assert stored.recovery.channels[0].gap <= 1e-6


def test_recover_finds_the_true_spikes(folder: Path) -> None:
    for name in ("gaussian", "ricker"):
        truth = read_signal(DATA / f"{name}.h5").truth
        spikes = read_result(folder / f"{name}.spikes.h5").recovery.spikes
        assert truth is not None
        assert len(spikes) == truth.position.size
        assert np.all(np.abs(spikes.position - np.sort(truth.position)) < 6 * spikes.position_errors)


def test_quiet_prints_nothing(here: Path) -> None:
    outcome = run("recover", DATA / "gaussian.h5", "-q", "--no-plot")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, b"", "")


def test_save_fit_and_no_refit(here: Path) -> None:
    assert run("recover", DATA / "gaussian.h5", "-o", "a.h5", "--no-plot", "-q", "--no-refit", "--save-fit").code == 0
    recovery = read_result("a.h5").recovery
    np.testing.assert_array_equal(recovery.spikes.position, recovery.optimum.position)
    assert recovery.fit is not None
    assert recovery.fit.model.shape == (1000,)
    assert recovery.settings["refit"] is False


def test_options_reach_the_settings(here: Path) -> None:
    options = [
        "--filter",
        "gaussian:sd=0.021",
        "--signed",
        "--normalisation",
        "area",
        "--baseline",
        "none",
        "--margin",
        "0.01,0.02",
    ]
    options += ["--noise-sd", "0.08", "--strength", "0.5auto", "--false-alarms", "0.1", "--tol", "1e-5", "--tol-noise", "0.4"]
    assert run("recover", DATA / "gaussian.h5", "-o", "a.h5", "--no-plot", "-q", *options, "--max-rounds", "50").code == 0
    stored = read_result("a.h5")
    settings = stored.recovery.settings
    assert settings["filter"]["parameters"] == {"sd": 0.021}
    assert settings["filter"]["normalisation"] == "area"
    expected = {"penalty": "signed", "baseline": "none", "margin": [0.01, 0.02], "noise_sd": 0.08, "strength": "0.5auto"}
    expected |= {"false_alarms": 0.1, "tol": 1e-5, "tol_noise": 0.4, "max_rounds": 50, "refit": True}
    assert {name: settings[name] for name in expected} == expected
    assert stored.weight_units == "V s"


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_figures_in_other_formats(here: Path, suffix: str) -> None:
    assert run("recover", DATA / "gaussian.h5", "-q", "--plot-format", suffix).code == 0
    head = {"svg": b"<?xml", "pdf": b"%PDF-"}[suffix]
    assert (here / f"gaussian.spikes.{suffix}").read_bytes().startswith(head)


def test_the_same_input_gives_the_same_spikes(here: Path) -> None:
    for name in ("a.h5", "b.h5"):
        assert run("recover", DATA / "channels.h5", "-o", name, "--no-plot", "-q").code == 0
    one, other = (read_result(name).recovery for name in ("a.h5", "b.h5"))
    for column in ("position", "weight", "position_errors"):
        np.testing.assert_array_equal(getattr(one.spikes, column), getattr(other.spikes, column))


def test_many_channels_are_summed_up(here: Path) -> None:
    assert (
        run(
            "simulate",
            "--filter",
            "gaussian:sd=4",
            "--samples",
            120,
            "--spikes",
            2,
            "--channels",
            23,
            "--snr",
            25,
            "-q",
            "-o",
            "m.h5",
        ).code
        == 0
    )
    outcome = run("recover", "m.h5", "--no-plot")
    lines = outcome.text.splitlines()
    assert outcome.code == 0
    assert len(lines) == 22
    assert re.match(r"\.\.\. and 3 more: 3 converged(; fit: [\w, ]+)?, \d+ spikes$", lines[-1])
    assert len(run("recover", "m.h5", "--no-plot", "--force", "--verbose").text.splitlines()) == 24


def test_a_gap_that_is_not_reached_is_exit_3_and_written(here: Path) -> None:
    arguments = ["recover", DATA / "gaussian.h5", "--no-plot", "--max-rounds", 1, "--tol", 1e-14]
    outcome = run(*arguments)
    assert outcome.code == 3
    assert "did not converge" in outcome.stderr
    assert read_result("gaussian.spikes.h5").recovery.channels[0].status == "gap_above_tolerance"
    assert run(*arguments, "--force", "--accept-unconverged").code == 0


def test_a_channel_without_samples_is_exit_3_and_the_others_are_written(here: Path) -> None:
    signal_ = read_signal(DATA / "channels.h5")
    values = signal_.values.copy()
    values[2] = np.nan
    write_signal(replace(signal_, values=values), "holes.h5")
    outcome = run("recover", "holes.h5", "--no-plot")
    assert outcome.code == 3
    assert [str(channel.status) for channel in read_result("holes.spikes.h5").recovery.channels].count("all_missing") == 1


def test_a_bad_file_among_good_ones_does_not_stop_them(here: Path) -> None:
    (here / "bad.h5").write_text("no HDF5")
    outcome = run("recover", "bad.h5", DATA / "gaussian.h5", "--no-plot", "-q")
    assert outcome.code == 3
    assert len(outcome.stderr.splitlines()) == 1
    assert "bad.h5" in outcome.stderr
    assert (here / "gaussian.spikes.h5").exists()


# ---- the commands that read results ----------------------------------------------------------------------------------
def test_show_prints_a_table_with_units_and_digits_that_mean_something(folder: Path) -> None:
    lines = run("show", folder / "gaussian.spikes.h5").text.splitlines()
    assert lines[0].split() == ["position", "[s]", "+-", "weight", "[V]", "+-", "significance", "group"]
    assert len(lines) == 11
    position, error = lines[1].split()[:2]
    decimals = len(position.partition(".")[2])
    assert float(error) >= 10.0**-decimals > float(error) / 100


def test_show_csv_has_every_digit(folder: Path) -> None:
    spikes = read_result(folder / "channels.spikes.h5").recovery.spikes
    rows = list(csv.DictReader(io.StringIO(run("show", folder / "channels.spikes.h5", "--csv").text)))
    assert list(rows[0]) == ["channel", "position", "position_errors", "weight", "weight_errors", "group", "significance"]
    assert [float(row["position"]) for row in rows] == spikes.position.tolist()
    assert [int(row["channel"]) for row in rows] == spikes.channel.tolist()


def test_show_json_is_strict(folder: Path) -> None:
    def no_constants(text: str) -> None:
        raise AssertionError(text)

    text = run("show", folder / "gaussian.spikes.h5", "--json").text
    document = json.loads(text, parse_constant=no_constants)
    assert (document["position_units"], document["weight_units"]) == ("s", "V")
    assert len(document["rows"]) == 10
    assert document["settings"]["penalty"] == "positive"


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_show_channels_and_optimum(folder: Path, form: list[str]) -> None:
    optimum = run("show", folder / "ricker.spikes.h5", "--optimum", *form)
    assert optimum.code == 0
    assert "eta" in optimum.text
    channels = run("show", folder / "channels.spikes.h5", "--channels", *form)
    assert channels.code == 0
    assert channels.text.count("converged") == 6


def test_certify_agrees_and_notices_a_changed_result(folder: Path, here: Path) -> None:
    h5py = pytest.importorskip("h5py")
    outcome = run("certify", folder / "channels.spikes.h5")
    assert outcome.code == 0
    assert outcome.text.splitlines()[-1] == "6 of 6 channels confirmed"
    assert all(verdict["agrees"] for verdict in json.loads(run("certify", folder / "ricker.spikes.h5", "--json").text))
    shutil.copy(folder / "gaussian.spikes.h5", "changed.h5")
    with h5py.File("changed.h5", "r+") as file:
        file["optimum/weight"][0] *= 1.001
    outcome = run("certify", "changed.h5")
    assert outcome.code == 3
    assert "DISAGREES" in outcome.text
    assert outcome.stderr.startswith("blasso-flow: error: 1 of 1 channels are not confirmed; channel 0: ")


def test_score(folder: Path) -> None:
    document = json.loads(run("score", folder / "gaussian.spikes.h5", "--json").text)
    assert document["overall"]["f1"] == 1
    outcome = run("score", folder / "channels.spikes.h5", DATA / "channels.h5", "--tolerance", 0.1)
    lines = outcome.text.splitlines()
    assert outcome.code == 0
    assert lines[0].split()[:4] == ["channel", "found", "true", "hits"]
    assert [line.split()[0] for line in lines[1:8]] == ["0", "1", "2", "3", "4", "5", "all"]


def test_plot_draws_every_kind(folder: Path, here: Path) -> None:
    for kind in ("summary", "fit", "certificate", "gap"):
        outcome = run("plot", folder / "channels.spikes.h5", "--kind", kind, "--channel", 3, "-o", f"{kind}.png")
        assert outcome.code == 0, outcome.stderr
        assert (here / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert run("plot", folder / "channels.spikes.h5", "-q").code == 0
    assert (here / "channels.spikes.png").exists()


def test_inspect_says_what_it_found(here: Path) -> None:
    text = run("inspect", DATA / "channels.h5").text
    for found in ("/signal/y, 6 x 120 samples in dF/F", "decay:", "5.0%", "24 spikes", "spacing 0.168067 s"):
        assert found in text
    assert list(here.iterdir()) == []


def test_filters_lists_and_draws(here: Path) -> None:
    text = run("filters").text
    for name in ("gaussian", "ricker", "decay", "lorentzian", "emg", "lowpass", "measured"):
        assert re.search(rf"^{name}: ", text, re.MULTILINE)
    outcome = run("filters", "ricker:frequency=2", "--plot", "r.svg", "--spacing", 0.01)
    assert outcome.code == 0
    assert "width" in outcome.text
    assert (here / "r.svg").exists()


# ---- streams ---------------------------------------------------------------------------------------------------------
PIPELINE = (
    "blasso-flow simulate --filter gaussian:sd=0.02 --samples 1000 --range 0 1 --spikes 10 --min-separation 0.05 --snr 20 "
    "--seed 0 -o - | blasso-flow recover - -o - | blasso-flow show - --csv"
)


def test_the_commands_make_a_pipeline(here: Path) -> None:
    done = shell(PIPELINE, here)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 11
    assert "converged" in done.stderr
    assert list(here.iterdir()) == []


def test_a_closed_pipe_ends_quietly(here: Path, folder: Path) -> None:
    done = shell(f"set +e; blasso-flow show {folder}/channels.spikes.h5 --json | true; echo ${{PIPESTATUS[0]}}", here)
    assert done.stdout.splitlines()[-1] == "141"
    assert done.stderr == ""


def test_results_go_to_standard_output_and_the_table_to_standard_error(here: Path) -> None:
    outcome = run("recover", "-", "-o", "-", stdin=(DATA / "gaussian.h5").read_bytes())
    assert outcome.code == 0
    assert outcome.stdout.startswith(b"\x89HDF")
    assert "converged" in outcome.stderr
    (here / "piped.h5").write_bytes(outcome.stdout)
    refused = run("certify", "piped.h5")
    assert refused.code == 4
    assert run("certify", "piped.h5", DATA / "gaussian.h5").code == 0


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_hdf5_is_never_written_to_a_terminal() -> None:
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "blasso_flow", "recover", str(DATA / "gaussian.h5"), "-o", "-"]
    done = complete(command, stdout=follower)
    os.close(follower)
    os.close(leader)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("blasso-flow: error: HDF5 is not written to a terminal")


def _writing_end(fifo: str, reader: subprocess.Popen[bytes]) -> int:
    """The end of a named pipe to write to, once the reader has opened the other one."""
    while reader.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.02)
    raise AssertionError(reader.communicate())


@pytest.mark.parametrize(("number", "code", "what"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")])
def test_an_interrupted_run_leaves_nothing_torn(here: Path, number: int, code: int, what: str) -> None:
    os.mkfifo("slow.h5")
    command = [sys.executable, "-m", "blasso_flow", "recover", "slow.h5"]
    heeds = partial(signal.signal, number, signal.SIG_DFL)  # a parent may have been started with the signal ignored
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heeds) as process:
        pipe = _writing_end("slow.h5", process)
        os.write(pipe, b"\x89HDF\r\n\x1a\n")
        time.sleep(0.5)  # a signal just before the read begins would only be seen when it ends
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        os.close(pipe)
    assert process.returncode == code, stderr
    assert stderr.decode() == f"blasso-flow: {what}; nothing half-written is left\n"
    assert [path.name for path in here.iterdir()] == ["slow.h5"]


@pytest.mark.parametrize("moment", ["os.fsync", "blasso_flow.recovery.routes.solve"])
def test_an_interruption_while_solving_or_writing_leaves_nothing(
    moment: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moment, interrupt)
    outcome = run("recover", DATA / "gaussian.h5", "--no-plot", "-q")
    assert outcome.code == 130
    assert outcome.stderr == "blasso-flow: interrupted; nothing half-written is left\n"
    assert list(here.iterdir()) == []


def test_the_program_runs_as_a_process(here: Path) -> None:
    done = start("recover", DATA / "gaussian.h5", "--no-plot", cwd=here)
    assert done.returncode == 0, done.stderr
    assert b"converged" in done.stdout
    failed = start("recover", "nowhere.h5", cwd=here)
    assert failed.returncode == 4
    assert failed.stdout == b""
    assert len(failed.stderr.splitlines()) == 1


def test_a_bug_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("blasso_flow.files.read_result", broken)
    outcome = run("show", DATA / "gaussian.h5")
    assert outcome.code == 1
    assert outcome.stderr == (
        "blasso-flow: error: this is a bug, please report it; ZeroDivisionError: by zero (set BLASSO_FLOW_TRACEBACK=1 for more)\n"
    )
    monkeypatch.setenv("BLASSO_FLOW_TRACEBACK", "1")
    assert "Traceback" in run("show", DATA / "gaussian.h5").stderr


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    outcome = run("recover", DATA / "gaussian.h5", "--no-plot", "-q")
    assert outcome.code == 1
    assert "No space left on device" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    assert list(here.iterdir()) == []
