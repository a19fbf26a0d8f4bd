"""Baselines: what the spikes stand on, as unpenalised columns that the solver refits together with the spikes.

A baseline is named by a text such as ``poly:degree=2``. Columns are scaled so that least squares on them is well
conditioned, and reach from the first to the last present sample; beyond, they stay at their end values. ``percentile`` is
no such column but a step before everything: a running percentile is taken off the signal, and a constant is fitted to the
rest. For counts, `for_counts` names the same baseline in columns that are nowhere negative. Knows axes and samples, no solver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import Axis, FloatArray
from blasso_flow.errors import UsageError

SHORTEST = 4.0  # lengths of the filter: a baseline that bends faster follows the spikes themselves
MOST_DEGREE = 20
MOST_KNOTS = 200
POINTS_A_WINDOW = 100  # a running percentile is taken at so many points a window at least, and interpolated between them
PERCENTILE = 10.0

_PARAMETERS: Mapping[str, Mapping[str, float | None]] = {
    "auto": {},
    "none": {},
    "const": {},
    "poly": {"degree": None},
    "bernstein": {"degree": None},
    "spline": {"knot": None},
    "exp": {"rate": np.nan},
    "percentile": {"window": None, "percentile": PERCENTILE},
}
ALLOWED = "auto, const, poly:degree=2, spline:knot=LENGTH, exp, exp:rate=R, percentile:window=LENGTH, none"


@dataclass(frozen=True)
class Baseline:
    """A baseline's kind and its parameters, lengths in axis units, and the text that names it.

    The rate of ``exp`` is NaN when it is to be fitted.
    """

    text: str
    kind: str = field(compare=False)
    parameters: Mapping[str, float] = field(compare=False)

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[object, ...]:
        """Another process reads the text again."""
        return parse, (self.text,)

    @property
    def settled(self) -> Baseline:
        """The baseline itself, or a constant in place of ``auto``, which is chosen by the data in `recovery`."""
        return parse("const") if self.kind == "auto" else self

    @property
    def fits_rate(self) -> bool:
        """Whether the columns depend on a rate that is not known yet."""
        return self.kind == "exp" and bool(np.isnan(self.parameters["rate"]))


def parse(baseline: str | Baseline) -> Baseline:
    """The baseline that a text names, as ``kind`` or ``kind:key=value,...``; a baseline is given back as it is.

    Raises `UsageError` for unknown kinds, keys and values out of range.
    """
    return baseline if isinstance(baseline, Baseline) else _parsed(baseline)


@lru_cache(maxsize=64)
def _parsed(text: str) -> Baseline:
    """Read ``kind`` or ``kind:key=value,...``. Raises `UsageError` for unknown kinds, keys and values out of range."""
    kind, _, rest = text.partition(":")
    if kind not in _PARAMETERS:
        raise UsageError("unknown baseline", received=text, allowed=ALLOWED)
    known = _PARAMETERS[kind]
    given: dict[str, float] = {}
    for part in rest.split(",") if rest else []:
        name, _, number = part.partition("=")
        try:
            given[name] = float(number)
        except ValueError:
            given[name] = np.nan
        if name not in known or not np.isfinite(given[name]):
            raise UsageError("baseline cannot be read", received=text, allowed=ALLOWED)
    parameters = {name: given.get(name, default) for name, default in known.items()}
    missing = [name for name, value in parameters.items() if value is None]
    if missing:
        raise UsageError(f"baseline {kind} needs {missing[0]}", received=text, allowed=ALLOWED)
    complete = {name: float(value) for name, value in parameters.items() if value is not None}
    _check(text, complete)
    return Baseline(text, kind, MappingProxyType(complete))


def _check(text: str, parameters: Mapping[str, float]) -> None:
    for name, value in parameters.items():
        if name in {"knot", "window", "rate"} and value <= 0:
            raise UsageError(f"the baseline's {name} is out of range", received=text, allowed="a number above 0")
        if name == "degree" and value not in range(MOST_DEGREE + 1):
            raise UsageError("the baseline's degree is out of range", received=text, allowed=f"0 to {MOST_DEGREE}")
        if name == "percentile" and not 0 <= value <= 100:
            raise UsageError("the baseline's percentile is out of range", received=text, allowed="0 to 100")


def check_length(baseline: str | Baseline, filter_length: float) -> None:
    """Refuse a spline or a running percentile that could follow single spikes.

    ``filter_length`` (axis units) is the length of one response: see `Filter.length`. Knots and windows must be at
    least four times as long.
    """
    baseline = parse(baseline)
    for name in ("knot", "window"):
        length = baseline.parameters.get(name, np.inf)
        if length < SHORTEST * filter_length:
            raise UsageError(
                f"the baseline's {name} is so short that it follows the filter itself",
                received=baseline.text,
                allowed=f"{name} of at least {SHORTEST * filter_length:.4g} axis units, 4 lengths of the filter",
            )


def for_counts(baseline: str | Baseline) -> Baseline:
    """The baseline of counts: columns >= 0 whose coefficients must be >= 0 too, so that the background is nowhere negative.

    A polynomial takes Bernstein's form; splines and a decay of known rate have such columns as they are. Raises `UsageError`
    for what has none.
    """
    baseline = parse(baseline).settled
    if baseline.kind == "percentile" or baseline.fits_rate:
        raise UsageError(
            "the Poisson loss needs a background that it can fit and prove",
            received=f"baseline={baseline}",
            allowed="const, poly:degree=2, spline:knot=LENGTH, exp:rate=R, none",
        )
    return parse(f"bernstein:degree={baseline.parameters['degree']:g}") if baseline.kind == "poly" else baseline


def columns(baseline: str | Baseline, axis: Axis, present: NDArray[np.bool_]) -> FloatArray:
    """Baseline columns, shape (N, B): the baseline is ``columns @ coefficients``, in the signal's units.

    ``present`` (N,) marks the samples that are not missing.
    """
    baseline = parse(baseline)
    size = axis.size
    if baseline.kind == "none":
        return np.empty((size, 0))
    if baseline.kind in {"const", "percentile"}:
        return np.ones((size, 1))
    length = elapsed(axis, present)
    extent = float(length[-1])
    place = length / extent if extent > 0 else length
    if baseline.kind == "poly":
        return np.asarray(np.polynomial.legendre.legvander(2 * place - 1, int(baseline.parameters["degree"])), dtype=np.float64)
    if baseline.kind == "bernstein":
        return _bernstein(place, int(baseline.parameters["degree"]))
    if baseline.kind == "spline":
        return _splines(place, extent, baseline.parameters["knot"], baseline.text)
    if baseline.fits_rate:
        raise UsageError("the rate of the exponential baseline is not known yet", received=baseline.text, allowed="exp:rate=R")
    return np.exp(-baseline.parameters["rate"] * length)[:, None]


def elapsed(axis: Axis, present: NDArray[np.bool_]) -> FloatArray:
    """Length (axis units) since the first present sample, shape (N,); constant from the last one on."""
    there = np.flatnonzero(present)
    first, last = (int(there[0]), int(there[-1])) if there.size else (0, axis.size - 1)
    return np.asarray((np.clip(np.arange(axis.size), first, last) - first) * axis.spacing, dtype=np.float64)


def _bernstein(place: FloatArray, degree: int) -> FloatArray:
    """Bernstein's polynomials at ``place`` (N,) in [0, 1], shape (N, degree + 1), by their recursion; each row sums to 1."""
    rows = np.ones((place.size, 1))
    for _ in range(degree):
        rows = np.pad(rows * (1 - place)[:, None], ((0, 0), (0, 1))) + np.pad(rows * place[:, None], ((0, 0), (1, 0)))
    return rows


