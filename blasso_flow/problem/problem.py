"""The problem in internal units: samples for positions, signal units for values.

    J(mu) = 1/2 sum W (phi * mu + B b - y)^2 + strength |mu|   over measures mu on the domain and coefficients b

The record is padded so that every window lies inside it; padding and missing samples have weight zero. Residuals are
whitened: root * (model - y) with root = sqrt(W). Knows no solver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from blasso_flow import threads
from blasso_flow.data.signals import Axis, FloatArray, Signal
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import Filter
from blasso_flow.problem import baselines, losses, penalties
from blasso_flow.problem.whitening import Whitening, whitening

SPIKES_PIECE = 1 << 11  # spikes whose responses a thread adds at a time
PIECE = 1 << 15  # samples whose residual a thread computes at a time
GRAIN = 1 << 9  # samples, or 4 filters: whose residual is taken over where the spikes are the same


class Sums(NamedTuple):
    """What objective and dual value need of a measure and its whitened residual r.

    With a = root * (y - B b): ``square`` = <r, r>, ``product`` = <r, a>, ``energy`` = <a, a>, sums of ``size`` terms. ``left``
    is the length of what rounding left of r in the whitened baseline's columns, to which it is orthogonal after their refit.
    ``mass`` = sum |w|, ``weight_square`` = sum w^2, ``overlap`` the most responses that one sample sums.
    """

    square: float
    product: float
    energy: float
    left: float
    size: int
    mass: float
    weight_square: float
    overlap: int


@dataclass(frozen=True, eq=False)
class Problem:
    """One channel, a filter, a penalty and a baseline.

    Attributes
    ----------
    filter : tabulated for this axis.
    axis : the channel's axis.
    values : (N,) samples, 0 where missing.
    sample_weights : (N,) W, 0 where missing.
    noise_sd : of one sample of weight 1, NaN when unknown.
    strength : lambda, in signal units times the filter's response.
    positive : weights must be >= 0.
    baseline : (N, B) columns.
    margin : whole samples before and after the record where spikes may also sit.
    """

    filter: Filter
    axis: Axis
    values: FloatArray
    sample_weights: FloatArray
    noise_sd: float
    strength: float
    positive: bool
    baseline: FloatArray
    margin: tuple[int, int] = (0, 0)

    @classmethod
    def from_signal(
        cls,
        channel: Signal,
        filter: Filter,
        *,
        strength: float,
        noise_sd: float | None = None,
        positive: bool = True,
        baseline: str = "const",
        margin: tuple[float, float] = (0.0, 0.0),
    ) -> Problem:
        """A problem from one channel (values of shape (N,)); ``margin`` (before, after) in axis units, rounded up to samples.

        ``noise_sd`` overrides the channel's own; sample weights are (sd / sd_n)^2 with sd the median of the channel's.
        What ``baseline`` removes beforehand (a running percentile) is taken off the values.
        """
        if channel.values.ndim != 1:
            raise DataError("a problem needs one channel", received=f"shape {channel.values.shape}", mend="use signal.channel(n)")
        if not (np.isfinite(strength) and strength > 0):
            raise UsageError("strength is out of range", received=strength, allowed="a finite number above 0")
        present = np.isfinite(channel.values)
        sd_of_samples = channel.noise_sd if noise_sd is None else noise_sd
        baselines.check_length(baseline, filter.length)
        weights = present.astype(np.float64)
        sd = np.nan
        if isinstance(sd_of_samples, np.ndarray):
            if present.any():
                sd = float(np.median(sd_of_samples[present]))
                weights[present] = (sd / sd_of_samples[present]) ** 2
        elif sd_of_samples is not None:
            sd = float(sd_of_samples)
        whole = whole_margin(margin, channel.axis, filter)
        prepared = whitening(weights, baseline, channel.axis, present, padding(filter, channel.values.size, whole))
        problem = cls(
            filter=filter,
            axis=channel.axis,
            values=np.where(present, channel.values - baselines.removed(baseline, channel.values, channel.axis), 0.0),
            sample_weights=prepared.sample_weights,
            noise_sd=sd,
            strength=float(strength),
            positive=positive,
            baseline=prepared.columns,
            margin=whole,
        )
        vars(problem)["whitening"] = prepared
        return problem

    def with_strength(self, strength: float) -> Problem:
        """The same problem at another strength. It shares what was prepared, none of which depends on the strength."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), strength=strength)
        return other

    @property
    def domain(self) -> tuple[float, float]:
        """First and last position a spike may have (samples). A periodic domain is [0, period)."""
        if self.filter.period:
            return 0.0, float(self.filter.period)
        return -float(self.margin[0]), float(self.values.size - 1 + self.margin[1])

    @property
    def offset(self) -> int:
        """Padded index of tap 0 for a particle in [0, 1); on a periodic record the sample it stands for."""
        return self.filter.first + self.padding[0]

    @cached_property
    def padding(self) -> tuple[int, int]:
        """Samples added before and after the record so that every window of the domain lies inside."""
        return padding(self.filter, self.values.size, self.margin)

    @cached_property
    def whitening(self) -> Whitening:
        """What follows from sample weights and baseline alone."""
        return Whitening(self.sample_weights, self.baseline, self.padding)

    def padded(self, values: FloatArray) -> FloatArray:
        """A curve on the record (N,) as a curve on the padded record (M,), zero outside."""
        return self.whitening.padded(values)

    def unpadded(self, values: FloatArray) -> FloatArray:
        """The record's part (N,) of a padded curve."""
        return values[self.padding[0] : self.padding[0] + self.values.size]

    @cached_property
    def root(self) -> FloatArray:
        """Square roots of the sample weights on the padded record, shape (M,)."""
        return self.whitening.root

    @cached_property
    def whitened_values(self) -> FloatArray:
        """root * y on the padded record, shape (M,)."""
        values = self.padded(self.values)
        values *= self.root
        return values

    @cached_property
    def energy(self) -> float:
        """Sum of the squares of root * y."""
        return losses.dot(self.whitened_values, self.whitened_values)

    @cached_property
    def largest_root(self) -> float:
        """The largest of the square roots of the sample weights."""
        return self.whitening.largest_root

    @cached_property
    def equal_weights(self) -> bool:
        """Whether every sample's weight is 0 or 1, so that a whitened residual is the gradient of the loss."""
        return self.whitening.equal_weights

    @cached_property
    def baseline_products(self) -> FloatArray:
        """Inner products of the whitened baseline's columns, shape (B, B)."""
        return self.whitening.products

    @cached_property
    def baseline_lengths(self) -> FloatArray:
        """Norms of the whitened baseline's columns, shape (B,)."""
        return self.whitening.lengths

    @cached_property
    def orthonormal_baseline(self) -> FloatArray:
        """Orthonormal curves that span the whitened baseline's columns, shape (C, M), those without a sample left out."""
        return self.whitening.orthonormal

    @cached_property
    def whitened_baseline(self) -> FloatArray:
        """Baseline columns times root on the padded record, shape (B, M)."""
        return self.whitening.baseline

    def model(self, position: FloatArray, weight: FloatArray) -> FloatArray:
        """phi * mu on the padded record, shape (M,), for positions (samples) and weights of shape (K,)."""
        from blasso_flow.kernels.line.responses import add_responses

        model = np.zeros(self.root.size)
        table = self.filter
        curves = table.coefficients, table.edges, self.offset, table.period or None, model
        if table.period or position.size <= SPIKES_PIECE or (np.diff(position) < 0).any():
            add_responses(position, weight, *curves)
            return model
        work = threads.pieces(position.size, SPIKES_PIECE)
        first, last = np.array(work).T
        threads.alternating(
            lambda a, b: add_responses(position[a:b], weight[a:b], *curves),
            work,
            np.floor(position[first]).astype(np.int64),
            np.floor(position[last - 1]).astype(np.int64) + table.taps,
        )
        return model

    def residual(self, position: FloatArray, weight: FloatArray, baseline: FloatArray) -> FloatArray:
        """Whitened residual root * (phi * mu + B b - y) on the padded record, shape (M,)."""
        return self.residual_of(self.model(position, weight), baseline)

    def residual_of(self, model: FloatArray, baseline: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """The same from phi * mu on the padded record, shape (M,); ``out`` (M,) takes it."""
        from blasso_flow.kernels.shared.curves import fill_residual

        residual = np.empty(self.root.size) if out is None else out
        columns = self.whitened_baseline[: baseline.size]
        fill_residual(model, self.root, self.whitened_values, columns, baseline, residual)
        return residual

    def refitted(self, model: FloatArray, baseline: FloatArray, out: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Weighted least squares of the baseline beside phi * mu (M,): its coefficients (B,), and the whitened residual (M,).

        Afterwards B^T W (model - y) = 0, as the dual point needs. ``baseline`` is where to start, ``out`` (M,) takes the
        residual.
        """
        from blasso_flow.kernels.shared.curves import refit_baseline

        baseline, residual = baseline.copy(), np.empty(self.root.size) if out is None else out
        curves = model, self.root, self.whitened_values, self.whitened_baseline
        refit_baseline(*curves, self.whitening.inverse, baseline, residual)
        return baseline, residual

    def sums(self, residual: FloatArray, position: FloatArray, weight: FloatArray, baseline: FloatArray) -> Sums:
        """Sums of a measure, sorted, with its baseline and its whitened residual (M,)."""
        from blasso_flow.kernels.shared import curves as kernel

        orthonormal = self.orthonormal_baseline
        curves = residual, self.whitened_values, self.whitened_baseline[: baseline.size], baseline, orthonormal
        work = threads.pieces(residual.size, PIECE)
        parts = np.empty((len(work), 3 + len(orthonormal)))
        threads.each(lambda first, last: kernel.sums(*curves, first, last, parts[first // PIECE]), work)
        total = parts[0] if len(work) == 1 else np.ascontiguousarray(parts.T).sum(axis=1)
        square, product, energy, *left = total.tolist()
        mass, weight_square, overlap = kernel.weigh(position, weight, self.filter.taps + 1.0)
        return Sums(
            square=square,
            product=product,
            energy=energy,
            left=math.hypot(*left),
            size=residual.size,
            mass=mass,
            weight_square=weight_square,
            overlap=position.size if self.filter.period else overlap,
        )

    def residual_without_baseline(
        self,
        position: FloatArray,
        weight: FloatArray,
        before: tuple[FloatArray, FloatArray, FloatArray] | None = None,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """root * (phi * mu - y) on the padded record, shape (M,), for sorted positions (samples) and weights of shape (K,).

        ``before`` is another measure, positions and weights, with this residual: it is taken over, to the last bit, where the
        same spikes are near. ``out`` (M,) takes the residual.
        """
        from blasso_flow.kernels.line.responses import fill_residual

        table = self.filter
        if table.period:
            return self.residual_of(self.model(position, weight), np.empty(0), out)
        residual = np.empty(self.root.size) if out is None else out
        grain = max(GRAIN, 4 * table.taps)
        none = np.empty(0)
        curves = self.root, self.whitened_values, table.coefficients, table.edges, self.offset, grain
        others = *(before or (none, none, none)), residual
        threads.each(
            lambda first, last: fill_residual(position, weight, *curves, first, last, *others),
            threads.pieces(-(-residual.size // grain), max(1, PIECE // grain)),
        )
        return residual

    def squared_norms(self, position: FloatArray) -> FloatArray:
        """sum W phi(. - x)^2 at positions (samples) of shape (K,)."""
        from blasso_flow.kernels.line.responses import squared_norms

        out = np.empty(position.size)
        table = self.filter
        curves = self.root, table.coefficients, table.edges, self.offset, table.period or None
        threads.each(
            lambda first, last: squared_norms(position[first:last], *curves, out[first:last]),
            threads.pieces(position.size, SPIKES_PIECE),
        )
        return out

    def objective(self, residual: FloatArray, weight: FloatArray) -> float:
        """J from a whitened residual and the weights."""
        return losses.value(residual) + penalties.value(weight, self.strength)

    def objective_of(self, sums: Sums) -> float:
        """J from its sums."""
        return 0.5 * sums.square + self.strength * sums.mass

    def objective_rounding(self, sums: Sums, baseline: FloatArray) -> float:
        """Upper bound of how far the computed objective can be below the exact one of the same measure.

        A sample sums at most ``overlap`` responses, so ||sum |w_i phi_i||| <= sqrt(overlap sum w_i^2 ||phi_i||^2); every
        sum of the residual is off by at most a multiple of eps times these magnitudes.
        """
        responses = math.sqrt(sums.overlap * sums.weight_square) * self.filter.response_bound * self.largest_root
        curves = math.sqrt(self.energy) + sum(map(abs, (baseline * self.baseline_lengths).tolist()))
        off = losses.EPSILON * (sums.overlap + 24) * (responses + curves)
        terms = 0.5 * sums.square + self.strength * sums.mass
        return math.sqrt(sums.square) * off + 0.5 * off**2 + losses.sum_rounding(sums.size) * terms


def padding(filter: Filter, samples: int, margin: tuple[int, int]) -> tuple[int, int]:
    """Samples to add before and after a record so that the windows of all positions within its ``margin`` lie inside."""
    if filter.period:
        return 0, 0
    low, high = -margin[0], samples - 1 + margin[1]
    return max(0, -(low + filter.first)), max(0, high + filter.first + filter.taps - samples)


def whole_margin(margin: tuple[float, float], axis: Axis, filter: Filter) -> tuple[int, int]:
    """Margins in whole samples, rounded up. Raises `UsageError` for a negative one, or any on a periodic domain."""
    if not (all(map(math.isfinite, margin)) and min(margin) >= 0):
        raise UsageError("margin is out of range", received=margin, allowed="finite numbers from 0, in axis units")
    before, after = (math.ceil(part / axis.spacing - 1e-9) for part in margin)
    if filter.period and (before or after):
        raise UsageError("a periodic domain has no margin", received=margin, allowed="0")
    return before, after
