"""Figure of `study network`: where the neurons go, and the loss."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blasso_flow.plots import style
from blasso_flow.plots.study_parts import by_particle, colour_bar, logarithmic, paths, study_figure, time_scale
from blasso_flow.study.outcome import Outcome

WHAT_TO_SEE = (
    "Each line is one neuron, drawn at |a| w: output weight times inner weight. All start near the origin. Dashed: the axes of "
    "the teacher's neurons of the same sign (a > 0 left, a < 0 right), where ReLU neurons end."
)
LEAST = 1e-9


def draw_network(outcome: Outcome) -> Figure:
    """Neurons with positive and with negative output weight, and the loss."""
    activation = {"relu": "ReLU", "sigmoid": "sigmoid"}[str(outcome.settings["activation"])]
    figure = study_figure(5.2, f"Where the neurons of a {activation} network go", outcome, WHAT_TO_SEE)
    rows, teacher, losses = (outcome.tables[name] for name in ("paths", "teacher", "losses"))
    x, y, step, sign = (by_particle(rows[name], rows["neuron"]) for name in ("x", "y", "step", "sign"))
    times = step[:, 0]
    scale = time_scale(times)
    reach = 1.1 * float(np.abs(np.concatenate([x.ravel(), y.ravel()])).max())
    for number, (side, title) in enumerate(((1.0, "Neurons with a > 0"), (-1.0, "Neurons with a < 0"))):
        ax = style.panel(figure, style.GUTTER + 3.1 * number, 1.75, 2.45, 2.45)
        own = sign[-1] == side
        style.dress(ax, "|a| w, first input", "|a| w, second input" if number == 0 else "")
        style.heading(ax, title, small=True)
        _teacher(ax, teacher["x"][teacher["sign"] == side], teacher["y"][teacher["sign"] == side], reach)
        paths(ax, x[:, own], y[:, own], times, scale)
        ax.plot(x[-1, own], y[-1, own], ".", color=style.BLACK, ms=5, label="end", zorder=4)
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        if number == 0:
            ax.legend(
                loc="upper left", bbox_to_anchor=(-0.05, -0.16), fontsize=style.SMALL - 1, frameon=False, labelcolor=style.TEXT
            )
    colour_bar(figure, style.GUTTER + 3.1, 4.62, 2.5, scale, "step")
    below = style.panel(figure, style.GUTTER + 6.5, 1.75, 2.45, 2.45)
    style.dress(below, "step", "loss above the teacher's")
    style.heading(below, f"{str(outcome.settings['loss']).capitalize()} loss, held-out inputs", small=True)
    seen = losses["step"] > 0
    below.plot(losses["step"][seen], np.maximum(losses["excess"][seen], LEAST), color=style.BLUE, lw=1.5)
    below.set_xscale("log")
    style.powers(below.xaxis)
    logarithmic(below)
    return style.finish(figure)


def _teacher(ax: Axes, x: np.ndarray, y: np.ndarray, reach: float) -> None:
    for across, up in zip(x, y, strict=True):
        far = 2 * reach / max(float(np.hypot(across, up)), 1e-300)
        ax.plot(
            [-far * across, far * across], [-far * up, far * up], color=style.VERMILLION, lw=1.1, ls=(0, (4, 2)), zorder=1,
            label="axis of a teacher's neuron" if across == x[0] else None,
        )  # fmt: skip
