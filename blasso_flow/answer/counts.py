"""Counts: strength from a Bernstein bound, maximum likelihood on the support, pruning by deviance, Fisher error bars.

A normal rule promises too much at low counts. For a background of b counts a sample (the one of largest likelihood without
spikes: all counts are background then), the Poisson certificate sees <y / b - 1, phi_x>, which exceeds
sqrt(2 V T) + T M / 3 with probability exp(-T) at most (Bernstein), V = sum phi_x^2 / b, M = max phi_x / b.
T = log(domain / (2 pi l x false alarms)) spreads the false alarms over the domain, l = ||phi|| / ||phi'||. Where the background
is uneven, one strength stands for a T at every place, chosen so that exp(-T) has the same mean. A spike stays if leaving it out
raises the deviance (twice the loss) by at least 2 T, the same T. No files, no figures.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.answer.pruning import Dropped
from blasso_flow.answer.refit import Refit, significant
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter
from blasso_flow.flow.counts import empty, settled
from blasso_flow.flow.joint import jacobian
from blasso_flow.noise.discoveries import Discoveries
from blasso_flow.noise.strength import StrengthChoice, StrengthRule
from blasso_flow.problem.losses import POISSON
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem

ENOUGH = 1e-3  # of the log-likelihood: a smaller change decides no test
EVEN = 1e-9  # of the background's mean: flatter is constant
PENALTY_LEFT = 1e-9  # of the filter's area: keeps weights that nothing holds from drifting


def bernstein_exponent(filter: Filter, domain: tuple[float, float], false_alarms: float) -> float:
    """T = log(domain / (2 pi l x false alarms)), l = ||phi|| / ||phi'||; domain in samples.

    Raises `UsageError` where that is not above 0.
    """
    resolved = max((domain[1] - domain[0]) * filter.norm1 / (2 * np.pi * filter.norm), 1.0)
    if not 0 < false_alarms < resolved:
        raise UsageError(
            "false alarms out of range", received=f"{false_alarms:g}", allowed=f"above 0 and below {resolved:.3g} for this record"
        )
    return float(np.log(resolved / false_alarms))


def choose_count_strength(rule: StrengthRule, problem: Problem, background: FloatArray, false_alarms: float) -> StrengthChoice:
    """The strength of the Poisson objective for ``background`` (N,) counts a sample, and the level sqrt(2 T) for pruning."""
    table = problem.filter
    exponent = bernstein_exponent(table, problem.domain, false_alarms)
    level = float(np.sqrt(2 * exponent))

    def expected(u: float) -> float:
        return float(false_alarms * np.exp(exponent - u * u / 2))

    if rule.kind == "absolute":
        return StrengthChoice(rule.factor, f"given: {rule.factor:.6g}", level, expected)
    if rule.kind == "max":
        largest = largest_count_strength(problem)
        if not largest > 0:
            return StrengthChoice(table.norm, "any: no strength leaves a spike", level, expected)
        words = f"{rule.factor:g} of {largest:.6g}, the smallest that leaves no spikes"
        return StrengthChoice(rule.factor * largest, words, level, expected)
    bound = _bernstein_bound(problem, background, exponent)
    times = "" if rule.factor == 1 else f"{rule.factor:g} times "
    words = (
        f"{times}Bernstein: (sqrt(2 b T) filter norm + T peak / 3) / b with T = {exponent:.3g} for {false_alarms:g} false "
        f"alarms, background b = {background.mean():.4g} a sample{'' if np.ptp(background) == 0 else ' in the mean'}"
    )
    return StrengthChoice(rule.factor * bound, words, level, expected)


def _bernstein_bound(problem: Problem, background: FloatArray, exponent: float) -> float:
    """What <y / b - 1, phi_x> exceeds somewhere with a probability that exp(-T) stands for; background (N,)."""
    table = problem.filter
    peak = float(np.abs(table.response(np.arange(table.first, table.first + table.taps, 0.125))).max())
    if np.ptp(background) <= EVEN * background.mean():
        rate = float(background.mean())
        return float(np.sqrt(2 * exponent / rate) * table.norm + exponent * peak / 3 / rate)
    from scipy.optimize import brentq

    inverse = problem.padded(np.where(problem.sample_weights > 0, 1 / background, 0.0))
    response = np.abs(table.response(np.arange(table.first, table.first + table.taps, dtype=np.float64)))
    if problem.geometry.endless:
        inverse = np.concatenate([inverse, inverse[: table.taps - 1]])
    windows = np.lib.stride_tricks.sliding_window_view(inverse, table.taps)
    variance, largest = windows @ response**2, (windows * response).max(axis=1)
    seen = largest > 0
    variance, largest = variance[seen], largest[seen]

    def excess(strength: float) -> float:
        root = (np.sqrt(2 * variance + 4 / 3 * largest * strength) - np.sqrt(2 * variance)) / (2 / 3 * largest)
        return float(np.log(np.mean(np.exp(-(root**2)))) + exponent)

    bounds = np.sqrt(2 * variance * exponent) + largest * exponent / 3
    return float(brentq(excess, bounds.min() * (1 - EVEN), bounds.max() * (1 + EVEN)))


def largest_count_strength(problem: Problem) -> float:
    """The smallest strength at which the Poisson optimum has no spikes: sup <y / b - 1, phi_x> at the best baseline b."""
    probe = problem.with_strength(1.0)
    without = settled(probe, empty(probe))
    return probe.geometry.bound(1.0, positive=True)(probe.gradient(without.curve))[0]


def background(problem: Problem) -> FloatArray:
    """The background of largest likelihood without spikes (N,); without a baseline, the mean count.

    It is at least one count a record, where uneven one a filter's length: so little no recording can tell from less.
    """
    present = problem.sample_weights > 0
    curve = np.full(problem.values.size, float(problem.values[present].mean()) if present.any() else 0.0)
    if problem.baseline.size:
        curve = problem.baseline @ empty(problem).baseline
    length = float(present.sum())
    if np.ptp(curve) > EVEN * curve.mean():
        length = min(length, float(np.sqrt(2 * np.pi)) * problem.filter.length / problem.filter.spacing)
    return np.maximum(curve, 1 / max(length, 1.0))


def refit_counts(
    problem: Problem,
    position: FloatArray,
    weight: FloatArray,
    baseline: FloatArray,
    *,
    level: float,
    most: int | None = None,
    share: Discoveries | None = None,
) -> Refit:
    """Largest likelihood on the support, pruned: spikes whose loss costs less than ``level``^2 of deviance go one by one.

    ``most`` keeps that many of those left at most, the most significant ones. Positions (K,) in samples, weights (K,),
    baseline (B,). ``share`` raises the level until the share of false spikes that it states is kept.
    """
    area = problem.filter.response_bound * float(np.sqrt(problem.filter.taps))
    free = problem.with_strength(PENALTY_LEFT * area)
    particles = settled(free, Particles.evaluate(free, position, weight, baseline), ENOUGH)
    increase, dropped = np.empty(0), Dropped()
    while particles.position.size:
        order, objective = _by_significance(free, particles), particles.objective(free)
        increase = np.empty(order.size)
        for numbers in (order[:1], order[1:]):  # the others are tried only where the first one has to stay
            without = [_without(free, particles, int(number)) for number in numbers]
            increase[numbers] = [2 * (other.objective(free) - objective) for other in without]
            if numbers.size and increase[numbers].min() < level**2:
                least = int(numbers[np.argmin(increase[numbers])])
                dropped.add(particles.position[[least]], particles.weight[[least]], increase[[least]])
                particles = without[int(np.argmin(increase[numbers]))]
                break
        else:
            higher = 0.0 if share is None else share.level(np.sqrt(np.maximum(increase, 0.0)))
            if higher > level:
                level = higher
                continue
            if most is None or particles.position.size <= most:
                break
            least = int(np.argmin(increase))
            dropped.add(particles.position[[least]], particles.weight[[least]], increase[[least]])
            particles = _without(free, particles, least)
    particles, tested = settled(free, particles), particles
    if particles.position.size != tested.position.size:  # two became one
        objective = particles.objective(free)
        without = [_without(free, particles, number) for number in range(particles.position.size)]
        increase = np.array([2 * (other.objective(free) - objective) for other in without])
    return _with_errors(free, particles, increase, significant(dropped.rows, 1.0), level)


def _by_significance(problem: Problem, particles: Particles) -> IntArray:
    """Numbers of the spikes, those first that the Fisher information says would cost least (Wald)."""
    variance = np.diag(_covariance(problem, particles))[: particles.weight.size]
    return np.argsort(particles.weight**2 / np.where(variance > 0, variance, np.inf), kind="stable")


def _without(problem: Problem, particles: Particles, number: int) -> Particles:
    """The particles of largest likelihood after one is left out."""
    position, weight = np.delete(particles.position, number), np.delete(particles.weight, number)
    start = Particles.evaluate(problem, position, weight, particles.baseline)
    if not start.objective(problem) < np.inf:
        if not problem.baseline.size:
            return start  # counts that nothing else explains
        # lift the background first
        lift = problem.whitened_values.sum() / np.maximum(problem.whitened_baseline.sum(), 1.0)
        start = Particles.evaluate(problem, position, weight, np.maximum(particles.baseline, lift))
    return settled(problem, start, ENOUGH)


def _with_errors(problem: Problem, particles: Particles, increase: FloatArray, dropped: FloatArray, level: float) -> Refit:
    """Standard errors from the Fisher information, significances from what leaving a spike out costs, ``increase`` (K,)."""
    count = particles.weight.size
    covariance = _covariance(problem, particles)
    errors = np.sqrt(np.diag(covariance)[: 2 * count].reshape(2, count))
    common = np.diag(covariance, 1)[count : max(2 * count - 1, count)]
    group = problem.geometry.groups(particles.position, errors[1], common, problem.filter.width)
    significance = np.sqrt(np.maximum(increase, 0.0))
    return Refit(
        particles.position, particles.weight, particles.baseline, errors[1], errors[0], group, significance, dropped, level
    )


def _covariance(problem: Problem, particles: Particles) -> FloatArray:
    """Inverse of the Fisher information J^T (1 / m) J by weights, positions, baseline (2 K + B, 2 K + B); NaN where unknown."""
    x, w, count = particles.position, particles.weight, particles.weight.size
    index, rows = problem.rows(x, 2)
    response, slope = rows * problem.root[index]
    matrix = jacobian(problem, index, response, slope * w[:, None])
    information = (matrix * POISSON.information(particles.curve, problem.root)) @ matrix.T
    information = information if isinstance(information, np.ndarray) else information.toarray()
    fixed = np.zeros(information.shape[0], dtype=np.bool_)
    fixed[count : 2 * count] = problem.geometry.at_ends(x)
    fixed[2 * count :] = particles.baseline <= 0
    known = np.nonzero(~fixed & (np.diag(information) > 0))[0]
    unit = np.sqrt(np.diag(information)[known])
    scaled = information[np.ix_(known, known)] / np.outer(unit, unit)
    covariance = np.full_like(information, np.nan)
    if known.size and np.linalg.cond(scaled) < 1e12:
        covariance[np.ix_(known, known)] = np.linalg.inv(scaled) / np.outer(unit, unit)
    return covariance
