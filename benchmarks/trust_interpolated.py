"""Records interpolated from a slower rate: are they recognised, and are spikes and error bars right there?

The slower samples are made without any table, from the continuous response: its value at a moment, or its average over the frame,
plus white noise; then they are interpolated. Full-rate records have white, coloured, low-pass or no noise, or drift.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, lfilter, resample, sosfilt

import blasso_flow as bf
from benchmarks.tables import at_least, at_most, head, row
from blasso_flow.data.signals import FloatArray
from blasso_flow.filters.superposition import filtered
from blasso_flow.noise.interpolation import find_interpolation

FRAMES = 400
SPIKES = 12
FRAME = 0.125  # axis units: 8 Hz
NOISE_SD = 0.06  # of a spike of weight 1
MOMENTS = (np.arange(64) + 0.5) / 64 - 0.5  # of a frame
RATIOS = (2, 4, 12)
SD = 1.2 * FRAME
RISE, DECAY = 0.8 * FRAME, 8 * FRAME
LENGTHS = (500, 1000, 2000, 5000, 20_000)


def bell(lag: FloatArray) -> FloatArray:
    """The Gaussian."""
    return np.asarray(np.exp(-0.5 * (lag / SD) ** 2))


def onset(lag: FloatArray) -> FloatArray:
    """The rise and decay, at most 1."""
    apex = np.log(DECAY / RISE) / (1 / RISE - 1 / DECAY)
    late, top = np.maximum(lag, 0.0), np.exp(-apex / DECAY) - np.exp(-apex / RISE)
    return np.asarray((np.exp(-late / DECAY) - np.exp(-late / RISE)) / top)


FILTERS = {"gaussian": (bell, f"gaussian:sd={SD}"), "decay": (onset, f"decay:rise={RISE},decay={DECAY}")}
INTERPOLATED: dict[str, Callable[[FloatArray, int], FloatArray]] = {
    "FFT": lambda slow, ratio: np.asarray(resample(slow, slow.size * ratio)),
    "cubic": lambda slow, ratio: np.asarray(CubicSpline(np.arange(slow.size), slow)(_between(slow, ratio))),
    "linear": lambda slow, ratio: np.interp(_between(slow, ratio), np.arange(slow.size), slow),
}


def _between(slow: FloatArray, ratio: int) -> FloatArray:
    return np.arange((slow.size - 1) * ratio + 1) / ratio


@dataclass
class Found:
    """What recover found in the records of one cell of the table."""

    recognised: list[bool] = field(default_factory=list)
    share: list[float] = field(default_factory=list)  # spikes found over true ones
    f1: list[float] = field(default_factory=list)
    position: list[float] = field(default_factory=list)  # errors in standard errors
    weight: list[float] = field(default_factory=list)

    def plus(self, other: Found) -> Found:
        """Both together."""
        return Found(**{name: [*getattr(self, name), *getattr(other, name)] for name in vars(self)})

    @property
    def numbers(self) -> tuple[float, float, float, float, float]:
        """Recognised, median share of spikes, F1, coverage of positions and of weights."""
        position, weight = (float(np.mean(np.abs(errors) < 2)) for errors in (self.position, self.weight))
        return float(np.mean(self.recognised)), float(np.median(self.share)), float(np.mean(self.f1)), position, weight


def recovered(name: str, how: str, ratio: int, frames: bool, records: int) -> Found:
    """Recover ``records`` interpolated records: of frames that average, or of point samples."""
    response, filter = FILTERS[name]
    seed = [list(FILTERS).index(name), list(INTERPOLATED).index(how), ratio, int(frames)]
    random, found = np.random.default_rng(seed), Found()
    moments = MOMENTS * FRAME if frames else np.zeros(1)
    at = np.arange(FRAMES) * FRAME
    for _ in range(records):
        true = np.sort(random.uniform(0.03, 0.94, SPIKES)) * at[-1]
        while np.diff(true).min() < 6 * FRAME:
            true = np.sort(random.uniform(0.03, 0.94, SPIKES)) * at[-1]
        weight = random.uniform(0.7, 1.5, SPIKES)
        slow = sum(w * response(at + moment - x) for x, w in zip(true, weight, strict=True) for moment in moments) / moments.size
        values = INTERPOLATED[how](slow + NOISE_SD * random.standard_normal(FRAMES), ratio)
        answer = bf.recover(values, spacing=FRAME / ratio, filter=filter)
        _add(found, answer, true, weight, ratio)
    return found


def _add(found: Found, answer: bf.Recovery, true: FloatArray, weight: FloatArray, ratio: int) -> None:
    report, spikes = answer.channels[0], answer.spikes
    found.recognised.append(bool(report.interpolation) and abs(report.ratio / ratio - 1) < 0.02)
    matched: set[int] = set()
    for x, w in zip(true, weight, strict=True):
        nearest = int(np.argmin(np.abs(spikes.position - x))) if len(spikes) else -1
        if nearest >= 0 and nearest not in matched and abs(spikes.position[nearest] - x) <= FRAME:
            matched.add(nearest)
            found.position.append(float((spikes.position[nearest] - x) / spikes.position_errors[nearest]))
            found.weight.append(float((spikes.weight[nearest] - w) / spikes.weight_errors[nearest]))
    found.share.append(len(spikes) / SPIKES)
    found.f1.append(2 * len(matched) / (len(spikes) + SPIKES))


def full_rate(random: np.random.Generator, records: int, lengths: Sequence[int] = LENGTHS) -> Iterator[tuple[str, FloatArray]]:
    """Records that are as they were recorded, and their noise."""

    def low_pass(size: int, cut: float) -> FloatArray:
        return np.asarray(sosfilt(butter(4, cut, output="sos"), random.standard_normal(size)))

    noises: dict[str, Callable[[int], FloatArray]] = {
        "white": random.standard_normal,
        "AR(1) 0.6": lambda size: np.asarray(lfilter([1.0], [1.0, -0.6], random.standard_normal(size))),
        "AR(1) 0.95": lambda size: np.asarray(lfilter([1.0], [1.0, -0.95], random.standard_normal(size))),
        "low-pass 1/2": lambda size: low_pass(size, 0.5),
        "low-pass 1/10": lambda size: low_pass(size, 0.1),
        "none": np.zeros,
        "drift": lambda size: random.standard_normal(size) + 20 * np.sin(np.arange(size) / size * random.uniform(2, 9)),
    }
    shapes: dict[str, Callable[[], bf.FilterDescription]] = {
        "gaussian": lambda: bf.filters.gaussian(sd=random.uniform(1.5, 10)),
        "ricker": lambda: bf.filters.ricker(frequency=random.uniform(0.02, 0.1)),
        "decay": lambda: bf.filters.decay(rise=random.uniform(1, 6), decay=random.uniform(10, 50)),
        "emg": lambda: bf.filters.emg(sd=random.uniform(2, 6), decay=random.uniform(4, 20)),
    }
    for noise, drawn in noises.items():
        for shape in shapes.values():
            for size in records * tuple(lengths):
                table = bf.filters.build(shape(), bf.Axis(0.0, 1.0, size))
                spikes = size // 80
                height = random.uniform(0.5, 1.5, spikes) * random.choice([3, 30])
                yield noise, filtered(table, random.uniform(0, size - 1, spikes), height, size) + drawn(size)


def seconds_of_a_look(size: int, correlation: float) -> float:
    """Median time of looking at a full-rate record of noise."""
    values = np.asarray(lfilter([1.0], [1.0, -correlation], np.random.default_rng(0).standard_normal(size)))
    times = []
    for _ in range(101):
        begun = perf_counter()
        find_interpolation(values)
        times.append(perf_counter() - begun)
    return float(np.median(times))


def table(records: int = 12) -> None:
    """Print the table: ``records`` records of every kind."""
    head(
        f"Interpolated records, {records} a row for each of point samples and averaging frames. Spikes: median over the true "
        "number, within 15 %. F1 at one slower sample: at least .9, .85 linear. 2 standard errors cover .88 to .98 of positions "
        "and weights, give or take twice what chance makes of .95.",
        *("filter", "interpolated", "to one", "recognised", "spikes", "F1", "positions", "weights", "asked"),
    )
    every = Found()
    for name in FILTERS:
        for how in INTERPOLATED:
            for ratio in RATIOS:
                found = recovered(name, how, ratio, False, records).plus(recovered(name, how, ratio, True, records))
                every = every.plus(found)
                seen, share, f1, position, weight = found.numbers
                least = 0.85 if how == "linear" else 0.9
                chance = 2 * np.sqrt(0.95 * 0.05 / max(len(found.position), 1))
                covered = all(0.88 - chance <= value <= 0.98 + chance for value in (position, weight))
                good = abs(share - 1) <= 0.15 and f1 >= least and covered
                cells = (f"{value:.3f}" for value in (seen, share, f1, position, weight))
                row(name, how, ratio, *cells, "holds" if good else "MISSED")
    seen, _, f1, position, weight = every.numbers
    print()
    head("All of them, full-rate records taken for interpolated ones, and what a look costs.", "what", "reached", "asked")
    row("recognised", f"{seen:.3f}", at_least(0.98, seen))
    row("F1", f"{f1:.3f}", at_least(0.9, f1))
    row("2 standard errors cover positions", f"{position:.3f}", "holds" if 0.88 <= position <= 0.98 else "MISSED")
    row("2 standard errors cover weights", f"{weight:.3f}", "holds" if 0.88 <= weight <= 0.98 else "MISSED")
    looked = [(noise, find_interpolation(values) is not None) for noise, values in full_rate(np.random.default_rng(1), records)]
    wrong = sum(taken for _, taken in looked)
    row(f"taken for one, of {len(looked)} full-rate records", wrong, at_most(0.005, wrong / len(looked), " of them"))
    for noise, correlation in (("white", 0.0), ("AR(1) 0.97", 0.97)):  # the second passes the first, quick look
        milliseconds = 1e3 * seconds_of_a_look(1000, correlation)
        row(f"a look at 1,000 samples, {noise}", f"{milliseconds:.2f} ms", at_most(0.3, milliseconds, " ms"))


def main() -> None:
    """Print the table, alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=12, help="records of every kind")
    table(parser.parse_args().records)


if __name__ == "__main__":
    main()
