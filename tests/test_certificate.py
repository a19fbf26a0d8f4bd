"""The proof as a proof: the bound is at least eta everywhere, the gap at least the true excess, at any iterate."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import FILTERS, make

from blasso_flow.flow import solve
from blasso_flow.flow.ledger import relative_gap
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.evidence import eta_and_slopes, kkt_residuals
from blasso_flow.proof.examiner import examiner

VARIANTS = {
    "plain": {},
    "signed": {"positive": False},
    "missing": {"missing": 0.15, "baseline": "const"},
    "weighted": {"weighted": True, "positive": False},
    "margin": {"margin": (7.0, 3.0)},
    "ends": {"ends": True},
}


def variant(name, filter_name):
    kind = dict(VARIANTS[name])
    if filter_name == "lowpass":
        kind.pop("margin", None)
        kind.pop("ends", None)
    return kind


def random_measure(problem, random, count):
    """A measure that has nothing to do with the data, some of it on the ends and on cell edges."""
    low, high = problem.domain
    position = random.uniform(low, high, count)
    position[0] = low
    if not problem.filter.period:
        position[-1] = high
    weight = random.normal(size=count) * 2
    weight = np.abs(weight) if problem.positive else weight
    return Particles.evaluate(problem, position, weight, np.zeros(problem.baseline.shape[1]))


def certify(problem, particles):
    return examiner(problem)(particles, lambda objective: 1e-6 * objective)


def bound_of(problem: Problem):
    return problem.geometry.bound(problem.strength, problem.positive)


def dense_eta(problem, particles, filter_name):
    """eta of an iterate on a dense grid, from responses on it that all problems of a filter share."""
    responses = dense_responses(filter_name, problem.values.size, *problem.domain)
    return -responses.T @ problem.unpadded(problem.root * particles.curve) / problem.strength


@lru_cache(maxsize=3)
def dense_responses(filter_name, samples, low, high):
    filter = make(filter_name, samples=samples).problem.filter
    return naive.response_matrix(filter, naive.dense_grid(filter, low, high), samples)


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("filter_name", FILTERS)
def test_the_bound_is_above_dense_sampling_at_bad_iterates(filter_name, kind):
    random = np.random.default_rng(3)
    for seed in range(3):
        problem = make(filter_name, seed=seed, **variant(kind, filter_name)).problem
        for count in (2, 7):
            particles = random_measure(problem, random, count)
            certificate = certify(problem, particles)
            eta = dense_eta(problem, particles, filter_name)
            seen = float(np.max(eta if problem.positive else np.abs(eta)))
            assert certificate.sup >= seen
            # tight as well: a decided cell is within 1e-10 of its maximum, dense sampling within a few 1e-4
            assert certificate.sup <= max(1.0, seen) * (1 + 5e-3) + 1e-9


@given(seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6), filter_name=st.sampled_from(sorted(FILTERS)))
@settings(max_examples=40, deadline=None)
def test_the_bound_holds_for_any_gradient_and_scale(seed, scale, filter_name):
    problem = make(filter_name, samples=120, positive=bool(seed % 2)).problem
    random = np.random.default_rng(seed)
    gradient = problem.padded(scale * random.standard_normal(120))
    bound, _ = bound_of(problem)(gradient)
    seen = naive.supremum(problem.filter, problem.unpadded(gradient), problem.strength, *problem.domain, problem.positive)
    assert bound >= seen


@pytest.mark.parametrize("at", [0.0, 0.5, 80.37, 158.5, 158.99, 159.0])
def test_a_peak_anywhere_is_seen(at):
    """eta of one response has its maximum at its position: mid-cell, in the last cell, at both ends."""
    problem = make("gaussian", spikes=0, noise=1e-3).problem
    response = problem.filter.response(np.arange(160) - at)
    gradient = -problem.padded(response) * problem.strength / float(response @ response) * 1.5
    bound, (position, eta) = bound_of(problem)(gradient, 1.0)
    assert bound >= 1.5 - 1e-9
    peak = position[np.argmax(eta)]
    assert abs(peak - at) < (1e-5 if 1 < at < 158 else 4.0)


def test_nodes_pass_where_the_bound_does_not():
    """Every sample's eta is at most 1, and yet eta exceeds 1 between two samples: only the bound sees it."""
    problem = make("narrow", spikes=0, samples=60, noise=1e-3).problem
    response = problem.filter.response(np.arange(60) - 30.13)
    gradient = -problem.padded(response)
    certifier = bound_of(problem)
    whole = naive.certificate(problem.filter, problem.unpadded(gradient), problem.strength, np.arange(60.0)).max()
    edges = naive.certificate(problem.filter, problem.unpadded(gradient), problem.strength, 30 + problem.filter.edges).max()
    gradient = gradient / max(whole, edges)
    bound, (position, eta) = certifier(gradient)
    assert bound > 1 + 1e-4
    assert position.size == 1
    assert eta[0] == pytest.approx(bound, abs=1e-8)


@pytest.mark.parametrize("filter_name", FILTERS)
@pytest.mark.parametrize("kind", VARIANTS)
def test_the_gap_is_at_least_the_excess(filter_name, kind):
    """At random iterates and at loosely converged ones, against the objective of a much tighter solve."""
    problem = make(filter_name, seed=5, **variant(kind, filter_name)).problem
    tight = solve(problem, tol=1e-11, tol_noise=np.inf, max_rounds=80)
    assert tight.gap < 1e-6
    random = np.random.default_rng(1)
    for count in (2, 6):
        particles = random_measure(problem, random, count)
        objective = problem.objective(particles.curve, particles.weight)
        excess = objective - tight.objective
        assert objective - certify(problem, particles).dual_value >= excess
    for tol in (0.5, 1e-2, 1e-4):
        loose = solve(problem, tol=tol, tol_noise=np.inf)
        assert loose.objective - loose.dual_value >= loose.objective - tight.objective
        assert loose.dual_value <= tight.objective


