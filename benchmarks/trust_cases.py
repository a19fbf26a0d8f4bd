"""Recordings whose model is known, or known to be wrong: filters, noises, drifts and faults, from fixed seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, lfilter, sosfilt

from blasso_flow import filters
from blasso_flow.data.signals import Axis, FloatArray
from blasso_flow.filters import Filter
from blasso_flow.filters.prewhitened import prewhitened
from blasso_flow.filters.superposition import filtered
from blasso_flow.noise.colour import colour_of

FILTERS = {
    "gaussian": "gaussian:sd=5",
    "ricker": "ricker:frequency=0.05",
    "decay": "decay:rise=3,decay=20",
    "emg": "emg:sd=3,decay=8",
}
SIGNED = ("ricker",)
DRIFTS = ("sine", "polynomial", "random walk", "bleaching")
NOISES = ("white", "AR(1) .3", "AR(1) .6", "AR(1) .9", "1/f", "low-pass .5", "low-pass .1")
FLOOR = 0.05  # of low-pass noise: white noise of the recorder, of its sd
WARM = 4000  # samples before the record


@dataclass(frozen=True)
class Case:
    """Samples, the true spikes, and how to recover them."""

    values: FloatArray
    position: FloatArray
    weight: FloatArray
    filter: str
    options: dict[str, object] = field(default_factory=dict)


def table(name: str, size: int) -> Filter:
    """The filter of that name for a record of so many samples."""
    return filters.build(filters.describe(FILTERS[name]), Axis(0.0, 1.0, size))


def noise(kind: str, size: int, random: np.random.Generator) -> FloatArray:
    """Noise of that kind with a sd of about 1, (size,)."""
    draw = random.standard_normal(size + WARM)
    if kind.startswith("AR"):
        memory = float(kind.split()[1])
        draw = lfilter([np.sqrt(1 - memory**2)], [1.0, -memory], draw)
    elif kind == "1/f":
        wave = np.fft.rfft(draw)
        draw = np.fft.irfft(wave / np.sqrt(np.maximum(np.arange(wave.size), 1)), draw.size)
        draw = draw / draw.std()
    elif kind.startswith("low-pass"):
        low = sosfilt(butter(2, float(kind.split()[1]), output="sos"), draw)
        draw = low / low.std() + FLOOR * random.standard_normal(draw.size)
    return np.asarray(draw[WARM:])


def whitened_norm(name: str, kind: str, size: int) -> float:
    """Norm of the filter where the noise of this kind is white with a sd of 1: a spike of weight w stands w times as high."""
    colour = colour_of(noise(kind, 200_000, np.random.default_rng(99)))
    seen = prewhitened(table(name, size), colour.whitener)
    return seen.norm * colour.sd_ratio


def spread(random: np.random.Generator, size: int, count: int, reach: float) -> FloatArray:
    """Positions (count,) on a record, at least ``reach`` samples apart and away from the ends."""
    room = size - reach * (count + 1)
    return np.sort(random.uniform(0, max(room, 1.0), count)) + reach * (np.arange(count) + 1)


def with_noise(name: str, kind: str, size: int, seed: int) -> Case:
    """Spikes that stand 8 sd high, in noise of some colour."""
    random = np.random.default_rng([seed, size])
    filter = table(name, size)
    count = max(2, min(size // 200, 40))
    position = spread(random, size, count, 8 * filter.length)
    weight = np.full(count, 8.0) / whitened_norm(name, kind, size)
    weight = weight * (random.choice([-1.0, 1.0], count) if name in SIGNED else 1.0)
    return Case(filtered(filter, position, weight, size) + noise(kind, size, random), position, weight, FILTERS[name])


def drift(kind: str, size: int, length: float, random: np.random.Generator) -> FloatArray:
    """A curve slower than four lengths of the filter, with a sd of 1."""
    place = np.linspace(0, 1, size)
    if kind == "sine":
        curve = np.sin(2 * np.pi * (place * random.uniform(1, 4) + random.uniform()))
    elif kind == "polynomial":
        curve = np.polynomial.legendre.legval(2 * place - 1, random.standard_normal(4))
    elif kind == "random walk":
        knots = max(4, int(size / (6 * length)))
        curve = CubicSpline(np.linspace(0, 1, knots), np.cumsum(random.standard_normal(knots)))(place)
    else:
        curve = np.exp(-3 * place)
    return np.asarray((curve - curve.mean()) / curve.std())


def with_drift(name: str, kind: str, size: int, seed: int, high: float = 3.0) -> Case:
    """Spikes of 10 to 30 sd in white noise, on a drift; ``kind`` "none" has none."""
    random = np.random.default_rng([seed, size, 1])
    filter = table(name, size)
    count = max(3, int(size / (20 * filter.length)))
    position = spread(random, size, count, 3 * filter.length)
    weight = random.uniform(10, 30, count) / filter.norm * (random.choice([-1.0, 1.0], count) if name in SIGNED else 1.0)
    values = filtered(filter, position, weight, size) + random.standard_normal(size) + 2
    if kind != "none":
        values = values + high * drift(kind, size, filter.length, random)
    return Case(values, position, weight, FILTERS[name])


def _stretched(name: str, stretch: float) -> str:
    kind, _, rest = FILTERS[name].partition(":")
    pairs = (part.split("=") for part in rest.split(","))
    return f"{kind}:" + ",".join(
        f"{key}={float(value) * (1 / stretch if key == 'frequency' else stretch):g}" for key, value in pairs
    )


def _outliers(case: Case, random: np.random.Generator) -> Case:
    values = case.values.copy()
    where = random.choice(values.size, values.size // 200, replace=False)
    values[where] += random.choice([-1, 1], where.size) * random.uniform(10, 25, where.size)
    return Case(values, case.position, case.weight, case.filter)


def _coloured(case: Case, random: np.random.Generator) -> Case:
    values = case.values + 1.5 * noise("AR(1) .6", case.values.size, random)
    return Case(values, case.position, case.weight, case.filter, {"noise": "white"})


def _two(case: Case, random: np.random.Generator) -> Case:
    """Half of the events are twice as long."""
    name = next(name for name, text in FILTERS.items() if text == case.filter)
    wide = filters.build(filters.describe(_stretched(name, 2.0)), Axis(0.0, 1.0, case.values.size))
    half = slice(0, None, 2)
    values = case.values - filtered(table(name, case.values.size), case.position[half], case.weight[half], case.values.size)
    return Case(
        values + filtered(wide, case.position[half], case.weight[half], case.values.size), case.position, case.weight, case.filter
    )


SHAPES = {"gaussian": "lorentzian:fwhm=11.8", "decay": "gaussian:sd=10", "emg": "gaussian:sd=7", "ricker": "gaussian:sd=5"}
WRONG: dict[str, Callable[[Case, str, np.random.Generator], Case]] = {
    **{
        f"width x {factor:g}": lambda case, name, random, factor=factor: Case(  # type: ignore[misc]
            case.values, case.position, case.weight, _stretched(name, factor)
        )
        for factor in (0.6, 0.8, 1.25, 1.6)
    },
    "another shape": lambda case, name, random: Case(case.values, case.position, case.weight, SHAPES[name]),
    "two filters mixed": lambda case, name, random: _two(case, random),
    "drift on a constant": lambda case, name, random: Case(
        case.values + 3 * drift("random walk", case.values.size, table(name, case.values.size).length, random),
        case.position,
        case.weight,
        case.filter,
        {"baseline": "const", "noise": "white"},
    ),
    "coloured, taken as white": lambda case, name, random: _coloured(case, random),
    "outliers": lambda case, name, random: _outliers(case, random),
    "saturation": lambda case, name, random: Case(
        np.minimum(case.values, np.quantile(case.values, 0.985)), case.position, case.weight, case.filter
    ),
    "noise sd x .6": lambda case, name, random: Case(case.values, case.position, case.weight, case.filter, {"noise_sd": 0.6}),
    "noise sd x 1.6": lambda case, name, random: Case(case.values, case.position, case.weight, case.filter, {"noise_sd": 1.6}),
    "interpolated, taken as given": lambda case, name, random: Case(
        np.interp(np.arange(case.values.size) / 2, np.arange(case.values.size), case.values),
        case.position,
        case.weight,
        _stretched(name, 2.0),
        {"sampling_rate": "as-given", "noise": "white"},
    ),
}


def wrong(fault: str, name: str, size: int, seed: int) -> Case:
    """A record with that fault, or with none: "good"."""
    case = with_drift(name, "none", size, seed)
    if fault == "good":
        return case
    return WRONG[fault](case, name, np.random.default_rng([seed, size, 2]))
