"""The studies: what they claim is in their numbers, and the same seed gives the same files."""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pytest
from command import run
from scipy.special import ndtr

from blasso_flow.cli.study import STUDIES, prefix_of, study
from blasso_flow.errors import UsageError
from blasso_flow.plots.study_parts import time_scale
from blasso_flow.proof.evidence import eta_and_slopes
from blasso_flow.study import limit, network, networks, overparameterization, support
from blasso_flow.study.deconvolution import SEPARATION, draw
from blasso_flow.study.outcome import table
from blasso_flow.study.trajectory import follow
from blasso_flow.study.workers import spread


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every quick study, run once: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("study")
    printed = {}
    for name in STUDIES:
        outcome = run("study", name, "--quick", "-o", folder / name)
        assert outcome.code == 0, outcome.stderr
        printed[name] = outcome.text
    return folder, printed


def columns_of(folder, name, table_name):
    with h5py.File(folder / f"{name}.h5") as file:
        return {key: file[table_name][key][()] for key in file[table_name] if key != "row"}


@pytest.mark.parametrize("name", STUDIES)
def test_figure_and_numbers_are_written(made, name):
    folder, printed = made
    assert (folder / f"{name}.png").stat().st_size > 10_000
    with h5py.File(folder / f"{name}.h5") as file:
        assert set(file) == set(STUDIES[name].tables)
        assert json.loads(file.attrs["settings"])["quick"] is True
        findings = list(file.attrs["findings"])
    assert printed[name].splitlines() == findings
    for table_name in STUDIES[name].tables:
        expected = columns_of(folder, name, table_name)
        with open(folder / f"{name}.{table_name}.csv") as stream:
            header, *rows = csv.reader(stream)
        assert {word.split(" [")[0] for word in header} == set(expected)
        for number, word in enumerate(header):
            np.testing.assert_array_equal([float(row[number]) for row in rows], expected[word.split(" [")[0]])


@pytest.mark.parametrize("name", ["trajectory", "limit"])
def test_same_seed_same_bytes_and_an_output_is_not_replaced(made, name, tmp_path):
    folder, _ = made
    outcome = run("study", name, "--quick", "--no-plot", "--quiet", "-o", tmp_path / name)
    assert (outcome.code, outcome.text, outcome.stderr) == (0, "", "")
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    refused = run("study", name, "--quick", "-o", tmp_path / name)
    assert refused.code == 2
    assert "--force" in refused.stderr


def test_an_output_may_end_as_its_files_do(made, tmp_path):
    for given, prefix in (("a/b.png", "a/b"), ("b.h5", "b"), ("b.csv", "b"), ("b", "b"), ("run.2", "run.2"), (".png", ".png")):
        assert prefix_of(given) == prefix
    assert run("study", "trajectory", "--quick", "--no-plot", "--quiet", "-o", tmp_path / "paths.h5").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "paths.h5",
        *(f"paths.{name}.csv" for name in STUDIES["trajectory"].tables),
    }


def test_every_study_has_a_plan_and_an_example():
    assert set(study.commands) == set(STUDIES)
    for name in STUDIES:
        assert f"blasso-flow study {name}" in run("study", name, "--help").text


def test_a_bad_seed_is_refused():
    assert run("study", "trajectory", "--seed", "-1").code == 2


def test_draws_keep_their_separation_and_both_signs():
    for seed in range(6):
        drawn = draw(seed)
        assert np.diff(np.sort(drawn.position)).min() >= SEPARATION * drawn.period - 1e-9
        assert set(np.sign(drawn.weight)) == {-1.0, 1.0}
        assert drawn.optimum.gap <= 1e-9


def test_ten_particles_attain_the_optimum_and_five_do_not(made):
    shares = columns_of(made[0], "trajectory", "shares")
    share = dict(zip(shares["particles"], shares["share"], strict=True))
    assert share[10] == share[20] == 1.0
    assert share[5] < 1.0
    drawn = draw(1)
    followed = follow(drawn, 10)
    assert followed.solution.gap <= 1e-6
    assert followed.solution.objective == pytest.approx(drawn.optimum.objective, rel=1e-6)


def test_flows_come_closer_to_the_limit(made):
    medians = columns_of(made[0], "limit", "medians")
    assert medians["objective"][-1] < 0.5 * medians["objective"][0]
    assert medians["position"][-1] < 0.7 * medians["position"][0]


def test_equal_flows_are_no_distance_apart_and_the_seam_is_free():
    drawn = draw(3)
    clouds = limit.followed(drawn, 12, 1, [1, 5])
    assert limit.apart(drawn, clouds, clouds, limit.seam(drawn)) == (0.0, 0.0)
    away = np.abs((drawn.position - limit.seam(drawn) + 50) % 100 - 50)
    assert away.min() >= 5


def test_overparameterised_flows_beat_fixed_features(made):
    medians = columns_of(made[0], "overparameterization", "medians")
    for problem, count, excess in ((0, 20, 1e-8), (1, 80, 0.1), (2, 80, 0.1)):
        row = (medians["problem"] == problem) & (medians["particles"] == count)
        assert medians["flow"][row][0] < excess
        assert medians["flow"][row][0] < 0.1 * medians["fixed"][row][0]


def test_a_relu_student_reaches_its_teacher():
    """Twice the neurons that are needed: excess below 1e-5, a hundredth of that of fixed features."""
    ((flow, fixed, _),) = spread(overparameterization.run_one, [("relu", 40, 0, 6000)], lambda done: None)
    assert flow < 1e-5
    assert fixed > 100 * flow


