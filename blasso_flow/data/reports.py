"""What is reported of one channel: how it ended, the numbers of its proof, its rounds and its sections. Nothing here computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from blasso_flow.data.signals import FloatArray


class Status(StrEnum):
    """How a channel ended. ``message`` on the channel's report says what to do about it."""

    CONVERGED = "converged"
    GAP_ABOVE_TOLERANCE = "gap_above_tolerance"
    ALL_MISSING = "all_missing"
    FAILED = "failed"


@dataclass(frozen=True)
class TraceRow:
    """State at the start of one round, which is an iteration in a flow: objective, best proven relative gap so far, number of
    spikes, seconds since the start."""

    round: int
    objective: float
    gap: float
    spikes: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Paths:
    """Positions and weights of all m particles of a flow at each row of the trace, shapes (rows, m)."""

    position: FloatArray
    weight: FloatArray


@dataclass(frozen=True)
class Section:
    """A stretch of the axis with a Gaussian of its own, where the width follows a law.

    Spikes between the whole samples ``first`` and ``last`` have the standard deviation ``sd`` (axis units) and the penalty
    ``strength``. A spike exactly on a cut belongs to the section after it.
    """

    first: int
    last: int
    sd: float
    strength: float


@dataclass(frozen=True)
class ChannelReport:
    """What is known of one channel: settings, numbers of the proof, and how it ended.

    ``strength_rule`` and ``noise_rule`` say in words where the numbers came from. ``gap`` is (objective - dual_value) /
    objective, ``gap_noise`` is (objective - dual_value) / noise_sd**2 (NaN if the noise is unknown), ``violation`` is the
    proven bound of sup|eta| minus 1. ``baseline`` holds the coefficients of the optimum's baseline, ``refit_baseline``
    those of the refitted answer; ``baseline_rule`` is the baseline with its parameters fitted, empty where none was.
    ``sections`` have each a width and a strength of their own, in order; empty where one filter serves the whole record.
    ``notes`` are warnings for the user, one line each. ``paths`` are the particles of a flow, where they were kept. Of a refit
    with widths, ``refit_noise_sd`` is the noise behind its errors, ``refit_baseline_rule`` and ``refit_rate_error`` its baseline
    with the rate fitted again, and that rate's standard error.
    """

    status: Status
    message: str
    strength: float
    strength_rule: str
    noise_sd: float
    noise_rule: str
    objective: float
    dual_value: float
    gap: float
    gap_noise: float
    violation: float
    rounds: int
    baseline: FloatArray
    refit_baseline: FloatArray
    trace: Sequence[TraceRow] = ()
    seconds: float = 0.0
    notes: Sequence[str] = ()
    baseline_rule: str = ""
    paths: Paths | None = None
    sections: Sequence[Section] = ()
    refit_noise_sd: float = math.nan
    refit_baseline_rule: str = ""
    refit_rate_error: float = math.nan
