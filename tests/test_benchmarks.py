"""The benchmarks' instruments: every part of `make bench` is there and runs on a small problem, and its words are true."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks import dense, parts, speed
from benchmarks.__main__ import TABLES
from benchmarks.problems import pass_seconds, problem_of, timed
from benchmarks.stopwatch import Stopwatch
from benchmarks.tables import at_least, at_most

MODULES = sorted(path.stem for path in Path(parts.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_imports(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")


def test_the_program_names_modules_that_are_there() -> None:
    for title, module, _ in TABLES:
        assert title and module in MODULES and callable(importlib.import_module(f"benchmarks.{module}").main)


def test_every_aim_is_about_a_case_that_is_run() -> None:
    assert set(speed.ASKED) | set(speed.GROWTH) <= set(speed.CASES)
    assert {name for asked in speed.ASKED.values() for name in asked} <= set(speed.WORDS)


def test_aims_in_words() -> None:
    assert at_most(20, 20.0, " passes") == "at most 20 passes: holds"
    assert at_most(20, 20.1) == "at most 20: MISSED"
    assert at_least(1.6, 1.7) == "at least 1.6: holds"
    assert at_least(1.6, np.nan) == "at least 1.6: MISSED"


def test_parts_are_kernels_of_the_solver_and_make_up_a_solve() -> None:
    assert {part for _, _, part in parts.places()} == set(parts.PARTS)
    before = [getattr(owner, name) for owner, name, _ in parts.places()]
    passes, shares = parts.measure(problem_of(20_000, 20, 5.0, True))
    assert [getattr(owner, name) for owner, name, _ in parts.places()] == before
    assert passes > 1
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares[part] for part in ("certificate", "bound", "peaks", "windows")) > 0
    assert shares["other kernels"] < 0.1 and shares["Python"] < 0.9


def test_stopwatch_counts_the_outermost_call_and_puts_functions_back() -> None:
    class Owner:
        @staticmethod
        def outer() -> int:
            return Owner.inner() + 1

        @staticmethod
        def inner() -> int:
            return sum(range(100_000))

    watch, plain = Stopwatch(), Owner.outer
    with watch.on([(Owner, "outer", "outer"), (Owner, "inner", "inner")]):
        assert Owner.outer() == Owner.inner() + 1
    assert Owner.outer is plain
    assert 0 < watch.seconds["inner"] < 10 * watch.seconds["outer"]


def test_dense_case_ends_at_the_tolerance_and_says_when() -> None:
    seconds, gap = dense.timed(problem_of(1000, 10, 20.0, True, snr=40.0))
    assert 0 < seconds < dense.LIMIT
    assert 0 <= gap <= dense.TOLERANCE


def test_solutions_are_the_same_only_to_the_last_bit() -> None:
    problem = problem_of(2000, 10, 20.0, False)
    one, two, other = speed.solved(problem), speed.solved(problem, 2), speed.solved(problem_of(2000, 10, 20.0, False, seed=2))
    assert speed.same(one, two)
    assert not speed.same(one, other)


def test_short_calls_are_repeated_long_ones_are_not() -> None:
    calls: list[int] = []
    timed(lambda: calls.append(1), 10_000_000)
    assert len(calls) == 1
    timed(lambda: calls.append(1), 1000)
    assert len(calls) == 1 + 1 + 20
    problem = problem_of(1000, 5, 10.0, True)
    assert 0 < pass_seconds(problem.values, problem.filter) < 1
