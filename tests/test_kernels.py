"""Compiled kernels against slow oracles."""

from __future__ import annotations

import ast
from pathlib import Path

import naive
import numba
import numpy as np
import pytest
from problems import FILTERS, make

from blasso_flow import kernels
from blasso_flow.kernels.line import particles, polynomials, steps
from blasso_flow.kernels.shared import systems
from blasso_flow.problem.particles import Particles
from blasso_flow.proof.evidence import eta_and_slopes
from blasso_flow.proof.squares import Sums


def called(part):
    """A part of kernels as a kernel of its own, which Python can call."""

    @numba.njit
    def kernel(*arguments):
        return part(*arguments)

    return kernel


@pytest.mark.parametrize("filter_name", FILTERS)
def test_model_correlation_and_norms(filter_name):
    problem = make(filter_name, missing=0.1, weighted=True, margin=(0, 0) if filter_name == "lowpass" else (6, 4)).problem
    low, high = problem.domain
    random = np.random.default_rng(0)
    position = np.sort(random.uniform(low, high, 9))
    weight = random.normal(size=9)
    samples = problem.values.size
    np.testing.assert_allclose(
        problem.unpadded(problem.model(position, weight)),
        naive.model(problem.filter, position, weight, samples),
        atol=1e-12,
    )
    residual = problem.residual(position, weight, np.empty(0))
    u = problem.unpadded(problem.root * residual)
    for order, tolerance in enumerate((1e-10, 1e-10, 1e-8)):  # a differentiated table is less exact than an exponential
        np.testing.assert_allclose(
            eta_and_slopes(problem, position, residual, 3)[order],
            naive.certificate(problem.filter, u, problem.strength, position, order),
            rtol=tolerance,
            atol=tolerance,
        )
    dense = naive.response_matrix(problem.filter, position, samples)
    np.testing.assert_allclose(
        problem.geometry.squared_norms(position, problem.root), (problem.sample_weights[:, None] * dense**2).sum(axis=0)
    )


@pytest.mark.parametrize("filter_name", FILTERS)
def test_model_is_the_adjoint_of_correlation(filter_name):
    """<A w, r> = <w, A^T r>: the dot-product test."""
    problem = make(filter_name, missing=0.1).problem
    random = np.random.default_rng(1)
    position = random.uniform(*problem.domain, 6)
    weight, residual = random.normal(size=6), problem.root * problem.padded(random.normal(size=160))
    left = float(problem.root * problem.model(position, weight) @ residual)
    right = float(-eta_and_slopes(problem, position, residual, 1)[0] * problem.strength @ weight)
    assert left == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("filter_name", FILTERS)
def test_slope_and_curvature_by_finite_differences(filter_name):
    problem = make(filter_name).problem
    residual = problem.residual(np.array([50.0]), np.array([1.0]), np.empty(0))
    position = np.array([30.37, 61.81, 90.213])
    step = 1e-4
    eta, slope, curvature = eta_and_slopes(problem, position, residual, 3)
    above, below = (eta_and_slopes(problem, position + d, residual, 1)[0] for d in (step, -step))
    size = np.abs(eta).max() / problem.filter.width
    np.testing.assert_allclose((above - below) / (2 * step), slope, atol=1e-5 * size)
    np.testing.assert_allclose((above - 2 * eta + below) / step**2, curvature, atol=1e-3 * size / problem.filter.width)


@pytest.mark.parametrize("filter_name", FILTERS)
def test_nodes_are_eta_at_cell_edges(filter_name):
    problem = make(filter_name, margin=(0, 0) if filter_name == "lowpass" else (5, 2)).problem
    certifier = problem.geometry.bound(problem.strength, problem.positive)
    gradient = problem.padded(np.random.default_rng(2).normal(size=160))
    nodes = certifier._nodes(gradient)
    low, high = problem.domain
    place = (np.arange(low, high)[:, None] + problem.filter.edges[:-1]).ravel()
    u = problem.unpadded(gradient)
    inside = place + 1e-9  # one-sided where the slope jumps
    np.testing.assert_allclose(
        nodes.value[: place.size], naive.certificate(problem.filter, u, problem.strength, place), atol=1e-9
    )
    slopes = naive.certificate(problem.filter, u, problem.strength, inside, 1)
    np.testing.assert_allclose(nodes.slope[: place.size], slopes, atol=1e-6 * np.abs(slopes).max())


def test_short_and_long_filters_agree(monkeypatch):
    """Direct sums and FFT give the same nodes."""
    problem = make("gaussian").problem
    gradient = problem.padded(np.random.default_rng(4).normal(size=160))
    direct = problem.geometry.bound(problem.strength, problem.positive)._nodes(gradient)
    monkeypatch.setattr("blasso_flow.problem.geometry.bound.DIRECT_TAPS", 0)
    monkeypatch.setattr("blasso_flow.problem.geometry.bound.DIRECT_PRODUCTS", 0)
    by_fft = problem.geometry.bound(problem.strength, problem.positive)._nodes(gradient)
    np.testing.assert_allclose(direct.value, by_fft.value, atol=by_fft.rounding)
    np.testing.assert_allclose(direct.slope, by_fft.slope, atol=by_fft.rounding)