@pytest.mark.parametrize("filter_name", FILTERS)
def test_dual_value_matches_the_formula(filter_name):
    made = make(filter_name, seed=2, missing=0.1, weighted=True, baseline="const")
    problem = made.problem
    particles = random_measure(problem, np.random.default_rng(0), 4)
    certificate = certify(problem, particles)
    u = problem.unpadded(problem.root * particles.curve)
    best = naive.best_dual_value(problem.values, problem.sample_weights, u, max(1.0, certificate.sup))
    assert certificate.dual_value <= best + 1e-9 * abs(best)
    assert certificate.dual_value == pytest.approx(best, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("filter_name", FILTERS)
def test_optimality_at_the_solution(filter_name, kind):
    problem = make(filter_name, seed=8, **variant(kind, filter_name)).problem
    solution = solve(problem, tol=1e-10, tol_noise=np.inf, max_rounds=80)
    particles = Particles.evaluate(problem, solution.position, solution.weight, solution.baseline)
    eta = dense_eta(problem, particles, filter_name)
    level = eta if problem.positive else np.abs(eta)
    assert level.max() <= 1 + 1e-6
    assert 0 <= solution.violation <= 1e-6
    np.testing.assert_allclose(solution.eta, np.sign(solution.weight), atol=1e-6)
    np.testing.assert_allclose(eta_and_slopes(problem, solution.position, particles.curve)[0], solution.eta)
    assert kkt_residuals(problem, solution.position, solution.weight, particles.curve).max(initial=0) < 1e-3
    if problem.positive:
        assert (solution.weight >= 0).all()


def test_spikes_beyond_the_ends_are_certified_on_the_ends():
    """True spikes outside the domain pull the optimum's spikes onto its ends; there only the inward slope counts."""
    made = make("gaussian", seed=1, spikes=0, noise=0.01)
    problem = made.problem
    outside = problem.filter.response(np.arange(160)[:, None] - np.array([-2.5, 161.0])) @ np.ones(2)
    problem = replace(problem, values=problem.values + outside)
    solution = solve(problem, tol=1e-9, tol_noise=np.inf)
    assert solution.gap <= 1e-9
    assert solution.position[0] == 0.0
    assert solution.position[-1] == 159.0


def test_whole_record_missing_or_zero_has_no_gap():
    problem = make(spikes=0).problem
    silent = replace(problem, values=np.zeros(160))
    solution = solve(silent)
    assert (solution.gap, solution.objective, solution.position.size) == (0.0, 0.0, 0)
    assert relative_gap(0.0, 0.0) == 0.0


def test_the_torus_has_no_seam():
    """A spike on either side of the seam is found where it is, and turning the record turns the answer."""
    problem = make("lowpass", seed=3, samples=100, spikes=0, noise=0.01).problem
    for at in (0.0, 0.3, 99.6, 50.2):
        values = problem.filter.response(np.arange(100) - at)
        solution = solve(replace(problem, values=values, strength=0.1), tol=1e-10, tol_noise=np.inf)
        assert solution.gap <= 1e-10
        distance = np.abs((solution.position - at + 50) % 100 - 50)
        assert distance.max() < 1e-4


def test_two_maxima_in_one_cell_are_both_candidates():
    """A maximum between two nodes with the same slope is above every node; without it as a candidate the solver stalls."""
    problem = make("measured", spikes=0, samples=80, noise=1e-3).problem
    certifier = bound_of(problem)
    random = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        gradient = problem.padded(random.standard_normal(80))
        nodes = certifier._nodes(gradient)
        bound, (position, eta) = certifier(gradient * 1.0001 / certifier(gradient)[0])
        assert eta.max() == pytest.approx(bound, abs=1e-8)
        cell = int(position[np.argmax(eta)])
        found += cell < 79 and nodes.slope[cell] * nodes.right_slope[cell] > 0
    assert position.size >= 1


def test_what_is_taken_over_from_the_last_evaluation_is_what_a_fresh_one_finds(monkeypatch):
    monkeypatch.setattr("blasso_flow.problem.geometry.bound.GRAIN", 50)
    random = np.random.default_rng(1)
    for name in ("gaussian", "kinked"):
        problem = make(name, samples=600, spikes=6, positive=False).problem
        kept = bound_of(problem)
        gradient = problem.root * random.standard_normal(problem.root.size)
        gradient = gradient * (1.01 / kept(gradient)[0])
        for place in (100, 400, 0, 590):
            gradient = gradient.copy()
            gradient[place : place + 8] *= random.uniform(0, 1.5)
            sup, (position, eta) = kept(gradient, 0.9)
            fresh, births = bound_of(problem)(gradient, 0.9)
            assert sup == pytest.approx(fresh, abs=1e-9)
            assert position == pytest.approx(births.position, abs=1e-9)
            assert eta == pytest.approx(births.eta, abs=1e-9)
        again = gradient.copy()
        again[:4] += 1e-3
        kept(again)
        assert 0 < kept.stale.sum() < 600 // 50


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
def test_a_large_offset_does_not_spoil_the_proof(offset):
    problem = make("gaussian", seed=3, baseline="const", noise=0.05).problem
    shifted = replace(problem, values=problem.values + offset)
    solution = solve(shifted, tol_noise=np.inf)
    plain = solve(problem, tol=1e-11, tol_noise=np.inf)
    assert solution.gap <= max(1e-6, 1e-13 * offset)
    # the shifted values are rounded, so the problem itself moved by about eps * offset
    assert solution.objective == pytest.approx(plain.objective, rel=1e-5 + 1e-12 * offset)
