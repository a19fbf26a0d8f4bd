"""A width that changes along the axis: sections cover it, the whole record is proven, and the proof is checked again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command import DATA, run

import blasso_flow as bf
from blasso_flow import files
from blasso_flow.audit.audit import Verdict, audit
from blasso_flow.data.reports import Section
from blasso_flow.data.results import Recovery
from blasso_flow.data.signals import Axis
from blasso_flow.data.spikes import Optimum
from blasso_flow.errors import UsageError
from blasso_flow.filters.shapes import gaussian
from blasso_flow.flow import solve
from blasso_flow.plots.curves import gather, model_at
from blasso_flow.problem.parts import PartedProblem
from blasso_flow.problem.width_law import WidthLaw, cut, move_cuts
from blasso_flow.recovery.channel import tabulated
from blasso_flow.recovery.sections import solve_in_sections
from blasso_flow.recovery.settings import Settings

LAW = (4.0, 0.006)  # sd from 2 to 3 samples
AXIS = Axis(0.0, 1.0, 800, units="keV")
SHORT = Axis(0.0, 1.0, 400, units="keV")  # cut into several sections too


def peaks(position: np.ndarray, weight: np.ndarray, noise_sd: float | np.ndarray = 0.02, axis: Axis = AXIS) -> bf.Signal:
    at = axis.positions()
    values = sum(w * gaussian.response(at - x, WidthLaw(*LAW).sd(x)) for x, w in zip(position, weight, strict=True))
    values = values + noise_sd * np.random.default_rng(3).standard_normal(axis.size)
    return bf.Signal(values, axis, units="V", noise_sd=noise_sd)


def crowded(sign: bool = False, noise_sd: float | np.ndarray = 0.02, axis: Axis = AXIS) -> bf.Signal:
    random = np.random.default_rng(8)
    count = 45 * axis.size // 800
    position = axis.from_samples(np.sort(random.uniform(0, axis.size - 1, count)))
    weight = 1 + random.exponential(1.0, count)
    return peaks(position, weight * (random.choice([-1, 1], count) if sign else 1), noise_sd, axis)


def checked(found: Recovery) -> Verdict:
    assert found.signal is not None
    return audit(found.signal, found.optimum, found.channels, found.settings)[0]


@pytest.mark.parametrize("law", [LAW, (9.0, -0.006), (9.0, 0.0)])
def test_sections_cover_the_axis_with_the_law_s_width(law: tuple[float, float]) -> None:
    parts = cut(AXIS, WidthLaw(*law), (-5, 803))
    assert parts[0].first == -5 and parts[-1].last == 803
    assert all(part.last == after.first for part, after in pairwise(parts))
    assert WidthLaw(*law).strays(parts, AXIS) < 0.02
    assert (len(parts) == 1) == (law[1] == 0)


def test_cuts_move_into_the_gaps_between_spikes() -> None:
    parts = cut(AXIS, WidthLaw(*LAW), (0, 799))
    position = np.concatenate([[part.last - 1.0, part.last + 0.5, part.last + 6.0] for part in parts[:-1]])
    moved = move_cuts(parts, position, AXIS, WidthLaw(*LAW))
    assert [part.first for part in moved[1:]] != [part.first for part in parts[1:]]
    for part in moved[:-1]:
        assert np.abs(position - part.last).min() > 2
        assert WidthLaw(*LAW).sd(part.first) <= part.sd <= WidthLaw(*LAW).sd(part.last)


def test_every_spike_is_found_once_where_one_width_would_fail() -> None:
    cuts = [part.last for part in cut(AXIS, WidthLaw(*LAW), (0, 799))[:-1]]
    position = np.sort(np.concatenate([np.arange(40.0, 780.0, 31.3), cuts[::2]]))
    position = position[np.append(True, np.diff(position) > 12)]
    weight = 1 + 0.5 * np.sin(position)
    recording = peaks(position, weight, 0.005)
    found = bf.recover(recording, width_law=LAW)
    assert len(found.spikes) == position.size
    np.testing.assert_allclose(found.spikes.position, position, atol=0.1)
    np.testing.assert_allclose(found.spikes.weight, weight, rtol=0.03)
    report = found.channels[0]
    assert report.status == "converged" and 0 <= report.gap <= 1e-6
    assert any("over the whole record" in note for note in report.notes)
    assert len(bf.recover(recording, filter="gaussian:sd=2.5").spikes) != position.size


@pytest.mark.parametrize(
    ("recording", "options"),
    [
        (crowded(axis=SHORT), {"baseline": "spline:knot=60"}),
        (crowded(sign=True, axis=SHORT), {"positive": False, "normalisation": "area"}),
        (crowded(noise_sd=0.01 + 8e-5 * np.arange(400), axis=SHORT), {"margin": (12.0, 30.0), "strength": "0.01max"}),
        (crowded(axis=Axis(50.0, 1.0, 400)), {"stamp": "start", "exposure": 1.0, "origin": 7.0, "strength": "0.3"}),
    ],
)
def test_the_proof_is_about_the_whole_record(recording: bf.Signal, options: dict[str, object]) -> None:
    recording = replace(recording, values=np.where(np.arange(400) % 97 < 5, np.nan, recording.values))
    found = bf.recover(recording, width_law=LAW, **options)
    assert found.channels[0].status == "converged"
    assert found.signal is not None
    settings = Settings(width_law=LAW, **options)  # type: ignore[arg-type]
    problem = solve_in_sections(found.signal, tabulated(recording, settings), settings, None).problem
    assert isinstance(problem, PartedProblem)
    assert len(problem.sections) > 2
    best = solve(problem, tol=1e-12, tol_noise=np.inf, max_rounds=60).objective
    for rounds in (1, 3, 60):
        solution = solve(problem, tol=1e-9, tol_noise=np.inf, max_rounds=rounds)
        assert solution.objective - best <= solution.gap * solution.objective
        assert solution.dual_value <= best
        measure = Optimum(np.zeros(solution.position.size, dtype=np.int64), problem.record.axis.from_samples(solution.position),
                          solution.weight, solution.eta)  # fmt: skip
        proof = {name: getattr(solution, name) for name in ("objective", "dual_value", "gap", "status", "violation", "baseline")}
        again = replace(found, optimum=measure, channels=[replace(found.channels[0], **proof)], fit=None)
        assert gather(again).eta.max() <= 1 + solution.violation + 1e-9
        assert checked(again).agrees, checked(again).reason


def test_two_spikes_astride_a_cut_converge() -> None:
    parts = cut(AXIS, WidthLaw(*LAW), (0, 799))
    position = np.arange(parts[3].last - 20.0, parts[3].last + 20, 1.7)  # no gap to move the cut into
    found = bf.recover(peaks(position, np.ones(position.size)), width_law=LAW)
    assert found.channels[0].status == "converged" and found.channels[0].rounds < 20
    assert checked(found).agrees


def test_a_constant_law_is_the_plain_recovery() -> None:
    recording = peaks(np.array([300.0, 500.5, 650.25]), np.ones(3), 0.01)
    plain, law = bf.recover(recording, filter="gaussian:sd=2"), bf.recover(recording, width_law=(4.0, 0.0))
    np.testing.assert_allclose(plain.spikes.position, law.spikes.position, atol=1e-6)
    np.testing.assert_allclose(plain.spikes.weight_errors, law.spikes.weight_errors, rtol=1e-6)
    assert law.channels[0].strength == pytest.approx(plain.channels[0].strength, rel=1e-12)
    assert law.channels[0].objective == pytest.approx(plain.channels[0].objective, rel=1e-6)


def test_the_most_significant_spikes_are_kept() -> None:
    position = np.array([100.0, 200.0, 300.0, 400.0, 500.0])
    found = bf.recover(peaks(position, np.array([1.0, 0.3, 2.0, 0.4, 0.2])), width_law=LAW, max_spikes=2)
    np.testing.assert_allclose(found.spikes.position, [100.0, 300.0], atol=0.1)


def test_noise_of_a_narrow_filter_is_measured_behind_the_fit() -> None:
    random = np.random.default_rng(4)
    recording = replace(crowded(), noise_sd=None)
    recording = replace(recording, values=recording.values + 0.1 * random.standard_normal(800))
    found = bf.recover(recording, width_law=LAW)
    assert found.channels[0].noise_sd == pytest.approx(0.102, rel=0.15)


def test_a_stored_result_is_confirmed_and_drawn(tmp_path: Path) -> None:
    signal = crowded(axis=SHORT)
    signal = replace(signal, values=np.stack([signal.values, signal.values[::-1], np.full(400, np.nan)]))
    bf.write_signal(signal, tmp_path / "s.h5")
    result = str(tmp_path / "r.h5")
    done = run("recover", tmp_path / "s.h5", "--width-law", "4,0.006", "-o", result, "--quiet", "--save-fit")
    assert done.code == 3  # one channel has no samples
    assert (tmp_path / "r.png").stat().st_size > 10_000
    found = files.read_result(result).recovery
    assert [bool(report.sections) for report in found.channels] == [True, True, False]
    assert found.settings["width_law"] == list(LAW)
    assert "3 of 3" in run("certify", result).text
    for command in (["show", result], ["plot", result, "--channel", "1", "-o", tmp_path / "f.png"]):
        done = run(*command)
        assert done.code == 0, done.stderr
    curves = gather(replace(found, signal=files.read_signal(str(tmp_path / "s.h5")), fit=None), 1)
    assert found.fit is not None
    np.testing.assert_allclose(curves.model, found.fit.model[1], atol=1e-9)
    np.testing.assert_allclose(model_at(curves, curves.axis.positions()), found.fit.model[1], atol=1e-9)


def test_certify_refuses_sections_that_are_not_the_law_s() -> None:
    found = bf.recover(crowded(), width_law=LAW)
    report = found.channels[0]
    first, second, *rest = report.sections

    def reason(*sections: Section) -> str:
        verdict = checked(replace(found, channels=[replace(report, sections=sections)]))
        assert not verdict.agrees
        return verdict.reason

    assert "not the law's" in reason(replace(first, sd=first.sd * 1.1), second, *rest)
    assert "cover the domain" in reason(first, *rest)
    assert "cover the domain" in reason()
    assert "strength" in reason(replace(first, strength=0.0), second, *rest)
    assert "objective" in reason(replace(first, strength=first.strength / 2), second, *rest)
    with pytest.raises(UsageError, match="stored width law"):
        checked(replace(found, settings={**found.settings, "width_law": "wide"}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width_law": (1.0, -0.02)}, "gives no width"),
        ({"width_law": (-1.0, 0.01)}, "gives no width"),
        ({"width_law": (np.nan, 0.0)}, "out of range"),
        ({"width_law": (0.5, 400.0)}, "longer than the record"),
        ({"width_law": (0.01, 0.0)}, "too narrow"),
        ({"width_law": LAW, "filter": "gaussian:sd=2"}, "give one of them"),
        ({"width_law": LAW, "loss": "poisson"}, "squared"),
        ({"width_law": LAW, "baseline": "exp"}, "exp:rate=R"),
        ({"width_law": LAW, "baseline": "spline:knot=8"}, "follows the filter"),
    ],
)
def test_what_cannot_be_used(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        bf.recover(peaks(np.array([300.0]), np.ones(1), axis=replace(AXIS, size=100)), **options)


@pytest.mark.parametrize("options", [["4"], ["4,wide"], ["4,0", "--fit-filter"], ["4,0", "--filter", "gaussian:sd=0.02"]])
def test_the_option_is_refused_in_one_line(options: list[str], tmp_path: Path) -> None:
    done = run("recover", DATA / "gaussian.h5", "--output-dir", tmp_path, "--width-law", *options)
    assert done.code == 2 and done.stderr.count("\n") == 1 and "width" in done.stderr
