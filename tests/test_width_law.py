"""A width that changes along the axis: blocks cover it, spikes are answered for once, and what is proven is said."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import blasso_flow as bf
from blasso_flow.audit import audit
from blasso_flow.errors import UsageError
from blasso_flow.filters import gaussian
from blasso_flow.plots.curves import filter_of
from blasso_flow.signals import Axis
from blasso_flow.width_law import WidthLaw, blocks, recover_blocks

LAW = (4.0, 0.006)  # sd from 2 to 4 samples
AXIS = Axis(0.0, 1.0, 2000)


def peaks(position: np.ndarray, weight: np.ndarray, noise_sd: float) -> bf.Signal:
    at = AXIS.positions()
    values = sum(w * gaussian.response(at - x, WidthLaw(*LAW).sd(x)) for x, w in zip(position, weight, strict=True))
    values = values + noise_sd * np.random.default_rng(3).standard_normal(AXIS.size)
    return bf.Signal(values, AXIS, noise_sd=noise_sd)


@pytest.mark.parametrize("law", [LAW, (16.0, -0.006), (9.0, 0.0)])
def test_blocks_cover_the_axis_with_the_law_s_width(law: tuple[float, float]) -> None:
    signal = bf.Signal(np.zeros(AXIS.size), AXIS)
    parts = blocks(signal, WidthLaw(*law), 0.02)
    assert parts[0].low == AXIS.first and parts[-1].high == AXIS.last
    for part, after in pairwise(parts):
        assert part.high == after.low
    for part in parts:
        assert part.start <= max(0, part.low - 11 * part.sd) and part.stop >= min(AXIS.size, part.high + 11 * part.sd)
        for end in (part.low, part.high):
            assert abs(WidthLaw(*law).sd(end) / part.sd - 1) < 0.025
    assert (len(parts) == 1) == (law[1] == 0)


def test_every_spike_is_found_once_where_one_width_would_fail() -> None:
    signal = bf.Signal(np.zeros(AXIS.size), AXIS)
    cuts = [part.high for part in blocks(signal, WidthLaw(*LAW))[:-1]]
    position = np.sort(np.concatenate([np.arange(40.0, 1980.0, 61.3), np.array(cuts)]))
    position = position[np.append(True, np.diff(position) > 15)]
    weight = 1 + 0.5 * np.sin(position)
    recording = peaks(position, weight, 0.02)
    found = recover_blocks(recording, LAW)
    assert len(found.spikes) == position.size
    np.testing.assert_allclose(found.spikes.position, position, atol=0.25)
    np.testing.assert_allclose(found.spikes.weight, weight, rtol=0.12)
    report = found.channels[0]
    assert report.status == "converged" and 0 <= report.gap <= 1e-6
    assert any("not of the whole record" in note for note in report.notes)
    assert found.fit is not None and np.isfinite(found.fit.model).all()
    one = bf.recover(recording, filter="gaussian:sd=3")
    assert len(one.spikes) != position.size


def test_a_constant_law_is_the_plain_recovery() -> None:
    recording = peaks(np.array([300.0, 900.5, 1500.25]), np.ones(3), 0.01)
    plain, law = bf.recover(recording, filter="gaussian:sd=2"), recover_blocks(recording, (4.0, 0.0))
    np.testing.assert_array_equal(plain.spikes.position, law.spikes.position)
    assert plain.channels[0].gap == law.channels[0].gap
    assert plain.channels[0].notes == law.channels[0].notes


def test_what_cannot_be_used() -> None:
    recording = peaks(np.array([300.0]), np.ones(1), 0.01)
    for law in ((4.0, -0.01), (-1.0, 0.01), (np.nan, 0.0)):
        with pytest.raises(UsageError, match="gives no width"):
            recover_blocks(recording, law)
    with pytest.raises(UsageError, match="not to be combined"):
        recover_blocks(recording, LAW, filter="gaussian:sd=2")
    with pytest.raises(UsageError, match="tolerance"):
        recover_blocks(recording, LAW, tolerance=0.0)


def test_certify_and_figures_refuse_to_take_blocks_as_one() -> None:
    recording = peaks(np.array([300.0, 1500.0]), np.ones(2), 0.01)
    found = recover_blocks(recording, LAW)
    with pytest.raises(UsageError, match="block by block"):
        audit(recording, found.optimum, found.channels, found.settings)
    with pytest.raises(UsageError, match="no single filter"):
        filter_of(found)
