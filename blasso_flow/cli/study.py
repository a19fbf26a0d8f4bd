"""`blasso-flow study`: the paper's experiments, each as a figure and its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from blasso_flow.cli import options
from blasso_flow.cli.outcome import say
from blasso_flow.cli.progress import announce_compiling, share_bar
from blasso_flow.cli.streams import check_output
from blasso_flow.errors import UsageError

if TYPE_CHECKING:
    from blasso_flow.study.outcome import Outcome


@dataclass(frozen=True)
class Study:
    """One study: its help, what it is called with in the example, what it writes and how long it takes on two cores.

    Its tables go to PREFIX.h5 and PREFIX.TABLE.csv. ``options`` are those that only this study has.
    """

    help: str
    example: str
    tables: tuple[str, ...]
    full: str
    quick: str
    options: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = ()


STUDIES = {
    "trajectory": Study(
        "Paths of the particles, their gap, and how many particles it takes.",
        "-o paths", ("paths", "gaps", "truth", "optimum", "runs", "shares"), "a minute", "5 seconds",
    ),
    "limit": Study(
        "The limit of many particles: one path, approached as their number grows.",
        "-o many", ("flows", "distances", "medians"), "two minutes", "3 seconds",
    ),
    "overparameterization": Study(
        "How many particles it takes: spikes, a ReLU and a sigmoid network, against weights on fixed features.",
        "-o needed", ("runs", "medians"), "a quarter of an hour", "10 seconds",
    ),
    "support": Study(
        "What the theorem asks of the start: starts that satisfy it, starts that do not, and how each ends.",
        "-o starts", ("starts", "particles", "levels"), "20 seconds", "20 seconds",
    ),
    "network": Study(
        "A two-layer network by stochastic gradient descent: where its neurons go.",
        "--penalty l1 -o neurons", ("paths", "losses", "teacher"), "10 seconds", "2 seconds",
        (
            options.choice_option("--loss", ["squared", "logistic"], "The loss R."),
            options.choice_option("--activation", ["relu", "sigmoid"], "Of the neurons."),
            options.choice_option(
                "--penalty",
                ["none", "l1", "l2"],
                "The regulariser V of a neuron: none, l1, or squared l2, of strength 0.001.",
            ),
        ),
    ),
}  # fmt: skip

ENDINGS = {".png", ".svg", ".pdf", ".h5", ".csv"}

study_options = options.combined(
    click.option("--quick", is_flag=True, help="A small version, in seconds."),
    click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same numbers."),
    click.option("-o", "--output", metavar="PREFIX", help="Where the files go; default: the study's name, in this folder."),
    options.plot_options,
    options.force_option,
    options.message_options,
)


@click.group(epilog=options.example("blasso-flow study trajectory --quick"))
def study() -> None:
    """Run the paper's experiments again, with a proof where it has a picture.

    Each writes PREFIX.png, PREFIX.h5 and one PREFIX.TABLE.csv a table, and prints what was found. A PREFIX with the ending of
    such a file loses it.
    """


def prefix_of(output: str) -> str:
    """The name that all files of a study begin with: an ending that they get themselves is dropped."""
    ending = PurePath(output).suffix
    return output.removesuffix(ending) if ending in ENDINGS else output


def _carry_out(
    name: str,
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
    """Run `study.NAME.study_NAME` between checked outputs and written files, and draw it by `plots.study_NAME.draw_NAME`."""
    from blasso_flow.files.study_writer import study_targets, write_study
    from blasso_flow.plots import save_figure

    if seed < 0:
        raise UsageError("seed is out of range", received=seed, allowed="a whole number from 0")
    chosen, prefix = STUDIES[name], prefix_of(output or name)
    figure = f"{prefix}.{plot_format}" if plot else None
    for target in [*study_targets(prefix, chosen.tables), *([figure] if figure else [])]:
        check_output(target, force=force)
    if not quiet:
        say(f"study {name}: about {chosen.quick if quick else f'{chosen.full} on two cores; --quick takes {chosen.quick}'}")
        announce_compiling()
    with share_bar(f"study {name}", shown=not quiet) as on_progress:
        run = getattr(import_module(f"blasso_flow.study.{name}"), f"study_{name}")
        outcome: Outcome = run(seed=seed, quick=quick, on_progress=on_progress, **settings)
    written = write_study(outcome, prefix, overwrite=force)
    if figure is not None:
        draw = getattr(import_module(f"blasso_flow.plots.study_{name}"), f"draw_{name}")
        save_figure(draw(outcome), figure)
    if not quiet:
        click.echo("\n".join(outcome.findings))
        say(f"wrote {', '.join([*([figure] if figure else []), *written])}")


for _name, _study in STUDIES.items():
    _command = options.combined(*_study.options, study_options)(partial(_carry_out, _name))
    _epilog = options.example(f"blasso-flow study {_name} --quick {_study.example}")
    study.command(_name, help=_study.help, epilog=_epilog)(_command)
