"""The verdict on a channel's model, wherever a user reads it: table, notes, closing line, exit code, `show`, log, Python."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, run

import blasso_flow as bf
from blasso_flow import read_result, write_result, write_signal
from blasso_flow.cli.channels import Gathered
from blasso_flow.data.reports import FAULTY, Status, Verdict, fit_sentence
from blasso_flow.data.signals import Axis, Signal

FILTER = bf.filters.gaussian(sd=0.02)
SMALL = "the error bars are too small"


def samples(sd: float, seed: int = 0) -> np.ndarray:
    """Five spikes with a Gaussian of this sd, in white noise."""
    x = 0.001 * np.arange(1500)
    clean = sum(w * np.exp(-0.5 * ((x - p) / sd) ** 2) for p, w in ((0.2, 1), (0.45, 1.4), (0.7, 0.8), (0.95, 1.1), (1.2, 1)))
    return clean + 0.05 * np.random.default_rng(seed).standard_normal(x.size)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a signal whose filter is right, one whose filter is too narrow, and one of both with a channel missing."""
    monkeypatch.chdir(tmp_path)
    axis, gap = Axis(0.0, 0.001, 1500, "time", "s"), np.full(1500, np.nan)
    for name, values in (
        ("good", samples(0.02)),
        ("wrong", samples(0.025, 1)),
        ("many", np.array([samples(0.02), samples(0.025, 1), gap, samples(0.026, 3)])),
    ):
        write_signal(Signal(values, axis, filter=FILTER, noise_sd=None), f"{name}.h5")
    return tmp_path


def recover(*arguments: object, code: int = 0):
    outcome = run("recover", *arguments, "--no-plot", "--jobs", 1)
    assert outcome.code == code, outcome.stderr
    return outcome


def test_a_good_fit_is_one_word(here: Path) -> None:
    outcome = recover("good.h5", "--require-fit", "good")
    assert outcome.text.splitlines()[1].split()[2:4] == ["converged", "good"]
    assert "fit" not in outcome.stderr


def test_of_one_channel_the_first_line_says_that_the_model_is_wrong(here: Path) -> None:
    outcome = recover("wrong.h5")
    first, *_, last = outcome.stderr.splitlines()
    assert first.startswith("blasso-flow: fit wrong: a filter 2")
    assert first.endswith(SMALL)
    assert " in 1 channel (fit wrong), largest gap" in last
    assert outcome.stderr.count("fit wrong: ") == 1
    shown = run("show", "wrong.spikes.h5")
    assert "note: fit wrong: a filter" in shown.stderr
    assert "wrong" not in shown.text


def test_of_many_channels_notes_closing_line_log_and_show_say_which(here: Path) -> None:
    outcome = recover("many.h5", "--accept-unconverged", "--log-json", "log")
    assert [line.split()[3] for line in outcome.text.splitlines()[1:]] == ["good", "wrong", "unknown", "wrong"]
    assert "note: channel 1: fit wrong: a filter" in outcome.stderr
    assert "(3 converged, 1 all_missing; fit: 1 good, 2 wrong), largest" in outcome.stderr
    log = [json.loads(line) for line in Path("log").read_text().splitlines()]
    channels = {event["channel"]: event for event in log if event["event"] == "channel"}
    assert {number: event["fit"] for number, event in channels.items()} == {1: "wrong", 2: "unknown", 3: "wrong"}
    assert channels[1]["fit_reasons"][0].startswith("a filter")
    assert log[-1]["fit"] == {"good": 1, "wrong": 2, "unknown": 1}
    assert [event for event in log if event["event"] == "block"][-1]["fit_wrong"] == 2
    table = run("show", "many.spikes.h5", "--channels").text.splitlines()
    assert [line.split()[3] for line in table[1:5]] == ["good", "wrong", "unknown", "wrong"]
    assert [line.partition(": a")[0] for line in table[6:]] == ["channel 1: fit wrong", "channel 3: fit wrong"]
    rows = list(csv.DictReader(io.StringIO(run("show", "many.spikes.h5", "--channels", "--csv").text)))
    assert [row["fit"] for row in rows] == ["good", "wrong", "unknown", "wrong"]
    assert rows[0]["fit_reasons"] == ""
    assert rows[1]["fit_reasons"] == "; ".join(read_result("many.spikes.h5").recovery.channels[1].fit_reasons)


