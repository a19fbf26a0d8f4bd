"""photon.h5: two surfaces in histograms of about 50 photons, with and without knowing their number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blasso_flow import filters
from blasso_flow.data.results import Recovery
from blasso_flow.data.signals import Signal
from blasso_flow.files import read_signal
from blasso_flow.recovery.filter_fit import fit_filter
from blasso_flow.recovery.filter_ranges import parse_ranges
from blasso_flow.recovery.interface import recover
from blasso_flow.recovery.settings import Settings

GAUSSIAN = "gaussian:sd=42"  # bins: the instrument's pulse as its notes have it
RANGES = "emg:sd=8..80,decay=8..120"  # bins: a pulse with a tail, fitted to the counts
FALSE_ALARMS = {True: 0.05, False: 0.02}  # a histogram: the default with the fitted pulse
AT_MOST = 0.5  # where the number of surfaces is known, which leaves only the most significant
TOLERANCE = 105.0  # bins
OFFSETS = (-7.0, 87.0)  # bins from each surface's reference to its photons, as the recording's notes say; measured again here
Line = tuple[str, str, str]


def photon(directory: Path) -> list[Line]:
    """Recall, precision and the first surface's error; truth is only matched against."""
    signal = read_signal(directory / "photon.h5")
    fitted = fit_filter(signal, parse_ranges(RANGES), Settings(loss="poisson")).filter
    lines: list[Line] = [("photon: filter from the counts", str(fitted), "")]
    for filter in (fitted, filters.describe(GAUSSIAN)):
        for most, recall_peer, precision_peer, error_peer in (
            (None, ".86", ".76", "9.5"),
            (2, ".82 / EM .882", ".85 / EM .882", "EM 8.7"),
        ):
            false = FALSE_ALARMS[filter == fitted] if most is None else AT_MOST
            found = recover(signal, filter=filter, loss="poisson", false_alarms=false, max_spikes=most)
            recall, precision, error = scored(signal, found)
            name = f"{filter.kind}, {'number unknown' if most is None else f'at most {most}'}"
            gap = max(channel.gap for channel in found.channels)
            lines += [
                (f"{name}: recall", f"{recall:.3f}", recall_peer),
                (f"{name}: precision", f"{precision:.3f}", precision_peer),
                (f"{name}: surface 1 mean error, bins", f"{error:.1f}", error_peer),
                (f"{name}: largest proven gap", f"{gap:.0e}", "1e-06"),
            ]
    return lines


def scored(signal: Signal, found: Recovery) -> tuple[float, float, float]:
    """Recall, precision, and mean error of surface 1, after one constant offset a surface (medians of what is matched)."""
    assert signal.truth is not None
    surface = signal.truth.numbered()
    offset = np.array(OFFSETS)
    for _ in range(3):
        pairs = [
            pair
            for channel in range(signal.channels)
            for pair in matched(signal, found, channel, signal.truth.position + offset[surface], surface)
        ]
        misses = [np.array([miss for which, miss in pairs if which == number]) for number in (0, 1)]
        offset = offset + [np.median(part) for part in misses]
    known = np.isfinite(signal.truth.position).sum()
    return len(pairs) / known, len(pairs) / len(found.spikes), float(np.abs(misses[0] - np.median(misses[0])).mean())


def matched(signal: Signal, found: Recovery, channel: int, places: np.ndarray, surface: np.ndarray) -> list[tuple[int, float]]:
    """Pairs of one channel, the most and then the nearest: surface and found minus known position."""
    from scipy.optimize import linear_sum_assignment

    assert signal.truth is not None
    own = (signal.truth.channel == channel) & np.isfinite(places)
    known, which, positions = places[own], surface[own], found.spikes.position[found.spikes.channel == channel]
    distance = np.abs(known[:, None] - positions)
    rows, columns = linear_sum_assignment(np.where(distance <= TOLERANCE, distance - 1e6, 0.0))
    return [
        (int(which[i]), float(positions[j] - known[i])) for i, j in zip(rows, columns, strict=True) if distance[i, j] <= TOLERANCE
    ]
