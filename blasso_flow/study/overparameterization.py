"""How many particles it takes: excess loss at convergence against m, for the flow and for weights over fixed random features.

Deconvolution: excess over the certified optimum. Networks: a teacher of m0 neurons attains zero, and the loss over all
inputs is in closed form, so that the excess is no sampling noise. Excess is relative to the loss of the zero model.
"""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.flow import Flow, solve
from blasso_flow.problem.particles import Particles
from blasso_flow.problem.problem import Problem
from blasso_flow.study import networks
from blasso_flow.study.deconvolution import SPIKES, Deconvolution, draw
from blasso_flow.study.networks import ACTIVATIONS, Network
from blasso_flow.study.outcome import OnProgress, Outcome, table, unheard
from blasso_flow.study.workers import spread

PROBLEMS = ("deconvolution", "relu", "sigmoid")
DIMENSION = 100
NEURONS = 20  # of the teacher
NAMES = {"deconvolution": "Spikes", "relu": "ReLU network", "sigmoid": "Sigmoid network"}
COUNTS = {"deconvolution": (2, 3, 5, 7, 10, 15, 20, 40, 80), "relu": (5, 10, 20, 30, 40, 80), "sigmoid": (5, 10, 20, 40, 80)}
QUICK_COUNTS = {"deconvolution": (3, 5, 10, 20), "relu": (20, 80), "sigmoid": (20, 80)}
DRAWS, QUICK_DRAWS = 3, 1
ITERATIONS = {"relu": 20_000, "sigmoid": 50_000}
QUICK_ITERATIONS = {"relu": 1500, "sigmoid": 1500}
DECONVOLUTION_ITERATIONS = 20_000
TARGET = 1e-6  # excess at which a network's flow counts as converged
ENOUGH = 1e-5
LEAST = 1e-9  # excess below which the certified optimum itself is not known
CONVEX_ITERATIONS = 20_000


def study_overparameterization(*, seed: int = 0, quick: bool = False, on_progress: OnProgress = unheard) -> Outcome:
    """Excess of both methods for every problem, m and draw, and medians over draws."""
    counts, draws = (QUICK_COUNTS, QUICK_DRAWS) if quick else (COUNTS, DRAWS)
    iterations = QUICK_ITERATIONS if quick else ITERATIONS
    work = [(k, m, number) for k, problem in enumerate(PROBLEMS) for m in counts[problem] for number in range(draws)]
    shares = np.cumsum([cost(k, m) for k, m, _ in work])
    tasks = [(PROBLEMS[k], m, 1000 * seed + number, iterations.get(PROBLEMS[k], 0)) for k, m, number in work]
    ended = spread(run_one, tasks, lambda done: on_progress(float(shares[done] / shares[-1])))
    rows = [(*of, max(flow, LEAST), max(fixed, LEAST), steps) for of, (flow, fixed, steps) in zip(work, ended, strict=True)]
    runs = np.array(rows).T
    medians = np.array(
        [
            (k, m, *(np.median(runs[column][(runs[0] == k) & (runs[1] == m)]) for column in (3, 4)))
            for k, problem in enumerate(PROBLEMS)
            for m in counts[problem]
        ]
    ).T
    return Outcome(
        "overparameterization",
        {"seed": seed, "quick": quick, "draws": draws, "problems": list(PROBLEMS), "iterations": dict(iterations),
         "least": {"deconvolution": SPIKES, "relu": NEURONS, "sigmoid": NEURONS}},
        {
            "runs": table(
                "excess loss of every draw relative to the zero model; problem 0, 1, 2 as listed in the settings",
                problem=runs[0], particles=runs[1], draw=runs[2], flow=runs[3], fixed=runs[4], iterations=runs[5],
            ),
            "medians": table("medians over draws", problem=medians[0], particles=medians[1], flow=medians[2], fixed=medians[3]),
        },
        tuple(finding(problem, medians[:, medians[0] == k], draws, quick) for k, problem in enumerate(PROBLEMS)),
    )  # fmt: skip


def run_one(task: tuple[str, int, int, int]) -> tuple[float, float, int]:
    """Excess of both methods and the flow's iterations, of a problem, a number of particles, a seed and its iterations."""
    problem, particles, seed, iterations = task
    if problem == "deconvolution":
        return deconvolve(draw(seed), particles, seed)
    return train(problem, particles, seed, iterations)


def cost(problem: int, particles: int) -> float:
    """Share of the time that a run takes, roughly."""
    return 0.3 if problem == 0 else 1.0 + particles / 20


