"""The paper's flows: same optimum and same proof as the default method, whatever they were given and wherever they stop."""

from __future__ import annotations

from dataclasses import replace

import h5py
import naive
import numpy as np
import pytest
from command import DATA, run
from problems import FILTERS, make

from blasso_flow import filters
from blasso_flow.data.reports import Status
from blasso_flow.errors import UsageError
from blasso_flow.files import read_result
from blasso_flow.flow import Flow, solve
from blasso_flow.flow.conic import Conic
from blasso_flow.flow.descent import Cloud, Descent, certificates, interval
from blasso_flow.flow.euclidean import Euclidean
from blasso_flow.flow.loop import run as run_loop
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.evidence import largest_strength
from blasso_flow.recovery.settings import Settings
from blasso_flow.truth.simulation import simulate

FLOWS = ("euclidean", "conic")


def clouds_of(problem, flow, iterations, **options):
    """Every certified iterate of a run that never counts as converged."""
    seen: list[Cloud] = []
    method = Descent(flow, 40, **options)
    solution = run_loop(problem, method, tol=1e-15, tol_noise=np.inf, max_rounds=certificates(iterations), on_iterate=seen.append)
    return seen, solution


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("seed", range(20))
def test_flows_reach_the_default_methods_objective(flow, seed):
    """Twenty random problems, half of them signed: relative 1e-6, with a gap that proves it."""
    filter = ("gaussian:sd=4", "ricker:frequency=0.06", "lowpass:order=7", "emg:sd=3,decay=8")[seed % 4]
    positive = seed % 8 < 4
    channel = simulate(filter, samples=120, spikes=3, min_separation=20, snr=20, positive=positive, seed=seed).channel(0)
    table = filters.build(channel.filter, channel.axis)
    draft = Problem.from_signal(channel, table, strength=1.0, positive=positive)
    problem = replace(draft, strength=0.1 * largest_strength(draft))
    best = solve(problem, tol=1e-10, tol_noise=np.inf)
    solution = solve(problem, Flow(flow, particles=60), tol_noise=np.inf)
    assert solution.status is Status.CONVERGED, solution.message
    assert solution.gap <= 1e-6
    assert best.objective * (1 - 1e-9) <= solution.objective <= best.objective * (1 + 1e-6)


@pytest.mark.parametrize("flow", [Euclidean(), Conic()])
@pytest.mark.parametrize("filter_name", FILTERS)
def test_the_gap_is_a_proof_at_every_iterate(flow, filter_name):
    """J and D belong to the measure that is written: J as an oracle computes it, D never above the optimum."""
    problem = make(filter_name, seed=5, samples=120, positive=False, baseline="const", missing=0.05).problem
    best = solve(problem, tol=1e-9, tol_noise=np.inf)
    clouds, solution = clouds_of(problem, flow, 60)
    for cloud, row in zip(clouds, solution.trace, strict=True):
        fit = naive.model(problem.filter, cloud.position, cloud.weight, problem.values.size)
        fit = fit + problem.baseline @ naive.best_baseline(problem.values, problem.sample_weights, fit, problem.baseline)
        expected = naive.objective(problem.values, problem.sample_weights, fit, problem.strength, cloud.weight)
        assert row.objective == pytest.approx(expected, rel=1e-10)
        assert row.round == cloud.rounds
    lowest = min(best.objective, solution.objective)
    assert solution.dual_value <= lowest
    assert solution.objective - solution.dual_value >= solution.objective - best.objective


@pytest.mark.parametrize("flow", [Euclidean(), Conic()])
@pytest.mark.parametrize("positive", [True, False])
def test_the_written_measure_is_no_worse_than_the_particles(flow, positive):
    problem = make("gaussian", seed=1, positive=positive).problem
    for cloud in clouds_of(problem, flow, 300)[0]:
        everything = problem.objective(problem.residual(cloud.places, cloud.weights, cloud.baseline), cloud.weights)
        written = problem.objective(cloud.curve, cloud.weight)
        assert written <= everything * (1 + 1e-12)
        assert (np.diff(cloud.position) >= 0).all()
        assert (cloud.weight != 0).all()
        assert not positive or (cloud.weight > 0).all()


