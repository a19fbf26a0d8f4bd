"""`blasso-flow study`: the paper's experiments, each as a figure and its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from blasso_flow.cli import options
from blasso_flow.cli.outcome import say
from blasso_flow.cli.progress import share_bar
from blasso_flow.cli.streams import check_output
from blasso_flow.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from blasso_flow.study.outcome import Outcome


@dataclass(frozen=True)
class Plan:
    """What a study writes, PREFIX.h5 and PREFIX.TABLE.csv, and how long it takes on two cores."""

    tables: tuple[str, ...]
    full: str
    quick: str


PLANS = {
    "trajectory": Plan(("paths", "gaps", "truth", "optimum", "runs", "shares"), "a minute", "5 seconds"),
    "limit": Plan(("flows", "distances", "medians"), "two minutes", "3 seconds"),
    "overparameterization": Plan(("runs", "medians"), "a quarter of an hour", "10 seconds"),
    "support": Plan(("starts", "particles", "levels"), "20 seconds", "20 seconds"),
    "network": Plan(("paths", "losses", "teacher"), "10 seconds", "2 seconds"),
}

ENDINGS = {".png", ".svg", ".pdf", ".h5", ".csv"}

study_options = options.combined(
    click.option("--quick", is_flag=True, help="A small version, in seconds."),
    click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same numbers."),
    click.option("-o", "--output", metavar="PREFIX", help="Where the files go; default: the study's name, in this folder."),
    options.plot_options,
    options.force_option,
    options.message_options,
)


@click.group(
    epilog=options.example("blasso-flow study trajectory --quick"),
)
def study() -> None:
    """Run the paper's experiments again, with a proof where it has a picture.

    Each writes PREFIX.png, PREFIX.h5 and one PREFIX.TABLE.csv a table, and prints what was found. A PREFIX with the ending of
    such a file loses it.
    """


@study.command(epilog=options.example("blasso-flow study trajectory --quick -o paths"))
@study_options
def trajectory(**given: Any) -> None:
    """Paths of the particles, their gap, and how many particles it takes."""
    from blasso_flow.plots.study_trajectory import draw_trajectory
    from blasso_flow.study.trajectory import study_trajectory

    _carry_out("trajectory", study_trajectory, draw_trajectory, **given)


@study.command(epilog=options.example("blasso-flow study limit --quick -o many"))
@study_options
def limit(**given: Any) -> None:
    """The limit of many particles: one path, approached as their number grows."""
    from blasso_flow.plots.study_limit import draw_limit
    from blasso_flow.study.limit import study_limit

    _carry_out("limit", study_limit, draw_limit, **given)


@study.command(epilog=options.example("blasso-flow study overparameterization --quick -o needed"))
@study_options
def overparameterization(**given: Any) -> None:
    """How many particles it takes: spikes, a ReLU and a sigmoid network, against weights on fixed features."""
    from blasso_flow.plots.study_overparameterization import draw_overparameterization
    from blasso_flow.study.overparameterization import study_overparameterization

    _carry_out("overparameterization", study_overparameterization, draw_overparameterization, **given)


@study.command(epilog=options.example("blasso-flow study support --quick -o starts"))
@study_options
def support(**given: Any) -> None:
    """What the theorem asks of the start: starts that satisfy it, starts that do not, and how each ends."""
    from blasso_flow.plots.study_support import draw_support
    from blasso_flow.study.support import study_support

    _carry_out("support", study_support, draw_support, **given)


@study.command(epilog=options.example("blasso-flow study network --quick --penalty l1 -o neurons"))
@click.option("--loss", type=click.Choice(["squared", "logistic"]), default="squared", show_default=True, help="The loss R.")
@click.option("--activation", type=click.Choice(["relu", "sigmoid"]), default="relu", show_default=True, help="Of the neurons.")
@click.option(
    "--penalty",
    type=click.Choice(["none", "l1", "l2"]),
    default="none",
    show_default=True,
    help="The regulariser V of a neuron: none, l1, or squared l2, of strength 0.001.",
)
@study_options
def network(**given: Any) -> None:
    """A two-layer network by stochastic gradient descent: where its neurons go."""
    from blasso_flow.plots.study_network import draw_network
    from blasso_flow.study.network import study_network

    _carry_out("network", study_network, draw_network, **given)


def prefix_of(output: str) -> str:
    """The name that all files of a study begin with: an ending that they get themselves is dropped."""
    ending = PurePath(output).suffix
    return output.removesuffix(ending) if ending in ENDINGS else output


def _carry_out(
    name: str,
    run: Callable[..., Outcome],
    draw: Callable[[Outcome], Figure],
    *,
    quick: bool,
    seed: int,
    output: str | None,
    plot: bool,
    plot_format: str,
    force: bool,
    quiet: bool,
    verbose: bool,
    **settings: Any,
) -> None:
    """Run a study between checked outputs and written files."""
    from blasso_flow.files.study_writer import study_targets, write_study
    from blasso_flow.kernels import announce_compilation
    from blasso_flow.plots import save_figure

    if seed < 0:
        raise UsageError("seed is out of range", received=seed, allowed="a whole number from 0")
    plan, prefix = PLANS[name], prefix_of(output or name)
    figure = f"{prefix}.{plot_format}" if plot else None
    for target in [*study_targets(prefix, plan.tables), *([figure] if figure else [])]:
        check_output(target, force=force)
    if not quiet:
        say(f"study {name}: about {plan.quick if quick else f'{plan.full} on two cores; --quick takes {plan.quick}'}")
        announce_compilation(lambda: say("compiling kernels, first run only"))
    with share_bar(f"study {name}", shown=not quiet) as on_progress:
        outcome = run(seed=seed, quick=quick, on_progress=on_progress, **settings)
    written = write_study(outcome, prefix, overwrite=force)
    if figure is not None:
        save_figure(draw(outcome), figure)
    if not quiet:
        click.echo("\n".join(outcome.findings))
        say(f"wrote {', '.join([*([figure] if figure else []), *written])}")