def finding(problem: str, medians: FloatArray, draws: int, quick: bool) -> str:
    """One sentence on a problem's medians (4, counts)."""
    least = SPIKES if problem == "deconvolution" else NEURONS
    wide = medians[:, medians[1] >= 4 * least]
    ratio = float((wide[3] / wide[2]).min())
    kept = f"below {ENOUGH:.0e}" if (wide[2] < ENOUGH).all() else f"NOT below {ENOUGH:.0e}"
    if quick and problem != "deconvolution":
        kept = "stopped early"
    many = "a draw" if draws == 1 else f"{draws} draws"
    factor = f"at least {ratio:.0f} times" if ratio < 1e4 else "more than 10,000 times"
    return (
        f"{NAMES[problem]}, {least} needed: from {wide[1].min():.0f} particles on, the flow's median excess is at most "
        f"{wide[2].max():.1e} ({kept}, {many}); weights alone stay {factor} above it."
    )


def deconvolve(drawn: Deconvolution, particles: int, seed: int) -> tuple[float, float, int]:
    """Excess of the flow from random positions, of the best weights there, and the flow's iterations."""
    problem, best = drawn.problem, drawn.optimum.dual_value
    zero = problem.objective(problem.residual(np.empty(0), np.empty(0), np.empty(0)), np.empty(0))
    start = np.sort(np.random.default_rng([seed, particles]).uniform(0, drawn.period, particles))
    flow = Flow("euclidean", particles, "random", seed=1000 * seed + particles, iterations=DECONVOLUTION_ITERATIONS)
    solution = solve(problem, flow, tol=1e-9, tol_noise=np.inf)
    fixed = problem.objective(*best_weights(problem, start))
    return (solution.objective - best) / zero, (fixed - best) / zero, solution.rounds


def best_weights(problem: Problem, position: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Residual and weights of least objective at fixed positions (samples): the lasso, by accelerated proximal steps."""
    features = problem.root[:, None] * problem.filter.response(np.arange(problem.values.size)[:, None] - position)
    gram, correlation = features.T @ features, features.T @ problem.whitened_values
    step = 1 / float(np.linalg.eigvalsh(gram)[-1])
    weight = ahead = np.zeros(position.size)
    momentum = 1.0
    for _ in range(CONVEX_ITERATIONS):
        forward = ahead - step * (gram @ ahead - correlation)
        after = np.sign(forward) * np.maximum(np.abs(forward) - step * problem.strength, 0.0)
        if (ahead - after) @ (after - weight) > 0:  # the momentum points uphill: forget it
            momentum = 1.0
        grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = after + (momentum - 1) / grown * (after - weight)
        change = float(np.abs(after - weight).max())
        weight, momentum = after, grown
        if change <= 1e-12 * float(np.abs(weight).max() + 1e-300):
            break
    return Particles.evaluate(problem, position, weight, np.empty(0)).curve, weight


def train(name: str, particles: int, seed: int, iterations: int) -> tuple[float, float, int]:
    """Excess of the flow of a network with random start, of the best output weights at that start, and the iterations.

    The teacher's and the student's neurons have the same law: inner weights normal with length about 1, output weights of
    random sign, whose sum of magnitudes is the teacher's. The inner weights' mobility is the paper's, with averages over
    neurons.
    """
    random = np.random.default_rng([seed, PROBLEMS.index(name)])
    teacher = normal_network(random, NEURONS, 1.0)
    random = np.random.default_rng([seed, PROBLEMS.index(name), particles])
    student = normal_network(random, particles, NEURONS / particles)
    activation = ACTIVATIONS[name]
    zero = networks.loss(activation, Network(np.zeros(1), student.inner[:1]), teacher)
    mobility = (particles / NEURONS) ** 2 if name == "sigmoid" else 1.0
    trained, steps = networks.descend(
        activation, student, teacher, mobility=mobility, strength=0.0, iterations=iterations, target=TARGET * zero
    )
    fixed = Network(networks.best_outer(activation, student.inner, teacher), student.inner)
    return networks.loss(activation, trained, teacher) / zero, networks.loss(activation, fixed, teacher) / zero, steps


def normal_network(random: np.random.Generator, neurons: int, size: float) -> Network:
    """Output weights +-size, inner weights normal of expected squared length 1."""
    inner = random.standard_normal((neurons, DIMENSION)) / np.sqrt(DIMENSION)
    return Network(size * random.choice([-1.0, 1.0], neurons), inner)
