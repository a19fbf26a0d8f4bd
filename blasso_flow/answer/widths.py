"""Refit with a width for every spike: how many peaks the samples need, where, how wide, and with which standard errors.

Under a filter of the wrong width one peak is a cluster of spikes, or two peaks are one spike. From the spikes of the plain
refit the search goes down by merging neighbours or leaving one out, and up by splitting one, with least squares over all
widths at every step; the answer has the least of

    sum of squares of the whitened residual + number of peaks x T sd^2.

A peak has three parameters: T is the value that chi-square with 3 degrees of freedom exceeds as rarely as chi-square with 1
exceeds u^2, u the level of the strength. The certified optimum is not touched, and the proof is not about this fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.answer.peaks import PeakModel, Peaks, column_norms, gram
from blasso_flow.answer.pruning import ALONE, CLEAR
from blasso_flow.answer.refit import Refit, noise_scale
from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import DataError
from blasso_flow.filters.stretched import POWERS
from blasso_flow.problem.problem import Problem

MOST_SPIKES = 40
MOST_NUMBERS = 1_000_000  # of a Jacobian
TRIALS = 3  # of the merges and removals that look best: these are fitted
ENOUGH = 0.02  # of the level: a smaller gain ends a trial
APART, SHRUNK = 0.6, 0.7  # where the halves of a split peak start: widths to either side, and their widths
LEAST_EIGENVALUE = 1e-12  # of the normal equations in units of the columns' norms: below it, nothing is identifiable


@dataclass(frozen=True, eq=False)
class WidthRefit(Refit):
    """A refit with widths (K,) in samples and their standard errors, NaN where a width sits on an end of its range.

    ``model`` and ``baseline_curve`` (N,) are the fit, baseline included, and its baseline. ``noise_sd`` is behind the errors.
    ``rate`` per axis unit and ``rate_error`` are those of an exponential baseline that was free, else NaN. ``limited`` counts
    the widths on an end.
    """

    width: FloatArray
    width_errors: FloatArray
    model: FloatArray
    baseline_curve: FloatArray
    noise_sd: float
    rate: float
    rate_error: float
    limited: int


def refit_widths(
    problem: Problem, start: Refit, *, level: float, noise_known: bool, rate: float | None = None, most: int | None = None
) -> WidthRefit:
    """Least squares over positions, widths and weights, and over how many peaks there are.

    Parameters
    ----------
    start : the refit at the filter's own width.
    level : u, the level of the strength.
    noise_known : whether ``problem.noise_sd`` stands behind the errors; else the residual, with its degrees of freedom.
    rate : where a free rate of an exponential baseline starts (per axis unit); None when the problem's columns hold.
    most : how many peaks there may be.

    Raises `DataError` when there are too many spikes or samples.
    """
    _check_size(problem, start.position.size)
    model = PeakModel(problem, rate)
    worth = peak_level(level) * noise_scale(problem, level) ** 2
    ones = np.ones(start.position.size)
    first = Peaks(start.position, ones, start.weight, start.baseline, model.start_rate)
    search = Search(model, worth, most)
    best, found = search.answer(first), None
    while found is None or search.cost(found) < search.cost(best):  # every peak is worth its price when all others move again
        best = best if found is None else search.answer(found)
        best = model.polished(model.fit(best))
        covariance, sd = _covariance(model, best, noise_known)
        increase, found = search.without(best, sd**2 * _worths(covariance, best.weight))
    return _with_errors(model, best, covariance, sd, increase, start)


def _check_size(problem: Problem, count: int) -> None:
    if count > MOST_SPIKES:
        raise DataError(
            "too many spikes to fit a width to each",
            received=count,
            allowed=f"{MOST_SPIKES} a channel",
            mend="leave out `refit_width=True`, or cut the record into pieces",
        )
    numbers = problem.values.size * (3 * count + problem.baseline.shape[1] + 1)
    if numbers > MOST_NUMBERS:
        raise DataError(
            "too many samples to fit a width to each spike",
            received=f"{problem.values.size} samples and {count} spikes",
            allowed=f"{MOST_NUMBERS // max(3 * count, 1)} samples for so many spikes",
            mend="leave out `refit_width=True`, or cut the record into pieces",
        )


def peak_level(level: float) -> float:
    """T: chi-square with 3 degrees of freedom exceeds it as rarely as chi-square with 1 exceeds ``level`` squared."""
    from scipy.special import chdtri, erfc

    return float(chdtri(3.0, erfc(level / np.sqrt(2))))


class Search:
    """The search for the peaks of least cost; ``worth`` is what a peak must gain in the sum of squares."""

    def __init__(self, model: PeakModel, worth: float, most: int | None) -> None:
        self.model = model
        self.worth = worth
        self.most = np.inf if most is None else most

    def answer(self, peaks: Peaks) -> Peaks:
        """Down, then up as long as splitting a peak pays."""
        best = self._down(self._fit(peaks))
        while 0 < len(best) < self.most:
            split = min((self._fit(other) for other in self._larger(best)), key=lambda other: other.squares)
            if self.cost(split) >= self.cost(best):
                break
            best = self._down(split)
        return best

    def cost(self, peaks: Peaks) -> float:
        """What is minimised; infinite where there are more peaks than there may be."""
        return peaks.squares + len(peaks) * self.worth if len(peaks) <= self.most else np.inf

    def without(self, peaks: Peaks, linear: FloatArray) -> tuple[FloatArray, Peaks]:
        """What leaving each peak out costs in the sum of squares, the others fitted again, (K,); and the cheapest such fit.

        The linear model's value, ``linear``, serves where that is far above what a peak must gain and no other is near.
        """
        rows, reach = np.arange(len(peaks)), ALONE * self.model.filter.width * peaks.stretch
        distance = np.abs(peaks.position[:, None] - peaks.position) + np.where(np.eye(rows.size), np.inf, 0.0)
        asked = np.flatnonzero(~(linear >= CLEAR * self.worth) | (distance <= np.maximum(reach[:, None], reach)).any(axis=1))
        fits = [self._fit(other) for other in self.model.choices(peaks, [np.delete(rows, i) for i in asked])]
        increase = linear.copy()
        increase[asked] = [other.squares - peaks.squares for other in fits]
        return increase, min(fits, key=self.cost, default=peaks)

    def _fit(self, peaks: Peaks) -> Peaks:
        return self.model.fit(peaks, ENOUGH * self.worth)

    def _down(self, peaks: Peaks) -> Peaks:
        """The best on the way from ``peaks`` to none; ends where what is left misses the samples by more than any peaks cost."""
        best = peaks
        while len(peaks):
            nearest = sorted(self._smaller(peaks), key=lambda other: other.squares)[:TRIALS]
            peaks = min((self._fit(other) for other in nearest), key=lambda other: other.squares)
            if peaks.squares > self.cost(best):
                break
            best = min(best, peaks, key=self.cost)
        return best

    def _smaller(self, peaks: Peaks) -> list[Peaks]:
        """One peak less: one left out, or neighbours of one sign merged; weights and baseline are the best, the rest a guess."""
        count, sign = len(peaks), np.sign(peaks.weight)
        pairs = np.flatnonzero(sign[:-1] == sign[1:])
        merged = np.array([self._merged(peaks, slice(i, i + 2)) for i in pairs]).reshape(-1, 2)
        rows = np.arange(count)
        choices = [np.delete(rows, i) for i in rows]
        choices += [np.append(np.delete(rows, [i, i + 1]), count + k) for k, i in enumerate(pairs)]
        return self.model.choices(_joined(peaks, merged[:, 0], merged[:, 1], sign[pairs]), choices)

    def _merged(self, peaks: Peaks, pair: slice) -> tuple[float, float]:
        """Position and stretch of one peak with the mean and the variance of two."""
        filter = self.model.filter
        x, width = peaks.position[pair], peaks.stretch[pair] * filter.width
        share = np.abs(peaks.weight[pair]) * peaks.stretch[pair] ** (1 - POWERS[filter.normalisation])
        share = share / share.sum() if share.any() else np.full(2, 0.5)
        centre = float(share @ x)
        wide = float(np.sqrt(share @ (width**2 + (x - centre) ** 2))) / filter.width
        return centre, float(np.clip(wide, *self.model.stretches))

    def _larger(self, peaks: Peaks) -> list[Peaks]:
        """One peak more: each in turn as two halves."""
        count, rows = len(peaks), np.arange(len(peaks))
        shift = APART * self.model.filter.width * peaks.stretch
        position = np.clip(np.concatenate([peaks.position - shift, peaks.position + shift]), *self.model.domain)
        stretch = np.clip(np.tile(SHRUNK * peaks.stretch, 2), *self.model.stretches)
        choices = [np.concatenate([np.delete(rows, i), [count + i, 2 * count + i]]) for i in rows]
        return self.model.choices(_joined(peaks, position, stretch, np.tile(np.sign(peaks.weight), 2)), choices)


def _joined(peaks: Peaks, position: FloatArray, stretch: FloatArray, weight: FloatArray) -> Peaks:
    """Peaks with others behind them."""
    return Peaks(
        np.append(peaks.position, position),
        np.append(peaks.stretch, stretch),
        np.append(peaks.weight, weight),
        peaks.baseline,
        peaks.rate,
    )


def _covariance(model: PeakModel, peaks: Peaks, noise_known: bool) -> tuple[FloatArray, float]:
    """Of all parameters, (P, P), NaN for those on an end of their range: sd^2 times the inverse of J^T J; and that sd."""
    problem = model.problem
    parameters, free = model.packed(peaks), ~model.at_bounds(peaks)
    freedom = int((problem.sample_weights > 0).sum()) - int(free.sum())
    estimate = float(np.sqrt(peaks.squares / freedom)) if freedom > 0 else np.nan
    sd = problem.noise_sd if noise_known else estimate
    covariance = np.full((parameters.size, parameters.size), np.nan)
    matrix = model.jacobian(parameters)[:, free]
    unit = column_norms(matrix)
    normal = gram(matrix / unit)
    size = np.linalg.eigvalsh(normal) if freedom > 0 and normal.size else np.zeros(1)
    if size[0] > LEAST_EIGENVALUE:
        covariance[np.ix_(free, free)] = sd**2 * np.linalg.inv(normal) / np.outer(unit, unit)
    return covariance, sd


def _worths(covariance: FloatArray, weight: FloatArray) -> FloatArray:
    """What leaving each peak out costs in noise variances by the linear model, its position and width held, (K,); NaN where
    one of them is not known."""
    count = weight.size
    worths = np.full(count, np.nan)
    for i in range(count):
        block = covariance[i : 3 * count : count, i : 3 * count : count]
        if np.isfinite(block).all():
            worths[i] = weight[i] ** 2 / (block[2, 2] - block[2, :2] @ np.linalg.solve(block[:2, :2], block[:2, 2]))
    return worths


def _with_errors(
    model: PeakModel, peaks: Peaks, covariance: FloatArray, sd: float, increase: FloatArray, start: Refit
) -> WidthRefit:
    count, problem, width = len(peaks), model.problem, model.filter.width
    limited = int(model.at_bounds(peaks)[count : 2 * count].sum())
    errors = np.sqrt(np.diag(covariance))
    position_errors, stretch_errors, weight_errors = errors[: 3 * count].reshape(3, count)
    common = np.diag(covariance, 1)[: max(count - 1, 0)]
    fit, baseline_curve = model.curves(peaks)
    widths = peaks.stretch * width
    return WidthRefit(
        position=peaks.position,
        weight=peaks.weight,
        baseline=peaks.baseline,
        position_errors=position_errors,
        weight_errors=weight_errors,
        group=problem.geometry.groups(peaks.position, position_errors, common, widths),
        significance=np.sqrt(np.maximum(increase, 0.0)) / sd,
        dropped=start.dropped,
        level=start.level,
        width=widths,
        width_errors=stretch_errors * width,
        model=fit,
        baseline_curve=baseline_curve,
        noise_sd=sd,
        rate=peaks.rate if model.free_rate else np.nan,
        rate_error=float(errors[-1]) if model.free_rate else np.nan,
        limited=limited,
    )