@pytest.mark.parametrize("flow", [Euclidean(), Conic()])
def test_the_particles_objective_falls(flow):
    problem = make("ricker", seed=2, positive=False).problem
    objectives = [
        problem.objective(problem.residual(cloud.places, cloud.weights, cloud.baseline), cloud.weights)
        for cloud in clouds_of(problem, flow, 400)[0]
    ]
    assert (np.diff(objectives) <= 1e-12 * objectives[0]).all()
    assert objectives[-1] < 0.5 * objectives[0]


def test_one_euclidean_iteration_is_the_formula():
    """Against the formulas of the paper, written out with the filter's own response."""
    made = make("gaussian", seed=3, positive=False)
    problem = made.problem
    method = Descent(Euclidean(spread=1.0), 15, "random", step_size=0.05, seed=7)
    cloud = method.start(problem)
    after = method.iterated(problem, cloud, 1)
    lag = np.arange(problem.values.size)[:, None] - cloud.places
    residual = problem.filter.response(lag) @ cloud.weights - problem.values
    units = cloud.units
    eta = -(problem.filter.response(lag).T @ residual)  # times strength
    slope = -(problem.filter.response(lag, 1).T @ residual)
    largest = units.objective / units.weight
    weight = cloud.weights + 0.05 * units.weight / largest * eta
    threshold = 0.05 * units.weight / largest * problem.strength
    expected = np.sign(weight) * np.maximum(np.abs(weight) - threshold, 0.0)
    np.testing.assert_allclose(after.weights, expected, atol=1e-12)
    step = 0.05 * units.length**2 * slope * cloud.weights / units.objective
    np.testing.assert_allclose(after.places, np.clip(cloud.places + step, *problem.domain), atol=1e-9)


def test_one_conic_iteration_is_the_formula():
    problem = make("gaussian", seed=3, positive=False).problem
    method = Descent(Conic(), 15, step_size=0.05)
    cloud = method.iterated(problem, method.start(problem), 20)
    after = method.iterated(problem, cloud, 1)
    lag = np.arange(problem.values.size)[:, None] - cloud.places
    residual = problem.filter.response(lag) @ cloud.weights - problem.values
    sign, units = np.sign(cloud.weights), cloud.units
    eta = -(problem.filter.response(lag).T @ residual) / problem.strength
    slope = -(problem.filter.response(lag, 1).T @ residual) / problem.strength
    expected = cloud.weights * np.exp(-4 * 0.05 * units.ratio * (1 - sign * eta))
    np.testing.assert_allclose(after.weights, expected, rtol=1e-9)
    step = 0.05 * units.ratio * units.length**2 * sign * slope
    np.testing.assert_allclose(after.places, np.clip(cloud.places + step, *problem.domain), atol=1e-9)


@pytest.mark.parametrize("flow", [Euclidean(), Conic()])
def test_units_do_not_matter(flow):
    """Millivolts for volts: the same path."""
    problem = make("gaussian", seed=4, positive=False).problem
    other = replace(problem, values=1e3 * problem.values, strength=1e3 * problem.strength, noise_sd=1e3 * problem.noise_sd)
    here, there = (clouds_of(one, flow, 50)[0][-1] for one in (problem, other))
    np.testing.assert_allclose(there.places, here.places, rtol=1e-9)
    np.testing.assert_allclose(there.weights, 1e3 * here.weights, rtol=1e-6, atol=1e-6)


def test_too_few_particles_end_honestly():
    problem = make("gaussian", seed=5, spikes=6).problem
    solution = solve(problem, Flow("euclidean", particles=2, iterations=2000))
    assert solution.status is Status.GAP_ABOVE_TOLERANCE
    assert solution.gap > 1e-3
    assert solution.violation > 1e-3
    assert "`particles=`" in solution.message or "`iterations=`" in solution.message


