"""Filters from the data: the penalised objective profiled over a filter's parameters.

What is minimised is the sum over channels of ``J / sd^2`` with ``strength = u sd ||phi||``. It compares filters fairly: the
noise of each channel is measured once, u is one number for all of them, and since the strength goes with the norm of the
response the price of a spike is ``u sd ||w phi||``, whatever its normalisation. A baseline's unknown rate, and the noise
behind a narrow filter's signal, are fitted for each channel at the best filter of a first profile, and fixed in a second. At
few counts the penalty outweighs the loss and would favour broad filters: there the Poisson loss of the pruned refit is taken,
with the T a spike that its pruning demands. Only the final solve is proven, at the fitted parameters; the profile is made of
loose solves. Positions in samples. No files, no figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from blasso_flow import filters
from blasso_flow.data.signals import FilterDescription, FloatArray, Signal
from blasso_flow.errors import BlassoFlowError, DataError, UsageError
from blasso_flow.filters import Filter
from blasso_flow.flow import solve
from blasso_flow.noise.strength import choose_strength
from blasso_flow.problem.baselines import check_length
from blasso_flow.recovery.filter_ranges import FilterRanges
from blasso_flow.recovery.fit_parts import Part, parts_of, with_noise, with_rates
from blasso_flow.recovery.posing import posed
from blasso_flow.recovery.routes import solve_as_counts
from blasso_flow.recovery.settings import Settings

LOOSE = 1e-3  # relative gap of a solve in the profile
ROUNDS = 20  # of such a solve
ANY = 1e12  # gap in noise units
GRID = {1: 9, 2: 4}  # points a parameter in the coarse grid
PRECISION = 5e-3  # of a parameter, relative
EVALUATIONS = 25  # of the objective after the grid
EDGE = 0.02  # of the range's logarithm: a fitted value so close to an end is reported as being there


@dataclass(frozen=True, eq=False)
class FilterFit:
    """A fitted filter and the profile it comes from.

    Attributes
    ----------
    ranges : what was profiled.
    values : fitted value of each parameter, axis units.
    objective : sum over channels of J / sd^2 there; for counts of their loss after the refit, and T a spike.
    level : u of the strength u sd ||phi||.
    tried : (T, P) parameter values in the order of ``ranges``. objectives : (T,), inf where the filter cannot be used.
    grid : T' of the first rows that form the coarse grid.
    channels : numbers of the channels that were used. samples : how many of each.
    notes : warnings, one line each.
    loss : "squared" or "poisson", which the objective is made of.
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
    loss: str = "squared"

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


def fit_filter(
    signal: Signal, ranges: FilterRanges, settings: Settings, *, on_try: Callable[[int], None] | None = None
) -> FilterFit:
    """Profile the penalised objective over the ranges, jointly over at most `MOST_CHANNELS` channels, or more of counts.

    ``settings``: its loss, exposure, baseline, sign, margin, noise and false alarms are used, and a strength in units of
    auto; its filter is not. ``on_try`` is called with the number of filters tried so far. Raises `UsageError` for a strength
    that is not auto and for two exposures, `DataError` if no channel or no filter of the ranges can be used.
    """
    if settings.strength.kind != "auto":
        raise UsageError("a fit needs a strength that goes with the filter", received=settings.strength, allowed="auto")
    ranges = replace(ranges.exposed(settings.exposure), stored=signal.filter)
    ends = np.log(np.array(list(ranges.ranges.values())))
    parts = parts_of(signal, settings)
    if not parts:
        raise DataError(f"{signal.name}: no channel has samples to fit a filter to")
    table = _usable(signal, ranges, ends)
    level = _level(signal, parts, table, settings)
    fits_rate = settings.baseline.fits_rate
    objective = _Objective(with_rates(parts, table, settings) if fits_rate else parts, ranges, settings, level)
    grid = _on_grid(objective, ends, on_try)
    best = filters.build(ranges.at(objective.best), signal.axis, settings.normalisation)
    louder = with_noise(signal, parts, best, settings) if settings.loss == "squared" else parts
    if fits_rate or louder != parts:
        parts = louder
        parts = with_rates(parts, best, settings) if fits_rate else parts
        objective = _Objective(parts, ranges, settings, level)
        grid = _on_grid(objective, ends, on_try)
    _refine(objective, ends, (ends[:, 1] - ends[:, 0]) / (GRID[len(ends)] - 1))
    return FilterFit(
        ranges=ranges,
        values=objective.best,
        objective=min(objective.values),
        level=level,
        tried=np.exp(np.array(objective.points)),
        objectives=np.array(objective.values),
        grid=grid,
        channels=tuple(part.number for part in parts),
        samples=tuple(part.excerpt.values.size for part in parts),
        notes=_at_ends(objective.best, ranges),
        loss=settings.loss,
    )


