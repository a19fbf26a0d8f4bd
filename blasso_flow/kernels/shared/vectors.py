"""What kernels do with rows of numbers: each becomes a part of the loops that call it."""

from __future__ import annotations

from blasso_flow.kernels import inlined


@inlined
def dot(a, b):
    """Sum of products of two rows."""
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@inlined
def mass(row):
    """Sum of absolute values."""
    total = 0.0
    for k in range(row.size):
        total += abs(row[k])
    return total


@inlined
def add(factor, row, target):
    """target += factor * row."""
    for k in range(row.size):
        target[k] += factor * row[k]