@pytest.mark.parametrize("seed", range(30))
def test_sup_of_polynomial_bounds_and_is_tight(seed):
    random = np.random.default_rng(seed)
    bernstein = random.normal(size=10) * 10.0 ** random.uniform(-3, 3)
    if seed % 3 == 0:  # nearly flat tops, the case at a converged spike
        bernstein = 1 - 1e-9 * np.abs(bernstein)
    stack, levels = np.empty((polynomials.DEPTH + 2, 10)), np.empty(polynomials.DEPTH + 2, dtype=np.int64)
    bound = called(polynomials._sup_of_polynomial)(bernstein.copy(), -np.inf, 1e-10, stack, levels)
    s = np.linspace(0, 1, 20001)
    values = np.zeros_like(s)
    weight = 1.0
    for i in range(10):
        values += weight * s**i * (1 - s) ** (9 - i) * bernstein[i]
        weight *= (9 - i) / (i + 1)
    assert bound >= values.max() - 1e-13 * np.abs(bernstein).max()
    assert bound <= values.max() + 1e-10 + 1e-7 * np.ptp(bernstein)


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_banded_cholesky(size):
    random = np.random.default_rng(size)
    width = min(3, size - 1) if size > 1 else 1
    dense = np.zeros((size, size))
    for j in range(size):
        for k in range(min(width, size - 1 - j) + 1):
            dense[j + k, j] = dense[j, j + k] = random.normal()
    dense += np.eye(size) * 10
    band = np.zeros((size, width + 1))
    for j in range(size):
        for k in range(min(width, size - 1 - j) + 1):
            band[j, k] = dense[j + k, j]
    sides = random.normal(size=(2, size))
    expected = np.linalg.solve(dense, sides.T).T
    solve = called(systems.cholesky_solve)
    assert solve(band.copy(), size, width, sides)
    np.testing.assert_allclose(sides, expected, rtol=1e-10)
    band[-1, 0] = -100.0
    assert not solve(band, size, width, sides)


def test_small_solve():
    random = np.random.default_rng(0)
    root = random.normal(size=(3, 3))
    matrix, side = root @ root.T + np.eye(3), random.normal(size=3)
    expected = np.linalg.solve(matrix, side)
    solve = called(systems.solve_small)
    assert solve(matrix.copy(), side)
    np.testing.assert_allclose(side, expected)
    assert not solve(-matrix, side)


@pytest.mark.parametrize("filter_name", ["gaussian", "decay"])
def test_merging_two_particles_on_one_end(filter_name):
    """Equal positions whose weighted mean rounds below them must not reach outside the window."""
    problem = make(filter_name, spikes=0).problem
    table = problem.filter
    curves = table.coefficients, table.edges
    finite, tail, work = curves, None, (None, None, None, None)
    if table.tail.size:
        finite, tail = None, (*curves, table.tail, table.tail_tap)
        power = np.exp(-np.outer(table.tail[0], np.arange(problem.root.size + 1)))
        work = power, np.empty((1, 2, table.tail_tap)), np.empty((1, 2, len(power))), np.empty(1, np.int64)
    merge = called(steps.merge)
    for position in (159.0, 23.0, 0.0):
        for seed in range(50):
            weight = np.random.default_rng(seed).uniform(0.1, 1.0, 2)
            x, w = np.full(2, position), weight.copy()
            residual = problem.residual(x, w, np.empty(0))
            count = merge(
                x, w, residual, problem.root, finite, tail, problem.geometry.offset, None,
                np.empty(table.tail_tap), problem.strength, table.width, *work,
            )  # fmt: skip
            assert count == 1
            assert x[0] == position
            assert w[0] == pytest.approx(weight.sum())
            np.testing.assert_allclose(residual, problem.residual(x[:1], w[:1], np.empty(0)), atol=1e-12)


SOURCES = Path(kernels.__file__).parent
PATHS = {".".join(path.relative_to(SOURCES).with_suffix("").parts): path for path in SOURCES.rglob("[!_]*.py")}
FILES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}


def decorators(function: ast.FunctionDef) -> set[str]:
    return set(map(ast.unparse, function.decorator_list))


