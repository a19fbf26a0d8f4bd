"""The independent check: its bound holds on any measure, it agrees with true results and refuses wrong ones."""

from __future__ import annotations

import ast
import json
import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blasso_flow.audit import bound as audit_bound
from blasso_flow.audit.audit import audit, audit_channel, certify
from blasso_flow.audit.bound import bound_certificate
from blasso_flow.data.reports import ChannelReport, Status
from blasso_flow.data.signals import Axis, FilterDescription, Signal
from blasso_flow.data.spikes import Optimum
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import build, describe
from blasso_flow.flow import solve
from blasso_flow.problem.problem import Problem
from blasso_flow.recovery.interface import recover
from blasso_flow.truth.simulation import simulate

LAG = np.arange(-10.0, 30.0)
FILTERS = {
    "gaussian": describe("gaussian:sd=4"),
    "narrow": describe("gaussian:sd=0.6"),
    "wide": describe("gaussian:sd=20"),
    "ricker": describe("ricker:frequency=0.05"),
    "decay": describe("decay:rise=0.6,decay=7"),
    "kinked": describe("decay:rise=1.3,decay=12,exposure=0"),
    "cooperative": describe("decay:rise=1.5,decay=12,order=3"),
    "lorentzian": describe("lorentzian:fwhm=5"),
    "lowpass": describe("lowpass:order=9"),
    "measured": FilterDescription("measured", {}, LAG, np.exp(-0.5 * (LAG / 3) ** 2) - 0.4 * np.exp(-0.5 * ((LAG - 9) / 4) ** 2)),
}
SAMPLES = 110


@cache
def table(name, samples=SAMPLES):
    return build(FILTERS[name], Axis(0.0, 1.0, samples, periodic=name == "lowpass"))


# the bound


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(list(FILTERS)),
    seed=st.integers(0, 10**6),
    positive=st.booleans(),
    level=st.floats(0.2, 3),
    margin=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    smooth=st.booleans(),
)
def test_bound_is_never_below_dense_sampling(name, seed, positive, level, margin, smooth):
    filter, random = table(name), np.random.default_rng(seed)
    u = random.standard_normal(SAMPLES) * (random.random(SAMPLES) < random.uniform(0.2, 1))
    if smooth:
        u = naive.model(filter, random.uniform(0, SAMPLES - 1, 4), random.standard_normal(4), SAMPLES)
    domain = (0.0, float(SAMPLES)) if filter.period else (-float(margin[0]), SAMPLES - 1.0 + margin[1])
    strength = level * filter.norm * np.linalg.norm(u) / math.sqrt(SAMPLES) + 1e-300
    dense = naive.supremum(filter, u, strength, *domain, positive, 15)
    bound = bound_certificate(filter, u, strength, domain, positive, 1e-9)
    assert bound.supremum >= dense
    assert bound.supremum <= max(1.0, bound.attained) + 2e-9
    assert bound.attained <= bound.supremum
    assert bound.attained <= dense + 0.01 * max(dense, 1)


def test_bound_sees_a_peak_in_the_last_cell_on_the_end_and_in_the_margin():
    filter = table("gaussian")
    for place in (0.0, 108.5, 108.97, 109.0, 111.3, -2.6):
        u = -naive.model(filter, [place], [1.0], SAMPLES)
        strength = float(np.abs(naive.certificate(filter, u, 1.0, [place])[0]))
        bound = bound_certificate(filter, u, strength, (-3.0, 112.0), True, 1e-12)
        assert bound.supremum >= 1
        dense = naive.supremum(filter, u, strength, -3.0, 112.0, True, 100)
        assert bound.supremum == pytest.approx(dense, abs=1e-9)
    u, strength = -naive.model(filter, [60.0], [1.0], SAMPLES), filter.norm**2 / 20
    for domain, nearest in (((0.0, 53.0), 53.0), ((64.3, 109.0), 64.3)):
        bound = bound_certificate(filter, u, strength, domain, True, 1e-12)
        assert bound.supremum == pytest.approx(naive.certificate(filter, u, strength, [nearest])[0], rel=1e-9)


