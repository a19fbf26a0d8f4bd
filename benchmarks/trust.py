"""May one trust the answer? False spikes and coverage in coloured noise, spikes on a drift, and what the verdict says of faults.

Seeds are fixed; the truth is used for scoring only. Low-pass noise has a white floor of a twentieth of its sd, as a recorder has.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from time import process_time

import numpy as np
from scipy.optimize import linear_sum_assignment

import blasso_flow as bf
from benchmarks import trust_cases as cases
from benchmarks.tables import at_least, at_most, head, row

FAR = 1e6
FEW = 1.96  # standard errors that chance may be off


def scored(case: cases.Case, recovery: bf.Recovery, reach: float) -> tuple[int, float, list[float], list[float]]:
    """False spikes, recall, and errors of positions and weights in their standard errors."""
    spikes = recovery.spikes
    far = np.abs(spikes.position[:, None] - case.position)
    rows, columns = linear_sum_assignment(np.where(far < reach, far, FAR))
    near = far[rows, columns] < reach
    rows, columns = rows[near], columns[near]
    position = (spikes.position[rows] - case.position[columns]) / spikes.position_errors[rows]
    weight = (spikes.weight[rows] - case.weight[columns]) / spikes.weight_errors[rows]
    return len(spikes) - rows.size, rows.size / case.position.size, list(position), list(weight)


def recovered(case: cases.Case, **options: object) -> bf.Recovery:
    """The case with its own options, else the defaults."""
    signed = any(case.filter.startswith(name) for name in cases.SIGNED)
    return bf.recover(case.values, filter=case.filter, positive=not signed, **{**case.options, **options})  # type: ignore[arg-type]


def noise_table(records: int, sizes: tuple[int, ...]) -> None:
    """False spikes a record, recall and coverage by the colour of the noise."""
    head(
        f"Spikes of 8 sd where noise is white, .05 false ones a record asked for, {records} records a cell of {len(sizes)} sizes "
        f"({', '.join(map(str, sizes))} samples). 2 standard errors cover .91 to .97 of positions and weights.",
        *("filter", "noise", "false a record", "recall", "positions", "weights", "order", "CPU s", "asked"),
    )
    for name in cases.FILTERS:
        for kind in cases.NOISES:
            false, recall, order, begun = [], [], [], process_time()
            position: list[float] = []
            weight: list[float] = []
            for size in sizes:
                reach = 2 * cases.table(name, size).length
                for seed in range(records):
                    case = cases.with_noise(name, kind, size, seed)
                    answer = recovered(case)
                    wrong, found, x, w = scored(case, answer, reach)
                    false.append(wrong)
                    recall.append(found)
                    position += x
                    weight += w
                    order.append(answer.channels[0].whitener.size)
            seconds = (process_time() - begun) / len(false)
            covered = [float(np.mean(np.abs(errors) < 2)) if errors else np.nan for errors in (position, weight)]
            chance = FEW * np.sqrt(0.05 * 0.95 / max(len(position), 1))
            rate, most = float(np.mean(false)), 0.08 + FEW * np.sqrt(0.05 / len(false))
            good = rate <= most and np.mean(recall) >= 0.98 and all(0.91 - chance <= c <= 0.97 + chance for c in covered)
            cells = (f"{value:.3f}" for value in (rate, float(np.mean(recall)), *covered))
            row(name, kind, *cells, f"{np.mean(order):.1f}", f"{seconds:.2f}", "holds" if good else "MISSED")


def drift_table(records: int, size: int = 2000) -> None:
    """Number of spikes on drifts, and how often a clean record keeps its constant."""
    print()
    head(
        f"Spikes of 10 to 30 sd on a drift of 3 sd, {records} records of {size} samples a row; over the true number, within 10 "
        "%. Time against a constant baseline with the same noise.",
        *("filter", "drift", "spikes, on a constant", "spikes", "asked", "time", "asked"),
    )
    kept, clean = 0, 0
    for name in cases.FILTERS:
        for kind in cases.DRIFTS:
            share, plain, seconds = [], [], np.zeros(2)
            for seed in range(records):
                case = cases.with_drift(name, kind, size, seed)
                begun = process_time()
                answer = recovered(case)
                middle = process_time()
                constant = recovered(case, baseline="const", noise="white")
                seconds += (middle - begun, process_time() - middle)
                share.append(len(answer.spikes) / case.position.size)
                plain.append(len(constant.spikes) / case.position.size)
            middle_share = float(np.median(share))
            good = abs(middle_share - 1) <= 0.1
            times = seconds[0] / seconds[1]
            shares = f"{np.median(plain):.2f}", f"{middle_share:.2f}", "holds" if good else "MISSED"
            row(name, kind, *shares, f"{times:.1f}", at_most(3, times))
        for seed in range(4 * records):
            answer = recovered(cases.with_drift(name, "none", size, 1000 + seed))
            kept += answer.channels[0].baseline_rule == "const"
            clean += 1
    print()
    print(f"{kept} of {clean} clean records keep a constant: {at_least(0.97, kept / clean)}")


def verdict_table(records: int, sizes: tuple[int, ...] = (1000, 4000)) -> None:
    """What the verdict says of good records and of every fault."""
    print()
    head(
        f"The verdict, {records} records of each of {len(cases.FILTERS)} filters and of {sizes} samples a row. Good ones called "
        "wrong: at most 2 %, bad ones called good: at most 3 %.",
        *("record", "good", "doubtful", "wrong"),
    )
    bad: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for fault in ("good", *cases.WRONG):
        found: Counter[str] = Counter()
        for name in cases.FILTERS:
            for size in sizes:
                for seed in range(4 * records if fault == "good" else records):
                    answer = recovered(cases.wrong(fault, name, size, 500 + seed))
                    found[str(answer.channels[0].fit)] += 1
        (good if fault == "good" else bad).update(found)
        row(fault, *(found[word] for word in ("good", "doubtful", "wrong")))
    for words, share, most in (
        ("good called wrong", good["wrong"] / good.total(), 0.02),
        ("bad called good", bad["good"] / bad.total(), 0.03),
    ):
        print(f"\n{words}: {100 * share:.1f} %: {at_most(100 * most, 100 * share, ' %')}")


def speed_table(channels: int) -> None:
    """What the defaults cost on clean, white records."""
    print()
    head(
        "The defaults, verdict included, against white noise on a constant baseline: CPU time on clean records.",
        *("record", "filter", "ms a channel, plain", "ms a channel, defaults", "ratio", "asked"),
    )
    for name in cases.FILTERS:
        values = np.stack([cases.with_drift(name, "none", 1000, 2000 + seed).values for seed in range(channels)])
        case = cases.Case(values, np.empty(0), np.empty(0), cases.FILTERS[name])
        recovered(cases.Case(values[:2], case.position, case.weight, case.filter))
        begun = process_time()
        recovered(case, noise="white", baseline="const", sampling_rate="as-given")
        middle = process_time()
        recovered(case)
        plain, whole = middle - begun, process_time() - middle
        each = (f"{1e3 * seconds / channels:.1f}" for seconds in (plain, whole))
        row(f"{channels} x 1,000 samples", name, *each, f"{whole / plain:.2f}", at_most(2.0, whole / plain))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10, help="records of every kind")
    parser.add_argument("--quick", action="store_true", help="few records of 1,000 samples")
    parser.add_argument("--only", choices=("noise", "drift", "verdict", "speed"), help="one of the tables")
    given = parser.parse_args()
    records = 2 if given.quick else given.records
    tables: dict[str, Callable[[], None]] = {
        "noise": lambda: noise_table(records, (1000,) if given.quick else (500, 2000, 20_000)),
        "drift": lambda: drift_table(records),
        "verdict": lambda: verdict_table(max(1, records // 2), (1000,) if given.quick else (1000, 4000)),
        "speed": lambda: speed_table(20 if given.quick else 1000),
    }
    for name, table in tables.items():
        if given.only in (None, name):
            table()


if __name__ == "__main__":
    main()
