"""What even records share is what each would compute, and uneven ones have their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blasso_flow import filters
from blasso_flow.data.signals import Axis, Signal
from blasso_flow.problem.problem import Problem

AXIS = Axis(0.0, 0.5, 300)
TABLE = filters.build(filters.describe("gaussian:sd=3"), AXIS)
NAMES = ("root", "equal_weights", "largest_root", "baseline", "products", "orthonormal", "padding")


def problem(values, *, sd=0.1, baseline="poly:degree=2", margin=(4.0, 2.0)) -> Problem:
    signal = Signal(values, AXIS, noise_sd=sd)
    return Problem.from_signal(signal, TABLE, strength=1.0, baseline=baseline, margin=margin)


def same(a: Problem, b: Problem) -> bool:
    return all(np.array_equal(getattr(a.whitening, name), getattr(b.whitening, name)) for name in NAMES)


@pytest.mark.parametrize("baseline", ["none", "const", "poly:degree=2", "exp:rate=0.02"])
def test_what_is_shared_is_what_the_record_has(baseline):
    random = np.random.default_rng(1)
    first, second = (problem(random.standard_normal(300), baseline=baseline) for _ in range(2))
    assert second.whitening is first.whitening
    alone = replace(second)  # computes its own
    assert alone.whitening is not second.whitening
    assert same(alone, second)


def test_other_records_have_their_own():
    values = np.random.default_rng(2).standard_normal(300)
    even, gap = problem(values), values.copy()
    gap[:20] = np.nan
    uneven = np.full(300, 0.1)
    uneven[7] = 0.2
    others = problem(gap), problem(values, sd=uneven), problem(values, margin=(0.0, 0.0)), problem(values, baseline="const")
    for other in others:
        assert other.whitening is not even.whitening
        assert not same(other, even)
        assert same(other, replace(other))
