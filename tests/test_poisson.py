"""The Poisson loss: its proof is a proof, its conjugate and dual point, recovery and false alarms on simulated counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from blasso_flow import filters
from blasso_flow.answer.counts import bernstein_exponent, choose_count_strength
from blasso_flow.audit.audit import audit
from blasso_flow.data.signals import Axis, FilterDescription, Signal
from blasso_flow.errors import UsageError
from blasso_flow.flow import solve
from blasso_flow.flow.counts import empty
from blasso_flow.noise.strength import StrengthRule
from blasso_flow.problem import baselines
from blasso_flow.problem.losses import POISSON
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.examiner import examiner
from blasso_flow.recovery.interface import recover

SAMPLES = 300
AXIS = Axis(0.0, 1.0, SAMPLES)
FILTER = filters.build(filters.describe("gaussian:sd=6"), AXIS)
POSITION, WEIGHT = np.array([60.3, 141.7, 230.2]), np.array([4.0, 6.0, 3.0])


def counts(seed, background=0.5, weight=WEIGHT, missing=0.0):
    random = np.random.default_rng(seed)
    rate = background + FILTER.response(np.arange(SAMPLES)[:, None] - POSITION) @ weight
    values = random.poisson(rate).astype(float)
    values[random.random(SAMPLES) < missing] = np.nan
    return Signal(values, AXIS)


def problem(seed=0, strength=20.0, **options):
    return Problem.from_signal(counts(seed, **options), FILTER, strength=strength, noise_sd=1.0, loss="poisson")


def best_on_grid(made, steps=3000):
    """Expectation maximisation on a grid of positions: never below the optimum over all measures."""
    present = made.sample_weights > 0
    columns = np.column_stack([FILTER.response(np.arange(SAMPLES)[:, None] - np.arange(0, SAMPLES, 0.5)), np.ones(SAMPLES)])
    columns, y = columns[present], made.values[present]
    price = np.append(np.full(columns.shape[1] - 1, made.strength), 0.0)
    weight = np.full(columns.shape[1], 0.01)
    for _ in range(steps):
        weight *= (columns.T @ (y / (columns @ weight))) / (columns.sum(axis=0) + price)
    return POISSON.value(columns @ weight, y) + float(price @ weight)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("background", [0.05, 0.5, 5.0])
def test_solved_and_proven(background, missing):
    made = problem(3, background=background, missing=missing)
    solution = solve(made)
    assert solution.status == "converged" and solution.gap <= 1e-6
    reference = best_on_grid(made)
    assert solution.dual_value <= reference
    assert solution.objective <= reference * (1 + 1e-6)
    assert np.allclose(solution.eta, 1, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 6))
def test_dual_value_is_a_lower_bound_at_any_measure(seed, spikes):
    made = problem(1, background=0.3, missing=0.1)
    lowest = solve(made, tol=1e-12).objective
    random = np.random.default_rng(seed)
    measure = random.uniform(0, SAMPLES - 1, spikes), random.uniform(0.1, 8, spikes), random.uniform(0.01, 3, 1)
    evidence = examiner(made)(Particles.evaluate(made, *measure), lambda objective: 0.0)
    assert evidence.dual_value <= lowest <= evidence.objective


@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=20),
)
def test_fenchel_young(rows):
    y, m, complement = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    value, _ = POISSON.dual_value(complement, y)
    u = 1 - complement
    slack = POISSON.value(m, y) - value - float(u @ m)
    assert slack >= -1e-9 * (1 + float(np.abs(u) @ m) + abs(value))
    touching, _ = POISSON.dual_value(y / m, y)
    assert POISSON.value(m, y) - touching - float((1 - y / m) @ m) == pytest.approx(0, abs=1e-8 * (1 + m.sum() + y.sum()))


def test_certify_agrees_and_notices_a_false_claim():
    signal = counts(5, missing=0.1)
    found = recover(signal, filter="gaussian:sd=6", loss="poisson")
    assert found.settings["loss"] == "poisson"
    (verdict,) = audit(signal, found.optimum, found.channels, found.settings)
    assert verdict.agrees, verdict.reason
    assert verdict.objective == pytest.approx(found.channels[0].objective, rel=1e-9)
    moved = replace(found.optimum, position=found.optimum.position + 1)
    (verdict,) = audit(signal, moved, found.channels, found.settings)
    assert not verdict.agrees


GROUNDS = {
    "none": lambda place: 0 * place,
    "poly:degree=3": lambda place: 0.2 + 2 * place**2,
    "spline:knot=60": lambda place: 0.5 + 0.4 * np.sin(6 * place),
    "exp:rate=0.01": lambda place: 2 * np.exp(-3 * place),
}


def on_ground(baseline, seed=1):
    random = np.random.default_rng(seed)
    rate = GROUNDS[baseline](np.arange(SAMPLES) / SAMPLES) + FILTER.response(np.arange(SAMPLES)[:, None] - POSITION) @ WEIGHT
    values = random.poisson(rate).astype(float)
    values[random.random(SAMPLES) < 0.1] = np.nan
    return Signal(values, AXIS)


@pytest.mark.parametrize("baseline", GROUNDS)
def test_every_background_is_solved_proven_and_certified(baseline):
    signal = on_ground(baseline)
    found = recover(signal, filter="gaussian:sd=6", loss="poisson", baseline=baseline)
    report = found.channels[0]
    assert report.status == "converged" and report.gap <= 1e-6
    assert (report.baseline >= 0).all() and (found.fit.baseline >= 0).all()
    (verdict,) = audit(signal, found.optimum, found.channels, found.settings)
    assert verdict.agrees, verdict.reason
    assert verdict.objective == pytest.approx(report.objective, rel=1e-9)
    assert np.abs(found.spikes.position - POSITION[1]).min() < 3
    if report.baseline.size:
        lower = replace(report, baseline=report.baseline * 0.9)
        (verdict,) = audit(signal, found.optimum, [lower], found.settings)
        assert not verdict.agrees
        negative = replace(report, baseline=report.baseline - report.baseline.max() - 1e-6)
        (verdict,) = audit(signal, found.optimum, [negative], found.settings)
        assert not verdict.agrees


@pytest.mark.parametrize("baseline", GROUNDS)
def test_the_dual_value_is_below_every_measure_on_every_background(baseline):
    made = Problem.from_signal(
        on_ground(baseline), FILTER, strength=12.0, baseline=baselines.for_counts(baseline), loss="poisson"
    )
    lowest = solve(made, tol=1e-10).objective
    examine, random = examiner(made), np.random.default_rng(3)
    for spikes in (12, 30):
        for _ in range(6):
            position = np.append(np.linspace(0, SAMPLES - 1, 8), random.uniform(0, SAMPLES - 1, spikes))
            weight = random.uniform(0.1, 3, position.size)
            background = random.uniform(0.01, 3, made.baseline.shape[1])
            evidence = examine(Particles.evaluate(made, position, weight, background), lambda objective: 0.0)
            assert evidence.dual_value <= lowest <= evidence.objective


def test_a_background_of_several_columns_is_the_best_of_any():
    made = Problem.from_signal(on_ground("poly:degree=3"), FILTER, strength=1e6, baseline="bernstein:degree=3", loss="poisson")
    best = empty(made)

    def loss(particles: Particles) -> float:
        return made.objective(particles.curve, particles.weight)

    random = np.random.default_rng(4)
    for size in (1e-4, 1e-2, 1):
        other = np.maximum(best.baseline + size * random.standard_normal((200, 4)), 0)
        assert min(loss(Particles.none(made, row)) for row in other) >= loss(best)
    assert solve(made).position.size == 0


def test_one_strength_stands_for_an_uneven_background():
    made = Problem.from_signal(counts(0), FILTER, strength=1.0, loss="poisson")
    rule = StrengthRule.parse("auto")
    even = choose_count_strength(rule, made, np.full(SAMPLES, 0.5), 0.05).strength
    nearly = choose_count_strength(rule, made, np.linspace(0.5, 0.5 + 1e-6, SAMPLES), 0.05).strength
    assert nearly == pytest.approx(even, rel=0.05)
    random, table = np.random.default_rng(6), FILTER.response(np.arange(SAMPLES)[:, None] - np.arange(SAMPLES))
    ground = np.linspace(0.1, 3, SAMPLES)
    strength = choose_count_strength(rule, made, ground, 0.05).strength
    highest = ((random.poisson(ground, (3000, SAMPLES)) / ground - 1) @ table).max(axis=1)
    assert 0.005 < np.mean(highest > strength) < 0.05


def test_counts_that_nothing_can_make():
    values = np.zeros(SAMPLES)
    values[[2, 200]] = 3
    late = recover(Signal(values, AXIS), filter="emg:sd=1,decay=2", loss="poisson", baseline="none")
    assert late.channels[0].status == "converged"
    values[0] = 2
    delayed = FilterDescription("measured", {}, np.arange(20.0, 60.0), np.exp(-0.5 * ((np.arange(40) - 20) / 4) ** 2))
    early = recover(Signal(values, AXIS), filter=delayed, loss="poisson", baseline="none")
    assert early.channels[0].status == "failed" and "neither background nor spikes" in early.channels[0].message


def test_recovers_with_error_bars_that_hold():
    misses, errors = [], []
    for seed in range(12):
        found = recover(counts(seed), filter="gaussian:sd=6", loss="poisson", false_alarms=0.01).spikes
        assert len(found) == POSITION.size
        misses.append(found.position - POSITION)
        errors.append(found.position_errors)
    assert 0.6 < np.std(np.array(misses) / np.array(errors)) < 1.5


def test_significance_is_the_likelihood_ratio():
    signal = counts(2)
    found = recover(signal, filter="gaussian:sd=6", loss="poisson")
    spikes, table = found.spikes, filters.build(filters.describe("gaussian:sd=6"), AXIS)
    model = found.fit.model
    least = np.sum(model - signal.values * np.log(model))
    for i in range(len(spikes)):
        rest = np.delete(np.arange(len(spikes)), i)

        def loss(p, count=rest.size):
            model = p[-1] + table.response(np.arange(SAMPLES) - p[:count, None]).T @ p[count:-1]
            return np.sum(model - signal.values * np.log(np.maximum(model, 1e-12)))

        start = np.concatenate([spikes.position[rest], spikes.weight[rest], found.channels[0].refit_baseline])
        without = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 6000, "maxfev": 6000}).fun
        assert spikes.significance[i] == pytest.approx(np.sqrt(2 * (without - least)), rel=1e-2)


def test_false_alarms_on_pure_background():
    rows = np.random.default_rng(8).poisson(0.2, (60, SAMPLES)).astype(float)
    found = recover(Signal(rows, AXIS), filter="gaussian:sd=6", loss="poisson", false_alarms=0.05)
    assert np.unique(found.spikes.channel).size <= 6


def test_silence_has_no_spikes():
    found = recover(Signal(np.zeros(SAMPLES), AXIS), filter="gaussian:sd=6", loss="poisson")
    assert len(found.spikes) == 0 and found.channels[0].status == "converged"


@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_the_most_significant_spikes_are_kept(loss):
    found = recover(counts(2), filter="gaussian:sd=6", loss=loss, max_spikes=2)
    assert found.settings["max_spikes"] == 2
    assert np.allclose(found.spikes.position, POSITION[:2], atol=4)


@pytest.mark.parametrize(
    "options",
    [
        {"positive": False},
        {"baseline": "exp"},
        {"baseline": "percentile:window=100"},
        {"filter": "ricker:frequency=0.06"},
        {"max_spikes": 0},
        {"max_spikes": 2, "refit": False},
    ],
)
def test_refusals(options):
    with pytest.raises(UsageError):
        recover(counts(0), **{"filter": "gaussian:sd=6", "loss": "poisson", **options})


def test_negative_counts_fail():
    found = recover(Signal(counts(0).values - 1, AXIS), filter="gaussian:sd=6", loss="poisson")
    assert found.channels[0].status == "failed" and "counts" in found.channels[0].message


def test_bernstein_exponent():
    length = FILTER.norm / FILTER.norm1
    assert bernstein_exponent(FILTER, (0, 299), 0.05) == pytest.approx(np.log(299 / (2 * np.pi * length * 0.05)))
    with pytest.raises(UsageError):
        bernstein_exponent(FILTER, (0, 299), 100)
