"""The problem in internal units: samples for positions, signal units for values.

    J(mu, b) = loss(phi * mu + B b) + strength |mu|   over measures mu on the domain and baseline coefficients b

The record is padded so that every window lies inside it; padding and missing samples have weight zero. Where spikes may be and
what the filter makes of them is the geometry's, how a model is compared with the samples the loss's. Knows no solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from blasso_flow.data.signals import Axis, FloatArray, IntArray, Signal
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import Filter
from blasso_flow.filters.prewhitened import prewhitened, whitened_samples
from blasso_flow.problem import baselines, sums
from blasso_flow.problem.baselines import Baseline
from blasso_flow.problem.checks import check_counts, whole_margin
from blasso_flow.problem.geometry import Line, geometry_of
from blasso_flow.problem.geometry.covariance import LineCovariance
from blasso_flow.problem.geometry.line import Known
from blasso_flow.problem.losses import LOSSES, Poisson, Squared
from blasso_flow.problem.whitening import Whitening, weighed, whitening


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
    loss_name : "squared" for least squares, "poisson" for counts.

    Where noise is coloured, everything here is whitened: filter, values, baseline; see `filters.prewhitened`.
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
    loss_name: str = "squared"

    @classmethod
    def from_signal(
        cls,
        channel: Signal,
        filter: Filter,
        *,
        strength: float,
        noise_sd: float | None = None,
        positive: bool = True,
        baseline: str | Baseline = "const",
        margin: tuple[float, float] = (0.0, 0.0),
        loss: str = "squared",
        whitener: FloatArray | None = None,
    ) -> Problem:
        """A problem from one channel (values of shape (N,)); ``margin`` (before, after) in axis units, rounded up to samples.

        ``noise_sd`` overrides the channel's own; sample weights are (sd / sd_n)^2 with sd the median of the channel's, of counts
        they are 1. What ``baseline`` removes beforehand (a running percentile) is taken off the values. The ``whitener`` (p,)
        of coloured noise is applied to samples, filter and baseline alike; the noise sd is then that of the innovations. Raises
        `UsageError` or `DataError` for what makes no problem, and where the Poisson ``loss`` has no meaning.
        """
        if channel.values.ndim != 1:
            raise DataError("a problem needs one channel", received=f"shape {channel.values.shape}", mend="use signal.channel(n)")
        if not (np.isfinite(strength) and strength > 0):
            raise UsageError("strength is out of range", received=strength, allowed="a finite number above 0")
        present = np.isfinite(channel.values)
        baseline = baselines.parse(baseline).settled
        baselines.check_length(baseline, filter.length)
        sd, weights = weighed(channel.noise_sd if noise_sd is None else noise_sd, present, LOSSES[loss].counts)
        whole = whole_margin(margin, channel.axis, filter)
        filter = prewhitened(filter, np.empty(0) if whitener is None else whitener)
        values = channel.values - baselines.removed(baseline, channel.values, channel.axis)
        values = whitened_samples(values, filter.whitener, filter.period > 0)
        weights[np.isnan(values)] = 0.0
        geometry = geometry_of(filter, channel.values.size, whole)
        prepared = whitening(weights, baseline, channel.axis, present, geometry.padding, filter.whitener, filter.period > 0)
        problem = cls(
            filter=filter,
            axis=channel.axis,
            values=np.where(weights > 0, values, 0.0),
            sample_weights=prepared.sample_weights,
            noise_sd=sd,
            strength=float(strength),
            positive=positive,
            baseline=prepared.columns,
            margin=whole,
            loss_name=loss,
        )
        vars(problem).update(whitening=prepared, geometry=geometry, present=present)
        if problem.loss.counts:
            check_counts(filter, problem.values, problem.baseline, positive)
        return problem

    def with_strength(self, strength: float) -> Problem:
        """This problem at another strength, which shares what was prepared, none of which depends on the strength."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), strength=strength)
        return other

    @cached_property
    def geometry(self) -> Line:
        """Where spikes may be, and what they make of the samples."""
        return geometry_of(self.filter, self.values.size, self.margin)

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Samples that are not missing, (N,)."""
        return self.sample_weights > 0

    @property
    def record(self) -> Problem:
        """The problem itself: see `parts.PartedProblem.record`."""
        return self

    @property
    def loss(self) -> Squared | Poisson:
        """How a model is compared with the samples."""
        return LOSSES[self.loss_name]

    @property
    def domain(self) -> tuple[float, float]:
        """First and last position a spike may have (samples). A periodic domain is [0, period)."""
        return self.geometry.domain

    @property
    def noise_variance(self) -> float:
        """Unit of a gap in noise units: of counts 1, the objective is a log-likelihood."""
        return 1.0 if self.loss.counts else self.noise_sd**2

    # ---- the record

    @cached_property
    def whitening(self) -> Whitening:
        """What follows from sample weights and baseline alone."""
        return Whitening(self.sample_weights, self.baseline, self.geometry.padding)

    def padded(self, values: FloatArray) -> FloatArray:
        """A curve on the record (N,) as a curve on the padded record (M,), zero outside."""
        return self.whitening.padded(values)

    def unpadded(self, values: FloatArray) -> FloatArray:
        """The record's part (N,) of a padded curve."""
        before = self.geometry.padding[0]
        return values[before : before + self.values.size]

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
        return sums.dot(self.whitened_values, self.whitened_values)

    @cached_property
    def whitened_baseline(self) -> FloatArray:
        """Baseline columns times root on the padded record, shape (B, M)."""
        return self.whitening.baseline

    # ---- what spikes make

    def model(self, position: FloatArray, weight: FloatArray) -> FloatArray:
        """phi * mu on the padded record, shape (M,), for positions (samples) and weights of shape (K,)."""
        return self.geometry.model(position, weight)

    def evaluated(
        self,
        position: FloatArray,
        weight: FloatArray,
        baseline: FloatArray,
        before: Known | None = None,
        out: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Baseline coefficients (B,) and the curve (M,) that the loss speaks of, for spikes in order.

        Of least squares the baseline is fitted beside them; without one, the residual is taken over from ``before`` where it
        is the same to the last bit. ``out`` (M,) is an array to put it in.
        """
        if not self.loss.fits_baseline:
            return baseline, self.root * self.model(position, weight) + baseline @ self.whitened_baseline
        if not baseline.size:
            return baseline, self.residual_without_baseline(position, weight, before, out)
        return self.refitted(self.model(position, weight), baseline, out)

    def residual(self, position: FloatArray, weight: FloatArray, baseline: FloatArray) -> FloatArray:
        """Whitened residual root * (phi * mu + B b - y) on the padded record, shape (M,)."""
        return self.residual_of(self.model(position, weight), baseline)

    def residual_of(self, model: FloatArray, baseline: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Whitened residual, shape (M,), from phi * mu on the padded record (M,); ``out`` (M,) takes it."""
        from blasso_flow.kernels.shared.curves import fill_residual

        residual = np.empty(self.root.size) if out is None else out
        columns = self.whitened_baseline[: baseline.size]
        fill_residual(model, self.root, self.whitened_values, columns, baseline, residual)
        return residual

    def residual_without_baseline(
        self, position: FloatArray, weight: FloatArray, before: Known | None = None, out: FloatArray | None = None
    ) -> FloatArray:
        """root * (phi * mu - y) on the padded record, shape (M,), for sorted positions (samples) and weights of shape (K,).

        ``before`` is another measure, positions and weights, with this residual: it is taken over, to the last bit, where the
        same spikes are near. ``out`` (M,) takes the residual.
        """
        out = np.empty(self.root.size) if out is None else out
        return self.geometry.residual(position, weight, self.root, self.whitened_values, before, out)

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

    def gradient(self, curve: FloatArray) -> FloatArray:
        """Derivative u of the loss by the model at each sample, (M,), from the curve that the loss speaks of."""
        gradient = self.loss.gradient(curve, self.root, self.whitened_values)
        return gradient if self.whitening.equal_weights else sums.multiplied(self.root, gradient)

    # ---- products and neighbourhoods of spikes: positions (K,) in samples, in order

    def rows(self, position: FloatArray, orders: int = 1) -> tuple[IntArray, FloatArray]:
        """Padded samples (K, W) that each spike reaches, and response and derivatives there (orders, K, W)."""
        return self.geometry.rows(position, orders)

    def strengths(self, position: FloatArray) -> FloatArray:
        """The strength at each position, (K,)."""
        return np.full(position.shape, self.strength)

    def widths(self, position: FloatArray) -> FloatArray:
        """The filter's width (samples) at each position, (K,)."""
        return np.full(position.shape, self.filter.width)

    def held(self, position: FloatArray, pull: FloatArray) -> NDArray[np.bool_]:
        """Which spikes sit on an end of the domain and are pulled outwards: ``pull`` (K,) is the loss's slope by position."""
        low, high = self.domain
        outwards = ((position <= low) & (pull > 0)) | ((position >= high) & (pull < 0))
        return self.geometry.at_ends(position) & outwards

    def inside(self, position: FloatArray, before: FloatArray) -> FloatArray:
        """Where spikes that were at ``before`` (K,) may be when they have moved to ``position`` (K,)."""
        return self.geometry.inside(position)

    def relax(
        self, x: FloatArray, w: FloatArray, baseline: FloatArray, residual: FloatArray, *, tolerance: float, iterations: int
    ) -> tuple[int, float]:
        """Newton on all spikes and the baseline of least squares together, in place: see `Line.relax`."""
        how = self.strength, tolerance, iterations
        return self.geometry.relax(x, w, baseline, residual, self.root, self.whitened_baseline, *how)

    def covariance(self, position: FloatArray, fixed: NDArray[np.bool_]) -> LineCovariance:
        """Inverse Gauss-Newton matrix of spikes and baseline; ``fixed`` (2 K,) parameters do not move."""
        products = self.whitening.products
        return self.geometry.covariance(position, fixed, self.root, self.whitened_baseline, products)

    # ---- the objective

    def penalty(self, position: FloatArray, weight: FloatArray) -> float:
        """strength * sum |w|."""
        return self.strength * float(np.abs(weight).sum())

    def objective(self, curve: FloatArray, weight: FloatArray) -> float:
        """J from the curve that the loss speaks of, and the weights (K,)."""
        return self.loss.value(curve, self.whitened_values) + self.strength * float(np.abs(weight).sum())
