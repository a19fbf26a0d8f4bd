"""Numbers as a person reads them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blasso_flow.cli.numbers import error_text, rounded, table


@pytest.mark.parametrize(
    ("value", "error", "shown", "shown_error"),
    [
        (0.0482652, 0.0004, "0.04827", "0.00040"),
        (12.3456, 0.1, "12.35", "0.10"),
        (-978.868, 12.0, "-979", "12"),
        (1234.5, 340.0, "1230", "340"),
        (1.114997e-9, 4.7e-14, "1.114997e-09", "4.7e-14"),
        (3.0, math.nan, "3", "-"),
        (math.nan, 1.0, "-", "1.0"),
        (0.5, 0.0, "0.5", "0"),
    ],
)
def test_digits_follow_the_error(value: float, error: float, shown: str, shown_error: str) -> None:
    assert (rounded(value, error), error_text(error)) == (shown, shown_error)


@given(st.floats(-1e6, 1e6), st.floats(1e-12, 1e3))
def test_rounding_costs_less_than_a_tenth_of_the_error(value: float, error: float) -> None:
    assert abs(float(rounded(value, error)) - value) <= 0.1 * error + 1e-14 * abs(value)
    assert abs(float(error_text(error)) - error) <= 0.1 * error


def test_a_table_is_aligned() -> None:
    assert table(["a", "word"], [["1", "x"], ["10", "longer"]], left=(1,)) == [" a  word", " 1  x", "10  longer"]
