"""How to recover: every option in one place, checked when it is made, and described for the result's provenance.

Knows no numerics beyond the names and ranges it checks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blasso_flow import filters
from blasso_flow.data.signals import FilterDescription, Signal
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter
from blasso_flow.flow import MAX_ROUNDS, METHODS, TOLERANCE, TOLERANCE_NOISE, Flow
from blasso_flow.noise.kinds import NOISES
from blasso_flow.noise.strength import StrengthRule
from blasso_flow.problem import baselines
from blasso_flow.problem.baselines import Baseline
from blasso_flow.problem.losses import LOSSES

FALSE_ALARMS = 0.05  # spikes a channel
CONSTANT, AUTO = baselines.parse("const"), StrengthRule.parse("auto")
ANY_BASELINE = baselines.parse("auto")
AUTO_RATE, AS_GIVEN = "auto", "as-given"
FLOW_OPTIONS = ("particles", "start", "step_size", "seed", "iterations")


@dataclass(frozen=True)
class Settings:
    """How to recover: the options of `channel.recover`, where each is described. Baseline and strength may be given as texts.

    ``baseline`` "auto" is a constant unless the samples ask for more; ``noise`` is one of `noise.kinds.NOISES`, "auto" white
    unless the samples say that it is coloured. ``filter`` None means the signal's own; ``noise_sd`` None means the signal's own,
    else estimated from the data.
    ``exposure`` is the share of the spacing that a sample averages over, None for the filter's own; ``stamp`` ("start",
    "middle", "end") the moment of the exposure that the axis denotes; ``origin`` is added to the axis. ``sampling_rate`` is
    "auto" to look whether samples were interpolated, "as-given", or a rate per axis unit. ``method`` "euclidean"
    or "conic" is one of the paper's flows, which alone take the options after it. ``threads`` work on one channel; results are
    the same for any number.
    """

    filter: FilterDescription | None = None
    normalisation: str = "peak"
    positive: bool = True
    baseline: Baseline = ANY_BASELINE
    margin: tuple[float, float] = (0.0, 0.0)
    noise: str = "auto"
    noise_sd: float | None = None
    strength: StrengthRule = AUTO
    false_alarms: float = FALSE_ALARMS
    false_discoveries: float | None = None
    tol: float = TOLERANCE
    tol_noise: float = TOLERANCE_NOISE
    max_rounds: int = MAX_ROUNDS
    refit: bool = True
    exposure: float | None = None
    stamp: str = "middle"
    origin: float = 0.0
    loss: str = "squared"
    max_spikes: int | None = None
    refit_width: bool = False
    method: str = METHODS[0]
    particles: int | None = None
    start: str | None = None
    step_size: float | None = None
    seed: int | None = None
    iterations: int | None = None
    save_particles: bool = False
    width_law: tuple[float, float] | None = None
    sampling_rate: str | float = AUTO_RATE
    threads: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", StrengthRule.parse(self.strength))
        object.__setattr__(self, "baseline", baselines.parse(self.baseline))
        for name, value in (("tol", self.tol), ("tol_noise", self.tol_noise), ("false_alarms", self.false_alarms)):
            if not (np.isfinite(value) and value > 0):
                raise UsageError(f"{name} is out of range", received=value, allowed="a finite number above 0")
        if self.noise_sd is not None and not (np.isfinite(self.noise_sd) and self.noise_sd > 0):
            raise UsageError("noise_sd is out of range", received=self.noise_sd, allowed="a finite number above 0")
        self._check_noise()
        self._check_rate()
        self._check_discoveries()
        self._check_counts()
        self._check_widths()
        self._check_method()
        self._check_width_law()
        if self.max_rounds < 1:
            raise UsageError("max_rounds is out of range", received=self.max_rounds, allowed="a whole number from 1")
        if self.threads < 1:
            raise UsageError("threads is out of range", received=self.threads, allowed="a whole number from 1")

    @property
    def stop(self) -> dict[str, Any]:
        """When a solve ends: its tolerances and rounds by name."""
        return {"tol": self.tol, "tol_noise": self.tol_noise, "max_rounds": self.max_rounds}

    def time_shift(self, filter: Filter) -> float:
        """What is added to the axis (axis units): from the stamp to the middle of the exposure, and the origin."""
        return filters.time_shift(self.stamp, self.origin, filters.exposure_of(filter.description), filter.spacing)

    def seeks_colour(self, channel: Signal) -> bool:
        """Whether the noise of a channel may turn out to be coloured: not where its sd is given or stored."""
        if self.noise == "coloured":
            return True
        return self.noise == "auto" and self.noise_sd is None and channel.noise_sd is None

    def leaves_open(self, channel: Signal) -> bool:
        """Whether the samples of a channel have a say in its baseline or in the colour of its noise."""
        plain = self.loss == "squared" and self.width_law is None and not self.refit_width
        return plain and (self.baseline.kind == "auto" or self.seeks_colour(channel))

    def as_first_tried(self) -> Settings:
        """These settings with a constant where the baseline is open."""
        return self if self.baseline.kind != "auto" else replace(self, baseline=self.baseline.settled)

    def _check_noise(self) -> None:
        if self.noise not in NOISES:
            raise UsageError("unknown noise", received=self.noise, allowed=", ".join(NOISES))
        if self.noise == "counts" and self.loss != "squared":
            raise UsageError(
                "the Poisson loss knows the noise of counts by itself",
                received=f"`noise=counts, loss={self.loss}`",
                mend="leave out `noise=counts`, or use `loss=squared`",
            )
        of_kind = {"coloured": ["noise_sd", "width_law", "refit_width"], "counts": ["noise_sd"]}
        excluded = of_kind.get(self.noise, [])
        given = [name for name in excluded if getattr(self, name)]
        if self.noise == "coloured" and self.loss != "squared":
            given.append("loss")
        if given:
            reason = {
                "coloured": "coloured noise is measured, and whitened for one filter and least squares",
                "counts": "the noise of counts has an sd of its own at every sample",
            }[self.noise]
            raise UsageError(
                reason,
                received=f"`noise={self.noise}` and `{given[0]}={getattr(self, given[0])}`",
                mend=f"leave out `{given[0]}=`, or use `noise=white`",
            )

    def _check_rate(self) -> None:
        rate = self.sampling_rate
        try:
            good = rate in {AUTO_RATE, AS_GIVEN} or (np.isfinite(float(rate)) and float(rate) > 0)
        except ValueError:
            good = False
        if not good:
            allowed = f"{AUTO_RATE}, {AS_GIVEN}, or samples per axis unit, a finite number above 0"
            raise UsageError("sampling_rate cannot be used", received=rate, allowed=allowed)
        if rate not in {AUTO_RATE, AS_GIVEN}:
            object.__setattr__(self, "sampling_rate", float(rate))

    def _check_discoveries(self) -> None:
        share = self.false_discoveries
        if share is None:
            return
        if not 0 < share < 1:
            raise UsageError("false_discoveries is out of range", received=share, allowed="a share above 0 and below 1")
        if self.false_alarms != FALSE_ALARMS:
            raise UsageError("`false_alarms=` and `false_discoveries=` exclude each other", mend="give one of them")
        if not self.refit:
            raise UsageError("false_discoveries is kept by the refit", received="`refit=False`", mend="leave out `refit=False`")
        if self.width_law is not None:
            raise UsageError(
                "a width law has a level in every section",
                received="`width_law=, false_discoveries=`",
                mend="give `false_alarms=`",
            )

    def _check_counts(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError("unknown loss", received=self.loss, allowed=", ".join(LOSSES))
        if self.loss == "poisson" and not self.positive:
            raise UsageError(
                "the Poisson loss needs spikes of one sign", received="`positive=False`", mend="leave out `positive=False`"
            )
        if self.loss == "poisson":
            baselines.for_counts(self.baseline)
        if self.max_spikes is not None and self.max_spikes < 1:
            raise UsageError("max_spikes is out of range", received=self.max_spikes, allowed="a whole number from 1")
        if self.max_spikes is not None and not self.refit:
            raise UsageError("max_spikes is kept by the refit", received="`refit=False`", mend="leave out `refit=False`")

    def _check_widths(self) -> None:
        if self.refit_width and not self.refit:
            raise UsageError(
                "widths belong to the refit", received="`refit_width=True, refit=False`", mend="leave out `refit=False`"
            )
        if self.refit_width and self.loss != "squared":
            raise UsageError(
                "widths are fitted by least squares",
                received=f"`refit_width=True, loss={self.loss}`",
                mend="leave out `refit_width=True`, or use `loss=squared`",
            )
        if self.refit_width and self.width_law is not None:
            raise UsageError(
                "widths follow a law or are free", received="`refit_width=True, width_law=`", mend="give one of them"
            )

    def _check_method(self) -> None:
        if self.method not in METHODS:
            raise UsageError("unknown method", received=self.method, allowed=", ".join(METHODS))
        if self.method == METHODS[0]:
            given = [name for name in (*FLOW_OPTIONS, "save_particles") if getattr(self, name) not in {None, False}]
            if given:
                raise UsageError(
                    f"`{given[0]}=` belongs to the flows",
                    received=f"`method={self.method}`",
                    mend="add `method=euclidean` or `method=conic`",
                )
        elif self.loss != "squared":
            raise UsageError(
                "the flows minimise the squared error",
                received=f"`method={self.method}, loss={self.loss}`",
                mend="leave out `method=`",
            )
        else:
            self.flow()

    def flow(self) -> Flow | None:
        """The flow that was chosen; None for the default method. Raises `UsageError` for options out of range."""
        if self.method == METHODS[0]:
            return None
        given = {name: getattr(self, name) for name in FLOW_OPTIONS if getattr(self, name) is not None}
        return Flow(self.method, keep_paths=self.save_particles, **given)

    def _check_width_law(self) -> None:
        if self.width_law is None:
            return
        law = ",".join(f"{number:g}" for number in self.width_law)
        if not np.isfinite(self.width_law).all():
            raise UsageError("width_law is out of range", received=law, allowed="two finite numbers: sd^2 = a + b position")
        if self.filter is not None:
            raise UsageError(
                "a width law is a filter of its own: Gaussians",
                received=f"`width_law={law}` and a filter",
                mend="give one of them",
            )
        if self.loss == "poisson":
            raise UsageError("a width law needs the squared loss", received="`loss=poisson`", mend="use `loss=squared`")
        if self.method != METHODS[0]:
            raise UsageError(
                "a width law needs the default method", received=f"`method={self.method}`", mend="leave out `method=`"
            )
        if self.baseline.fits_rate:
            raise UsageError(
                "a width law needs a baseline whose rate is known", received=self.baseline, mend="give the rate: exp:rate=R"
            )

    def described(self, filter: Filter) -> dict[str, object]:
        """JSON-ready settings, with the filter as it was tabulated."""
        words = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in {"positive", "threads"}}
        return {
            **words,
            "baseline": str(self.baseline),
            "strength": str(self.strength),
            "penalty": "positive" if self.positive else "signed",
            "margin": list(self.margin),
            "time_shift": self.time_shift(filter),
            "filter": {
                "kind": filter.description.kind,
                "parameters": dict(filter.description.parameters),
                "normalisation": filter.normalisation,
                "table_error": filter.error,
            },
        }