def test_bound_covers_the_seam():
    filter = table("lowpass")
    for place in (0.0, 0.3, 109.5, 109.99):
        u = -naive.model(filter, [place], [1.0], SAMPLES)
        peak = float(naive.certificate(filter, u, 1.0, [place])[0])
        assert bound_certificate(filter, u, peak / 2, (0.0, float(SAMPLES)), True, 1e-9).supremum == pytest.approx(2, abs=1e-8)


def test_bound_is_tight_to_rounding_at_touching_peaks():
    """Sixty-four peaks of height 1 - 1e-9 to 1 + 1e-9: the bound must tell them apart."""
    filter = table("gaussian", 4000)
    place = 30.0 + 61.37 * np.arange(64)
    u = -naive.model(filter, place, np.ones(64), 4000)
    strength = float(naive.certificate(filter, u, 1.0, place).max()) * (1 - 1e-9)
    bound = bound_certificate(filter, u, strength, (0.0, 3999.0), False, 1e-12)
    assert 0.999e-9 < bound.supremum - 1 < 1e-6
    assert bound.supremum - bound.attained < 3e-12
    assert bound.evaluations < 4 * 4000 * filter.cells


def test_blocks_do_not_change_the_bound(monkeypatch):
    filter, u = table("narrow"), np.random.default_rng(0).standard_normal(SAMPLES)
    whole = bound_certificate(filter, u, 0.5, (-1.0, 110.0), False, 1e-9)
    monkeypatch.setattr(audit_bound, "BLOCK", 1)
    assert bound_certificate(filter, u, 0.5, (-1.0, 110.0), False, 1e-9).supremum == pytest.approx(whole.supremum, abs=2e-9)


def test_zero_dual_vector():
    bound = bound_certificate(table("gaussian"), np.zeros(SAMPLES), 1.0, (0.0, 109.0), False, 1e-9)
    assert bound.supremum == 0


# whole channels


@dataclass
class Case:
    """A channel, its filter, the slow optimum, and what a result would store of it."""

    channel: Signal
    filter: object
    report: ChannelReport
    position: np.ndarray
    weight: np.ndarray
    settings: dict
    optimum: naive.Solution

    def verdict(self, *, position=None, weight=None, settings=None, **changes):
        return audit_channel(
            self.channel,
            self.filter,
            replace(self.report, **changes),
            self.position if position is None else position,
            self.weight if weight is None else weight,
            {**self.settings, **(settings or {})},
        )


def stored(objective, dual_value, strength, baseline, **changes):
    gap = (objective - dual_value) / objective if objective else 0.0
    numbers = {
        "status": Status.CONVERGED,
        "message": "",
        "strength": strength,
        "strength_rule": "",
        "noise_sd": math.nan,
        "noise_rule": "",
        "objective": objective,
        "dual_value": dual_value,
        "gap": max(gap, 0.0),
        "gap_noise": math.nan,
        "violation": 0.0,
        "rounds": 1,
        "baseline": baseline,
        "refit_baseline": baseline,
    }
    return ChannelReport(**{**numbers, **changes})


CASES = {
    "positive": {"name": "gaussian"},
    "signed, missing, offset": {"name": "gaussian", "positive": False, "missing": 0.2, "offset": 2.0},
    "weights, missing, offset": {"name": "gaussian", "missing": 0.1, "offset": -1.0, "weighted": True},
    "ends": {"name": "gaussian", "ends": "on", "offset": 1.0},
    "outside": {"name": "gaussian", "outside": True},
    "decay with margin": {"name": "decay", "margin": (3.2, 0.0)},
    "ricker": {"name": "ricker", "positive": False},
    "periodic": {"name": "lowpass", "positive": False},
    "measured": {"name": "measured", "offset": 1.0},
    "narrow": {"name": "narrow", "positive": False},
}


