"""A two-layer network by stochastic gradient descent on fresh samples: where its neurons go.

f(z) = sum_i a_i act(w_i . z) on standard normal inputs of the plane, against a teacher of four neurons. Every step is
forward-backward: a gradient step on a batch that is never used again, then the prox of the penalty on each neuron.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.study.networks import Network
from blasso_flow.study.outcome import OnProgress, Outcome, table, unheard
from blasso_flow.study.support import directions, small_teacher

LOSSES = ("squared", "logistic")
ACTIVATIONS = ("relu", "sigmoid")
NAMES = {"relu": "ReLU", "sigmoid": "sigmoid"}
PENALTIES = ("none", "l1", "l2")
NEURONS = 100
TEACHER_ANGLES = (0.2, 2.7, 1.1, 5.1)  # four different axes
BATCH = 100
STEPS, QUICK_STEPS = 50_000, 3000
RECORDS = 80
STEP = {"relu": 0.1, "sigmoid": 0.02}
STEEPNESS = {"relu": 1.0, "sigmoid": 4.0}  # of the teacher's inner weights: a flat sigmoid is a straight line
DECAY = 0.1  # of the steps, after which the step has halved
FIRST = 0.1  # |a| and |w| of the first neurons
STRENGTH = 1e-3  # of the penalty
SHARPNESS = 5.0  # of the teacher, so that logistic labels carry information
HELD_OUT = 20_000
CLOSE = np.deg2rad(10)


@dataclass(frozen=True)
class Design:
    """Loss R, activation and penalty V; the paper's whole list. Raises `UsageError` for an unknown one."""

    loss: str = "squared"
    activation: str = "relu"
    penalty: str = "none"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("loss", self.loss, LOSSES), ("activation", self.activation, ACTIVATIONS), ("penalty", self.penalty, PENALTIES),
        ):  # fmt: skip
            if value not in allowed:
                raise UsageError(f"unknown {name}", received=value, allowed=", ".join(allowed))

    def act(self, values: FloatArray) -> FloatArray:
        """The activation, any shape."""
        return np.maximum(values, 0.0) if self.activation == "relu" else np.asarray(expit(values))

    def act_slope(self, values: FloatArray) -> FloatArray:
        """Derivative of the activation, any shape."""
        if self.activation == "relu":
            return (values > 0).astype(np.float64)
        act = expit(values)
        return np.asarray(act * (1 - act))

    def labels(self, teacher_output: FloatArray, random: np.random.Generator) -> FloatArray:
        """What the network is to learn: the teacher's output, or labels +-1 drawn from it."""
        if self.loss == "squared":
            return teacher_output
        return np.where(random.random(teacher_output.shape) < expit(teacher_output), 1.0, -1.0)

    def losses(self, output: FloatArray, labels: FloatArray) -> FloatArray:
        """R of each sample."""
        if self.loss == "squared":
            return 0.5 * (output - labels) ** 2
        return np.asarray(np.logaddexp(0.0, -labels * output))

    def loss_slope(self, output: FloatArray, labels: FloatArray) -> FloatArray:
        """Derivative of R by the output, for each sample."""
        return output - labels if self.loss == "squared" else np.asarray(-labels * expit(-labels * output))

    def prox(self, values: FloatArray, step: float) -> FloatArray:
        """Prox of step * strength * V, entry by entry: V = |.| for l1, half the square for l2."""
        if self.penalty == "l1":
            return np.sign(values) * np.maximum(np.abs(values) - step * STRENGTH, 0.0)
        return values / (1 + step * STRENGTH) if self.penalty == "l2" else values


def output(design: Design, network: Network, inputs: FloatArray) -> FloatArray:
    """The network's output f, shape (n,), at inputs of shape (n, 2)."""
    return design.act(inputs @ network.inner.T) @ network.outer


def stochastic_step(design: Design, network: Network, inputs: FloatArray, labels: FloatArray, step: float) -> Network:
    """One forward-backward step on a batch of inputs (n, 2) with labels (n,)."""
    before = inputs @ network.inner.T
    active = design.act(before)
    slope = design.loss_slope(active @ network.outer, labels) / labels.size
    outer = network.outer - step * (slope @ active)
    pull = slope[:, None] * design.act_slope(before) * network.outer
    return Network(design.prox(outer, step), design.prox(network.inner - step * (pull.T @ inputs), step))


