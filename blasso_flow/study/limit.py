"""The limit of many particles: with the same law of the start, flows of more and more particles follow one and the same path.

Weights are averaged, (1/m) sum w_i delta, as in the paper, so that flow time means the same for every m; the step is fixed and
small, so that the path is that of the gradient flow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import wasserstein_distance

from blasso_flow.data.signals import FloatArray
from blasso_flow.flow.descent import Cloud, Descent
from blasso_flow.flow.euclidean import Euclidean
from blasso_flow.study.deconvolution import Deconvolution, draw
from blasso_flow.study.outcome import OnProgress, Outcome, table, unheard

STEP = 0.05
ITERATIONS = 4000
RECORDS = 40
COUNTS = (10, 30, 100, 300, 1000)
DRAWS = 20
QUICK_ITERATIONS = 400
QUICK_COUNTS = (10, 30, 100, 300)
QUICK_DRAWS = 3


def study_limit(*, seed: int = 0, quick: bool = False, on_progress: OnProgress = unheard) -> Outcome:
    """Objective against flow time for several m, and the distances from the largest m, over random starts.

    Positions of the start are uniform on the period, weights 0. The objective is that of all particles.
    """
    counts, draws, iterations = (QUICK_COUNTS, QUICK_DRAWS, QUICK_ITERATIONS) if quick else (COUNTS, DRAWS, ITERATIONS)
    drawn = draw(seed)
    marks = np.unique(np.geomspace(1, iterations, RECORDS).astype(np.int64))
    cut = seam(drawn)
    done, total = 0, draws * sum(counts)
    rows, distances = [], []
    for number in range(draws):
        runs: dict[int, list[Cloud]] = {}
        for m in counts:
            runs[m] = followed(drawn, m, (1000 * seed + number) * 10_000 + m, marks)
            rows += [(number, m, cloud.flow_time, objective(drawn, cloud) / drawn.optimum.objective - 1) for cloud in runs[m]]
            done += m
            on_progress(done / total)
        last = runs[counts[-1]]
        for m in counts[:-1]:
            distances.append((number, m, *apart(drawn, runs[m], last, cut)))
    flows, far = np.array(rows).T, np.array(distances).T
    medians = np.array([[np.median(far[column][far[1] == m]) for column in (2, 3)] for m in counts[:-1]]).T
    least, most = counts[0], counts[-2]
    return Outcome(
        "limit",
        {"seed": seed, "quick": quick, "step": STEP, "iterations": iterations, "draws": draws, "particles": list(counts)},
        {
            "flows": table(
                "objective relative to the certified optimum, minus 1, along every flow",
                draw=flows[0], particles=flows[1], flow_time=flows[2], excess=flows[3],
            ),
            "distances": table(
                "mean distance on the way from the flow with the most particles, in objective relative to the optimum and "
                "in position (Wasserstein, particles weighted by |weight|)",
                {"position": "period"},
                draw=far[0], particles=far[1], objective=far[2], position=far[3],
            ),
            "medians": table(
                "medians of the distances over the draws", {"position": "period"},
                particles=counts[:-1], objective=medians[0], position=medians[1],
            ),
        },
        (
            f"From {least} to {most} particles the flow comes closer to that of {counts[-1]:,}: by a factor of "
            f"{medians[0][0] / medians[0][-1]:.0f} in objective, "
            f"of {medians[1][0] / medians[1][-1]:.0f} in position ({draws} starts).",
            f"Mean distance in objective on the way, relative to the optimum: {_listed(counts, medians[0])}.",
            f"Mean distance in position, in periods: {_listed(counts, medians[1])}.",
        ),
    )  # fmt: skip


def _listed(counts: Sequence[int], values: FloatArray) -> str:
    return ", ".join(f"{m}: {value:.2g}" for m, value in zip(counts, values, strict=False))


def followed(drawn: Deconvolution, particles: int, seed: int, marks: Sequence[int] | np.ndarray) -> list[Cloud]:
    """The flow's clouds after the iterations in ``marks``, from uniform random positions and weight 0."""
    method = Descent(Euclidean(), particles, "random", STEP, seed, share=1 / particles)
    cloud = method.start(drawn.problem)
    clouds = []
    for mark in marks:
        cloud = method.iterated(drawn.problem, cloud, int(mark) - cloud.rounds)
        clouds.append(cloud)
    return clouds


def objective(drawn: Deconvolution, cloud: Cloud) -> float:
    """Objective J of all particles, those of no weight included."""
    problem = drawn.problem
    return problem.objective(problem.residual(cloud.places, cloud.weights, cloud.baseline), cloud.weights)


def seam(drawn: Deconvolution) -> float:
    """Where to cut the period open (samples): the middle of the widest space between true spikes."""
    position = np.sort(drawn.position)
    spaces = np.diff([*position, position[0] + drawn.period])
    widest = int(np.argmax(spaces))
    return float((position[widest] + spaces[widest] / 2) % drawn.period)


def apart(drawn: Deconvolution, clouds: list[Cloud], others: list[Cloud], cut: float) -> tuple[float, float]:
    """Mean distances between two flows at equal times: in objective relative to the optimum, and in position (periods)."""
    period = drawn.period
    objectives, positions = [], []
    for one, other in zip(clouds, others, strict=True):
        objectives.append(abs(objective(drawn, one) - objective(drawn, other)) / drawn.optimum.objective)
        places = [(cloud.places - cut) % period / period for cloud in (one, other)]
        masses = [np.abs(cloud.weights) for cloud in (one, other)]
        if all(mass.any() for mass in masses):
            positions.append(float(wasserstein_distance(*places, *masses)))
    return float(np.mean(objectives)), float(np.mean(positions))
