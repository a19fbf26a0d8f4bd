"""A width that changes along the axis: sd^2 = a + b position, for Gaussian filters. One channel is recovered in blocks.

The table, the kernels, the certificate and its audit all rest on one response for every position. Warping the axis until
the width is constant would keep that, but the warped samples are not uniform: resampling them correlates the noise, and
the proof would then be about other data than the recording. So the record is cut instead. Each block has a filter of
constant width, that of its middle, from which the law strays by a stated tolerance inside the block; it reaches a margin
beyond the part that it answers for, so that spikes outside do not disturb it. A cut lies in the widest gap between the
spikes around it, so that no spike is answered for twice or not at all. Every block is proven on its own. The proof is not
one about the whole record, and the report says so: status and gap are those of the worst block. Draws and reads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np

from blasso_flow.errors import UsageError
from blasso_flow.recovery import ChannelRecovery, assemble, recover_channel, tabulated
from blasso_flow.settings import Settings
from blasso_flow.signals import FilterDescription, FloatArray, Signal
from blasso_flow.spikes import Fit, Optimum, Recovery, Spikes, Status

Columns = TypeVar("Columns", Spikes, Optimum)

TOLERANCE = 0.02  # relative: how far a width inside a block may be from that of its middle
MARGIN = 12.0  # in sd: how far a block reaches beyond the part that it answers for
SHORTEST = 30.0  # in sd: the length a block has at the least
CUT = 6.0  # in sd: how far a cut may move to the widest gap between spikes


@dataclass(frozen=True)
class WidthLaw:
    """sd^2 = a + b position, all in axis units."""

    a: float
    b: float

    def sd(self, position: float) -> float:
        """Standard deviation at a position. Raises `UsageError` where the law gives none."""
        square = self.a + self.b * position
        if not (np.isfinite(square) and square > 0):
            raise UsageError(
                f"the width law {self.a:g},{self.b:g} gives no width at {position:g}",
                received=f"sd^2 = {square:g}",
                allowed="above 0 on the whole axis",
            )
        return float(np.sqrt(square))


@dataclass(frozen=True)
class Block:
    """Samples ``start`` to ``stop`` (not included) are fitted; spikes between ``low`` and ``high`` (axis units) are its own."""

    start: int
    stop: int
    low: float
    high: float
    sd: float


def blocks(signal: Signal, law: WidthLaw, tolerance: float = TOLERANCE) -> list[Block]:
    """Blocks that cover the axis. Raises `UsageError` for a law or a tolerance that cannot be used."""
    if not 0 < tolerance < 1:
        raise UsageError("the tolerance of the width is out of range", received=tolerance, allowed="above 0 and below 1")
    axis = signal.axis
    law.sd(axis.last)
    cuts = [axis.first]
    while cuts[-1] < axis.last:
        sd = law.sd(cuts[-1])
        change = (1 + tolerance) ** 4 - 1 if law.b > 0 else 1 - (1 - tolerance) ** 4
        length = change * sd**2 / abs(law.b) if law.b else np.inf
        end = cuts[-1] + max(length, SHORTEST * sd)
        cuts.append(end if end + 2 * CUT * sd < axis.last else axis.last)
    found = []
    for low, high in pairwise(cuts):
        sd = law.sd((low + high) / 2)
        start, stop = axis.to_samples([low - MARGIN * sd, high + MARGIN * sd])
        found.append(Block(max(0, int(np.floor(start))), min(axis.size, int(np.ceil(stop)) + 1), low, high, sd))
    return found


def recover_blocks(signal: Signal, law: tuple[float, float], tolerance: float = TOLERANCE, **settings: object) -> Recovery:
    """Recover every channel with Gaussians of sd^2 = a + b position, ``law`` = (a, b) in axis units.

    A width strays from the law's by at most ``tolerance``, more only where the blocks would be shorter than 30 sd; how far
    it does is stored with the settings. ``settings`` are those of `settings.Settings`, without a filter; margin, stamp and
    origin are not supported here. The expected false alarms are shared among the blocks by length. Spikes, optimum and
    curves are put together from the blocks; objective, dual value and gap are the worst block's, and a note says what is
    proven.
    """
    refused = sorted({"filter", "margin", "stamp", "origin"} & set(settings))
    if refused:
        raise UsageError("not to be combined with a width law", received=", ".join(refused))
    chosen = Settings(**settings)  # type: ignore[arg-type]
    parts = blocks(signal, WidthLaw(*law), tolerance)
    off = max(abs(WidthLaw(*law).sd(end) / part.sd - 1) for part in parts for end in (part.low, part.high))
    done = [_joined_channel(channel, number, parts, chosen, off) for number, channel in enumerate(signal)]
    described = chosen.described(tabulated(signal, replace(chosen, filter=_gaussian(parts[len(parts) // 2].sd))))
    return assemble(done, signal, {**described, "width_law": list(law), "width_error": off, "blocks": len(parts)})


def _gaussian(sd: float) -> FilterDescription:
    return FilterDescription("gaussian", {"sd": sd})


def _joined_channel(channel: Signal, number: int, parts: Sequence[Block], settings: Settings, off: float) -> ChannelRecovery:
    results, own = [], []
    low = -np.inf
    total = channel.axis.last - channel.axis.first
    for index, block in enumerate(parts):
        share = max((block.high - block.low) / total, 1e-9) if len(parts) > 1 else 1.0
        own_settings = replace(settings, filter=_gaussian(block.sd), false_alarms=settings.false_alarms * share)
        piece = _piece(channel, block)
        results.append(recover_channel(piece, number, tabulated(piece, own_settings), own_settings))
        high = np.inf if index == len(parts) - 1 else _cut(results[-1].optimum.position, block)
        own.append((low, high))
        low = high
    return _joined(channel, number, parts, results, own, off)


def _piece(channel: Signal, block: Block) -> Signal:
    span = slice(block.start, block.stop)
    axis = replace(channel.axis, first=float(channel.axis.from_samples(block.start)), size=block.stop - block.start)
    noise = channel.noise_sd[span] if isinstance(channel.noise_sd, np.ndarray) else channel.noise_sd
    return replace(channel, values=channel.values[span], axis=axis, noise_sd=noise, truth=None)


def _cut(position: FloatArray, block: Block) -> float:
    """Middle of the widest gap between spikes near the block's end."""
    near = position[np.abs(position - block.high) < CUT * block.sd]
    ends = np.concatenate([[block.high - CUT * block.sd], near, [block.high + CUT * block.sd]])
    widest = int(np.argmax(np.diff(ends)))
    return float((ends[widest] + ends[widest + 1]) / 2)


