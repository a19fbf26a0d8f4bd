"""What is written is read back, bit for bit, from files, streams and standard input; same content, same bytes."""

from __future__ import annotations

import hashlib
import io
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from files_examples import assert_same, example_recovery, example_signal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from blasso_flow.data.signals import Axis, FilterDescription, Signal, Truth
from blasso_flow.errors import DataError, UsageError
from blasso_flow.files import find_signal, open_signal, read_result, read_signal, write_result, write_signal

finite = st.floats(-1e6, 1e6)
names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8)


def written(write: object, *arguments: object, **options: object) -> bytes:
    """The bytes that a writer sends to standard output."""
    stream = io.BytesIO()
    kept = sys.stdout
    sys.stdout = SimpleNamespace(buffer=stream, isatty=lambda: False)
    try:
        write(*arguments, "-", **options)
    finally:
        sys.stdout = kept
    return stream.getvalue()


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    shape = draw(st.one_of(st.tuples(st.integers(2, 40)), st.tuples(st.integers(1, 4), st.integers(2, 40))))
    values = draw(npst.arrays(np.float64, shape, elements=st.one_of(finite, st.just(np.nan))))
    values.flat[0] = 1.0
    spacing = draw(st.floats(1e-9, 1e6))
    first = draw(st.floats(-1e3, 1e3)) * spacing
    axis = Axis(first, spacing, shape[-1], "time", draw(names), draw(st.booleans()))
    sizes = [(), shape] if len(shape) == 1 else [(), shape[:1], shape]
    noise = draw(
        st.one_of(st.none(), st.sampled_from(sizes).flatmap(lambda size: npst.arrays(float, size, elements=st.floats(0.1, 9))))
    )
    filters = st.builds(FilterDescription, st.just("gaussian"), st.dictionaries(st.sampled_from(["sd", "fwhm"]), finite))
    count = draw(st.integers(0, 5))
    channels = 1 if len(shape) == 1 else shape[0]
    truth = Truth(
        draw(npst.arrays(np.int64, count, elements=st.integers(0, channels - 1))),
        draw(npst.arrays(np.float64, count, elements=finite)),
        draw(st.one_of(st.none(), npst.arrays(np.float64, count, elements=finite))),
    )
    noise = float(noise) if noise is not None and noise.ndim == 0 else noise
    return Signal(
        values, axis, draw(names), "values", noise, draw(st.one_of(st.none(), filters)), draw(st.sampled_from([None, truth]))
    )


@settings(max_examples=60, deadline=None)
@given(signals())
def test_a_signal_comes_back(signal: Signal) -> None:
    stored = read_signal(io.BytesIO(written(write_signal, signal)))
    assert_same(replace(stored, name=signal.name), signal)


@settings(max_examples=30, deadline=None)
@given(signals())
def test_channel_by_channel_is_the_same_signal(signal: Signal) -> None:
    with open_signal(io.BytesIO(written(write_signal, signal))) as file:
        assert file.channels == signal.channels
        for number in range(signal.channels):
            assert_same(replace(file.channel(number), name=""), replace(signal.channel(number), name=""))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6), st.integers(1, 4), st.integers(0, 2), st.integers(0, 99), st.booleans())
def test_a_result_comes_back(spikes: int, channels: int, baseline: int, seed: int, save_fit: bool) -> None:
    recovery = example_recovery(spikes, channels, baseline, seed)
    provenance = {"argv": ["recover", "a.h5"], "seed": np.int64(3), "input": {"path": "/a.h5", "sha256": "ab"}}
    stored = read_result(io.BytesIO(written(write_result, recovery, provenance=provenance, save_fit=save_fit)))
    assert_same(stored.recovery, replace(recovery, signal=None, fit=recovery.fit if save_fit else None))
    assert_same(stored.axis, recovery.signal.axis)
    assert_same(stored.filter, recovery.signal.filter)
    assert (stored.units, stored.weight_units) == ("V", "V s")
    assert (stored.signal_path, stored.signal_sha256) == ("/a.h5", "ab")
    assert stored.provenance["argv"] == ["recover", "a.h5"]
    assert stored.provenance["seed"] == 3


def test_measured_filter_and_truth_come_back() -> None:
    signal = example_signal()
    assert_same(replace(read_signal(io.BytesIO(written(write_signal, signal))), name=signal.name), signal)


def test_same_content_same_bytes() -> None:
    assert written(write_signal, example_signal()) == written(write_signal, example_signal())
    assert written(write_result, example_recovery()) == written(write_result, example_recovery())


def test_standard_input_and_paths_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    write_signal(example_signal(), path, attributes={"seed": 3, "source": "a test"})
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    with open_signal("-::/signal") as piped, open_signal(path) as filed:
        assert_same(replace(piped.read(), name=""), replace(filed.read(), name=""))
        assert piped.identity["path"] is None
        assert filed.identity["path"] == str(path)
        assert piped.sha256 == filed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_axis_named_like_a_dataset_of_the_layout(tmp_path: Path) -> None:
    for name in ("y", "channel", "a/b", "", "."):
        signal = Signal(np.ones((2, 4)), Axis(0.0, 1.0, 4, name))
        assert read_signal(io.BytesIO(written(write_signal, signal))).values.shape == (2, 4)


def test_a_result_finds_its_signal_and_notices_a_change(tmp_path: Path) -> None:
    path, result_path = tmp_path / "a.h5", tmp_path / "a.spikes.h5"
    write_signal(example_signal(), path)
    with open_signal(path) as file:
        write_result(example_recovery(), result_path, provenance={"input": file.identity}, signal=file)
    result = read_result(result_path)
    with find_signal(result) as found:
        assert found.dataset == "/signal/y"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    path.rename(moved / "a.h5")
    with pytest.raises(DataError, match="no longer there"), find_signal(result):
        pass
    with find_signal(result, moved / "a.h5") as found:
        assert found.sha256 == result.signal_sha256
    result_path.rename(moved / "a.spikes.h5")
    with find_signal(read_result(moved / "a.spikes.h5")) as found:
        assert found.channels == 2
    write_signal(example_signal(seed=1), path)
    with pytest.raises(DataError, match="has changed"), find_signal(result):
        pass
    with find_signal(result, path) as found:
        assert found.sha256 != result.signal_sha256


def test_a_result_of_a_stream_has_no_signal_to_find() -> None:
    result = read_result(io.BytesIO(written(write_result, example_recovery(), provenance={"input": {"path": None}})))
    with pytest.raises(DataError, match="give SIGNAL"), find_signal(result):
        pass


def test_saving_a_fit_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="holds none"):
        write_result(replace(example_recovery(), fit=None), "-", save_fit=True)
