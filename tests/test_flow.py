"""The solver: against a slow one, on known cases, and every status."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from problems import FILTERS, make

from blasso_flow.data.reports import Status
from blasso_flow.flow import solve
from blasso_flow.flow.ledger import STALLED_ROUNDS, message
from blasso_flow.flow.loop import run
from blasso_flow.flow.newton import LEAST, SWEPT, WindowedNewton, goal_of_sweeps, updated_kkt
from blasso_flow.problem.geometry import Births
from blasso_flow.problem.geometry.neighbourhoods import windows
from blasso_flow.problem.particles import Particles
from blasso_flow.proof.evidence import Evidence, eta_and_slopes, kkt_residuals, largest_strength


@pytest.mark.parametrize("filter_name", ["gaussian", "ricker", "decay", "measured", "lowpass"])
@pytest.mark.parametrize("positive", [True, False])
def test_two_solvers_agree(filter_name, positive):
    problem = make(filter_name, seed=4, samples=120, spikes=4, positive=positive, baseline="const", missing=0.05).problem
    solution = solve(problem, tol=1e-10, tol_noise=np.inf)
    slow = naive.solve(
        problem.filter,
        problem.values,
        problem.sample_weights,
        problem.strength,
        positive=positive,
        columns=problem.baseline,
        domain=problem.domain,
    )
    assert solution.objective <= slow.objective * (1 + 1e-9)
    assert slow.objective == pytest.approx(solution.objective, rel=1e-6)
    assert solution.baseline == pytest.approx(slow.baseline, abs=1e-3)


def test_baseline_is_the_weighted_least_squares_one():
    made = make("gaussian", baseline="const", missing=0.2, weighted=True)
    problem = made.problem
    solution = solve(problem)
    fit = naive.model(problem.filter, solution.position, solution.weight, problem.values.size)
    best = naive.best_baseline(problem.values, problem.sample_weights, fit, problem.baseline)
    np.testing.assert_allclose(solution.baseline, best, rtol=1e-10)
    fit = fit + problem.baseline @ best
    expected = naive.objective(problem.values, problem.sample_weights, fit, problem.strength, solution.weight)
    assert solution.objective == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("filter_name", FILTERS)
def test_no_spikes_from_the_largest_strength_on(filter_name):
    problem = make(filter_name, seed=6, positive=False, baseline="const").problem
    largest = largest_strength(problem)
    above = solve(replace(problem, strength=largest * 1.001))
    below = solve(replace(problem, strength=largest * 0.98))
    assert above.position.size == 0
    assert above.status is Status.CONVERGED
    assert below.position.size > 0


def test_missing_samples_carry_nothing():
    """What stands at a missing sample makes no difference."""
    problem = make("gaussian", seed=2, missing=0.2).problem
    garbage = np.where(problem.sample_weights == 0, 1e3, problem.values)
    first, second = solve(problem), solve(replace(problem, values=garbage))
    np.testing.assert_allclose(first.position, second.position)
    assert first.objective == pytest.approx(second.objective)


def test_honest_status_when_stopped_early():
    problem = make("gaussian", seed=3, spikes=8, noise=1e-3).problem
    solution = solve(problem, tol=1e-13, tol_noise=np.inf, max_rounds=1)
    assert solution.status is Status.GAP_ABOVE_TOLERANCE
    assert solution.rounds == 1
    assert "`max_rounds=`" in solution.message
    assert solution.gap > 1e-13
    full = solve(problem)
    assert solution.objective - solution.dual_value >= solution.objective - full.objective


def test_messages_name_the_demand_that_was_missed():
    assert "noise units" in message(False, 1e-9, 3.0, 60, 0, 1e-6, 0.5)
    assert "no progress" in message(False, 1e-3, 3.0, 60, STALLED_ROUNDS, 1e-6, 0.5)


def test_gap_in_noise_units_is_asked_too():
    problem = make("gaussian", seed=3, spikes=8, noise=0.05).problem
    solution = solve(problem, tol=0.9, tol_noise=1e-4)
    assert solution.gap_noise <= 1e-4


def test_trace_falls_and_the_best_is_kept():
    solution = solve(make("gaussian", seed=9, spikes=9, positive=False).problem, tol=1e-9)
    gaps = [row.gap for row in solution.trace]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == solution.gap
    assert solution.objective in [row.objective for row in solution.trace]
    assert [row.round for row in solution.trace] == list(range(solution.rounds + 1))


def test_same_problem_same_bits():
    problem = make("gaussian", seed=11, spikes=20, samples=600).problem
    first, second = solve(problem), solve(problem)
    assert first.position.tobytes() == second.position.tobytes()
    assert first.weight.tobytes() == second.weight.tobytes()


def test_many_spikes_go_through_windows():
    """More spikes than one window holds, with and without a baseline, reach the same optimum as the joint system."""
    for baseline in ("none", "const"):
        problem = make("gaussian", seed=12, samples=4000, spikes=250, baseline=baseline).problem
        solution = solve(problem)
        assert solution.status is Status.CONVERGED
        assert solution.position.size > 96


def test_dense_spikes_at_forty_decibels():
    problem = make("wide", seed=1, samples=1000, spikes=40, noise=0.02).problem
    solution = solve(problem)
    assert solution.gap <= 1e-6


def test_windows_cover_all_bad_spikes_and_alternate():
    random = np.random.default_rng(0)
    x = np.sort(random.uniform(0, 1000, 300))
    bad = random.random(300) < 0.5
    for shifted in (False, True):
        starts, ends = windows(bad, x, 10.0, 80.0, 48, shifted)
        covered = np.zeros(300, dtype=bool)
        for a, b in zip(starts, ends, strict=True):
            assert not covered[a:b].any()
            assert 0 < b - a <= 48
            covered[a:b] = True
        assert covered[bad].all()
    first, second = (windows(np.ones(300, dtype=bool), x, 10.0, 80.0, 48, shifted) for shifted in (False, True))
    assert set(first[0][1:]).isdisjoint(second[0][1:])


@pytest.mark.parametrize(("name", "samples"), [("narrow", 900), ("kinked", 20_000)])
def test_a_residual_is_taken_over_where_the_same_spikes_are_near(name, samples, monkeypatch):
    """To the last bit what comes from scratch, and only where nothing has changed."""
    monkeypatch.setattr("blasso_flow.problem.geometry.line.GRAIN", 16)
    problem = make(name, samples=samples, missing=0.05, margin=(3, 2)).problem
    random = np.random.default_rng(0)
    x, w = np.sort(random.uniform(*problem.domain, 60)), random.standard_normal(60)
    x[20], w[20] = x[21], w[21]  # a spike twice
    residual = problem.residual_without_baseline(x, w)
    np.testing.assert_allclose(residual, problem.residual(x, w, np.empty(0)), atol=1e-12)
    marked = x, w, np.full_like(residual, np.nan)
    for change in ("moved", "heavier", "dropped", "twice"):
        place, weight = x.copy(), w.copy()
        if change == "moved":
            place[30] += 1e-9
        elif change == "heavier":
            weight[30] *= 1 + 1e-15
        elif change == "dropped":
            place, weight = np.delete(place, 21), np.delete(weight, 21)
        else:
            place, weight = np.insert(place, 30, place[30]), np.insert(weight, 30, weight[30])
        scratch = problem.residual_without_baseline(place, weight)
        assert problem.residual_without_baseline(place, weight, (x, w, residual)).tobytes() == scratch.tobytes()
        anew = np.isfinite(problem.residual_without_baseline(place, weight, marked))
        assert anew[scratch != residual].all()
        assert 0 < anew.sum() < residual.size / 2


@pytest.mark.parametrize("change", ["none", "moved", "heavier", "dropped", "born"])
def test_kkt_residuals_are_taken_over_where_no_spike_within_reach_has_changed(change):
    problem = make("narrow", samples=900).problem
    random = np.random.default_rng(0)
    x, w = np.sort(random.uniform(*problem.domain, 60)), random.standard_normal(60)
    before = Particles.evaluate(problem, x, w, np.empty(0))
    before = replace(before, kkt=kkt_residuals(problem, x, w, before.curve))
    place, weight = x.copy(), w.copy()
    if change == "moved":
        place[30] += 1e-3
    elif change == "heavier":
        weight[30] *= 1.1
    elif change == "dropped":
        place, weight = np.delete(place, 30), np.delete(weight, 30)
    elif change == "born":
        place, weight = np.insert(place, 31, 0.5 * (place[30] + place[31])), np.insert(weight, 31, 1.0)
    after = Particles.evaluate(problem, place, weight, np.empty(0))
    scratch = kkt_residuals(problem, place, weight, after.curve)
    taken = updated_kkt(problem, place, weight, after.curve, before)
    np.testing.assert_allclose(taken, scratch, rtol=1e-9, atol=1e-9)
    marked = replace(before, kkt=np.full(60, np.nan))
    assert np.isnan(updated_kkt(problem, place, weight, after.curve, marked)).sum() > 40


def test_sweeps_end_where_most_candidates_ask_for_it_but_not_below_the_rounding_of_positions():
    problem = make("narrow", samples=900).problem

    def goal(*above: float) -> float:
        return goal_of_sweeps(problem, 1 + max(above), Births(np.arange(float(len(above))), 1 + np.array(above)))

    assert goal(10.0, 10.0, 1.0) == SWEPT
    assert goal(10.0, 1e-5, 1e-5, 1e-6) == pytest.approx(1e-6)  # one place far from settled holds nobody up
    assert goal(1e-12) == LEAST
    long = replace(problem, values=np.zeros(10**7), sample_weights=np.ones(10**7), baseline=np.empty((10**7, 0)))
    ulp = np.spacing(1e7) / problem.filter.width
    assert ulp < goal_of_sweeps(long, 1 + 1e-12, Births(np.zeros(1), np.array([1 + 1e-12]))) < 100 * ulp


def test_the_steps_leave_what_they_were_given():
    problem = make("gaussian", seed=3, spikes=6).problem
    method, none = WindowedNewton(), np.empty(0)
    particles = method.start(problem)
    for _ in range(3):
        own = [curve.copy() for curve in (particles.position, particles.weight, particles.baseline, particles.curve)]
        after = method.advance(problem, particles, Evidence(1.0, 0.0, 2.0, 0.0, Births(np.array([30.0]), np.array([2.0]))))
        method.advance(problem, particles, Evidence(1.0, 0.0, 2.0, 0.0, Births(none, none)))
        for curve, kept in zip(own, (particles.position, particles.weight, particles.baseline, particles.curve), strict=True):
            np.testing.assert_array_equal(curve, kept)
        particles = after


class Worsening(WindowedNewton):
    """Newton that forgets all spikes but one from the third round on."""

    def advance(self, problem, particles, evidence, spare=None):
        after = super().advance(problem, particles, evidence, spare)
        if after.rounds < 3:
            return after
        return Particles.evaluate(problem, after.position[:1], after.weight[:1], after.baseline, after.rounds, out=after.curve)


def test_the_best_iterate_keeps_its_residual():
    """Residuals of other iterates are written over by those that follow."""
    problem = make("gaussian", seed=3, spikes=6, baseline="none").problem
    solution = run(problem, Worsening(), tol=1e-30, tol_noise=1e-30, max_rounds=8)
    assert len(solution.trace) > 5
    residual = problem.residual(solution.position, solution.weight, solution.baseline)
    np.testing.assert_allclose(solution.eta, eta_and_slopes(problem, solution.position, residual)[0], rtol=1e-9)
    assert solution.objective == pytest.approx(problem.objective(residual, solution.weight), rel=1e-12)
