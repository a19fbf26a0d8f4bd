"""What a filter file declares: parameters with their ranges, and how they become a design that can be tabulated.

A new filter is one small file: a numpy function ``response(lag, **parameters)``, and a `FilterKind` that says how wide it
is, where it ends, and at which lags a derivative jumps. Derivatives, norms, compiled evaluation and the certificate all
come from the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.errors import UsageError

CELLS_PER_WIDTH = 5
NEGLIGIBLE = 1e-13  # of the peak: where a tail that never ends is cut


@dataclass(frozen=True)
class Parameter:
    """One parameter of a filter: its meaning, dimension (length, frequency, count, fraction, factor) and range.

    ``default`` None means: required, unless another parameter of the same ``choice`` is given in its place, or unless
    ``required`` is False.
    """

    name: str
    meaning: str
    dimension: str = "length"
    low: float = 0.0
    high: float = np.inf
    low_included: bool = False
    default: float | None = None
    choice: str = ""
    required: bool = True

    def allowed(self) -> str:
        """The range as a text for users."""
        if self.dimension == "count":
            return f"a whole number from {self.low:.0f}" + ("" if np.isinf(self.high) else f" to {self.high:.0f}")
        low = f"{'at least' if self.low_included else 'above'} {self.low:g}"
        return low if np.isinf(self.high) else f"{low} and at most {self.high:g}"

    def check(self, kind: str, value: float) -> None:
        """Raise `UsageError` if the value is out of range."""
        above = value >= self.low if self.low_included else value > self.low
        whole = self.dimension != "count" or float(value).is_integer()
        if not (np.isfinite(value) and above and value <= self.high and whole):
            raise UsageError(f"filter {kind}: {self.name} is out of range", received=f"{value:g}", allowed=self.allowed())


EXPOSURE = Parameter(
    "exposure",
    "share of the spacing over which a sample averages, centred on the sample (0: none)",
    dimension="fraction",
    low_included=True,
    high=100.0,
    required=False,
)


@dataclass(frozen=True)
class Design:
    """A filter ready to be tabulated, everything in samples.

    ``response(lag)`` takes lags of any shape; it is negligible outside ``support`` (low, high). ``width`` is the expected
    resolution length, ``knots`` the lags where some derivative jumps. ``period`` is a whole number of samples, or 0.
    ``phases`` forces the number of cells a sample (0: chosen from the width). ``advice`` says how to make it wider.
    From lag ``tail_from`` on the response is a sum of exponentials exp(-rate lag) with these ``tail_rates`` (per sample).
    """

    response: Callable[[FloatArray], FloatArray]
    support: tuple[float, float]
    width: float
    knots: tuple[float, ...] = ()
    period: int = 0
    phases: int = 0
    advice: str = ""
    tail_rates: tuple[float, ...] = ()
    tail_from: float = np.inf


Designer = Callable[[FilterDescription, Mapping[str, float], float, int], Design]


@dataclass(frozen=True)
class FilterKind:
    """A registered filter. ``design(description, parameters, spacing, samples)`` gets the checked parameters.

    ``example`` is a description that can be typed.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    design: Designer
    periodic: bool = False
    causal: bool = False
    zero_area: bool = False
    example: str = ""

    def checked(self, description: FilterDescription) -> dict[str, float]:
        """Parameters by name with defaults filled in. Raises `UsageError` on an unknown, missing or bad one."""
        known = {parameter.name: parameter for parameter in (EXPOSURE, *self.parameters)}
        for name, value in description.parameters.items():
            if name not in known:
                raise UsageError(
                    f"filter {self.name}: unknown parameter",
                    received=name,
                    allowed=", ".join([p.name for p in self.parameters] + ([] if self.averages else [EXPOSURE.name])),
                )
            known[name].check(self.name, value)
        values = {p.name: p.default for p in self.parameters if p.default is not None}
        values.update({name: float(value) for name, value in description.parameters.items()})
        choices: dict[str, list[str]] = {}
        for parameter in self.parameters:
            if parameter.default is None and parameter.required:
                choices.setdefault(parameter.choice or parameter.name, []).append(parameter.name)
        for names in choices.values():
            given = [name for name in names if name in values]
            if len(given) != 1:
                raise UsageError(
                    f"filter {self.name}: give {'one of ' if len(names) > 1 else ''}{' or '.join(names)}",
                    received=" and ".join(given) if given else "neither" if len(names) > 1 else "nothing",
                    mend=f"for example {self.example or f'{self.name}:{names[0]}=...'}; see `blasso-flow filters`",
                )
        return values

    def described(self, **parameters: float | None) -> FilterDescription:
        """The filter of this kind with the parameters that are given. Raises `UsageError` as `checked` does."""
        given = {name: float(value) for name, value in parameters.items() if value is not None}
        description = FilterDescription(self.name, given)
        self.checked(description)
        return description

    @property
    def averages(self) -> bool:
        """Whether the kind's own design averages over the exposure."""
        return any(parameter.name == EXPOSURE.name for parameter in self.parameters)

    def need(self, parameter: Parameter) -> str:
        """Default of one of the kind's parameters as a text for users, or whether it must be given."""
        if parameter.default is not None:
            return f"{parameter.default:g}"
        others = [p.name for p in self.parameters if parameter.choice and p.choice == parameter.choice and p != parameter]
        if others:
            return f"this or {' or '.join(others)}"
        return "required" if parameter.required else "optional"


def scaled(
    response: Callable[..., FloatArray],
    parameters: Mapping[str, float],
    spacing: float,
    support: tuple[float, float],
    width: float,
    knots: tuple[float, ...] = (),
) -> Design:
    """A design from a response in axis units: support, width and knots are given in axis units too."""
    return Design(
        response=lambda lag: response(np.asarray(lag) * spacing, **parameters),
        support=(support[0] / spacing, support[1] / spacing),
        width=width / spacing,
        knots=tuple(knot / spacing for knot in knots),
    )


def taper(t: FloatArray) -> FloatArray:
    """1 for t <= 0, 0 for t >= 1, between them the polynomial of degree 9 whose derivatives to the 4th vanish at both ends."""
    t = np.clip(t, 0.0, 1.0)
    near = np.minimum(t, 1 - t)
    step = near**5 * (126 + near * (-420 + near * (540 + near * (-315 + near * 70))))
    return np.asarray(np.where(t > 0.5, step, 1 - step))


def tail_end(response: Callable[[FloatArray], FloatArray], apex: float, step: float) -> float:
    """Lag from which a falling tail is negligible; ``apex`` is the lag of the largest value, ``step`` a guess of the distance."""
    threshold = NEGLIGIBLE * float(response(np.array(apex)))
    reached = step
    while float(response(np.array(apex + reached))) > threshold:
        reached *= 2
    low, high = apex, apex + reached
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if float(response(np.array(middle))) > threshold else (low, middle)
    return high
