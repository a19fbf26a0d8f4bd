"""Counts: strength from a Bernstein bound, maximum likelihood on the support, pruning by deviance, Fisher error bars.

A normal rule promises too much at low counts. For a background of b counts a sample (the one of largest likelihood without
spikes: all counts are background then), the Poisson certificate sees <y / b - 1, phi_x>, which exceeds
sqrt(2 V T) + T M / 3 with probability exp(-T) at most (Bernstein), V = sum phi_x^2 / b, M = max phi_x / b.
T = log(domain / (2 pi l x false alarms)) spreads the false alarms over the domain, l = ||phi|| / ||phi'||. Where the background
is uneven, one strength stands for a T at every place, chosen so that exp(-T) has the same mean. A spike stays if leaving it out
raises the deviance (twice the loss) by at least 2 T, the same T. No files, no figures.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from blasso_flow.answer.covariance import resolved_groups
from blasso_flow.answer.refit import Refit
from blasso_flow.data.signals import FloatArray, IntArray
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter
from blasso_flow.flow.counts import CountProblem, State, jacobian
from blasso_flow.noise.strength import StrengthChoice, StrengthRule
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
    if rule.kind == "absolute":
        return StrengthChoice(rule.factor, f"given: {rule.factor:.6g}", level)
    if rule.kind == "max":
        largest = largest_count_strength(problem)
        if not largest > 0:
            return StrengthChoice(table.norm, "any: no strength leaves a spike", level)
        words = f"{rule.factor:g} of {largest:.6g}, the smallest that leaves no spikes"
        return StrengthChoice(rule.factor * largest, words, level)
    bound = _bernstein_bound(problem, background, exponent)
    times = "" if rule.factor == 1 else f"{rule.factor:g} times "
    words = (
        f"{times}Bernstein: (sqrt(2 b T) filter norm + T peak / 3) / b with T = {exponent:.3g} for {false_alarms:g} false "
        f"alarms, background b = {background.mean():.4g} a sample{'' if np.ptp(background) == 0 else ' in the mean'}"
    )
    return StrengthChoice(rule.factor * bound, words, level)


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
    if table.period:
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
    from blasso_flow.proof.certificate import Certifier

    counts = CountProblem(replace(problem, strength=1.0))
    empty = counts.relax(counts.empty())
    ratio = counts.ratio(counts.model(empty.position, empty.weight, empty.baseline))
    return Certifier(counts.problem).supremum(counts.present - ratio)[0]


def background(problem: Problem) -> FloatArray:
    """The background of largest likelihood without spikes (N,); without a baseline, the mean count.

    It is at least one count a record, where uneven one a filter's length: so little no recording can tell from less.
    """
    present = problem.sample_weights > 0
    counts = CountProblem(problem)
    curve = np.full(problem.values.size, float(problem.values[present].mean()) if present.any() else 0.0)
    if counts.columns.size:
        curve = problem.baseline @ counts.empty().baseline
    length = float(present.sum())
    if np.ptp(curve) > EVEN * curve.mean():
        length = min(length, float(np.sqrt(2 * np.pi)) * problem.filter.length / problem.filter.spacing)
    return np.maximum(curve, 1 / max(length, 1.0))


def refit_counts(
    problem: Problem, position: FloatArray, weight: FloatArray, baseline: FloatArray, *, level: float, most: int | None = None
) -> Refit:
    """Largest likelihood on the support, pruned: spikes whose loss costs less than ``level``^2 of deviance go one by one.

    ``most`` keeps that many spikes at most, the most significant ones. Positions (K,) in samples, weights (K,), baseline (B,).
    """
    area = problem.filter.response_bound * float(np.sqrt(problem.filter.taps))
    counts = CountProblem(replace(problem, strength=PENALTY_LEFT * area))
    state = counts.relax(counts.state(position, weight, baseline), ENOUGH)
    while state.position.size:
        order = _by_significance(counts, state)
        surplus = most is not None and state.position.size > most
        for numbers in (order[:1], order[1:]):  # the others are tried only where the first one has to stay
            without = [_without(counts, state, int(number)) for number in numbers]
            least = min(without, key=lambda other: other.objective, default=None)
            if least is not None and (surplus or 2 * (least.objective - state.objective) < level**2):
                state = least
                break
        else:
            break
    return _with_errors(counts, counts.relax(state))


def _by_significance(counts: CountProblem, state: State) -> IntArray:
    """Numbers of the spikes, those first that the Fisher information says would cost least (Wald)."""
    variance = np.diag(_covariance(counts, state))[: state.weight.size]
    return np.argsort(state.weight**2 / np.where(variance > 0, variance, np.inf), kind="stable")


def _without(counts: CountProblem, state: State, number: int) -> State:
    """The state of largest likelihood after one spike is left out."""
    position, weight = np.delete(state.position, number), np.delete(state.weight, number)
    start = counts.state(position, weight, state.baseline)
    if not start.objective < np.inf and not counts.columns.size:
        return start  # counts that nothing else explains
    if not start.objective < np.inf:  # lift the background first
        lift = counts.values.sum() / np.maximum(counts.column_sums.sum(), 1.0)
        start = counts.state(position, weight, np.maximum(state.baseline, lift))
    return counts.relax(start, ENOUGH)


def _with_errors(counts: CountProblem, state: State) -> Refit:
    """Standard errors from the Fisher information."""
    count = state.position.size
    covariance = _covariance(counts, state)
    errors = np.sqrt(np.diag(covariance)[: 2 * count].reshape(2, count))
    common = np.diag(covariance, 1)[count : max(2 * count - 1, count)]
    group = resolved_groups(state.position, errors[1], common, counts.problem.filter.width) if count else np.empty(0, np.int64)
    return Refit(state.position, state.weight, state.baseline, errors[1], errors[0], group)


def _covariance(counts: CountProblem, state: State) -> FloatArray:
    """Inverse of the Fisher information J^T (1 / m) J by weights, positions, baseline (2 K + B, 2 K + B); NaN where unknown."""
    x, w, count = state.position, state.weight, state.position.size
    model = counts.model(x, w, state.baseline)
    index, (response, slope) = counts.windows(x, 2)
    matrix = jacobian(counts, index, response, slope * w[:, None])
    information = (matrix * counts.information(model)) @ matrix.T
    low, high = counts.problem.domain
    fixed = np.zeros(information.shape[0], dtype=np.bool_)
    if not counts.problem.filter.period:
        fixed[count : 2 * count] = (x <= low) | (x >= high)
    fixed[2 * count :] = state.baseline <= 0
    told = np.nonzero(~fixed & (np.diag(information) > 0))[0]
    unit = np.sqrt(np.diag(information)[told])
    scaled = information[np.ix_(told, told)] / np.outer(unit, unit)
    covariance = np.full_like(information, np.nan)
    if told.size and np.linalg.cond(scaled) < 1e12:
        covariance[np.ix_(told, told)] = np.linalg.inv(scaled) / np.outer(unit, unit)
    return covariance