class _Objective:
    """Sum over channels of J / sd^2 at log parameters; every evaluation is kept."""

    def __init__(self, parts: list[Part], ranges: FilterRanges, settings: Settings, level: float) -> None:
        self.parts, self.ranges, self.settings, self.level = parts, ranges, settings, level
        self.points: list[FloatArray] = []
        self.values: list[float] = []

    @property
    def best(self) -> dict[str, float]:
        """Parameters of the least objective so far."""
        point = self.points[int(np.argmin(self.values))]
        return dict(zip(self.ranges.ranges, np.exp(point).tolist(), strict=True))

    def __call__(self, point: FloatArray) -> float:
        self.points.append(np.array(point))
        self.values.append(self._total(np.exp(point)))
        return self.values[-1]

    def _total(self, values: FloatArray) -> float:
        description = self.ranges.at(dict(zip(self.ranges.ranges, values.tolist(), strict=True)))
        settings, total = self.settings, 0.0
        for part in self.parts:
            try:
                table = filters.build(description, part.excerpt.axis, settings.normalisation)
                check_length(settings.baseline, table.length)
                total += _of_counts(part, table, settings) if settings.loss == "poisson" else self._of_part(part, table)
            except BlassoFlowError:
                return np.inf  # rise longer than decay, too narrow, longer than the record or than the baseline's knots
        return total

    def _of_part(self, part: Part, table: Filter) -> float:
        """J / sd^2 of one channel."""
        settings = self.settings
        problem = posed(part.excerpt, table, replace(settings, baseline=part.baseline), part.noise)
        problem = problem.with_strength(self.level * part.noise.sd * table.norm)
        return solve(problem, tol=LOOSE, tol_noise=np.inf, max_rounds=ROUNDS).objective / part.noise.sd**2


def _of_counts(part: Part, table: Filter, settings: Settings) -> float:
    """Poisson loss of one channel's refit, and T a spike."""
    loose = replace(settings, tol=LOOSE, tol_noise=ANY, max_rounds=ROUNDS, refit=True)
    solved = solve_as_counts(part.excerpt, table, loose, None)
    problem, answer = solved.problem.record, solved.answer
    _, model = problem.evaluated(answer.position, answer.weight, answer.baseline)
    price = solved.strength.level**2 / 2
    return problem.loss.value(model, problem.whitened_values) + price * answer.position.size


def _on_grid(objective: _Objective, ends: FloatArray, on_try: Callable[[int], None] | None) -> int:
    """Evaluate on the coarse grid; its number of points. Raises `DataError` where no filter can be used."""
    for node in product(*(np.linspace(low, high, GRID[len(ends)]) for low, high in ends)):
        objective(np.array(node))
        if on_try is not None:
            on_try(len(objective.values))
    if not np.isfinite(objective.values).any():
        raise _nothing_usable()
    return len(objective.values)


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


def _usable(signal: Signal, ranges: FilterRanges, ends: FloatArray) -> Filter:
    """The filter in the middle of the ranges, or the first corner that can be used."""
    for candidate in [ends.mean(axis=1), *(np.array(corner) for corner in product(*ends))]:
        try:
            return filters.build(ranges.at(dict(zip(ranges.ranges, np.exp(candidate).tolist(), strict=True))), signal.axis)
        except BlassoFlowError:
            continue
    raise _nothing_usable()


def _nothing_usable() -> DataError:
    return DataError("no filter of the ranges can be used", mend="narrow the ranges; see `blasso-flow filters`")


def _level(signal: Signal, parts: list[Part], table: Filter, settings: Settings) -> float:
    """u: root mean square over the channels of what `recovery` would take for each, with the multiple of auto in it."""
    levels = []
    for part in parts:
        present = np.isfinite(signal.channel(part.number).values)
        chosen = choose_strength(
            settings.strength,
            filter=table,
            noise_sd=1.0,
            weights=present.astype(np.float64),
            domain=(0.0, float(present.size - 1)),
            positive=settings.positive,
            false_alarms=settings.false_alarms,
            freedom=part.noise.freedom,
        )
        levels.append(chosen.strength / table.norm)
    return float(np.sqrt(np.mean(np.square(levels))))


def _at_ends(values: Mapping[str, float], ranges: FilterRanges) -> tuple[str, ...]:
    """A note for each parameter whose best value is an end of its range."""
    notes = []
    for name, (low, high) in ranges.ranges.items():
        edge = EDGE * np.log(high / low)
        for word, end in (("lower", low), ("upper", high)):
            if abs(np.log(values[name] / end)) <= edge:
                notes.append(
                    f"the fitted {name}, {values[name]:.4g}, sits at the {word} end of its range, {end:.4g}: the optimum may lie "
                    "beyond; widen the range, or fix it"
                )
    return tuple(notes)
