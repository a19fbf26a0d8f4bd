"""The verdict on a channel's fit: whether filter, baseline and noise describe the samples, and if not, why not.

The proof is about the optimisation; this is about the model. White noise of the sd that was used must be left, evenly, and no
filter a little wider or narrower, no slow curve may explain the samples clearly better. Everything in samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.answer.hints import Hints, hints
from blasso_flow.answer.refit import Refit
from blasso_flow.answer.stretch_test import neighbours, stretch_test
from blasso_flow.data.reports import Verdict
from blasso_flow.data.signals import FloatArray
from blasso_flow.filters import Filter
from blasso_flow.noise.colour import correlations, lost_to_spikes
from blasso_flow.noise.inspection import saturated
from blasso_flow.problem.problem import Problem

LAGS = 20
FEWEST = 60  # samples
CLEAR_GAIN = 10.0  # of an alternative, twice a log likelihood less the price of its numbers
WRONG_EXCESS, DOUBTFUL_EXCESS, LOW_EXCESS = 1.5, 1.2, 0.67  # mean square of the residual over the noise variance
NOISE_FREE = 0.1
WRONG_CORRELATION, CLEAR_CORRELATION = 0.03, 6.0  # sum of squares beyond chance, and that in standard deviations
NEAR_RATIO, NEAR_SIGMA = 1.35, 6.0  # mean square near spikes over that elsewhere, and by how many standard errors
SLOW = 1.6  # power of the residual below a frequency of 1 / (8 lengths of the filter)
OUTLIER = 2.5  # noise sd beyond what so many samples reach
CROWDED = 0.3  # share of spikes with a neighbour within two widths, above that of spikes at random
ENOUGH_SPIKES = 12


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a verdict is based on.

    ``residual`` (N,) is whitened, in noise sd, NaN where there is none; ``problem`` the one that was solved, where it has one
    filter and least squares; ``filter`` as the samples see it; ``values`` (N,) the samples as recorded, ``signal`` (N,) the model
    without its baseline. ``freedom`` are the degrees of freedom of the noise sd; ``hints`` those of the answer where known.
    """

    residual: FloatArray
    problem: Problem | None
    answer: Refit
    filter: Filter
    values: FloatArray
    signal: FloatArray
    freedom: float = np.inf
    hints: Hints | None = None


