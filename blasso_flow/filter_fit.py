"""Filters from the data: the penalised objective profiled over a filter's parameters.

What is minimised is the sum over channels of ``J / sd^2`` with ``strength = u sd ||phi||``. It compares filters fairly: the
noise is measured once, u is one number for all of them, and since the strength goes with the norm of the response the price
of a spike is ``u sd ||w phi||``, whatever its normalisation. Only the final solve is proven, at the fitted parameters;
the profile is made of loose solves. Positions in samples. No files, no figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from blasso_flow import filters
from blasso_flow.errors import BlassoFlowError, DataError, UsageError
from blasso_flow.flow import solve
from blasso_flow.noise import StrengthRule, choose_strength, estimate_noise
from blasso_flow.problem import Problem
from blasso_flow.settings import Settings
from blasso_flow.signals import FilterDescription, FloatArray, Signal

LOOSE = 1e-3  # relative gap of a solve in the profile
ROUNDS = 20  # of such a solve
MOST_CHANNELS = 4
MOST_SAMPLES = 1500  # of a channel: its liveliest stretch
GRID = {1: 9, 2: 4}  # points a parameter in the coarse grid
MOST_RANGES = 2
PRECISION = 5e-3  # of a parameter, relative
EVALUATIONS = 25  # of the objective after the grid
EDGE = 0.02  # of the range's logarithm: a fitted value so close to an end is reported as being there


@dataclass(frozen=True)
class FilterRanges:
    """A filter with one or two parameters given as ranges (low, high) in axis units; the rest are fixed."""

    kind: str
    fixed: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    stored: FilterDescription | None = None

    def at(self, values: Mapping[str, float]) -> FilterDescription:
        """The filter with values for its ranges."""
        return filters.completed(FilterDescription(self.kind, {**self.fixed, **values}), self.stored)


@dataclass(frozen=True, eq=False)
class FilterFit:
    """A fitted filter and the profile it comes from.

    Attributes
    ----------
    ranges : what was profiled.
    values : fitted value of each parameter, axis units.
    objective : sum over channels of J / sd^2 there.
    level : u of the strength u sd ||phi||.
    tried : (T, P) parameter values in the order of ``ranges``. objectives : (T,), inf where the filter cannot be used.
    grid : T' of the first rows that form the coarse grid.
    channels : numbers of the channels that were used. samples : how many of each.
    notes : warnings, one line each.
    """

    ranges: FilterRanges
    values: Mapping[str, float]
    objective: float
    level: float
    tried: FloatArray
    objectives: FloatArray
    grid: int
    channels: tuple[int, ...]
    samples: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def filter(self) -> FilterDescription:
        """The filter at the fitted values."""
        return self.ranges.at(self.values)

    @property
    def sentence(self) -> str:
        """What a result says of its proof."""
        return f"the filter was fitted to the data ({self.filter}); the proof holds at the fitted parameters"

    def described(self) -> dict[str, object]:
        """JSON-ready: ranges, fitted values, and what the proof is about."""
        return {
            "ranges": {name: list(ends) for name, ends in self.ranges.ranges.items()},
            "fitted": dict(self.values),
            "objective": self.objective,
            "level": self.level,
            "channels": list(self.channels),
            "samples": list(self.samples),
            "proof": "holds at the fitted parameters",
        }


def parse_ranges(text: str) -> FilterRanges:
    """Read ``NAME:key=low..high,key=value`` (axis units). Raises `UsageError` on anything that does not fit."""
    name, _, rest = text.strip().partition(":")
    plain, ranges = [], {}
    for item in rest.split(",") if rest else []:
        key, _, value = (part.strip() for part in item.partition("="))
        low, dots, high = value.partition("..")
        if not dots:
            plain.append(item)
            continue
        try:
            ends = float(low), float(high)
        except ValueError:
            ends = (0.0, 0.0)
        if not (0 < ends[0] < ends[1] < np.inf):
            raise UsageError(f"filter {name}: {key} is no range", received=value, allowed="low..high with 0 < low < high")
        if key in ranges:
            raise UsageError(f"filter {name}: a parameter is given twice", received=key, mend="give it once")
        ranges[key] = ends
    if not 1 <= len(ranges) <= MOST_RANGES:
        raise UsageError(
            "fitting a filter needs one or two parameters given as ranges",
            received=text,
            allowed="low..high, as in decay:rise=0.01..0.2,decay=0.3..3",
        )
    for end in (0, 1):
        typed = ",".join([*plain, *(f"{key}={ends[end]!r}" for key, ends in ranges.items())])
        low_end = filters.describe(f"{name}:{typed}")
    fixed = {key: value for key, value in low_end.parameters.items() if key not in ranges}
    return FilterRanges(name, fixed, ranges)


def fit_filter(
    signal: Signal,
    ranges: FilterRanges,
    settings: Settings,
    *,
    on_try: Callable[[int], None] | None = None,
) -> FilterFit:
    """Profile the penalised objective over the ranges, jointly over at most `MOST_CHANNELS` channels.

    ``settings``: its baseline, sign, margin, noise and false alarms are used, and a strength in units of auto; its filter
    is not. ``on_try`` is called with the number of filters tried so far. Raises `UsageError` for a strength that is not
    auto, `DataError` if no channel or no filter of the ranges can be used.
    """
    rule = StrengthRule.parse(settings.strength)
    if rule.kind != "auto":
        raise UsageError("--fit-filter needs a strength that goes with the filter", received=settings.strength, allowed="auto")
    ranges = replace(ranges, stored=signal.filter)
    names = tuple(ranges.ranges)
    ends = np.log(np.array([ranges.ranges[name] for name in names]))
    stretches = _stretches(signal)
    if not stretches:
        raise DataError(f"{signal.name}: no channel has samples to fit a filter to")
    objective = _Objective(signal, stretches, ranges, settings, _usable_level(signal, ranges, settings, names, ends))
    points = GRID[len(names)]
    for node in product(*(np.linspace(low, high, points) for low, high in ends)):
        objective(np.array(node))
        if on_try is not None:
            on_try(len(objective.values))
    grid = len(objective.values)
    if not np.isfinite(objective.values).any():
        raise DataError("no filter of the ranges can be used", mend="narrow the ranges; see `blasso-flow filters`")
    _refine(objective, ends, (ends[:, 1] - ends[:, 0]) / (points - 1))
    best = int(np.argmin(objective.values))
    values = {name: float(value) for name, value in zip(names, np.exp(objective.points[best]), strict=True)}
    return FilterFit(
        ranges=ranges,
        values=values,
        objective=objective.values[best],
        level=objective.level,
        tried=np.exp(np.array(objective.points)),
        objectives=np.array(objective.values),
        grid=grid,
        channels=tuple(number for number, _ in stretches),
        samples=tuple(channel.values.size for _, channel in stretches),
        notes=_at_ends(names, objective.points[best], ends),
    )


class _Objective:
    """Sum over channels of J / sd^2 at log parameters; every evaluation is kept."""

    def __init__(
        self,
        signal: Signal,
        stretches: list[tuple[int, Signal]],
        ranges: FilterRanges,
        settings: Settings,
        level: float,
    ) -> None:
        self.stretches, self.ranges, self.settings, self.level = stretches, ranges, settings, level
        self.points: list[FloatArray] = []
        self.values: list[float] = []
        self.noise = [_noise_sd(signal.channel(number), settings) for number, _ in stretches]

    def __call__(self, point: FloatArray) -> float:
        self.points.append(np.array(point))
        self.values.append(self._total(np.exp(point)))
        return self.values[-1]

    def _total(self, values: FloatArray) -> float:
        description = self.ranges.at(dict(zip(self.ranges.ranges, (float(value) for value in values), strict=True)))
        settings, total = self.settings, 0.0
        for (_, channel), sd in zip(self.stretches, self.noise, strict=True):
            try:
                table = filters.build(description, channel.axis, settings.normalisation)
                problem = Problem.from_signal(
                    channel,
                    table,
                    strength=self.level * sd * table.norm,
                    noise_sd=sd,
                    positive=settings.positive,
                    baseline=settings.baseline,
                    margin=settings.margin,
                )
                solution = solve(problem, tol=LOOSE, tol_noise=np.inf, max_rounds=ROUNDS)
            except BlassoFlowError:
                return np.inf  # rise longer than decay, too narrow, longer than the record
            total += solution.objective / sd**2
        return total


def _refine(objective: _Objective, ends: FloatArray, step: FloatArray) -> None:
    """From the best point of the grid to the minimum: bounded for one parameter, Nelder-Mead for two."""
    from scipy.optimize import minimize, minimize_scalar

    best = objective.points[int(np.argmin(objective.values))]
    if best.size == 1:
        around = max(best[0] - step[0], ends[0, 0]), min(best[0] + step[0], ends[0, 1])
        minimize_scalar(
            lambda point: objective(np.array([point])),
            bounds=around,
            method="bounded",
            options={"xatol": PRECISION, "maxiter": EVALUATIONS},
        )
        return
    corners = [best, *(best + np.where(best + move <= ends[:, 1], move, -move) for move in np.diag(step / 2))]
    minimize(
        objective,
        best,
        method="Nelder-Mead",
        bounds=ends,
        options={"initial_simplex": np.array(corners), "xatol": PRECISION, "fatol": 1e-2, "maxfev": EVALUATIONS},
    )


def _stretches(signal: Signal) -> list[tuple[int, Signal]]:
    """At most `MOST_CHANNELS` channels, evenly spread, each as its liveliest stretch of at most `MOST_SAMPLES` samples."""
    usable = [number for number, channel in enumerate(signal) if np.isfinite(channel.values).any()]
    chosen = sorted({usable[int(i)] for i in np.linspace(0, len(usable) - 1, min(MOST_CHANNELS, len(usable)))}) if usable else []
    return [(number, _liveliest(signal.channel(number))) for number in chosen]


def _liveliest(channel: Signal) -> Signal:
    """The stretch with the largest sum of squares about the median, in steps of half a stretch; the whole of a short record."""
    size = channel.values.size
    if size <= MOST_SAMPLES or channel.axis.periodic:
        return channel
    power = np.nan_to_num((channel.values - np.nanmedian(channel.values)) ** 2)
    starts = np.append(np.arange(0, size - MOST_SAMPLES, MOST_SAMPLES // 2), size - MOST_SAMPLES)
    first = int(max(starts, key=lambda start: power[start : start + MOST_SAMPLES].sum()))
    part = slice(first, first + MOST_SAMPLES)
    noise = channel.noise_sd
    return replace(
        channel,
        values=channel.values[part],
        axis=replace(channel.axis, first=float(channel.axis.from_samples(np.array(float(first)))), size=MOST_SAMPLES),
        noise_sd=noise[part] if isinstance(noise, np.ndarray) else noise,
        truth=None,
    )


def _noise_sd(channel: Signal, settings: Settings) -> float:
    if settings.noise_sd is not None:
        return settings.noise_sd
    if channel.noise_sd is not None:
        stored = np.broadcast_to(np.asarray(channel.noise_sd), channel.values.shape)
        return float(np.median(stored[np.isfinite(channel.values)]))
    return estimate_noise(channel.values).sd


def _usable_level(signal: Signal, ranges: FilterRanges, settings: Settings, names: tuple[str, ...], ends: FloatArray) -> float:
    """u of the Rice rule for a filter in the middle of the ranges, or for the first corner that can be used."""
    candidates = [ends.mean(axis=1), *(np.array(corner) for corner in product(*ends))]
    channel = signal.channel(0)
    for candidate in candidates:
        try:
            table = filters.build(ranges.at(dict(zip(names, np.exp(candidate).tolist(), strict=True))), channel.axis)
        except BlassoFlowError:
            continue
        chosen = choose_strength(
            StrengthRule.parse(settings.strength),
            filter=table,
            noise_sd=1.0,
            weights=np.ones(channel.values.size),
            domain=(0.0, float(channel.values.size - 1)),
            positive=settings.positive,
            false_alarms=settings.false_alarms,
            strength_max=lambda: np.nan,
        )
        return chosen.strength / table.norm
    raise DataError("no filter of the ranges can be used", mend="narrow the ranges; see `blasso-flow filters`")


def _at_ends(names: tuple[str, ...], point: FloatArray, ends: FloatArray) -> tuple[str, ...]:
    """A note for each parameter whose best value is an end of its range."""
    near = np.abs(point[:, None] - ends) <= EDGE * (ends[:, 1] - ends[:, 0])[:, None]
    return tuple(
        f"the fitted {name} is at the end of its range, {np.exp(end):.4g}: widen the range, or fix it"
        for name, row, pair in zip(names, near, ends, strict=True)
        for end, close in zip(pair, row, strict=True)
        if close
    )
