"""The studies: what they claim is in their numbers, and the same seed gives the same files."""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pytest
from command import run

from blasso_flow.cli.study import PLANS, study
from blasso_flow.plots.study_parts import time_scale
from blasso_flow.study import limit
from blasso_flow.study.deconvolution import SEPARATION, draw
from blasso_flow.study.outcome import table
from blasso_flow.study.trajectory import follow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every quick study, run once: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("study")
    printed = {}
    for name in PLANS:
        outcome = run("study", name, "--quick", "-o", folder / name)
        assert outcome.code == 0, outcome.stderr
        printed[name] = outcome.text
    return folder, printed


def columns_of(folder, name, table_name):
    with h5py.File(folder / f"{name}.h5") as file:
        return {key: file[table_name][key][()] for key in file[table_name] if key != "row"}


@pytest.mark.parametrize("name", PLANS)
def test_figure_and_numbers_are_written(made, name):
    folder, printed = made
    assert (folder / f"{name}.png").stat().st_size > 10_000
    with h5py.File(folder / f"{name}.h5") as file:
        assert set(file) == set(PLANS[name].tables)
        assert json.loads(file.attrs["settings"])["quick"] is True
        findings = list(file.attrs["findings"])
    assert printed[name].splitlines() == findings
    for table_name in PLANS[name].tables:
        expected = columns_of(folder, name, table_name)
        with open(folder / f"{name}.{table_name}.csv") as stream:
            header, *rows = csv.reader(stream)
        assert {word.split(" [")[0] for word in header} == set(expected)
        for number, word in enumerate(header):
            np.testing.assert_array_equal([float(row[number]) for row in rows], expected[word.split(" [")[0]])


@pytest.mark.parametrize("name", PLANS)
def test_same_seed_same_bytes_and_an_output_is_not_replaced(made, name, tmp_path):
    folder, _ = made
    outcome = run("study", name, "--quick", "--no-plot", "--quiet", "-o", tmp_path / name)
    assert (outcome.code, outcome.text, outcome.stderr) == (0, "", "")
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    refused = run("study", name, "--quick", "-o", tmp_path / name)
    assert refused.code == 2
    assert "--force" in refused.stderr


def test_every_study_has_a_plan_and_an_example():
    assert set(study.commands) == set(PLANS)
    for name in PLANS:
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


def test_tables_choose_rows_and_times_scale():
    numbers = table("numbers", a=[1, 2, 1], b=[4, 5, 6])
    assert list(numbers.rows(a=1)["b"]) == [4, 6]
    assert time_scale(np.array([0.0, 1.0, 10.0]))(10.0) == pytest.approx(1.0)
    assert time_scale(np.zeros(3))(0.0) == 0.0
