"""Paths of the particles, and how many particles it takes: forward-backward on the paper's deconvolution problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.flow import Solution
from blasso_flow.flow.descent import Cloud, Descent, certificates
from blasso_flow.flow.euclidean import Euclidean
from blasso_flow.flow.loop import run
from blasso_flow.study.deconvolution import SPIKES, Deconvolution, draw
from blasso_flow.study.outcome import OnProgress, Outcome, table, unheard

TOLERANCE = 1e-6
ITERATIONS = 60_000
PARTICLES = 10
COUNTS = (5, 6, 8, 10, 20, 100)
DRAWS = 50
QUICK_DRAWS = 4
QUICK_COUNTS = (5, 6, 10, 20)


@dataclass(frozen=True, eq=False)
class Followed:
    """One run: its solution and every certified iterate."""

    solution: Solution
    clouds: list[Cloud]


def follow(drawn: Deconvolution, particles: int) -> Followed:
    """The euclidean flow from w = 0 on a uniform grid."""
    clouds: list[Cloud] = []
    solution = run(
        drawn.problem,
        Descent(Euclidean(), particles),
        tol=TOLERANCE,
        tol_noise=np.inf,
        max_rounds=certificates(ITERATIONS),
        on_iterate=clouds.append,
    )
    return Followed(solution, clouds)


def study_trajectory(*, seed: int = 0, quick: bool = False, on_progress: OnProgress = unheard) -> Outcome:
    """Paths and gap of one draw with 10 particles, and the share of draws that attain the optimum by number of particles.

    Draw k has seed ``seed`` + k. A draw attains the optimum where the proven gap is at most 1e-6.
    """
    shown = draw(seed)
    followed = follow(shown, PARTICLES)
    counts, draws = (QUICK_COUNTS, QUICK_DRAWS) if quick else (COUNTS, DRAWS)
    runs = []
    for number in range(draws):
        drawn = draw(seed + number)
        for particles in counts:
            solution = follow(drawn, particles).solution
            runs.append((number, particles, solution.gap, solution.violation, solution.rounds))
            on_progress(len(runs) / (draws * len(counts)))
    columns = np.array(runs).T
    attained = columns[2] <= TOLERANCE
    shares, iterations = [], []
    for particles in counts:
        own = columns[1] == particles
        shares.append(float(attained[own].mean()))
        iterations.append(float(np.median(columns[4][attained & own])) if (attained & own).any() else np.nan)
    solution, optimum, period = followed.solution, shown.optimum, shown.period
    paths = [np.concatenate(part) for part in zip(*(_rows(cloud) for cloud in followed.clouds), strict=True)]
    tables = {
        "paths": table(
            "all particles of the draw that is shown", {"position": "period"},
            iteration=paths[0], particle=paths[1], position=paths[2] / period, weight=paths[3],
        ),
        "gaps": table(
            "proven gap of that draw, best so far",
            iteration=[row.round for row in solution.trace], gap=[row.gap for row in solution.trace],
        ),
        "truth": table("its true spikes", {"position": "period"}, position=shown.position / period, weight=shown.weight),
        "optimum": table(
            "its certified optimum", {"position": "period"}, position=optimum.position / period, weight=optimum.weight
        ),
        "runs": table(
            "every draw", draw=columns[0], particles=columns[1], gap=columns[2], violation=columns[3], iterations=columns[4]
        ),
        "shares": table(
            "share of the draws with a proven gap of at most 1e-6, and median iterations of those",
            particles=counts, share=shares, iterations=iterations,
        ),
    }  # fmt: skip
    ended = "reach the certified optimum" if solution.gap <= TOLERANCE else "do not reach the certified optimum"
    listed = ", ".join(f"{m}: {share:.0%}" for m, share in zip(counts, shares, strict=True))
    return Outcome(
        "trajectory",
        {"seed": seed, "quick": quick, "particles": PARTICLES, "spikes": SPIKES, "draws": draws, "tolerance": TOLERANCE},
        tables,
        (
            f"{PARTICLES} particles, from weight 0 on a uniform grid, {ended} of {optimum.position.size} spikes: "
            f"proven gap {solution.gap:.1e} after {solution.rounds} iterations.",
            f"Share of {draws} draws with a proven gap of at most {TOLERANCE:.0e}, by number of particles: {listed}.",
        ),
    )


def _rows(cloud: Cloud) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Iteration, particle, position and weight of every particle, (m,) each."""
    count = cloud.places.size
    return np.full(count, float(cloud.rounds)), np.arange(count, dtype=np.float64), cloud.places, cloud.weights