def study_network(
    *,
    seed: int = 0,
    quick: bool = False,
    loss: str = "squared",
    activation: str = "relu",
    penalty: str = "none",
    on_progress: OnProgress = unheard,
) -> Outcome:
    """Paths of |a| w of 100 neurons, the loss on held-out inputs, and how much of the network points as the teacher does."""
    design = Design(loss, activation, penalty)
    random = np.random.default_rng(seed)
    small = small_teacher(seed, TEACHER_ANGLES)
    teacher = Network((SHARPNESS if loss == "logistic" else 1.0) * small.outer, STEEPNESS[activation] * small.inner)
    inner = FIRST * directions(random.uniform(0, 2 * np.pi, NEURONS))
    network = Network(FIRST * random.choice([-1.0, 1.0], NEURONS), inner)
    held_out = random.standard_normal((HELD_OUT, 2))
    held_labels = design.labels(output(design, teacher, held_out), random)
    reached = float(design.losses(output(design, teacher, held_out), held_labels).mean())
    steps = QUICK_STEPS if quick else STEPS
    marks = set(np.unique(np.geomspace(1, steps, RECORDS).astype(np.int64)).tolist())
    paths, curve = [], []
    for number in range(steps + 1):
        if number == 0 or number in marks:
            excess = float(design.losses(output(design, network, held_out), held_labels).mean()) - reached
            places = np.abs(network.outer)[:, None] * network.inner
            paths.append(np.c_[np.full(NEURONS, number), np.arange(NEURONS), places, np.sign(network.outer)])
            curve.append((number, excess))
            on_progress(number / steps)
        batch = random.standard_normal((BATCH, 2))
        labels = design.labels(output(design, teacher, batch), random)
        network = stochastic_step(design, network, batch, labels, STEP[activation] / (1 + number / (DECAY * steps)))
    columns, losses = np.concatenate(paths).T, np.array(curve).T
    aligned = alignment(network, teacher)
    goal = np.abs(teacher.outer)[:, None] * teacher.inner
    return Outcome(
        "network",
        {"seed": seed, "quick": quick, "loss": loss, "activation": activation, "penalty": penalty, "neurons": NEURONS,
         "steps": steps, "batch": BATCH},
        {
            "paths": table(
                "neurons at |a| w", step=columns[0], neuron=columns[1], x=columns[2], y=columns[3], sign=columns[4]
            ),
            "losses": table("loss on held-out inputs above the teacher's", step=losses[0], excess=losses[1]),
            "teacher": table("the teacher's neurons at |a| w", x=goal[:, 0], y=goal[:, 1], sign=np.sign(teacher.outer)),
        },
        (
            f"{NEURONS} {NAMES[activation]} neurons, {loss} loss, penalty {penalty}: the loss above the teacher's falls from "
            f"{losses[1][0]:.2g} to {losses[1][-1]:.2g} in {steps:,} steps on fresh samples.",
            f"{aligned:.0%} of the network (by |a| |w|) points within 10 degrees of the axis of a teacher's neuron.",
        ),
    )  # fmt: skip


def alignment(network: Network, teacher: Network) -> float:
    """Share of |a| |w| within 10 degrees of the line through a teacher's neuron.

    The line, not the ray: relu(s) - relu(-s) = s, so a neuron and its mirror image differ by a linear function only.
    """
    mass = np.abs(network.outer) * np.linalg.norm(network.inner, axis=1)
    if not mass.any():
        return 0.0
    lengths = np.outer(np.linalg.norm(network.inner, axis=1), np.linalg.norm(teacher.inner, axis=1))
    cosine = np.abs(network.inner @ teacher.inner.T) / np.maximum(lengths, 1e-300)
    close = (cosine >= np.cos(CLOSE)).any(axis=1)
    return float(mass[close].sum() / mass.sum())
