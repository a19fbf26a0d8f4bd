"""The strength of the penalty: read from a text, given or following from the noise level.

The rule is the expected number of false crossings of the certificate (Rice 1945), averaged over the scatter of an estimated
noise level. Positions and widths are in samples, levels in the units of the values; nothing here knows a problem or a solver.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter
from blasso_flow.noise.rice import crossings, normal_level, rice_level, solve_level, student_level, weighted_crossings

RULE_ALLOWED = "a number above 0, auto, a multiple such as 0.5auto, or a fraction such as 0.05max"


@dataclass(frozen=True)
class StrengthRule:
    """How the strength is chosen: ``kind`` is "absolute", "auto" (a multiple of the Rice rule) or "max" (a fraction of the
    smallest strength that leaves no spikes); ``factor`` is the number before it, ``text`` what was given."""

    kind: str
    factor: float
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str | float | StrengthRule) -> StrengthRule:
        """A rule from a number, or a text such as "auto", "0.5auto" or "0.05max"; a rule is given back as it is.

        Raises `UsageError` on anything that is no rule.
        """
        if isinstance(text, StrengthRule):
            return text
        match = re.fullmatch(r"\s*([^a-z\s]\S*?)?\s*(auto|max)?\s*", str(text))
        try:
            if match is None or not any(match.groups()):
                raise ValueError
            factor = float(match[1]) if match[1] else 1.0
        except ValueError:
            raise UsageError("strength cannot be read", received=repr(str(text)), allowed=RULE_ALLOWED) from None
        kind = match[2] or "absolute"
        if not (np.isfinite(factor) and factor > 0):
            raise UsageError("strength must be finite and above 0", received=str(text).strip(), allowed=RULE_ALLOWED)
        if kind == "max" and factor > 1:
            raise UsageError(
                "strength above the largest useful value leaves no spikes",
                received=str(text).strip(),
                allowed="a fraction of max above 0 and at most 1",
            )
        return cls(kind, factor, str(text))


@dataclass(frozen=True)
class StrengthChoice:
    """The strength, a sentence on where it came from, and the Rice level u (in noise sd), which pruning uses too.

    ``expected`` is how many spikes noise alone makes of a significance above a level.
    """

    strength: float
    rule: str
    level: float
    expected: Callable[[float], float] = field(default=lambda level: 0.0, compare=False)


def choose_strength(
    rule: StrengthRule,
    *,
    filter: Filter,
    noise_sd: float,
    weights: FloatArray,
    domain: tuple[float, float],
    positive: bool,
    false_alarms: float = 0.05,
    freedom: float = np.inf,
    strength_max: Callable[[], float] | None = None,
) -> StrengthChoice:
    """The strength of one channel.

    Parameters
    ----------
    noise_sd : median noise sd of the channel, in the units of the values.
    weights : (N,) sample weights, 0 where missing, 1 where the noise is ``noise_sd``.
    domain : first and last position (samples), margins included; for a periodic filter all of it is taken.
    freedom : degrees of freedom of ``noise_sd`` where it is an estimate: false alarms then stay what they should be.
    strength_max : gives the smallest strength at which there are no spikes; only called for a fraction of it.

    The baseline is taken as known: fitting a constant removes one of N degrees of freedom.
    """
    if filter.period:
        domain = (0.0, float(weights.size))
    if bool((weights == 1.0).all()) and domain[0] >= 0 and (filter.period or domain[1] <= weights.size - 1):
        shape = domain[1] - domain[0], filter.norm / filter.norm1
        level = rice_level(false_alarms, *shape, not positive, bool(filter.period))
        one_side, norm = crossings(*shape, bool(filter.period)), filter.norm
    else:
        one_side, norm = weighted_crossings(weights, filter, domain)
        level = solve_level(one_side, false_alarms, not positive) if norm else 1.0
    level = student_level(level, freedom)

    def expected(u: float) -> float:
        return (1 if positive else 2) * one_side(normal_level(u, freedom))

    if rule.kind == "absolute":
        return StrengthChoice(rule.factor, f"given: {rule.factor:.6g}", level, expected)
    if rule.kind == "max":
        if strength_max is None:
            raise UsageError("a fraction of the largest strength needs the data", received=f"{rule.factor:g}max")
        largest = strength_max()
        if not largest > 0:  # nothing to recover at any strength: any positive one is right
            return StrengthChoice(noise_sd * max(norm, filter.norm), "any: no strength leaves a spike", level, expected)
        return StrengthChoice(
            rule.factor * largest, f"{rule.factor:g} of {largest:.6g}, the smallest that leaves no spikes", level, expected
        )
    times = "" if rule.factor == 1 else f"{rule.factor:g} times "
    words = f"{times}{level:.4g} noise sd x filter norm: {false_alarms:g} false crossings expected (Rice)"
    if np.isfinite(freedom):
        words += f", the sd known to {1 / np.sqrt(2 * freedom):.1%}"
    return StrengthChoice(rule.factor * level * noise_sd * (norm or filter.norm), words, level, expected)
