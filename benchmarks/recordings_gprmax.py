"""Radar A-scan and lidar waveforms: the reflector's time, and how few spikes explain a waveform.

A position is where the wavelet's centre lies on the record's axis, which is the source's delay sqrt(2)/frequency plus the
travel; both are printed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blasso_flow.files import read_signal
from blasso_flow.recovery import recover

FREQUENCY = 1.5e9
RADAR = f"ricker:frequency={FREQUENCY:.3g},order=2.5"
AFTER = 2e-9  # s: the direct wave is over
MOST_SPIKES = 8


def gprmax(directory: Path) -> list[tuple[str, str, str]]:
    """Lines (what, ours, target) for gprmax_ascan.h5 and lidar.h5."""
    radar = recover(read_signal(str(Path(directory) / "gprmax_ascan.h5")), filter=RADAR, positive=False, strength="0.01max")
    late = radar.spikes.position > AFTER
    place = np.flatnonzero(late)[np.argmax(np.abs(radar.spikes.weight[late]))]
    time = float(radar.spikes.position[place])
    travel = time - np.sqrt(2) / FREQUENCY
    lidar = recover(read_signal(str(Path(directory) / "lidar.h5")))
    assert lidar.fit is not None and lidar.signal is not None
    counts = np.bincount(lidar.spikes.channel, minlength=len(lidar.channels))
    height = np.nanmax(lidar.signal.values, axis=1) - np.nanmin(lidar.signal.values, axis=1)
    missed = np.sqrt(np.nanmean(lidar.fit.residual**2, axis=1)) / height
    good = int(np.sum((missed <= 0.01) & (counts <= MOST_SPIKES)))
    return [
        ("radar: reflector's centre on the record's axis", f"{1e9 * time:.4f} ns", "2.288 +- 0.005 ns"),
        ("radar: its travel, the source's delay taken out", f"{1e9 * travel:.4f} ns", "geometry 1.343 to 1.347 ns"),
        ("radar: proven gap", f"{radar.channels[0].gap:.1e}", "no peer proves one"),
        ("lidar: median residual (rms over range)", f"{100 * np.median(missed):.2f} %", "1 %"),
        ("lidar: median and most spikes a waveform", f"{np.median(counts):.0f}, {counts.max()}", f"at most {MOST_SPIKES}"),
        ("lidar: waveforms within both", f"{good} of {counts.size}", f"{counts.size}"),
    ]
