"""Counts: strength from a Bernstein bound, maximum likelihood on the support, pruning by deviance, Fisher error bars.

A normal rule promises too much at low counts. For a background of b counts a sample (the mean: without spikes all counts are
background), <y - b, phi_x> exceeds
sqrt(2 b ||phi||^2 T) + T max|phi| / 3 with probability exp(-T) at most (Bernstein); T = log(domain / (2 pi l x false alarms))
spreads the false alarms over the domain, l = ||phi|| / ||phi'||. The Poisson certificate sees (y - b) / b, so its strength is
that bound over b. A spike stays if leaving it out raises the deviance (twice the loss) by at least 2 T, the same T.
No files, no figures.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter
from blasso_flow.flow.poisson import CountProblem, State, jacobian
from blasso_flow.inference import Refit, resolved_groups
from blasso_flow.noise import StrengthChoice, StrengthRule
from blasso_flow.problem import Problem
from blasso_flow.signals import FloatArray

ENOUGH = 1e-3  # of the log-likelihood: a smaller change decides no test
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


def choose_count_strength(rule: StrengthRule, problem: Problem, background: float, false_alarms: float) -> StrengthChoice:
    """The strength of the Poisson objective for ``background`` counts a sample, and the level sqrt(2 T) for pruning."""
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
    peak = float(np.abs(table.response(np.arange(table.first, table.first + table.taps, 0.125))).max())
    bound = np.sqrt(2 * background * table.norm**2 * exponent) + exponent * peak / 3
    times = "" if rule.factor == 1 else f"{rule.factor:g} times "
    words = (
        f"{times}Bernstein: (sqrt(2 b T) filter norm + T peak / 3) / b with T = {exponent:.3g} for {false_alarms:g} false "
        f"alarms, background b = {background:.4g} a sample"
    )
    return StrengthChoice(float(rule.factor * bound / background), words, level)


def largest_count_strength(problem: Problem) -> float:
    """The smallest strength at which the Poisson optimum has no spikes: sup <y / b - 1, phi_x> at the best baseline b."""
    from blasso_flow.certificate import Certifier

    counts = CountProblem(replace(problem, strength=1.0))
    empty = counts.relax(counts.empty())
    ratio = counts.ratio(counts.model(empty.position, empty.weight, empty.baseline))
    return Certifier(counts.problem).supremum(counts.present - ratio)[0]


def mean_background(problem: Problem) -> float:
    """The background of largest likelihood without spikes, mean per sample present; at least one count a record."""
    present = problem.sample_weights > 0
    baseline = CountProblem(problem).empty().baseline
    return max(float((problem.baseline @ baseline)[present].mean()), 1 / max(int(present.sum()), 1))


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
        without = [_without(counts, state, number) for number in range(state.position.size)]
        least = min(without, key=lambda other: other.objective)
        surplus = most is not None and state.position.size > most
        if 2 * (least.objective - state.objective) >= level**2 and not surplus:
            break
        state = least
    return _with_errors(counts, counts.relax(state))


def _without(counts: CountProblem, state: State, number: int) -> State:
    """The state of largest likelihood after one spike is left out."""
    position, weight = np.delete(state.position, number), np.delete(state.weight, number)
    start = counts.state(position, weight, state.baseline)
    if not start.objective < np.inf:  # counts that nothing else explains: lift the background first
        lift = counts.values.sum() / np.maximum(counts.column_sums.sum(), 1.0)
        start = counts.state(position, weight, np.maximum(state.baseline, lift))
    return counts.relax(start, ENOUGH)


def _with_errors(counts: CountProblem, state: State) -> Refit:
    """Standard errors from the Fisher information J^T (1 / m) J by weights, positions and baseline."""
    x, w, count = state.position, state.weight, state.position.size
    errors = np.full((2, count), np.nan)
    common = np.full(max(count - 1, 0), np.nan)
    if count:
        model = counts.model(x, w, state.baseline)
        index, (response, slope) = counts.windows(x, 2)
        matrix = jacobian(counts, index, response, slope * w[:, None])
        fisher = np.divide(counts.present, model, out=np.zeros_like(model), where=model > 0)
        information = (matrix * fisher) @ matrix.T
        low, high = counts.problem.domain
        fixed = np.zeros(information.shape[0], dtype=np.bool_)
        if not counts.problem.filter.period:
            fixed[count : 2 * count] = (x <= low) | (x >= high)
        fixed[2 * count :] = state.baseline <= 0
        told = np.nonzero(~fixed & (np.diag(information) > 0))[0]
        unit = np.sqrt(np.diag(information)[told])
        scaled = information[np.ix_(told, told)] / np.outer(unit, unit)
        if np.linalg.cond(scaled) < 1e12:
            covariance = np.full_like(information, np.nan)
            covariance[np.ix_(told, told)] = np.linalg.inv(scaled) / np.outer(unit, unit)
            errors = np.sqrt(np.diag(covariance)[: 2 * count].reshape(2, count))
            common = np.diag(covariance, 1)[count : 2 * count - 1]
    group = resolved_groups(x, errors[1], common, counts.problem.filter.width) if count else np.empty(0, dtype=np.int64)
    return Refit(x, w, state.baseline, errors[1], errors[0], group)
