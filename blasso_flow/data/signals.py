"""Signals as plain data: values on a uniform axis, their noise, the filter and the truth that came with them.

Nothing here computes, reads files or knows a solver. Shapes: a signal of one channel has values (N,), of several
channels (C, N); ``Signal.channel(c)`` gives one channel as a signal of shape (N,).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blasso_flow.data.bend import Bend
from blasso_flow.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """A uniform axis: sample n sits at ``first + n * spacing`` (axis units); or one that bends: see `Axis.bent`.

    ``periodic`` axes close on themselves after ``size`` samples: the period is ``size * spacing``. Where the axis has a ``bend``,
    that says where samples are, and ``spacing`` is the median of theirs.
    """

    first: float
    spacing: float
    size: int
    name: str = "position"
    units: str = ""
    periodic: bool = False
    bend: Bend | None = None

    @classmethod
    def bent(cls, positions: ArrayLike, name: str = "position", units: str = "") -> Axis:
        """The axis through increasing positions (N,), N >= 3, which need not be uniform: samples are, positions follow."""
        stored = np.array(positions, dtype=np.float64)
        if stored.ndim != 1 or stored.size < 3 or not (np.isfinite(stored).all() and (np.diff(stored) > 0).all()):
            raise DataError("an axis that bends needs three or more positions that increase", received=f"shape {stored.shape}")
        return cls(float(stored[0]), float(np.median(np.diff(stored))), stored.size, name, units, bend=Bend(stored))

    def __post_init__(self) -> None:
        if not np.isfinite(self.first):
            raise DataError("the axis starts at a value that is not finite", received=self.first)
        if not (np.isfinite(self.spacing) and self.spacing > 0):
            raise DataError("the axis has no usable spacing", received=self.spacing, allowed="a finite number above 0")
        if self.size < 1:
            raise DataError("the axis is empty", received=f"{self.size} samples", allowed="at least 1 sample")

    @property
    def last(self) -> float:
        """Position of the last sample."""
        return self.first + (self.size - 1) * self.spacing if self.bend is None else float(self.bend.at(self.size - 1))

    def positions(self) -> FloatArray:
        """Positions of all samples, shape (size,)."""
        return self.from_samples(np.arange(self.size))

    def to_samples(self, position: ArrayLike) -> FloatArray:
        """Axis units to fractional sample numbers."""
        if self.bend is not None:
            return self.bend.samples(position)
        return np.asarray((np.asarray(position, dtype=np.float64) - self.first) / self.spacing)

    def from_samples(self, sample: ArrayLike) -> FloatArray:
        """Fractional sample numbers to axis units."""
        if self.bend is not None:
            return self.bend.at(sample)
        return np.asarray(self.first + np.asarray(sample, dtype=np.float64) * self.spacing)

    def spacing_at(self, sample: ArrayLike) -> FloatArray:
        """Axis units a sample at fractional samples."""
        if self.bend is not None:
            return self.bend.slope(sample)
        return np.full(np.shape(sample), self.spacing)

    def shifted(self, by: float) -> Axis:
        """The axis ``by`` (axis units) later."""
        return replace(self, first=self.first + by, bend=None if self.bend is None else self.bend.shifted(by))

    def part(self, start: int, size: int) -> Axis:
        """The axis of ``size`` samples from number ``start`` on."""
        bend = None if self.bend is None else self.bend.part(start)
        return replace(self, first=float(self.from_samples(start)), size=size, bend=bend)


@dataclass(frozen=True)
class FilterDescription:
    """What a filter is, before it is tabulated: its kind and parameters, lags and widths in axis units.

    ``parameters`` values are floats, as given by the user or the file. A measured filter carries its impulse
    response: ``lag`` (L,) in axis units, uniform and increasing, and ``response`` (L,).
    """

    kind: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    lag: FloatArray | None = None
    response: FloatArray | None = None

    def __str__(self) -> str:
        given = ",".join(f"{name}={value:.12g}" for name, value in self.parameters.items())
        return f"{self.kind}:{given}" if given else self.kind


@dataclass(frozen=True)
class Truth:
    """Known spikes of a signal: ``channel`` (K,), ``position`` (K,) in axis units, ``weight`` (K,) or None if unknown.

    ``group`` (K,) numbers kinds of spikes, such as the surfaces of a target, where the file has them. ``order`` (K,) is the
    number of each spike within its channel where some of the channel's spikes are not there; None means none is missing.
    """

    channel: IntArray
    position: FloatArray
    weight: FloatArray | None = None
    group: IntArray | None = None
    order: IntArray | None = None

    def numbered(self) -> IntArray:
        """Number of each spike within its channel (K,), those that are not there counted too."""
        if self.order is not None:
            return self.order
        number = np.zeros(self.channel.size, dtype=np.int64)
        for channel in np.unique(self.channel):
            own = self.channel == channel
            number[own] = np.arange(own.sum())
        return number

    def of_channel(self, number: int) -> Truth:
        """One channel's spikes, numbered 0."""
        own = self.channel == number
        weight = None if self.weight is None else self.weight[own]
        group = None if self.group is None else self.group[own]
        order = None if self.order is None else self.order[own]
        return Truth(np.zeros(int(own.sum()), dtype=np.int64), self.position[own], weight, group, order)


