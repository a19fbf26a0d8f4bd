"""Refit, pruning, error bars and groups, against dense least squares and known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from command import DATA
from naive import response_matrix
from problems import FILTERS, make
from scipy.optimize import least_squares

from blasso_flow import filters
from blasso_flow.answer import pruning
from blasso_flow.answer.refit import refit
from blasso_flow.data.signals import Axis, Signal
from blasso_flow.files import read_signal
from blasso_flow.flow import solve
from blasso_flow.noise.strength import StrengthRule, choose_strength
from blasso_flow.problem.geometry import covariance
from blasso_flow.problem.geometry.covariance import nothing_fixed
from blasso_flow.problem.problem import Problem
from blasso_flow.recovery.interface import recover

LEVEL = 3.5


def twice_loss(problem, position, weight, baseline):
    """sum W (m - y)^2 / sd^2."""
    return np.sum(problem.residual(position, weight, baseline) ** 2) / problem.noise_sd**2


def dense_errors(problem, answer):
    """Standard errors of positions and weights from the dense Jacobian; a position on an end is held."""
    samples = problem.values.size
    low, high = problem.domain
    moves = np.full(answer.position.size, True)
    if not problem.filter.period:
        moves = (answer.position > low) & (answer.position < high)
    slopes = response_matrix(problem.filter, answer.position, samples, 1) * answer.weight
    jacobian = np.hstack([response_matrix(problem.filter, answer.position, samples), slopes[:, moves], problem.baseline])
    jacobian *= np.sqrt(problem.sample_weights)[:, None]
    scale = np.linalg.norm(jacobian, axis=0)
    inverse = np.linalg.inv((jacobian / scale).T @ (jacobian / scale))
    errors = problem.noise_sd * np.sqrt(np.diag(inverse)) / scale
    count = answer.position.size
    of_positions = np.full(count, np.nan)
    of_positions[moves] = errors[count : count + moves.sum()]
    return of_positions, errors[:count]


def best_fit(problem, position, weight, baseline):
    """Twice the loss in noise units at the nearest minimum, by a dense solver that shares no code with ours."""
    samples, count = problem.values.size, position.size
    root = np.sqrt(problem.sample_weights) / problem.noise_sd

    def residual(t):
        fit = response_matrix(problem.filter, t[:count], samples) @ t[count : 2 * count] + problem.baseline @ t[2 * count :]
        return root * (fit - problem.values)

    def jacobian(t):
        slopes = response_matrix(problem.filter, t[:count], samples, 1) * t[count : 2 * count]
        return root[:, None] * np.hstack([slopes, response_matrix(problem.filter, t[:count], samples), problem.baseline])

    start = np.concatenate([position, weight, baseline])
    return 2 * least_squares(residual, start, jacobian, x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14).cost


def recovered(values, table, sd, *, positive=True, baseline="const"):
    """Problem at the default strength, its solution, and the refit."""
    signal = Signal(values, Axis(0.0, 1.0, values.size), noise_sd=sd)
    draft = Problem.from_signal(signal, table, strength=1.0, positive=positive, baseline=baseline)
    choice = choose_strength(
        StrengthRule.parse("auto"),
        filter=table,
        noise_sd=sd,
        weights=draft.sample_weights,
        domain=draft.domain,
        positive=positive,
    )
    problem = replace(draft, strength=choice.strength)
    found = solve(problem)
    return problem, found, refit(problem, found.position, found.weight, found.baseline, level=choice.level)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positive": False, "spikes": 8},
        {"baseline": "const", "weighted": True, "missing": 0.1},
        {"ends": True, "samples": 300, "noise": 0.01},
        {"margin": (10.0, 0.0), "baseline": "const"},
    ],
    ids=["plain", "signed", "weighted", "ends", "margin"],
)
def test_every_filter(name, options):
    if name == "lowpass":
        options = {key: value for key, value in options.items() if key != "margin"}
    problem = make(name, **options).problem
    found = solve(problem)
    answer = refit(problem, found.position, found.weight, found.baseline, level=LEVEL)
    count = answer.position.size
    assert 0 < count <= found.position.size
    assert np.all(np.diff(answer.position) > 0)
    low, high = problem.domain
    assert np.all((answer.position >= low) & (answer.position <= high))
    assert not problem.positive or np.all(answer.weight > 0)
    assert answer.group[0] == 0 and set(np.diff(answer.group)) <= {0, 1}
    # the loss falls below the optimum's, but for what pruning gave up
    given_up = (found.position.size - count) * LEVEL**2
    before = twice_loss(problem, found.position, found.weight, found.baseline)
    assert twice_loss(problem, answer.position, answer.weight, answer.baseline) <= before + given_up
    of_positions, of_weights = dense_errors(problem, answer)
    np.testing.assert_allclose(answer.position_errors, of_positions, rtol=1e-5)
    np.testing.assert_allclose(answer.weight_errors, of_weights, rtol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "narrow", "ricker", "emg", "measured", "lorentzian"])
@pytest.mark.parametrize("baseline", ["none", "const"])
def test_it_is_the_least_squares_fit(name, baseline):
    problem = make(name, seed=3, samples=300, baseline=baseline, noise=0.02).problem
    found = solve(problem)
    answer = refit(problem, found.position, found.weight, found.baseline, level=LEVEL)
    ours = twice_loss(problem, answer.position, answer.weight, answer.baseline)
    assert ours <= best_fit(problem, answer.position, answer.weight, answer.baseline) + 1e-4


@pytest.mark.parametrize("apart", [5.0, 8.0, 12.0, 40.0])
def test_significance_is_the_likelihood_ratio_of_clear_spikes_too(apart):
    """Neighbours take over what they can: more than a linear model says, and it says nothing of a spike that moves over."""
    table = filters.build(filters.describe("gaussian:sd=5"), Axis(0.0, 1.0, 300))
    position, weight, sd = np.array([60.0, 150.0, 150.0 + apart]), np.array([1.0, 2.0, 1.0]), 0.02
    values = response_matrix(table, position, 300) @ weight + sd * np.random.default_rng(4).standard_normal(300)
    problem = Problem.from_signal(Signal(values, Axis(0.0, 1.0, 300), noise_sd=sd), table, strength=1.0, baseline="none")
    answer = refit(problem, position, weight, np.empty(0), level=LEVEL)
    assert np.all(answer.significance > 2 * LEVEL)
    least = twice_loss(problem, answer.position, answer.weight, answer.baseline)
    for i in range(3):
        rest = np.delete(np.arange(3), i)
        without = best_fit(problem, answer.position[rest], answer.weight[rest], answer.baseline)
        assert answer.significance[i] == pytest.approx(np.sqrt(without - least), rel=0.03)


@pytest.mark.parametrize("short", [True, False], ids=["whole", "windows"])
def test_pruning_is_the_likelihood_ratio(short, monkeypatch):
    """Every spike that stays is worth u^2, as its significance says; one that was put there without need goes."""
    if not short:
        monkeypatch.setattr(pruning, "SHORT_RECORD", 0)
    made = make("gaussian", seed=5, samples=400, spikes=6, noise=0.1, strength=0.3)
    problem, table = made.problem, made.problem.filter
    found = solve(problem)
    needless = np.array([33.3, 166.6, 251.2])
    position = np.concatenate([found.position, needless])
    weight = np.concatenate([found.weight, np.full(3, 0.02)])
    answer = refit(problem, position, weight, found.baseline, level=LEVEL)
    least = twice_loss(problem, answer.position, answer.weight, answer.baseline)
    for i in range(answer.position.size):
        rest = np.delete(np.arange(answer.position.size), i)
        without = best_fit(problem, answer.position[rest], answer.weight[rest], answer.baseline)
        assert without - least >= LEVEL**2 * (1 - 1e-3)
        assert answer.significance[i] == pytest.approx(np.sqrt(without - least), rel=1e-2)
    for x in needless:
        if np.abs(made.position - x).min() > 4 * table.width:
            assert answer.position.size == 0 or np.abs(answer.position - x).min() > 0.5 * table.width


def test_raising_the_level_drops_the_weakest_first():
    table = filters.build(filters.describe("gaussian:sd=4"), Axis(0.0, 1.0, 300))
    sd, position = 0.1, np.array([60.2, 150.7, 240.4])
    # weights of 5, 10 and 20 standard errors
    weight = np.array([5.0, 10.0, 20.0]) * sd / table.norm
    values = response_matrix(table, position, 300) @ weight + sd * np.random.default_rng(0).standard_normal(300)
    problem = Problem.from_signal(
        Signal(values, Axis(0.0, 1.0, 300), noise_sd=sd), table, strength=3 * sd * table.norm, baseline="none"
    )
    counts = [refit(problem, position, weight, np.empty(0), level=u).position for u in (2.0, 7.5, 15.0, 40.0)]
    assert [x.size for x in counts] == [3, 2, 1, 0]
    assert abs(counts[2][0] - 240.4) < 1


def test_shrinkage_is_gone():
    random = np.random.default_rng(1)
    table = filters.build(filters.describe("gaussian:sd=5"), Axis(0.0, 1.0, 400))
    position, weight, sd = np.array([80.3, 200.9, 320.1]), np.array([1.0, -2.0, 0.7]), 0.05
    values = response_matrix(table, position, 400) @ weight + 4 + sd * random.standard_normal(400)
    _, found, answer = recovered(values, table, sd, positive=False)
    assert np.all(np.abs(found.weight) < np.abs(weight))
    assert answer.position.size == 3
    assert np.all(np.abs(answer.weight - weight) < 4 * answer.weight_errors)
    assert np.all(np.abs(answer.position - position) < 4 * answer.position_errors)
    np.testing.assert_array_equal(answer.group, [0, 1, 2])


@pytest.mark.parametrize("separation", [0.0, 10.0], ids=["isolated", "pairs two widths apart"])
@pytest.mark.parametrize("snr", [10.0, 30.0])
def test_intervals_cover_the_truth(separation, snr):
    random = np.random.default_rng([int(separation), int(snr)])
    table = filters.build(filters.describe("gaussian:sd=5"), Axis(0.0, 1.0, 1000))
    sd, inside, missed, false = 1 / snr, [], 0, 0
    for _ in range(20):
        position = np.arange(8) * 120 + 60 + random.uniform(-20, 20, 8)
        if separation:
            position = np.sort(np.concatenate([position, position + separation]))
        weight = random.uniform(1, 2, position.size)
        values = response_matrix(table, position, 1000) @ weight + 3 + sd * random.standard_normal(1000)
        _, _, answer = recovered(values, table, sd)
        nearest = np.abs(answer.position[:, None] - position).argmin(axis=0)
        near = np.abs(answer.position[nearest] - position) < 5
        missed += np.sum(~near)
        false += answer.position.size - near.sum()
        off = np.stack([answer.position[nearest] - position, answer.weight[nearest] - weight])[:, near]
        inside.append(np.abs(off) < 1.96 * np.stack([answer.position_errors, answer.weight_errors])[:, nearest[near]])
    coverage = np.concatenate(inside, axis=1).mean(axis=1)
    # 160 or 320 intervals: a binomial error of at most 0.018
    assert np.all((coverage > 0.89) & (coverage < 0.995))
    assert missed == 0
    assert false <= 3


def test_unresolved_neighbours_share_a_group():
    random = np.random.default_rng(2)
    table = filters.build(filters.describe("gaussian:sd=10"), Axis(0.0, 1.0, 600))
    position = np.array([100.0, 300.0, 309.0, 500.0])
    values = response_matrix(table, position, 600) @ np.ones(4) + 0.15 * random.standard_normal(600)
    problem = Problem.from_signal(
        Signal(values, Axis(0.0, 1.0, 600), noise_sd=0.15), table, strength=0.1 * table.norm, baseline="none"
    )
    answer = refit(problem, position, np.ones(4), np.empty(0), level=0.1)
    assert answer.position.size == 4
    assert answer.position_errors[1:3].max() > 0.25 * table.width
    np.testing.assert_array_equal(answer.group, [0, 1, 1, 2])


def test_two_spikes_at_one_place_become_one():
    table = filters.build(filters.describe("gaussian:sd=4"), Axis(0.0, 1.0, 200))
    values = 2 * table.response(np.arange(200) - 90.4) + 0.01 * np.random.default_rng(3).standard_normal(200)
    problem = Problem.from_signal(Signal(values, Axis(0.0, 1.0, 200), noise_sd=0.01), table, strength=0.1, baseline="none")
    answer = refit(problem, np.array([90.2, 90.2]), np.array([1.0, 0.9]), np.empty(0), level=LEVEL)
    assert answer.position.size == 1
    assert abs(answer.position[0] - 90.4) < 0.1


def test_what_cannot_be_told_has_no_error():
    """Two spikes at one place, left unpruned, and a spike that no sample sees."""
    table = filters.build(filters.describe("gaussian:sd=4"), Axis(0.0, 1.0, 300))
    values = np.where(np.arange(300) > 150, np.nan, 0.0)
    problem = Problem.from_signal(Signal(values, Axis(0.0, 1.0, 300), noise_sd=0.1), table, strength=0.1, baseline="none")
    inverse = problem.covariance(np.array([50.0, 90.0, 90.0, 250.0]), nothing_fixed(4))
    lost = inverse.lost.reshape(4, 2)
    assert not lost[0].any() and lost[2].all() and lost[3].all()
    assert inverse.blocks[0, 0] == pytest.approx(1) and inverse.norms[3, 0] == 0


def test_too_large_a_matrix_leaves_errors_unknown(monkeypatch):
    problem = make(noise=0.02, baseline="const").problem
    found = solve(problem)
    whole = refit(problem, found.position, found.weight, found.baseline, level=LEVEL)
    monkeypatch.setattr(covariance, "MOST_NUMBERS", 1)
    answer = refit(problem, found.position, found.weight, found.baseline, level=LEVEL)
    np.testing.assert_allclose(answer.position, whole.position, atol=1e-6)
    assert np.isfinite(whole.position_errors).all()
    assert np.isnan(answer.position_errors).all() and np.isnan(answer.weight_errors).all()


def test_no_spikes():
    problem = make(spikes=0, baseline="const").problem
    answer = refit(problem, np.empty(0), np.empty(0), np.zeros(1), level=LEVEL)
    assert answer.position.size == answer.group.size == answer.significance.size == answer.weight_errors.size == 0
    assert answer.baseline[0] == pytest.approx(2.0, abs=0.05)


def test_unknown_noise_leaves_errors_unknown():
    problem = replace(make(noise=0.02).problem, noise_sd=float("nan"))
    found = solve(problem)
    answer = refit(problem, found.position, found.weight, found.baseline, level=LEVEL)
    assert answer.position.size > 0
    assert np.isnan(answer.position_errors).all() and np.isnan(answer.weight_errors).all()
    assert np.isnan(answer.significance).all()


def test_many_spikes_by_windows_and_as_a_whole_agree(monkeypatch):
    problem = make("gaussian", seed=7, samples=1200, spikes=30, noise=0.05, baseline="const").problem
    found = solve(problem)
    whole = refit(problem, found.position, found.weight, found.baseline, level=LEVEL)
    monkeypatch.setattr(pruning, "SHORT_RECORD", 0)
    windows = refit(problem, found.position, found.weight, found.baseline, level=LEVEL)
    assert whole.position.size == windows.position.size
    np.testing.assert_allclose(whole.position, windows.position, atol=1e-3)
    np.testing.assert_allclose(whole.weight, windows.weight, rtol=1e-3)


def test_the_few_spikes_that_stay_are_exchanged_for_better_ones(monkeypatch):
    """Never worse, and often much better: which five of the many stay without an exchange is a matter of rounding."""
    axis = Axis(0.0, 1.0, 120)
    narrower = filters.build(filters.describe("gaussian:sd=4.5"), axis)
    kept = pruning.EXCHANGES
    better = 0
    for seed in (0, 7, 13, 18, 20):
        random = np.random.default_rng(seed)
        position, weight = np.sort(random.uniform(20, 100, 9)), 1 + random.uniform(0, 1, 9)
        values = response_matrix(narrower, position, 120) @ weight + 0.005 * random.standard_normal(120)
        squares = []
        for exchanges in (0, kept):
            monkeypatch.setattr(pruning, "EXCHANGES", exchanges)
            answer = recover(Signal(values, axis, noise_sd=0.005), filter="gaussian:sd=5", baseline="const", max_spikes=5)
            assert len(answer.spikes) <= 5 < len(answer.optimum)
            squares.append(float(np.sum(answer.fit.residual**2)))
        assert squares[1] <= squares[0] * (1 + 1e-6)
        better += squares[1] < 0.8 * squares[0]
    assert better >= 2


def test_a_wrong_filter_gives_no_warnings():
    signal = read_signal(str(DATA / "channels.h5")).channel(4)
    assert recover(signal, filter="gaussian:sd=0.1").channels[0].status == "converged"


def test_candidates_are_what_pruning_judged():
    """Those dropped lie below the level, those kept above; together they are the support, but for spikes that vanished."""
    signal = read_signal(str(DATA / "channels.h5")).channel(1)
    found = recover(signal, strength="0.4auto", noise_sd=signal.noise_sd or 0.05)
    judged, spikes = found.candidates, found.spikes
    kept = judged.kept == 1
    assert not kept.all() and len(spikes) < len(judged) <= len(found.optimum)
    np.testing.assert_array_equal(judged.position[kept], spikes.position)
    np.testing.assert_array_equal(judged.significance[kept], spikes.significance)
    assert judged.significance[~kept].max() < judged.significance[kept].min()
    assert np.all(np.diff(judged.position) >= 0)