def functions_of(file: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in FILES[file].body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("file", sorted(FILES))
def test_what_kernels_call_becomes_a_part_of_them(file):
    """Else it would be linked to whichever copy was loaded first, and copies round differently."""
    functions = functions_of(file)
    for node in FILES[file].body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith(f"{kernels.__name__}."):
            others = functions_of(node.module.removeprefix(f"{kernels.__name__}."))
            functions |= {name.name: others[name.name] for name in node.names if name.name in others}
    own = functions_of(file).values()
    calls = [node.func for function in own for node in ast.walk(function) if isinstance(node, ast.Call)]
    called = {call.id for call in calls if isinstance(call, ast.Name)} & functions.keys()
    assert called <= {name for name, node in functions.items() if {"inlined", "compiled_and_inlined"} & decorators(node)}


def test_parts_of_kernels_are_called_by_kernels_only():
    """Python cannot call them."""
    parts = {name for file in FILES for name, node in functions_of(file).items() if "inlined" in decorators(node)}
    package = Path(kernels.__file__).parents[1]
    for path in package.rglob("*.py"):
        if SOURCES in path.parents:
            continue
        nodes = list(ast.walk(ast.parse(path.read_text())))
        found = {}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(kernels.__name__):
                found |= {name.asname or name.name: name.name for name in node.names}
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) in found}
        assert not (used | set(found.values())) & parts, path


@pytest.mark.parametrize("samples", [90, 128, 700])
@pytest.mark.parametrize("baseline", ["none", "const", "poly:degree=3"])
def test_sums_and_refitted_baseline(samples, baseline, monkeypatch):
    """In several pieces too, whose ends are no block's: the same sums, and least squares that leave nothing in the columns."""
    problem = make("gaussian", samples=samples, baseline=baseline, missing=0.1, weighted=True, margin=(9, 4)).problem
    random = np.random.default_rng(samples)
    position, weight = np.sort(random.uniform(0, samples - 1, 300)), random.normal(size=300)
    columns, values, root = problem.whitened_baseline, problem.whitened_values, problem.root
    fit = root * problem.model(position, weight) - values
    best = -np.linalg.lstsq(columns.T, fit, rcond=None)[0] if columns.size else np.empty(0)
    coefficients, residual = problem.refitted(problem.model(position, weight), random.normal(size=columns.shape[0]))
    np.testing.assert_allclose(coefficients, best, rtol=1e-9, atol=1e-9 * np.abs(fit).max())
    np.testing.assert_allclose(residual, fit + coefficients @ columns, atol=1e-11 * np.abs(fit).max())
    rest = values - coefficients @ columns
    for piece in (1 << 15, 101):
        monkeypatch.setattr("blasso_flow.problem.sums.PIECE", piece)
        sums = Sums.of(problem, Particles(position, weight, coefficients, residual))
        expected = residual @ residual, residual @ rest, rest @ rest, np.abs(weight).sum(), weight @ weight
        found = sums.square, sums.product, sums.energy, sums.mass, sums.weight_square
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        assert sums.left <= 1e-14 * np.linalg.norm(residual)
        off = Sums.of(problem, Particles(position, weight, coefficients, residual + columns.sum(axis=0)))  # no longer orthogonal
        length = np.linalg.norm(columns.sum(axis=0))
        assert off.left == pytest.approx(length, rel=1e-9, abs=1e-12)
        reach = problem.filter.taps + 1
        assert sums.overlap == max(np.count_nonzero((position >= x) & (position <= x + reach)) for x in position)


@pytest.mark.parametrize("period", [0, 100])
def test_kkt_and_neighbours(period):
    random = np.random.default_rng(5)
    position = np.sort(np.append(random.uniform(0, 99, 30), [0.0, 99.0]))
    weight, eta, slope = (random.normal(size=32) for _ in range(3))
    found = np.empty(32)
    particles.kkt(position, weight, eta, slope, np.abs(slope), 0.0, 99.0, period, 3.0, found)
    sign = np.sign(weight)
    steep = np.abs(slope)
    if not period:  # held by the ends where it pulls outwards
        steep[0], steep[-1] = max(0.0, sign[0] * slope[0]), max(0.0, -sign[-1] * slope[-1])
    np.testing.assert_array_equal(found, np.maximum(np.abs(1 - sign * eta), steep * 3.0))
    place, level = random.uniform(0, 99.9, 40), random.normal(size=40)
    beside = np.empty((2, 40), dtype=np.int64)
    particles.beside(place, level, position, weight, 2.0, period, beside)
    for c in range(40):
        away = np.abs(position - place[c])
        away = np.minimum(away, period - away) if period else away
        right = np.count_nonzero(position < place[c])
        both = [j % 32 if period else j for j in (right - 1, right)]
        there = [0 <= j < 32 and away[j] < 2.0 and sign[j] == np.sign(level[c]) for j in both]
        assert list(beside[:, c]) == [j if near else -1 for j, near in zip(both, there, strict=True)]


def test_positions_within_ranges():
    random = np.random.default_rng(6)
    position, low = np.sort(random.uniform(0, 100, 200)), np.sort(random.uniform(0, 100, 12))
    high = low + 3.0  # ranges that overlap, and ends that are met exactly
    position[[20, 90]] = low[3], high[7]
    position.sort()
    found = np.empty(200, dtype=np.bool_)
    particles.within(position, low, high, found)
    np.testing.assert_array_equal(found, ((position[:, None] >= low) & (position[:, None] <= high)).any(axis=1))
    particles.within(position, low[:0], high[:0], found)
    assert not found.any()