@cache
def case(label):
    chosen = {"positive": True, "missing": 0.0, "offset": 0.0, "ends": "anywhere", "margin": (0.0, 0.0), **CASES[label]}
    extra = {key: chosen[key] for key in ("positive", "missing", "offset", "ends")}
    channel = simulate(FILTERS[chosen["name"]], samples=SAMPLES, spikes=4, min_separation=9, noise_sd=0.03, seed=5, **extra)
    filter = table(chosen["name"])
    if chosen.get("weighted"):
        channel = replace(channel, noise_sd=0.03 * np.random.default_rng(2).uniform(0.5, 2, SAMPLES))
    if chosen.get("outside"):
        channel = replace(channel, values=channel.values + naive.model(filter, [-2.5, 111.0], [1.0, 2.0], SAMPLES))
    y, sample_weights = naive.split(channel.values, channel.noise_sd)
    columns = np.ones((SAMPLES, 1 if chosen["offset"] else 0))
    domain = (-float(math.ceil(chosen["margin"][0])), SAMPLES - 1.0)
    strength = 4 * 0.03 * filter.norm
    positive = chosen["positive"]
    best = naive.solve(filter, y, sample_weights, strength, positive=positive, columns=columns, domain=domain, tol=1e-10)
    high = domain[1] + (1 if filter.period else 0)
    supremum = naive.supremum(filter, best.u, strength, domain[0], high, positive, 20) + 1e-9
    report = stored(best.objective, naive.best_dual_value(y, sample_weights, best.u, supremum), strength, best.baseline)
    settings = {
        "penalty": "positive" if positive else "signed",
        "baseline": "const" if chosen["offset"] else "none",
        "margin": list(chosen["margin"]),
        "noise_sd": None,
        "tol": 1e-6,
    }
    return Case(channel, filter, report, channel.axis.from_samples(best.position), best.weight, settings, best)


@pytest.mark.parametrize("label", CASES)
def test_agrees_with_a_slow_optimum(label):
    verdict = case(label).verdict()
    assert verdict.agrees, verdict.reason
    assert verdict.gap <= 1e-6
    assert verdict.objective == pytest.approx(case(label).report.objective, rel=1e-12)
    assert verdict.dual_value <= verdict.objective
    assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["agrees"] is True


@pytest.mark.parametrize("label", CASES)
def test_proves_tiny_gaps(label):
    verdict = case(label).verdict(settings={"tol": 1e-9}, gap=0.0, dual_value=math.nan)
    assert verdict.agrees, verdict.reason
    assert verdict.gap < 1e-9


@settings(max_examples=40, deadline=None)
@given(label=st.sampled_from(list(CASES)), seed=st.integers(0, 10**6), size=st.floats(-8, 0))
def test_gap_is_at_least_the_true_excess_of_any_measure(label, seed, size):
    made, random = case(label), np.random.default_rng(seed)
    weight = made.weight * (1 + 10**size * random.standard_normal(made.weight.size))
    place = made.optimum.position + 10**size * random.standard_normal(weight.size)
    high = SAMPLES - 1.0
    weight = np.abs(weight) if made.settings["penalty"] == "positive" else weight
    position = made.channel.axis.from_samples(np.clip(place, 0 if label != "decay with margin" else -4, high))
    verdict = made.verdict(position=position, weight=weight)
    excess = verdict.objective - made.report.objective
    assert verdict.gap * verdict.objective >= excess - 1e-10 * made.report.objective
    assert not verdict.agrees or excess <= 2e-6 * made.report.objective


def test_empty_measure_of_pure_noise():
    channel = simulate("gaussian:sd=4", samples=SAMPLES, spikes=0, noise_sd=1.0)
    objective = 0.5 * float(np.sum(channel.values**2))
    report = stored(objective, objective, 20.0 * table("gaussian").norm, np.empty(0))
    none = np.empty(0)
    verdict = audit_channel(channel, table("gaussian"), report, none, none, {"penalty": "signed", "baseline": "none"})
    assert verdict.agrees, verdict.reason
    assert verdict.gap < 1e-13


