"""Bias of positions when exposure or stamp is given wrongly: the table of docs/exposure.md, by `python benchmarks/exposure.py`.

The recordings are made without any table: the continuous signal is added up over 400 moments of each exposure. The shutter
is open from sample to sample, so that the true stamp is the start of the exposure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import blasso_flow as bf

TRUE = 60.0 + 90.0 * np.arange(8) + np.array([0.03, 0.17, 0.29, 0.41, 0.56, 0.68, 0.83, 0.94])
NOISE_SD = 1e-3
MOMENTS = (np.arange(400) + 0.5) / 400
GIVEN: dict[str, dict[str, object]] = {
    "exposure 1, stamp start (right)": {"exposure": 1.0, "stamp": "start"},
    "exposure 1, stamp middle": {"exposure": 1.0},
    "exposure 1, stamp end": {"exposure": 1.0, "stamp": "end"},
    "exposure 0": {"exposure": 0.0},
}


def bell(lag: np.ndarray) -> np.ndarray:
    """A Gaussian of sd 1.2 samples."""
    return np.asarray(np.exp(-0.5 * (lag / 1.2) ** 2))


def onset(lag: np.ndarray) -> np.ndarray:
    """exp(-t/20) - exp(-t/2) from t = 0 on."""
    t = np.maximum(lag, 0.0)
    return np.asarray(np.exp(-t / 20) - np.exp(-t / 2))


def bias(response: Callable[[np.ndarray], np.ndarray], filter: str, given: dict[str, Any]) -> float:
    """Mean error of the eight positions, in samples."""
    at = np.arange(800.0)
    values = sum(response(at + moment - x) for x in TRUE for moment in MOMENTS) / MOMENTS.size
    values = values + NOISE_SD * np.random.default_rng(5).standard_normal(at.size)
    signal = bf.Signal(values, bf.Axis(0.0, 1.0, at.size), noise_sd=NOISE_SD)
    found = bf.recover(signal, filter=filter, **given).spikes.position
    return float(np.mean([found[np.argmin(np.abs(found - x))] - x for x in TRUE]))


def main() -> None:
    """Print the table."""
    print("| what `recover` is given | Gaussian, sd 1.2 samples | decay, rise 2, decay 20 samples |")
    print("|---|---|---|")
    for name, given in GIVEN.items():
        pair = bias(bell, "gaussian:sd=1.2", given), bias(onset, "decay:rise=2,decay=20", given)
        print(f"| {name} | {pair[0]:+.3f} | {pair[1]:+.3f} |", flush=True)


if __name__ == "__main__":
    main()