def verdict_on(evidence: Evidence) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons, the gravest first."""
    z = evidence.residual
    present = z[~np.isnan(z)]
    numbers = 2 * evidence.answer.position.size + evidence.answer.baseline.size
    if present.size < FEWEST or present.size < 2 * numbers:
        return Verdict.DOUBTFUL, (f"too many spikes ({evidence.answer.position.size}) or too few samples to judge the fit",)
    wrong: list[str] = []
    doubtful: list[str] = []
    excess = float(present @ present) / (present.size - numbers)
    unsure = 3 * np.sqrt(2 / (present.size - numbers) + 2 / evidence.freedom)  # of the excess by chance
    if excess >= NOISE_FREE:
        for found, grave in (_correlated(evidence), _near_spikes(evidence), _slow(evidence)):
            (wrong if grave else doubtful).extend(found)
    if excess > WRONG_EXCESS + unsure:
        wrong.append(f"the residual is {np.sqrt(excess):.3g} times the noise sd")
    elif excess > DOUBTFUL_EXCESS + unsure:
        doubtful.append(f"the residual is {np.sqrt(excess):.3g} times the noise sd")
    elif NOISE_FREE <= excess < LOW_EXCESS - unsure:
        doubtful.append(f"the residual is only {np.sqrt(excess):.3g} times the noise sd: it is given too high")
    if (outliers := int((np.abs(present) > np.sqrt(2 * np.log(present.size)) + OUTLIER).sum())) > 0:
        doubtful.append(f"{outliers} {'sample is' if outliers == 1 else 'samples are'} far outside the noise")
    if (piled := saturated(evidence.values)) > 0:
        doubtful.append(f"{piled} samples are piled up at the largest value: saturation")
    wrong += _alternatives(evidence)
    doubtful += _crowded(evidence)
    verdict = Verdict.WRONG if wrong else Verdict.DOUBTFUL if doubtful else Verdict.GOOD
    return verdict, (*wrong, *doubtful)


def _correlated(evidence: Evidence) -> tuple[list[str], bool]:
    """Whether the whitened residual is not white: the sum of squared correlations over some lags."""
    z, answer = evidence.residual, evidence.answer
    count = int((~np.isnan(z)).sum())
    filter = evidence.problem.filter if evidence.problem is not None else evidence.filter
    lost = lost_to_spikes(filter, answer.position.size, answer.baseline.size, z.size, LAGS + 1)
    correlation = correlations(z, lost, LAGS + 1)
    if correlation is None:
        return [], False
    rho = correlation[1:]
    beyond = float((rho**2).sum()) - LAGS / count
    sigma = count * beyond / np.sqrt(2 * LAGS)
    if not sigma > CLEAR_CORRELATION:
        return [], False
    largest = float(rho[np.argmax(np.abs(rho))])
    return [f"the residual is not white (rho {largest:.2g})"], beyond > WRONG_CORRELATION


def _near_spikes(evidence: Evidence) -> tuple[list[str], bool]:
    """Whether more is left where spikes are than elsewhere: the filter's shape, or weights that it cannot have."""
    z, height = evidence.residual, np.abs(evidence.signal)
    there = ~np.isnan(z) & ~np.isnan(height)
    if not there.any() or not height[there].max() > 0:
        return [], False
    near = there & (height > 0.1 * height[there].max())
    far = there & ~near
    if near.sum() < ENOUGH_SPIKES or far.sum() < ENOUGH_SPIKES:
        return [], False
    numbers = min(2 * evidence.answer.position.size, near.sum() // 2)
    inside, outside = float((z[near] ** 2).sum()) / (near.sum() - numbers), float((z[far] ** 2).mean())
    ratio = inside / max(outside, 1e-300)
    sigma = (ratio - 1) / np.sqrt(2 / (near.sum() - numbers) + 2 / far.sum())
    if not (ratio > NEAR_RATIO and sigma > NEAR_SIGMA):
        return [], False
    return [f"the residual is {np.sqrt(ratio):.2g} times larger where spikes are: the filter's shape"], True


def _slow(evidence: Evidence) -> tuple[list[str], bool]:
    """Whether the residual moves slower than events do."""
    z = np.nan_to_num(evidence.residual)
    lowest = max(2, int(z.size / (8 * evidence.filter.length / evidence.filter.spacing)))
    if lowest < 6:
        return [], False
    count = int((~np.isnan(evidence.residual)).sum())
    power = np.abs(np.fft.rfft(z)[1 : lowest + 1]) ** 2 / max(count, 1)
    level = float(power.mean())
    if not level > SLOW + 4 / np.sqrt(lowest):
        return [], False
    frequency = 1 / (8 * evidence.filter.length)
    return [f"drift below {frequency:.3g} per axis unit"], False


def _alternatives(evidence: Evidence) -> list[str]:
    """What another width of the filter, or a slow curve, would explain clearly better."""
    problem = evidence.problem
    found: list[str] = []
    if problem is None or not np.isfinite(problem.noise_sd):
        return found
    first = evidence.hints or hints(problem, evidence.answer)
    test = stretch_test(problem, evidence.answer, first.stretch_gain)
    if test.gain > CLEAR_GAIN:
        change = abs(test.stretch - 1) * 100
        side = "wider" if test.stretch > 1 else "narrower"
        found.append(f"a filter {change:.2g} % {side} explains it better" if change >= 1 else "fewer spikes explain it as well")
    if first.curve:
        found.append("a slow curve beside the spikes explains it better: drift")
    return found


def _crowded(evidence: Evidence) -> list[str]:
    """Whether spikes have neighbours within two widths far more often than at random."""
    x, size = evidence.answer.position, evidence.residual.size
    if x.size < ENOUGH_SPIKES:
        return []
    beside, expected = neighbours(x, 2 * evidence.filter.width, size)
    if beside - expected <= CROWDED:
        return []
    return [f"{100 * beside:.0f} % of the spikes have a neighbour within two widths: the filter may be too narrow"]
