"""What is reported of one channel: how it ended, the numbers of its proof, its rounds and its sections. Nothing here computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from blasso_flow.data.column import Units, column
from blasso_flow.data.signals import FloatArray


class Status(StrEnum):
    """How a channel ended. ``message`` on the channel's report says what to do about it."""

    CONVERGED = "converged"
    GAP_ABOVE_TOLERANCE = "gap_above_tolerance"
    ALL_MISSING = "all_missing"
    FAILED = "failed"


class Verdict(StrEnum):
    """Whether filter, baseline and noise describe the samples of a channel: its ``fit``. The proof is no part of it."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"
    UNKNOWN = "unknown"

    @property
    def faulty(self) -> bool:
        """Whether something was found against the fit."""
        return self in FAULTY


FAULTY = (Verdict.WRONG, Verdict.DOUBTFUL)  # the gravest first
SHORT_ERRORS = "the error bars are too small"  # where the fit is wrong


def fit_sentence(fit: Verdict, reasons: Sequence[str]) -> str:
    """A verdict with its reasons, the gravest first; empty where the fit is good, or nothing was judged."""
    if not fit.faulty:
        return ""
    return f"fit {fit}: {'; '.join([*reasons, *((SHORT_ERRORS,) if fit is Verdict.WRONG else ())])}"


@dataclass(frozen=True)
class TraceRow:
    """State at the start of one round, which is an iteration in a flow: objective, best proven relative gap so far, number of
    spikes, seconds since the start."""

    round: int = field(metadata=column("round", Units.ONE))
    objective: float = field(metadata=column("objective"))
    gap: float = field(metadata=column("best relative gap so far", Units.ONE))
    spikes: int = field(metadata=column("number of spikes", Units.ONE))
    seconds: float = field(
        metadata=column("time since the channel's start, rows as in /trace", Units.SECONDS, group="timing", name="round_seconds")
    )


@dataclass(frozen=True, eq=False)
class Paths:
    """Positions and weights of all m particles of a flow at each row of the trace, shapes (rows, m)."""

    position: FloatArray = field(
        metadata=column("position of every particle at the row", Units.AXIS, name="particle_position", across="particles")
    )
    weight: FloatArray = field(
        metadata=column("weight of every particle at the row", Units.WEIGHTS, name="particle_weight", across="particles")
    )


@dataclass(frozen=True)
class Section:
    """A range of the axis with a Gaussian of its own, where the width follows a law.

    Spikes between the whole samples ``first`` and ``last`` have the standard deviation ``sd`` (axis units) and the penalty
    ``strength``. A spike exactly on a cut belongs to the section after it.
    """

    first: int = field(metadata=column("first sample of the section", Units.ONE))
    last: int = field(metadata=column("last sample, the next one's first", Units.ONE))
    sd: float = field(metadata=column("standard deviation of the filter", Units.AXIS))
    strength: float = field(metadata=column("strength of the penalty (lambda)"))


def no_coefficients() -> FloatArray:
    """The coefficients of no baseline, or of white noise, (0,)."""
    return np.empty(0)


@dataclass(frozen=True)
class ChannelReport:
    """What is known of one channel: settings, numbers of the proof, and how it ended.

    ``strength_rule`` and ``noise_rule`` say in words where the numbers came from. ``gap`` is (objective - dual_value) /
    objective, ``gap_noise`` is (objective - dual_value) / noise_sd**2 (NaN if the noise is unknown), ``violation`` is the
    proven bound of sup|eta| minus 1. ``baseline`` holds the coefficients of the optimum's baseline, ``refit_baseline``
    those of the refitted answer; ``baseline_rule`` is the baseline with its parameters fitted, empty where none was.
    ``level`` is the significance a spike needs to stay, NaN without a refit; of sections that of the middle one.
    ``sections`` have each a width and a strength of their own, in order; empty where one filter serves the whole record.
    ``fit`` is the verdict on the model, with its ``fit_reasons``.
    ``notes`` are warnings for the user, one line each. ``paths`` are the particles of a flow, where they were kept. Of a refit
    with widths, ``refit_noise_sd`` is the noise behind its errors, ``refit_baseline_rule`` and ``refit_rate_error`` its baseline
    with the rate fitted again, and that rate's standard error.
    ``interpolation`` is "linear", "cubic", "periodic" or "mirrored" where
    the samples were interpolated from slower ones: everything is then about these, slower sample m being at sample
    ``first_sample + m ratio``, and averaging over ``sample_exposure`` of its spacing; else it is empty.
    """

    status: Status = field(metadata=column("how the channel ended"))
    message: str = field(metadata=column("what to do about it"))
    fit: Verdict = field(
        default=Verdict.UNKNOWN, metadata=column("whether filter, baseline and noise describe the samples", later=True)
    )
    fit_reasons: Sequence[str] = field(default=(), metadata=column("why they do not, one reason a line", later=True))
    strength: float = field(default=math.nan, metadata=column("strength of the penalty (lambda)"))
    strength_rule: str = field(default="", metadata=column("where the strength came from"))
    noise_sd: float = field(default=math.nan, metadata=column("standard deviation of the noise", Units.VALUES))
    noise_rule: str = field(default="", metadata=column("where the noise came from"))
    whitener: FloatArray = field(
        default_factory=no_coefficients,
        metadata=column("coefficients of the autoregressive noise", Units.ONE, across="noise_order", shown=None),
    )
    noise_freedom: float = field(
        default=math.nan, metadata=column("degrees of freedom of the noise, infinite unless it is estimated", Units.ONE)
    )
    level: float = field(default=math.nan, metadata=column("significance below which spikes were pruned", Units.ONE))
    objective: float = field(default=math.nan, metadata=column("objective of the certified measure", Units.SQUARED))
    dual_value: float = field(default=math.nan, metadata=column("proven lower bound of the objective", Units.SQUARED))
    gap: float = field(default=math.nan, metadata=column("proven gap relative to the objective", Units.ONE))
    gap_noise: float = field(default=math.nan, metadata=column("proven gap in units of the noise variance", Units.ONE))
    violation: float = field(default=math.nan, metadata=column("proven bound of sup|eta| minus 1", Units.ONE))
    rounds: int = field(default=0, metadata=column("rounds of the solver", Units.ONE))
    baseline: FloatArray = field(
        default_factory=no_coefficients,
        metadata=column("baseline coefficients of the certified measure", Units.VALUES, across="coefficients"),
    )
    refit_baseline: FloatArray = field(
        default_factory=no_coefficients,
        metadata=column("baseline coefficients of the answer", Units.VALUES, across="coefficients"),
    )
    trace: Sequence[TraceRow] = ()
    seconds: float = field(default=0.0, metadata=column("wall time of the channel", Units.SECONDS, group="timing"))
    notes: Sequence[str] = field(default=(), metadata=column("warnings, one a line", shown=None))
    baseline_rule: str = field(
        default="", metadata=column("baseline with its fitted parameters", when="fitted_baseline", shown=None)
    )
    paths: Paths | None = None
    sections: Sequence[Section] = ()
    refit_noise_sd: float = field(
        default=math.nan,
        metadata=column("standard deviation of the noise behind the answer's standard errors", Units.VALUES, when="widths"),
    )
    refit_baseline_rule: str = field(
        default="",
        metadata=column("baseline of the answer, with its rate fitted again", when="refitted_baseline", shown="widths"),
    )
    interpolation: str = field(
        default="",
        metadata=column("how the samples came from slower ones, empty where they did not", when="interpolated", shown=None),
    )
    ratio: float = field(default=1.0, metadata=column("samples to a slower one", Units.ONE, when="interpolated", shown=None))
    first_sample: float = field(
        default=0.0, metadata=column("sample at which the first slower one lies", Units.ONE, when="interpolated", shown=None)
    )
    sample_exposure: float = field(
        default=math.nan,
        metadata=column("share of their spacing that slower samples average over", Units.ONE, when="interpolated", shown=None),
    )
    refit_rate_error: float = field(
        default=math.nan, metadata=column("standard error of the rate of the answer's baseline", when="widths")
    )
