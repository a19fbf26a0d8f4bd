"""Radar A-scan: the reflector's time.

A position is where the wavelet's centre lies on the record's axis, which is the source's delay sqrt(2)/frequency plus the
travel; both are printed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blasso_flow.files import read_signal
from blasso_flow.recovery.interface import recover

FREQUENCY = 1.5e9
RADAR = f"ricker:frequency={FREQUENCY:.3g},order=2.5"
AFTER = 2e-9  # s: the direct wave is over


def gprmax(directory: Path) -> list[tuple[str, str, str]]:
    """Lines (what, ours, target) for gprmax_ascan.h5."""
    radar = recover(read_signal(str(Path(directory) / "gprmax_ascan.h5")), filter=RADAR, positive=False, strength="0.01max")
    late = radar.spikes.position > AFTER
    place = np.flatnonzero(late)[np.argmax(np.abs(radar.spikes.weight[late]))]
    time = float(radar.spikes.position[place])
    travel = time - np.sqrt(2) / FREQUENCY
    return [
        ("radar: reflector's centre on the record's axis", f"{1e9 * time:.4f} ns", "2.288 +- 0.005 ns"),
        ("radar: its travel, the source's delay taken out", f"{1e9 * travel:.4f} ns", "geometry 1.343 to 1.347 ns"),
        ("radar: proven gap", f"{radar.channels[0].gap:.1e}", "no peer proves one"),
    ]