def test_zero_objective_has_no_gap():
    channel = Signal(np.zeros(SAMPLES), Axis(0.0, 1.0, SAMPLES))
    none = np.empty(0)
    verdict = audit_channel(channel, table("gaussian"), stored(0.0, 0.0, 1.0, none), none, none, {"baseline": "none"})
    assert verdict.agrees
    assert verdict.gap == 0


# wrong results


@pytest.mark.parametrize("label", CASES)
def test_a_perturbed_weight_is_refused(label):
    weight = case(label).weight.copy()
    weight[np.argmax(np.abs(weight))] *= 1.001
    verdict = case(label).verdict(weight=weight)
    assert not verdict.agrees
    assert verdict.reason.startswith("the objective is")


@pytest.mark.parametrize("label", CASES)
@pytest.mark.parametrize("fault", ["removed spike", "moved spike", "other baseline"])
def test_a_wrong_measure_is_refused_even_with_its_own_objective(label, fault):
    made = case(label)
    position, weight, baseline = made.position.copy(), made.weight.copy(), made.report.baseline.copy()
    if fault == "removed spike":
        position, weight = position[1:], weight[1:]
    elif fault == "moved spike":
        position[np.argmax(np.abs(weight))] += -0.2 if position[np.argmax(np.abs(weight))] > 50 else 0.2
    elif baseline.size:
        baseline += 0.02
    else:
        pytest.skip("no baseline to be wrong")
    honest = made.verdict(position=position, weight=weight, baseline=baseline)
    assert honest.gap > 1e-5
    forged = made.verdict(
        position=position, weight=weight, baseline=baseline, objective=honest.objective, dual_value=honest.objective, gap=0.0
    )
    assert not forged.agrees
    assert "the proven gap is" in forged.reason
    claimed = {
        "objective": honest.objective,
        "dual_value": honest.dual_value,
        "gap": honest.gap,
        "status": Status.GAP_ABOVE_TOLERANCE,
    }
    assert made.verdict(position=position, weight=weight, baseline=baseline, **claimed).agrees


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"dual_value": 0.0, "gap": 0.0}, "contradicts"),
        ({"dual_value": 1e9, "gap": 0.0}, "contradicts"),
        ({"gap": math.nan}, "not a number"),
        ({"objective": math.nan}, "objective"),
        ({"gap": 0.5}, "stored as converged"),
        ({"strength": 0.0}, "strength"),
        ({"strength": math.nan}, "strength"),
        ({"baseline": np.array([1.0, 2.0])}, "baseline"),
        ({"status": Status.FAILED}, "failed"),
    ],
)
def test_forged_numbers_are_refused(changes, word):
    verdict = case("positive").verdict(**changes)
    assert not verdict.agrees
    assert word in verdict.reason


def test_a_wrong_strength_is_refused():
    assert not case("positive").verdict(strength=case("positive").report.strength * 1.01).agrees


@pytest.mark.parametrize(
    ("which", "value", "word"),
    [
        ("weight", -0.1, "negative"),
        ("weight", math.nan, "not finite"),
        ("position", -0.001, "outside the domain"),
        ("position", 109.001, "outside the domain"),
        ("position", math.inf, "not finite"),
    ],
)
def test_inadmissible_measures_are_refused(which, value, word):
    columns = {"position": case("positive").position.copy(), "weight": case("positive").weight.copy()}
    columns[which][0] = value
    verdict = case("positive").verdict(**columns)
    assert not verdict.agrees
    assert word in verdict.reason


def test_negative_weights_are_allowed_when_signed():
    assert (case("signed, missing, offset").weight < 0).any()
    assert not case("signed, missing, offset").verdict(settings={"penalty": "positive"}).agrees