def _joined(
    channel: Signal,
    number: int,
    parts: Sequence[Block],
    results: Sequence[ChannelRecovery],
    own: Sequence[tuple[float, float]],
    off: float,
) -> ChannelRecovery:
    spikes: list[Spikes] = []
    optima: list[Optimum] = []
    model, baseline = np.full((2, channel.values.size), np.nan)
    at, groups = channel.axis.positions(), 0
    for block, result, (low, high) in zip(parts, results, own, strict=True):
        spikes.append(_kept(result.spikes, low, high))
        spikes[-1] = replace(spikes[-1], group=spikes[-1].group + groups)
        groups += int(result.spikes.group.max(initial=-1)) + 1
        optima.append(_kept(result.optimum, low, high))
        inside = (at[block.start : block.stop] >= low) & (at[block.start : block.stop] < high)
        for curve, piece in ((model, result.fit.model), (baseline, result.fit.baseline)):
            curve[block.start : block.stop][inside] = piece[inside]
    worst = max(range(len(results)), key=lambda index: _badness(results[index]))
    report = results[worst].report
    if len(parts) > 1:
        note = (
            f"width law: {len(parts)} blocks, each proven on its own with one width, which is within "
            f"{100 * off:.2g} % of the law's; objective and gap are those of the worst block, not of the whole record"
        )
        message = f"block {worst + 1} of {len(parts)}: {report.message}" if report.message else report.message
        notes = dict.fromkeys([note, *(text for result in results for text in result.report.notes)])
        report = replace(report, message=message, notes=tuple(notes), seconds=sum(r.report.seconds for r in results))
    return ChannelRecovery(_stacked(spikes), _stacked(optima), report, Fit(model, channel.values - model, baseline))


def _badness(result: ChannelRecovery) -> tuple[bool, float]:
    gap = result.report.gap
    return result.report.status is not Status.CONVERGED, float("inf") if np.isnan(gap) else gap


def _kept(columns: Columns, low: float, high: float) -> Columns:
    keep = (columns.position >= low) & (columns.position < high)
    return replace(columns, **{name: getattr(columns, name)[keep] for name in columns.__dataclass_fields__})


def _stacked(parts: Sequence[Columns]) -> Columns:
    first = parts[0]
    return replace(
        first, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in first.__dataclass_fields__}
    )
