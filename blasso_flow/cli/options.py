"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def read_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number of bytes: 500MB, 2GB, 1e9."""
    if value is None:
        return None
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)i?b?\s*", value, re.IGNORECASE)
    try:
        size = int(float(found[1]) * _BYTES[found[2].lower()]) if found else 0
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise click.BadParameter(f"received {value!r}; allowed: a number above 0 with or without a unit, as 500MB or 2GB")
    return size


def read_pair(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, float]:
    """One number for both sides, or BEFORE,AFTER."""
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in {1, 2}:
        raise click.BadParameter(f"received {value!r}; allowed: one number, or two with a comma, as 0.5 or 0.5,0.1")
    return numbers[0], numbers[-1]


def read_law(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """The two numbers of a width law."""
    if value is None:
        return None
    try:
        a, b = (float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"received {value!r}; allowed: two numbers with a comma, as 0.2,3.5e-4") from None
    return a, b


def read_baseline(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A baseline's text, refused here if it cannot be read."""
    from blasso_flow.problem import baselines

    baselines.parse(value)
    return value


def example(*lines: str) -> str:
    """The epilog that ends a command's help: an example that works as it stands beside the folder data/."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def _keep_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    ctx.meta["verbose"] = value
    return value


def combined(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several decorators as one, listed in the help in the order given."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def choice_option(name: str, choices: Sequence[str], help: str, default: str = "") -> Callable[[Command], Command]:
    """An option that takes one of a few words, by default the first of them."""
    return click.option(name, type=click.Choice(choices), default=default or choices[0], show_default=True, help=help)


filter_options = combined(
    click.option(
        "--filter",
        "filter_text",
        metavar="NAME:KEY=VALUE,...",
        help="The filter, lengths in axis units; default: the signal file's own.",
    ),
    click.option("--spacing", type=float, help="Axis units a sample, for datasets that do not say."),
)
exposure_option = click.option(
    "--exposure", type=float, metavar="SHARE",
    help="Share of the spacing that a sample averages over; default: the filter's, 1 for decay, 0 for others.",
)  # fmt: skip
stamp_options = combined(
    choice_option("--stamp", ["start", "middle", "end"], "Which moment of the exposure the axis denotes.", "middle"),
    click.option(
        "--origin",
        type=float,
        default=0.0,
        show_default=True,
        metavar="LENGTH",
        help="Added to the axis: sample 0 sits that much later than the file says, axis units.",
    ),
)
sampling_rate_option = click.option(
    "--sampling-rate",
    default="auto",
    show_default=True,
    metavar="RATE",
    help="Rate at which the samples were taken, per axis unit (Hz): auto looks whether they were interpolated from a slower one, "
    "and works at that; as-given does not look.",
)
normalisation_option = choice_option(
    "--normalisation", ["peak", "area", "energy"], "What a weight of 1 means: a response with peak, area or energy 1."
)
loss_option = choice_option("--loss", ["squared", "poisson"], "Squared error, or the Poisson likelihood for counts.")
sign_option = click.option("--positive/--signed", default=True, help="Spikes above zero only (default), or of both signs.")
baseline_option = click.option(
    "--baseline",
    callback=read_baseline,
    default="auto",
    show_default=True,
    metavar="RULE",
    help="What the spikes stand on, fitted along: auto (const unless the samples ask for more), none, const, poly:degree=2, "
    "spline:knot=LENGTH (cubic), exp (decaying, rate fitted) or exp:rate=R; or percentile:window=LENGTH, a running percentile "
    "taken off beforehand. Axis units.",
)
noise_option = click.option("--noise-sd", type=float, help="Standard deviation of the noise; default: the file's, or estimated.")
noise_kind_option = choice_option(
    "--noise",
    ["auto", "white", "coloured", "counts"],
    "White, or coloured: samples and filter are whitened together; auto: white unless the samples say otherwise. Counts: every "
    "sample's variance is the mean of the counts around it.",
)
false_alarms_option = click.option(
    "--false-alarms", type=float, default=0.05, show_default=True, help="Expected number of false spikes a channel."
)
false_discoveries_option = click.option(
    "--false-discoveries",
    type=float,
    metavar="Q",
    help="In place of --false-alarms: the share of false spikes among those found, as 0.1, for records with many.",
)
flow_options = combined(
    choice_option(
        "--method",
        ["newton", "euclidean", "conic"],
        "The solver, or one of the paper's particle flows, which the next options belong to.",
    ),
    click.option(
        "--particles", type=int, metavar="M", help="Particles of the flow; default: 100. Conic and signed: M of each sign."
    ),
    click.option(
        "--start",
        type=click.Choice(["uniform", "random"]),
        help="Where they start: on a uniform grid (default), or drawn at random with weights of both signs.",
    ),
    click.option("--step-size", type=float, metavar="T", help="Non-dimensional; default: from the curvature, with backtracking."),
    click.option("--seed", type=int, help="Of the random start; default: 0."),
    click.option("--iterations", type=int, metavar="K", help="Iterations of the flow before it gives up; default: 20000."),
    click.option("--save-particles", is_flag=True, help="Store all particles at the rows of the result's /trace."),
)
force_option = click.option("--force", is_flag=True, help="Replace files that exist.")
memory_option = click.option(
    "--max-memory",
    callback=read_size,
    metavar="SIZE",
    help="Memory to use, as 2GB, whatever the size of the file; default: half of the machine's.",
)
batch_options = combined(
    click.option(
        "--jobs",
        type=int,
        metavar="N",
        help="Processes that solve channels; default: the cores this process may use.",
    ),
    click.option(
        "--threads",
        type=int,
        metavar="N",
        help="Threads that solve one channel; results do not depend on it. Default: 1 beside other jobs, else the cores.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Solve on the Dask cluster whose scheduler is there, or on a new one of --jobs processes: local.",
    ),
    click.option("--resume", is_flag=True, help="Go on with a run that was interrupted, from the channels it finished."),
    click.option("--fail-fast", is_flag=True, help="Stop at the first channel that does not converge."),
    click.option("--log-json", metavar="FILE", help="Append progress to FILE as JSON lines."),
)
message_options = combined(
    click.option("-q", "--quiet", is_flag=True, help="Print no table, no notes and no progress; errors only."),
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        callback=_keep_verbose,
        help="Print every channel and where its numbers came from; a bug prints its traceback.",
    ),
)
plot_options = combined(
    click.option("--plot/--no-plot", default=True, show_default=True, help="Draw a figure beside the result."),
    choice_option("--plot-format", ["png", "svg", "pdf"], "Format of the figure."),
)