def test_channels_without_samples():
    channel = Signal(np.full(SAMPLES, np.nan), Axis(0.0, 1.0, SAMPLES))
    none = np.empty(0)
    report = stored(0.0, 0.0, math.nan, none, status=Status.ALL_MISSING)
    assert audit_channel(channel, table("gaussian"), report, none, none, {}).agrees
    assert not audit_channel(channel, table("gaussian"), replace(report, status=Status.CONVERGED), none, none, {}).agrees
    assert not audit_channel(channel, table("gaussian"), report, np.array([1.0]), np.array([1.0]), {}).agrees


# whole results


@pytest.mark.parametrize("label", CASES)
def test_agrees_with_the_solver(label):
    made = case(label)
    problem = Problem.from_signal(
        made.channel,
        made.filter,
        strength=made.report.strength,
        positive=made.settings["penalty"] == "positive",
        baseline=made.settings["baseline"],
        margin=tuple(made.settings["margin"]),
    )
    found = solve(problem)
    assert found.objective == pytest.approx(made.report.objective, rel=2e-6)
    stated = {name: getattr(found, name) for name in ("weight", "baseline", "objective", "dual_value", "gap", "status")}
    verdict = made.verdict(position=made.channel.axis.from_samples(found.position), **stated)
    assert verdict.agrees, verdict.reason
    assert verdict.gap <= 1e-6


def result(label):
    """A signal of two equal channels, and what would be stored of it."""
    made = case(label)
    signal = replace(made.channel, values=np.stack([made.channel.values] * 2), truth=None)
    size = made.position.size
    optimum = Optimum(np.repeat([0, 1], size), np.tile(made.position, 2), np.tile(made.weight, 2), np.ones(2 * size))
    described = {"kind": FILTERS[CASES[label]["name"]].kind, "parameters": dict(FILTERS[CASES[label]["name"]].parameters)}
    return signal, optimum, [made.report, made.report], {**made.settings, "filter": {**described, "normalisation": "peak"}}


@pytest.mark.parametrize("label", ["positive", "measured", "periodic"])
def test_audit_checks_every_channel(label):
    signal, optimum, reports, stored_settings = result(label)
    verdicts = audit(signal, optimum, reports, stored_settings)
    assert [verdict.agrees for verdict in verdicts] == [True, True]
    optimum.weight[-1] *= 1.01
    assert [verdict.agrees for verdict in audit(signal, optimum, reports, stored_settings)] == [True, False]


def test_results_that_do_not_belong_or_cannot_be_read():
    signal, optimum, reports, stored_settings = result("positive")
    with pytest.raises(DataError, match="channels"):
        audit(signal, optimum, reports[:1], stored_settings)
    for changes, word in (
        ({"filter": None}, "no filter"),
        ({"tol": -1.0}, "tol"),
        ({"baseline": "cubic"}, "baseline"),
        ({"margin": 3.0}, "margin"),
    ):
        with pytest.raises(UsageError, match=word):
            audit(signal, optimum, reports, {**stored_settings, **changes})


def test_the_audit_shares_no_code_with_the_solver():
    allowed = {"errors", "filters", "data", "audit"}
    modules = sorted(Path(audit_bound.__file__).parent.glob("*.py"))
    assert len(modules) > 5
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("blasso_flow"):
                assert node.module.split(".")[1] in allowed


@pytest.mark.parametrize("spacing", [1.0, 0.02, 1e-6])
def test_splines_end_where_the_samples_do(spacing):
    """Of two channels one ends early: it has fewer knots, as its audit must find."""
    signal = simulate("gaussian:sd=5", samples=500, channels=2, spikes=3, min_separation=60, snr=30, seed=4)
    values = signal.values.copy()
    values[1, 350:] = np.nan
    axis = Axis(0.0, spacing, 500)
    signal = Signal(values, axis, filter=FilterDescription("gaussian", {"sd": 5 * spacing}))
    recovery = recover(signal, baseline=f"spline:knot={100 * spacing:.12g}")
    assert [report.baseline.size for report in recovery.channels] == [7, 6]
    assert all(verdict.agrees for verdict in certify(recovery))