@dataclass(frozen=True)
class Signal:
    """A recording. NaN marks missing samples.

    Attributes
    ----------
    values : (N,) or (C, N) float64.
    axis : the axis of the last dimension.
    units, long_name : of the values.
    noise_sd : None when unknown, else a scalar, (C,) or an array like ``values``, in the units of the values.
    filter : the filter stored with the signal, if any.
    truth : known spikes, if any.
    name : where it came from, for messages.
    """

    values: FloatArray
    axis: Axis
    units: str = ""
    long_name: str = ""
    noise_sd: float | FloatArray | None = None
    filter: FilterDescription | None = None
    truth: Truth | None = None
    name: str = "signal"

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        object.__setattr__(self, "values", values)
        if values.ndim not in (1, 2):
            raise DataError(
                f"{self.name}: a signal has one or two dimensions",
                received=f"shape {values.shape}",
                allowed="(samples) or (channels, samples)",
            )
        if values.shape[-1] != self.axis.size:
            raise DataError(
                f"{self.name}: values and axis differ in length",
                received=f"{values.shape[-1]} values on {self.axis.size} axis points",
            )
        if values.size == 0:
            raise DataError(f"{self.name}: the signal is empty", received=f"shape {values.shape}")
        if np.isinf(values).any():
            raise DataError(
                f"{self.name}: infinite samples",
                received=f"{int(np.isinf(values).sum())} of {values.size}",
                mend="mark missing samples with NaN",
            )
        if self.noise_sd is not None:
            object.__setattr__(self, "noise_sd", self._checked_noise(self.noise_sd))

    def _checked_noise(self, noise_sd: float | FloatArray) -> float | FloatArray:
        sd = np.asarray(noise_sd, dtype=np.float64)
        channels = (self.channels,) if self.values.ndim == 2 else ()
        if sd.shape not in {(), channels, self.values.shape}:
            raise DataError(
                f"{self.name}: noise_sd has the wrong shape",
                received=str(sd.shape),
                allowed=f"a scalar, {channels or 'a scalar'} or {self.values.shape}",
            )
        needed = sd if sd.shape != self.values.shape else sd[~np.isnan(self.values)]
        if not (np.isfinite(needed).all() and (needed > 0).all()):
            raise DataError(
                f"{self.name}: noise_sd must be finite and above 0",
                received=f"{float(np.min(needed)):.6g} as the smallest value",
            )
        return float(sd) if sd.ndim == 0 else sd

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.values.ndim == 1 else self.values.shape[0]

    def channel(self, number: int) -> Signal:
        """One channel as a signal of shape (N,); its truth holds that channel's spikes, numbered 0."""
        if not 0 <= number < self.channels:
            raise DataError(f"{self.name}: no such channel", received=number, allowed=f"0 to {self.channels - 1}")
        if self.values.ndim == 1:
            return self
        noise = self.noise_sd
        if isinstance(noise, np.ndarray):
            noise = float(noise[number]) if noise.ndim == 1 else noise[number]
        truth = None if self.truth is None else self.truth.of_channel(number)
        return replace(self, values=self.values[number], noise_sd=noise, truth=truth)

    def shifted(self, by: float) -> Signal:
        """These samples on an axis that starts ``by`` (axis units) later. The truth stays where it is."""
        return replace(self, axis=self.axis.shifted(by)) if by else self

    def __iter__(self) -> Iterator[Signal]:
        return (self.channel(number) for number in range(self.channels))
