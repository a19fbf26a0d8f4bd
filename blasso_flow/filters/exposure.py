"""Exposure: any filter averaged over the time in which a sample collects, and the moment that the axis denotes.

A sample whose shutter is open for ``exposure`` spacings, centred on it, sees the average of the response over a box. The
average is by Gauss-Legendre quadrature on pieces that end on the filter's knots: it does not cancel for short exposures,
as a difference of antiderivatives would, and is exact to rounding. Each knot turns into two, half an exposure to either side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters.kinds import Design, FilterKind

NODES = 16  # of the quadrature on one piece, which is no longer than the width
STAMPS: Mapping[str, float] = {"start": 0.5, "middle": 0.0, "end": -0.5}  # exposures from the stamp to the middle
STEEPEST = 1e-6  # samples: pieces are no shorter than this, however narrow the filter


def averaged(design: Design, exposure: float) -> Design:
    """A design averaged over a box of ``exposure`` samples, centred. A design with ``phases`` has knots on all its cell edges."""
    if exposure == 0:
        return design
    half = exposure / 2
    inner = np.arange(design.phases) / design.phases if design.phases else np.empty(0)
    knots = np.concatenate([design.knots, inner])
    edges = np.sort(np.concatenate([knots - half, knots + half]))
    return replace(
        design,
        response=lambda lag: average(design, np.asarray(lag, dtype=np.float64), exposure),
        support=(design.support[0] - half, design.support[1] + half),
        width=float(np.sqrt(design.width**2 + exposure**2 / 12)),
        knots=tuple(edges.tolist()),
        phases=design.phases,
        tail_from=design.tail_from + half,
    )


def average(design: Design, lag: FloatArray, exposure: float) -> FloatArray:
    """Mean of the response over [lag - exposure/2, lag + exposure/2] (samples), for lags of any shape."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    low, high = lag - exposure / 2, lag + exposure / 2
    total = np.zeros(lag.shape)
    for left, right in pairwise(_breaks(design, low, high, exposure)):
        half = (right - left) / 2
        if not half.any():
            continue
        for where, share in zip(node, weight, strict=True):
            total += share * half * design.response((left + right) / 2 + where * half)
    return np.asarray(total / exposure)


def _breaks(design: Design, low: FloatArray, high: FloatArray, exposure: float) -> FloatArray:
    """Ends of the pieces of every box, sorted along the first axis: knots, or the cell edges of a spline, and equal parts."""
    pieces = int(np.ceil(exposure / max(design.width, STEEPEST)))
    points = [low + part * (high - low) for part in np.arange(pieces + 1) / pieces]
    points += [np.clip(knot, low, high) for knot in design.knots]
    if design.phases:
        first = np.ceil(low * design.phases)
        points += [np.clip((first + k) / design.phases, low, high) for k in range(int(exposure * design.phases) + 2)]
    return np.sort(np.array(points), axis=0)


def designed(kind: FilterKind, description: FilterDescription, spacing: float, samples: int) -> Design:
    """The design of a described filter, averaged over its exposure unless the kind does that in closed form."""
    parameters = kind.checked(description)
    exposure = 0.0 if kind.averages else parameters.pop("exposure", 0.0)
    return averaged(kind.design(description, parameters, spacing, samples), exposure)


def exposed(description: FilterDescription, exposure: float | None) -> FilterDescription:
    """The description with its ``exposure`` parameter set. Raises `UsageError` if it already says another."""
    if exposure is None:
        return description
    own = description.parameters.get("exposure")
    if own is not None and own != exposure:
        raise UsageError(
            "two different exposures", received=f"{exposure:g}, and {own:g} in {description}", mend="give one of them"
        )
    return replace(description, parameters={**description.parameters, "exposure": float(exposure)})


def time_shift(stamp: str, origin: float, exposure: float, spacing: float) -> float:
    """What to add to the axis (axis units) so that its values are the middles of the exposures, counted from the origin."""
    if stamp not in STAMPS:
        raise UsageError("unknown stamp", received=stamp, allowed=", ".join(STAMPS))
    if not np.isfinite(origin):
        raise UsageError("origin is out of range", received=origin, allowed="a finite number, axis units")
    if stamp != "middle" and exposure == 0:
        raise UsageError(
            f"`stamp={stamp}` needs an exposure",
            received="exposure 0",
            mend="give `exposure=`, 1 when the shutter is always open",
        )
    return origin + STAMPS[stamp] * exposure * spacing