def test_best_weights_satisfy_their_optimality_conditions():
    drawn = draw(0)
    position = np.linspace(0, 99, 12)
    residual, weight = overparameterization.best_weights(drawn.problem, position)
    eta = eta_and_slopes(drawn.problem, position, residual)[0]
    assert np.abs(eta).max() <= 1 + 1e-6
    np.testing.assert_allclose(eta[weight != 0], np.sign(weight[weight != 0]), atol=1e-6)


def test_starts_end_as_the_theorem_says(made):
    starts = columns_of(made[0], "support", "starts")
    good = starts["satisfies"] == 1
    assert (starts["gap"][good] <= 1e-6).all()
    assert (starts["violation"][~good] > 1).all()
    assert (starts["gap"][~good] > 0.1).all()


@pytest.mark.parametrize("name", networks.ACTIVATIONS)
def test_population_kernels_and_their_gradients(name):
    """Against two-dimensional quadrature, and against finite differences."""
    random = np.random.default_rng(0)
    activation = networks.ACTIVATIONS[name]
    w, v, coefficients = random.standard_normal((3, 2)), random.standard_normal((4, 2)), random.standard_normal(4)
    node = np.linspace(-8, 8, 501)
    z = np.stack(np.meshgrid(node, node), axis=-1).reshape(-1, 2)
    mass = np.exp(-0.5 * (z**2).sum(axis=1)) / (2 * np.pi) * (node[1] - node[0]) ** 2
    act = {"relu": lambda s: np.maximum(s, 0), "sigmoid": ndtr}[name]
    np.testing.assert_allclose(activation.kernel(w, v), (act(z @ w.T) * mass[:, None]).T @ act(z @ v.T), atol=2e-4)
    values, slopes = activation.gradient(w, v, coefficients)
    np.testing.assert_allclose(values, activation.kernel(w, v) @ coefficients)
    for k in range(2):
        shift = np.zeros(2)
        shift[k] = 1e-6
        difference = (activation.kernel(w + shift, v) - activation.kernel(w - shift, v)) @ coefficients / 2e-6
        np.testing.assert_allclose(slopes[:, k], difference, atol=1e-8)


def test_gradient_descent_never_rises_and_the_networks_gap_covers_the_excess():
    teacher = support.small_teacher(1)
    circle = support.directions(2 * np.pi * np.arange(720) / 720)
    relu = networks.ACTIVATIONS["relu"]
    strength = 0.05 * np.abs(relu.kernel(circle, teacher.inner) @ teacher.outer).max()

    def objective(network):
        return networks.loss(relu, network, teacher) + strength * float(
            (np.abs(network.outer) * np.linalg.norm(network.inner, axis=1)).sum()
        )

    network, seen = support.neuron_start(0), []
    for _ in range(12):
        seen.append((objective(network), support.network_gap(network, teacher, strength, circle)[0]))
        network, _ = networks.descend(relu, network, teacher, mobility=1.0, strength=strength, iterations=100, target=-np.inf)
    values = np.array([value for value, _ in seen])
    assert (np.diff(values) <= 1e-12).all()
    assert all(gap * value >= value - values[-1] - 1e-9 for value, gap in seen)


@pytest.mark.parametrize("loss", network.LOSSES)
@pytest.mark.parametrize("activation", network.ACTIVATIONS)
@pytest.mark.parametrize("penalty", network.PENALTIES)
def test_a_stochastic_step_is_a_gradient_step_and_a_prox(loss, activation, penalty):
    """Against finite differences of the batch's loss, and the penalty's prox."""
    random = np.random.default_rng(0)
    design = network.Design(loss, activation, penalty)
    here = networks.Network(random.standard_normal(3), random.standard_normal((3, 2)))
    inputs = random.standard_normal((7, 2))
    labels = design.labels(random.standard_normal(7), random)
    after = network.stochastic_step(design, here, inputs, labels, 0.1)
    entries = np.concatenate([here.outer, here.inner.ravel()])

    def value(numbers):
        there = networks.Network(numbers[:3], numbers[3:].reshape(3, 2))
        return design.losses(network.output(design, there, inputs), labels).mean()

    shifts = 1e-6 * np.eye(entries.size)
    slope = np.array([(value(entries + shift) - value(entries - shift)) / 2e-6 for shift in shifts])
    moved = entries - 0.1 * slope
    amount = 0.1 * network.STRENGTH
    moved = {"none": moved, "l1": np.sign(moved) * (np.abs(moved) - amount), "l2": moved / (1 + amount)}[penalty]
    np.testing.assert_allclose(np.concatenate([after.outer, after.inner.ravel()]), moved, atol=1e-8)


def test_neurons_turn_to_the_teacher(made):
    losses = columns_of(made[0], "network", "losses")
    assert losses["excess"][-1] < 0.01 * losses["excess"][0]
    with h5py.File(made[0] / "network.h5") as file:
        share = float(file.attrs["findings"][1].split("%")[0])
    assert share > 60  # 44 of random directions


@pytest.mark.parametrize("option", ["--loss", "--activation", "--penalty"])
def test_an_unknown_design_is_refused(option):
    assert run("study", "network", option, "hinge").code == 2
    with pytest.raises(UsageError, match="hinge"):
        network.Design(**{option[2:]: "hinge"})


def test_tables_choose_rows_and_times_scale():
    numbers = table("numbers", a=[1, 2, 1], b=[4, 5, 6])
    assert list(numbers.rows(a=1)["b"]) == [4, 6]
    assert time_scale(np.array([0.0, 1.0, 10.0]))(10.0) == pytest.approx(1.0)
    assert time_scale(np.zeros(3))(0.0) == 0.0