def test_a_required_fit_decides_the_exit_code_after_everything_is_written(here: Path) -> None:
    outcome = recover("wrong.h5", "--require-fit", "doubtful", "-q", code=3)
    assert (
        "wrong.h5: the fit of 1 of 1 channels is below --require-fit doubtful; channel 0: fit wrong: a filter" in outcome.stderr
    )
    assert Path("wrong.spikes.h5").exists()
    recover("many.h5", "--require-fit", "doubtful", "--accept-unconverged", "-q", code=3)  # which is about the proof
    both = recover("many.h5", "--require-fit", "good", "--force", "-q", code=3).stderr.splitlines()
    assert ["did not converge" in both[0], "the fit of 2 of 4" in both[1], len(both)] == [True, True, 2]
    outcome = recover("wrong.h5", "good.h5", "--require-fit", "good", "--fail-fast", "--output-dir", "two", "-q", code=3)
    assert sorted(path.name for path in Path("two").iterdir()) == ["good.spikes.h5", "wrong.spikes.h5"]


def test_a_required_fit_is_asked_of_a_result_that_is_there(here: Path) -> None:
    recover("wrong.h5", "good.h5", "-q")
    recover("wrong.h5", "--resume", "-q")
    recover("wrong.h5", "--resume", "--require-fit", "good", "-q", code=3)
    recover("good.h5", "--resume", "--require-fit", "good", "-q")


@pytest.mark.parametrize(("required", "code"), [("doubtful", 0), ("good", 3)])
def test_a_doubtful_fit_is_below_good_only(here: Path, required: str, code: int) -> None:
    recover("good.h5", "-q")
    recovery = read_result("good.spikes.h5").recovery
    doubted = replace(recovery.channels[0], fit=Verdict.DOUBTFUL, fit_reasons=("drift",))
    recovery = replace(recovery, channels=[doubted])
    from blasso_flow.cli.channels import Account

    account = Account.of(recovery)
    assert (account.below(required) > 0) == (code == 3)
    assert account.fits() == ["fit doubtful: drift"]
    assert " in 1 channel (fit doubtful), largest" in account.closing(1.0, [])


def test_a_recovery_has_the_worst_verdict_of_its_channels() -> None:
    recovery = bf.recover(samples(0.02), spacing=0.001, filter=FILTER)
    assert recovery.verdict is recovery.channels[0].fit is Verdict.GOOD
    report = recovery.channels[0]
    for fits, worst in (
        (["good", "wrong", "doubtful"], "wrong"),
        (["good", "doubtful", "unknown"], "doubtful"),
        (["good", "unknown"], "unknown"),
    ):
        assert replace(recovery, channels=[replace(report, fit=Verdict(fit)) for fit in fits]).verdict == worst


def test_sentences_of_verdicts() -> None:
    assert fit_sentence(Verdict.WRONG, ("not white", "drift")) == f"fit wrong: not white; drift; {SMALL}"
    assert fit_sentence(Verdict.DOUBTFUL, ("drift",)) == "fit doubtful: drift"
    assert fit_sentence(Verdict.GOOD, ()) == fit_sentence(Verdict.UNKNOWN, ()) == ""
    assert [fit for fit in Verdict if fit.faulty] == sorted(FAULTY)


def test_reasons_that_differ_in_numbers_are_one_note() -> None:
    found = Gathered(ranges=True)
    for number, rho in enumerate((0.42, -0.1, 0.3)):
        found.add(number, f"not white (rho {rho}); 25 % wider")
    found.add(5, "drift")
    assert found.lines(9) == ["channels 0-2: not white (rho -0.1 to 0.42); 25 % wider", "channel 5: drift"]
    apart = Gathered()
    for number in (0, 1):
        apart.add(number, f"rho {number}")
    assert len(apart.lines(9)) == 2


def test_the_result_of_a_failed_channel_has_no_verdict(here: Path) -> None:
    recovery = bf.recover(np.full(100, np.nan), spacing=0.001, filter=FILTER)
    assert recovery.channels[0].status is Status.ALL_MISSING
    write_result(recovery, "missing.h5")
    assert read_result("missing.h5").recovery.verdict is Verdict.UNKNOWN


def test_the_document_names_every_reason() -> None:
    text = (ROOT / "docs" / "verdict.md").read_text()
    source = (ROOT / "blasso_flow" / "recovery" / "verdict.py").read_text()
    for words in (
        "the residual is not white (rho ",
        "times larger where spikes are",
        "explains it better",
        "fewer spikes explain it as well",
        "a slow curve beside the spikes explains it better: drift",
        "drift below ",
        "times the noise sd",
        "the residual is only ",
        "far outside the noise",
        "piled up at the largest value: saturation",
        "of the spikes have a neighbour within two widths",
        "too few samples to judge the fit",
    ):
        assert words in source
        assert words in text
