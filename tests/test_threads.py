"""Threads inside a channel: the same bytes for any number, and no exception lost."""

from __future__ import annotations

import numpy as np
import pytest
from problems import make

from blasso_flow import threads
from blasso_flow.errors import UsageError
from blasso_flow.flow import solve
from blasso_flow.problem.sums import PIECE, dot
from blasso_flow.recovery.settings import Settings
from blasso_flow.truth.simulation import simulate

COLUMNS = ("position", "weight", "baseline", "eta", "objective", "dual_value", "gap")


@pytest.fixture
def small_pieces(monkeypatch):
    """Work cut so small that little problems need several pieces of everything."""
    monkeypatch.setattr("blasso_flow.problem.geometry.bound.PIECE", 300)
    monkeypatch.setattr("blasso_flow.problem.geometry.bound.GRAIN", 60)
    monkeypatch.setattr("blasso_flow.problem.geometry.line.SPIKES_PIECE", 8)
    monkeypatch.setattr("blasso_flow.problem.geometry.filtering.BLOCK_NUMBERS", 3000)
    monkeypatch.setattr("blasso_flow.problem.geometry.line.MODEL_PIECE", 8)
    monkeypatch.setattr("blasso_flow.problem.geometry.line.TAPS_PIECE", 600)
    monkeypatch.setattr("blasso_flow.problem.geometry.line.PIECE", 300)
    monkeypatch.setattr("blasso_flow.problem.geometry.line.GRAIN", 60)
    monkeypatch.setattr("blasso_flow.problem.sums.PIECE", 300)


@pytest.mark.parametrize(
    ("name", "samples", "spikes"), [("narrow", 3000, 150), ("decay", 2500, 40), ("kinked", 1500, 20), ("wide", 12_000, 40)]
)
def test_results_are_the_same_bytes_on_any_number_of_threads(name, samples, spikes, small_pieces):
    problem = make(name, seed=3, samples=samples, spikes=spikes, positive=False, baseline="const", missing=0.05).problem
    alone = solve(problem, max_rounds=12)
    for count in (2, 3):
        with threads.using(count):
            together = solve(problem, max_rounds=12)
        for column in COLUMNS:
            assert np.asarray(getattr(together, column)).tobytes() == np.asarray(getattr(alone, column)).tobytes(), column


def test_small_pieces_prove_the_same_optimum(small_pieces, monkeypatch):
    problem = make("narrow", seed=3, samples=3000, spikes=150, positive=False).problem
    in_pieces = solve(problem)
    monkeypatch.undo()
    whole = solve(problem)
    assert in_pieces.dual_value <= whole.objective
    assert whole.dual_value <= in_pieces.objective
    assert in_pieces.objective == pytest.approx(whole.objective, rel=2e-6)


def test_pieces_cover_everything_once():
    assert threads.pieces(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert threads.pieces(0, 4) == [(0, 0)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_keeps_the_order_and_raises_what_a_piece_raised(count):
    with threads.using(count):
        assert threads.each(lambda a: a * a, [(k,) for k in range(50)]) == [k * k for k in range(50)]
        with pytest.raises(ZeroDivisionError):
            threads.each(lambda a: 1 // a, [(k,) for k in range(50)])


@pytest.mark.parametrize("reach", [10, 25])
def test_alternating_never_runs_two_that_touch_at_once(reach):
    first = np.arange(0, 100, 10)
    last = first + reach
    running: set[int] = set()
    order: list[int] = []

    def run(k: int) -> None:
        running.add(k)
        assert not [j for j in running if j != k and first[j] < last[k] and first[k] < last[j]]
        order.append(k)
        running.discard(k)

    with threads.using(3):
        threads.alternating(run, [(k,) for k in range(10)], first, last)
    assert sorted(order) == list(range(10))
    if reach == 25:
        assert order == list(range(10))


def test_a_sum_in_pieces_is_the_sum():
    a, b = np.random.default_rng(0).standard_normal((2, 3 * PIECE + 7))
    assert dot(a, b) == pytest.approx(float(a @ b), rel=1e-12)
    with threads.using(2):
        together = dot(a, b)
    assert together == dot(a, b)


def test_the_number_of_threads_is_checked_and_no_part_of_the_result():
    with pytest.raises(UsageError, match="threads is out of range"):
        Settings(threads=0)
    signal = simulate("gaussian:sd=4", samples=200, spikes=3, seed=0).channel(0)
    from blasso_flow import recover

    assert recover(signal, threads=2).settings == recover(signal).settings