def _splines(place: FloatArray, extent: float, knot: float, text: str) -> FloatArray:
    """Cubic B-splines on equal intervals of at least ``knot``, shape (N, B), at ``place`` in [0, 1]."""
    from scipy.interpolate import BSpline

    intervals = max(1, int(extent / knot + 1e-9))
    if intervals > MOST_KNOTS:
        raise UsageError(
            "the spline baseline has too many knots", received=text, allowed=f"{MOST_KNOTS} a record: {extent / MOST_KNOTS:.4g}"
        )
    knots = np.concatenate([np.zeros(3), np.linspace(0.0, 1.0, intervals + 1), np.ones(3)])
    return np.asarray(BSpline(knots, np.eye(intervals + 3), 3)(place), dtype=np.float64)


def removed(baseline: str | Baseline, values: FloatArray, axis: Axis) -> FloatArray:
    """What is taken off the signal before everything, shape (N,): zeros except for ``percentile``.

    The percentile (linear between order statistics) of the present samples within half a window, cut at the record's ends,
    is taken at every sample, or at every hundredth of a window where that is more than one sample, and interpolated between.
    """
    baseline = parse(baseline)
    if baseline.kind != "percentile":
        return np.zeros(values.shape)
    half = max(1, round(baseline.parameters["window"] / axis.spacing / 2))
    step = max(1, (2 * half + 1) // POINTS_A_WINDOW)
    points = np.append(np.arange(0, values.size - 1, step), values.size - 1)
    level = np.full(points.size, np.nan)
    for number, point in enumerate(points):
        part = values[max(0, point - half) : point + half + 1]
        part = part[np.isfinite(part)]
        if part.size:
            level[number] = np.percentile(part, baseline.parameters["percentile"])
    known = np.isfinite(level)
    return np.interp(np.arange(values.size), points[known], level[known]) if known.any() else np.zeros(values.shape)