def test_certificates_are_counted():
    done = [0]
    for _ in range(certificates(500)):
        done.append(done[-1] + interval(done[-1]))
    assert done[-2] < 500 <= done[-1]
    assert certificates(100, every=30) == 4


@pytest.mark.parametrize("start", ["uniform", "random"])
def test_the_start_follows_from_the_seed(start):
    problem = make("lowpass", seed=6, positive=False).problem
    first, again, other = (
        solve(problem, Flow("euclidean", 12, start, seed=seed, iterations=30, keep_paths=True)).paths for seed in (1, 1, 2)
    )
    assert first.position.tobytes() == again.position.tobytes()
    assert (first.position[0] == other.position[0]).all() == (start == "uniform")
    if start == "uniform":
        assert (first.weight[0] == 0).all()
    else:
        assert (first.weight[0] > 0).any()
        assert (first.weight[0] < 0).any()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"particles": 5}, "`particles=`"),
        ({"method": "adam"}, "adam"),
        ({"method": "conic", "particles": 0}, "particles"),
        ({"method": "conic", "iterations": 0}, "iterations"),
        ({"method": "euclidean", "start": "grid"}, "start"),
        ({"method": "euclidean", "step_size": -1.0}, "step_size"),
        ({"method": "euclidean", "seed": -1}, "seed"),
        ({"method": "euclidean", "loss": "poisson"}, "squared"),
    ],
)
def test_settings_refuse(given, word):
    with pytest.raises(UsageError, match=word):
        Settings(**given)


@pytest.mark.parametrize("flow", FLOWS)
def test_on_the_example_signal_with_every_particle_kept(flow, tmp_path):
    target = tmp_path / "r.h5"
    outcome = run(
        "recover", DATA / "gaussian.h5", "--method", flow, "--particles", 100, "--save-particles", "--no-plot", "-o", target
    )
    assert outcome.code == 0, outcome.stderr
    assert run("certify", target).code == 0
    other = tmp_path / "newton.h5"
    run("recover", DATA / "gaussian.h5", "--no-plot", "--tol", "1e-9", "-o", other)
    report, best = (read_result(path).recovery.channels[0] for path in (target, other))
    assert report.gap <= 1e-6
    assert report.objective == pytest.approx(best.objective, rel=1e-6)
    assert report.paths.position.shape == report.paths.weight.shape == (len(report.trace), 100)
    assert 0 <= report.paths.position.min() <= report.paths.position.max() <= 1
    with h5py.File(target) as file:
        assert file["trace/particle_position"].attrs["units"] == "s"


@pytest.mark.parametrize("flow", FLOWS)
def test_on_every_channel_of_the_example(flow, tmp_path):
    """Six channels with missing samples and a narrow filter, a hundred particles."""
    target, other = tmp_path / "r.h5", tmp_path / "newton.h5"
    outcome = run("recover", DATA / "channels.h5", "--method", flow, "--particles", 100, "--no-plot", "-o", target)
    assert outcome.code == 0, outcome.stderr
    assert "particles start" not in outcome.stderr
    run("recover", DATA / "channels.h5", "--no-plot", "--tol", "1e-9", "-o", other)
    reports, best = (read_result(path).recovery.channels for path in (target, other))
    assert len(reports) == 6
    for report, reference in zip(reports, best, strict=True):
        assert report.gap <= 1e-6
        assert report.objective == pytest.approx(reference.objective, rel=1e-6)


def test_a_start_too_sparse_for_the_filter_is_said():
    """One line with the number that is dense enough, which itself raises no note."""
    problem = make("gaussian", seed=5, spikes=6).problem
    (note,) = Flow("euclidean", particles=3).notes(problem)
    enough = int(note.partition("`particles=")[2].partition("`")[0])
    assert f"width of {problem.filter.width * problem.axis.spacing:.3g}" in note
    assert Flow("euclidean", particles=enough).notes(problem) == ()
    assert Flow("euclidean", particles=enough - 1).notes(problem)
