"""Figures: what they draw is what was found, they are written whole and always the same, and they leave no traces."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command import complete
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from blasso_flow import filters, plots
from blasso_flow.data.reports import ChannelReport, Status, TraceRow, Verdict
from blasso_flow.data.results import Recovery
from blasso_flow.data.signals import Axis, FilterDescription, Signal, Truth
from blasso_flow.data.spikes import Optimum, Spikes
from blasso_flow.errors import RunError, UsageError
from blasso_flow.filters.superposition import filtered
from blasso_flow.plots import evaluate, style
from blasso_flow.plots.certificate import certificate_words
from blasso_flow.plots.curves import gather
from blasso_flow.plots.gap import rounds_and_gaps
from blasso_flow.plots.save import render
from blasso_flow.plots.spectrum import residual_power
from blasso_flow.plots.summary import noise_words
from blasso_flow.plots.zooms import zoom_ranges

NAN = float("nan")


def report(status: Status = Status.CONVERGED, gap: float = 3.14e-10, **changes: object) -> ChannelReport:
    trace = tuple(TraceRow(n, 10.0, 0.9 * 10.0 ** (-2 * n), 2 + n, 0.0) for n in range(4))
    base = ChannelReport(
        status=status,
        message="",
        strength=0.8,
        strength_rule="given",
        noise_sd=0.1,
        noise_rule="given",
        objective=12.0,
        dual_value=12.0,
        gap=gap,
        gap_noise=1e-6,
        violation=2.1e-9,
        rounds=4,
        baseline=np.array([0.4]),
        refit_baseline=np.array([0.5]),
        trace=trace,
    )
    return replace(base, **changes)


def unsolved() -> ChannelReport:
    empty = np.empty(0)
    numbers = dict.fromkeys(("strength", "noise_sd", "objective", "dual_value", "gap_noise", "violation"), NAN)
    return report(
        Status.ALL_MISSING, NAN, rounds=0, baseline=empty, refit_baseline=empty, trace=(), message="no samples", **numbers
    )


def example(
    samples: int = 300,
    text: str = "gaussian:sd=0.05",
    channels: int = 1,
    positive: bool = True,
    status: Status = Status.CONVERGED,
    periodic: bool = False,
    margin: tuple[float, float] = (0.0, 0.0),
    noise_sd: object = None,
    missing: bool = True,
    normalisation: str = "peak",
) -> Recovery:
    """A recovery made by hand: three spikes a channel, the optimum's shrunk, nothing optimal about it."""
    axis = Axis(2.0, 0.01, samples, "time", "s", periodic)
    description = filters.describe(text)
    filter = filters.build(description, axis, normalisation)
    rng = np.random.default_rng(0)
    length = samples * axis.spacing
    position = np.tile(axis.first + length * np.array([0.2, 0.31, 0.7]), channels)
    weight = np.tile(np.array([1.0, 0.6 if positive else -0.6, 1.4]), channels)
    channel = np.repeat(np.arange(channels), 3)
    clean = filtered(filter, axis.to_samples(position[:3]), weight[:3], samples)
    values = 0.5 + clean + 0.1 * rng.normal(size=(channels, samples))
    if missing:
        values[:, samples // 2 : samples // 2 + 7] = NAN
        values[:, 3] = NAN
    values = values[0] if channels == 1 else values
    errors = np.full(position.size, 0.01)
    return Recovery(
        spikes=Spikes(channel, position, errors, weight, 5 * errors, np.tile([0, 1, 1], channels), 20 * weight),
        optimum=Optimum(channel, position + 1e-3, 0.9 * weight, np.sign(weight)),
        channels=[report(status) for _ in range(channels)],
        settings={
            "filter": {"kind": description.kind, "parameters": dict(description.parameters), "normalisation": normalisation},
            "penalty": "positive" if positive else "signed",
            "baseline": "const",
            "margin": list(margin),
            "noise_sd": None,
            "tol": 1e-6,
            "refit": True,
        },
        signal=Signal(values, axis, units="mV", noise_sd=noise_sd, name="folder/a.h5", truth=Truth(channel, position, weight)),
    )


def nothing_found() -> Recovery:
    recovery = example(missing=False)
    return replace(recovery, spikes=Spikes.empty(), optimum=Optimum.empty(), channels=[report(gap=0.0, violation=-0.2)])


def all_missing() -> Recovery:
    recovery = nothing_found()
    signal = Signal(np.full(300, NAN), recovery.signal.axis, name="gone")
    return replace(recovery, signal=signal, channels=[unsolved()])


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


# What is drawn is what was found


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("gaussian:sd=0.05", {}),
        ("gaussian:sd=0.012", {"samples": 120}),
        ("gaussian:sd=0.05", {"margin": (0.2, 0.1)}),
        ("ricker:frequency=5", {"positive": False}),
        ("gaussian:sd=0.05", {"noise_sd": np.linspace(0.1, 0.3, 300)}),
        ("lowpass:order=6", {"periodic": True, "positive": False}),
    ],
)
def test_certificate_is_its_definition(text: str, options: dict[str, object]) -> None:
    recovery = example(text=text, **options)
    curves = gather(recovery)
    axis, filter, signal = curves.axis, curves.filter, recovery.signal
    present = ~np.isnan(signal.values)
    sd = np.broadcast_to(1.0 if signal.noise_sd is None else signal.noise_sd, signal.values.shape)
    weights = np.where(present, (np.median(sd[present]) / sd) ** 2, 0.0)
    samples = np.arange(axis.size)
    model = np.full(axis.size, 0.4)
    for place, weight in zip(axis.to_samples(recovery.optimum.position), recovery.optimum.weight, strict=True):
        model += weight * filter.response(samples - place)
    gradient = weights * (model - np.where(present, signal.values, 0.0))
    for index in np.linspace(0, curves.eta.size - 1, 40).astype(int):
        place = axis.to_samples(curves.eta_position[index])
        expected = -gradient @ filter.response(samples - place) / recovery.channels[0].strength
        assert curves.eta[index] == pytest.approx(expected, abs=1e-10)
    assert (np.diff(curves.eta_position) >= 0).all()
    assert set(recovery.optimum.position) <= set(np.round(curves.eta_position, 12)) | set(curves.eta_position)
    before, after = options.get("margin", (0.0, 0.0))
    if not filter.period:
        assert curves.eta_position[0] == pytest.approx(axis.first - before)
        assert curves.eta_position[-1] == pytest.approx(axis.last + after)


@pytest.mark.parametrize("text", ["gaussian:sd=0.05", "decay:rise=0.02,decay=0.1", "lowpass:order=4"])
def test_correlation_by_fft_and_directly_agree(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    axis = Axis(0.0, 0.01, 200, periodic=text.startswith("lowpass"))
    filter = filters.build(filters.describe(text), axis)
    gradient = np.random.default_rng(1).normal(size=200)
    nodes = np.arange(0, 200) if filter.period else np.arange(-30, 240)
    direct = evaluate.correlated(filter, nodes, 0.3, gradient)
    monkeypatch.setattr(evaluate, "DIRECT", 0)
    np.testing.assert_allclose(evaluate.correlated(filter, nodes, 0.3, gradient), direct, atol=1e-12)
    np.testing.assert_allclose(evaluate.products(filter, nodes + 0.3, gradient), direct, atol=1e-12)


def test_filtering_is_the_adjoint_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "BATCH", 200)
    filter = filters.build(filters.describe("gaussian:sd=0.05"), Axis(0.0, 0.01, 200))
    rng = np.random.default_rng(2)
    position, weight, gradient = rng.uniform(-20, 220, 50), rng.normal(size=50), rng.normal(size=200)
    left = gradient @ filtered(filter, position, weight, 200)
    assert left == pytest.approx(weight @ evaluate.products(filter, position, gradient), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(2, 40), st.floats(0, 0.6), st.integers(0, 2**32 - 1))
def test_envelope_loses_no_peak(size: int, columns: int, missing: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=size)
    y[rng.random(size) < missing] = NAN
    x, thin = evaluate.envelope(np.arange(size), y, columns)
    assert x.size <= 4 * columns
    np.testing.assert_array_equal(thin, y[x])
    assert (np.diff(x) >= 0).all()
    if np.isfinite(y).any():
        assert np.nanmax(thin) == np.nanmax(y)
        assert np.nanmin(thin) == np.nanmin(y)


def test_an_empty_range_breaks_the_envelope() -> None:
    y = np.ones(10_000)
    y[4000:6000] = NAN
    _, thin = evaluate.envelope(np.arange(10_000), y, 100)
    assert np.isnan(thin).any()


def test_model_without_a_stored_fit_is_the_answers() -> None:
    recovery = example()
    curves = gather(recovery)
    samples = np.arange(300)
    model = np.full(300, 0.5)
    for place, weight in zip(curves.axis.to_samples(recovery.spikes.position), recovery.spikes.weight, strict=True):
        model += weight * curves.filter.response(samples - place)
    np.testing.assert_allclose(curves.model, model, atol=1e-12)
    np.testing.assert_allclose(curves.residual, recovery.signal.values - model, atol=1e-12)


def test_error_bars_span_95_percent() -> None:
    recovery = example()
    ax = plots.draw_fit(recovery).axes[1]
    segments = [segment for lines in ax.collections if isinstance(lines, LineCollection) for segment in lines.get_segments()]
    spikes = recovery.spikes
    for position, weight in zip(spikes.position, spikes.weight, strict=True):
        wide = [[position - 1.96 * 0.01, weight], [position + 1.96 * 0.01, weight]]
        tall = [[position, weight - 1.96 * 0.05], [position, weight + 1.96 * 0.05]]
        stem = [[position, 0.0], [position, weight]]
        for expected in (wide, tall, stem):
            assert any(np.allclose(segment, expected) for segment in segments)
    assert "not resolved from its neighbour" in texts(plots.draw_fit(recovery))


def test_long_error_bars_do_not_hide_the_weights() -> None:
    recovery = example()
    errors = np.array([0.05, 1e5, 1e5])
    ax = plots.draw_fit(replace(recovery, spikes=replace(recovery.spikes, weight_errors=errors))).axes[1]
    assert ax.get_ylim()[1] < 2 * recovery.spikes.weight.max()
    assert "95 % error bars (cut)" in ax.get_legend_handles_labels()[1]


def test_missing_samples_are_shaded_and_counted() -> None:
    figure = plots.draw_fit(example())
    spans = [patch for patch in figure.axes[0].patches if patch.get_label() == "missing (8)"]
    assert len(spans) == 1
    low = min(patch.get_x() for patch in figure.axes[0].patches)
    assert low == pytest.approx(2.0 + 0.01 * 2.5)
    assert "missing" not in texts(plots.draw_fit(example(missing=False)))


@pytest.mark.parametrize("samples", [300, 20_000])
def test_the_fit_is_drawn_where_samples_are_and_sets_no_scale_beyond(samples: int) -> None:
    recovery = example(samples, missing=False)
    end = recovery.spikes.position[2]
    values = np.where(recovery.signal.axis.positions() < end - 0.2, recovery.signal.values, NAN)
    weight = recovery.spikes.weight * np.array([1, 1, 1000])
    recovery = replace(recovery, signal=replace(recovery.signal, values=values), spikes=replace(recovery.spikes, weight=weight))
    for panel in plots.draw_fit(recovery).axes:
        for line in panel.lines:
            if line.get_label() == "fit":
                assert panel.get_ylim()[1] < 3
                assert line.get_xdata().max() < end - 0.2


def test_the_gaps_last_point_is_the_final_proof() -> None:
    rounds, gaps, spikes = rounds_and_gaps(report())
    assert gaps[-1] == 3.14e-10
    assert rounds[-1] == 4
    assert spikes.size == gaps.size == 5
    same = report(gap=0.9e-6)
    assert rounds_and_gaps(replace(same, gap=same.trace[-1].gap))[1].size == 4


def test_zooms_of_long_records_do_not_overlap() -> None:
    assert zoom_ranges(gather(example(), certificate=False)) == []
    zooms = zoom_ranges(gather(example(samples=20_000), certificate=False))
    assert 1 <= len(zooms) <= 3
    ends = sorted((low, high) for low, high, _ in zooms)
    assert all(high <= low + 1e-9 for (_, high), (low, _) in pairwise(ends))


def test_histogram_and_statuses_count_every_channel() -> None:
    recovery = example(channels=7)
    reports = [report(gap=10.0**-n) for n in (0, 3, 8, 9, 12)] + [report(gap=0.0), unsolved()]
    reports[0] = replace(reports[0], status=Status.GAP_ABOVE_TOLERANCE)
    figure = plots.draw_recovery(replace(recovery, channels=reports))
    histogram = next(ax for ax in figure.axes if ax.get_xlabel() == "proven relative gap")
    assert sum(bar.get_height() for bar in histogram.patches) == 6
    for words in (
        "converged: 5",
        "gap above tolerance: 1",
        "all missing: 1",
        "optimality proven for 5",
        "21 spikes in 7 channels",
    ):
        assert words in texts(figure)


def test_many_channels_say_whose_model_is_wrong() -> None:
    recovery = example(channels=4)
    assert "wrong" not in texts(plots.draw_recovery(recovery))
    fits = [Verdict.GOOD, Verdict.WRONG, Verdict.DOUBTFUL, Verdict.WRONG]
    reports = [report(fit=fit, fit_reasons=("drift",) * fit.faulty) for fit in fits]
    figure = plots.draw_recovery(replace(recovery, channels=reports))
    shown = texts(figure)
    for words in ("proven for 4, but the model is wrong for 2, doubtful for 1", "fit good: 1", "fit doubtful: 1", "fit wrong: 2"):
        assert words in shown
    assert re.findall(r"Channel (\d): 3 spikes, fit (\w+)", shown) == [("1", "wrong"), ("2", "doubtful"), ("3", "wrong")]
    marks = [bar for bar in figure.axes[0].patches if bar.get_x() == 1.0]
    assert [bar.get_y() + bar.get_height() / 2 for bar in marks] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("status", "fit", "words"),
    [
        (Status.CONVERGED, Verdict.GOOD, "3 spikes, optimality proven"),
        (Status.CONVERGED, Verdict.UNKNOWN, "3 spikes, optimality proven"),
        (Status.CONVERGED, Verdict.WRONG, "3 spikes, optimality proven, but the model is wrong: not white"),
        (Status.CONVERGED, Verdict.DOUBTFUL, "3 spikes, optimality proven, but the model is doubtful: not white"),
        (Status.GAP_ABOVE_TOLERANCE, Verdict.WRONG, "to the tolerance, and the model is wrong: not white"),
    ],
)
def test_the_title_says_what_is_wrong_with_the_model(status: Status, fit: Verdict, words: str) -> None:
    reasons = ("not white", "drift") if fit.faulty else ()
    recovery = replace(example(), channels=[report(status, fit=fit, fit_reasons=reasons)])
    figure = plots.draw_recovery(recovery)
    assert figure.texts[0].get_text().endswith(words)
    shown = texts(figure).replace("\n", " ")
    assert ("the error bars are too small" in shown) == (fit is Verdict.WRONG)
    assert ("; drift" in shown) == fit.faulty


def test_a_long_verdict_leaves_the_panels_beside_it_alone() -> None:
    reasons = tuple(f"the residual is {number} times larger where spikes are: the filter's shape" for number in range(2, 9))
    figure = plots.draw_recovery(replace(example(), channels=[report(fit=Verdict.WRONG, fit_reasons=reasons)]))
    assert "the error bars are too small" in texts(figure).replace("\n", " ")
    facts = next(ax for ax in figure.axes if "Fit of the model" in [text.get_text() for text in ax.texts])
    assert min(text.get_window_extent().y0 for text in facts.texts) > facts.get_window_extent().y0 - 1
    assert figure.texts[0].get_window_extent().x1 < figure.bbox.x1
    wide = "a_long_name_of_a_recording_for_a_test.h5: 10 spikes, optimality proven, but the model is wrong: the residual is not"
    for text in (wide, f"{wide} white (rho 0.42)", 20 * "model "):
        figure = style.new_figure(style.WIDTH, 8.0)
        style.headline(figure, text)
        assert 0.7 * figure.bbox.x1 < figure.texts[0].get_window_extent().x1 < figure.bbox.x1


def test_coloured_noise_is_shown_with_its_spectrum() -> None:
    recovery = example()
    assert "Noise (line: model)" not in texts(plots.draw_recovery(recovery))
    coloured = replace(recovery, channels=[report(whitener=np.array([0.8]))])
    figure = plots.draw_recovery(coloured)
    shown = texts(figure).replace("\n", " ")
    assert "Noise (line: model)" in shown
    assert "coloured, order 1, sd 0.167 mV a sample, 0.1 of its innovations" in shown  # 0.1 / sqrt(1 - 0.8^2)
    panel = next(ax for ax in figure.axes if ax.get_xlabel().startswith("frequency"))
    model = panel.lines[1].get_ydata()
    assert model[0] == pytest.approx(0.1**2 / 0.2**2)
    assert model[-1] == pytest.approx(0.1**2 / 1.8**2)


def test_power_of_a_residual_is_its_variance() -> None:
    residual = 3 * np.random.default_rng(0).standard_normal(4000)
    residual[100:300] = NAN
    frequency, power = residual_power(residual)
    assert power.mean() == pytest.approx(9, rel=0.1)
    assert 0 < frequency[0] < frequency[-1] <= 0.5


def test_noise_of_every_sample_is_shown_as_a_range() -> None:
    recovery = example()
    signal = recovery.signal
    uneven = replace(signal, noise_sd=np.linspace(2.0, 8.0, signal.values.size))
    assert noise_words(gather(replace(recovery, signal=uneven), certificate=False)).startswith("2 to 8 ")
    even = replace(signal, noise_sd=np.full(signal.values.size, 2.0))
    assert " to " not in noise_words(gather(replace(recovery, signal=even), certificate=False))


@pytest.mark.parametrize("name", list(filters.KINDS))
def test_filter_figure_draws_the_table(name: str) -> None:
    example_of = {
        "gaussian": "sd=0.05",
        "ricker": "frequency=5",
        "decay": "rise=0.02,decay=0.1",
        "lorentzian": "fwhm=0.05",
        "emg": "sd=0.02,decay=0.05",
        "lowpass": "order=6",
    }
    description = filters.describe(f"{name}:{example_of[name]}") if name in example_of else None
    if description is None:
        lag = np.arange(-20, 21) * 0.01
        description = FilterDescription(name, {}, lag, np.exp(-0.5 * (lag / 0.04) ** 2))
    filter = filters.build(description, Axis(0.0, 0.01, 300, periodic=name == "lowpass"))
    figure = plots.draw_filter(filter, "s")
    for ax, order, scale in ((figure.axes[0], 0, 1.0), (figure.axes[1], 1, 100.0)):
        x, y = max((line.get_data() for line in ax.lines), key=lambda data: len(data[0]))
        np.testing.assert_allclose(y, scale * filter.response(np.asarray(x) / 0.01, order), rtol=1e-6, atol=1e-6)
    assert f"width {style.power_of_ten(filter.width * 0.01)} s" in texts(figure)


# Words


def test_the_title_claims_no_more_than_was_proven() -> None:
    title, detail = certificate_words(gather(example()))
    assert title.startswith("Proof of optimality")
    assert "1 + 2.1×10⁻⁹" in detail
    assert "3.2×10⁻¹⁰" in detail
    title, _ = certificate_words(gather(example(status=Status.GAP_ABOVE_TOLERANCE)))
    assert "not proven" in title
    title, _ = certificate_words(gather(nothing_found()))
    assert "no spikes is optimal" in title
    assert certificate_words(gather(all_missing())) == ("Certificate", "")


@given(st.floats(1e-300, 1e300))
def test_an_upper_bound_is_rounded_up(value: float) -> None:
    shown = style.at_most(value)
    mantissa, times, power = shown.rpartition("×")
    exponent = power[2:].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    scientific = any(letter in shown for letter in "⁰¹²³⁴⁵⁶⁷⁸⁹")
    number = float(f"{mantissa if times else 1}e{exponent}" if scientific else shown)
    assert value * (1 - 1e-8) <= number <= value * 1.11


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.0123, "0.0123"), (2134.4, "2134"), (-5.0, "−5"), (3.14e-10, "3.1×10⁻¹⁰"), (1e-6, "10⁻⁶"), (NAN, "unknown")],
)
def test_numbers_for_a_reader(value: float, shown: str) -> None:
    assert style.power_of_ten(value) == shown


def test_names_are_never_read_as_formulas() -> None:
    recovery = example()
    axis = replace(recovery.signal.axis, name="t$\\frac$\n", units="s$")
    render(plots.draw_recovery(replace(recovery, signal=replace(recovery.signal, axis=axis, name="信号 $x", units="$"))), "png")


def test_common_powers_of_ten_go_into_the_labels() -> None:
    recovery = example()
    signal = replace(recovery.signal, values=recovery.signal.values * 1e-9)
    assert "signal (10⁻⁹ mV)" in texts(
        plots.draw_fit(replace(recovery, signal=signal, spikes=Spikes.empty(), channels=[unsolved()]))
    )


# Every case can be drawn and saved


CASES: dict[str, Callable[[], Recovery]] = {
    "positive": example,
    "signed": lambda: example(positive=False, status=Status.GAP_ABOVE_TOLERANCE),
    "area": lambda: example(normalisation="area", noise_sd=0.1),
    "energy": lambda: example(normalisation="energy"),
    "margin": lambda: example(margin=(0.5, 0.0)),
    "periodic": lambda: example(text="lowpass:order=6", periodic=True),
    "one sample short": lambda: example(samples=12, text="gaussian:sd=0.01"),
    "long": lambda: example(samples=20_000),
    "nothing found": nothing_found,
    "all missing": all_missing,
    "channels": lambda: example(channels=7),
}


@pytest.mark.parametrize("case", list(CASES))
def test_every_case_is_drawn(case: str) -> None:
    recovery = CASES[case]()
    figures = [
        plots.draw_recovery(recovery),
        plots.draw_fit(recovery),
        plots.draw_certificate(recovery),
        plots.draw_gap(recovery),
    ]
    for figure in figures:
        assert render(figure, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(("format", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_same_figure_same_bytes(format: str, start: bytes, tmp_path: Path) -> None:
    contents = []
    for number in range(2):
        path = plots.save_figure(plots.draw_recovery(example()), tmp_path / f"{number}.{format}")
        contents.append(path.read_bytes())
    assert contents[0].startswith(start)
    assert contents[0] == contents[1]
    assert not re.search(rb"CreationDate|dc:date|\b20[2-9]\d-\d\d-\d\d", contents[0])


def test_long_records_make_small_files() -> None:
    assert len(render(plots.draw_recovery(example(samples=200_000)), "svg")) < 1_500_000


def test_saving_leaves_nothing_half_done(tmp_path: Path) -> None:
    figure = plots.draw_gap(example())
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    plots.save_figure(figure, target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert target.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(RunError, match="cannot write the figure"):
        plots.save_figure(figure, tmp_path / "nowhere" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(RunError, match="cannot write the figure"):
        plots.save_figure(figure, tmp_path / "folder.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder.png"]


@pytest.mark.parametrize(("path", "format"), [("a.jpg", None), ("a", None), ("a.png", "gif")])
def test_unknown_formats_are_named(path: str, format: str | None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown figure format"):
        plots.save_figure(plots.draw_gap(example()), tmp_path / path, format)
    assert list(tmp_path.iterdir()) == []


def test_what_is_needed_is_asked_for() -> None:
    recovery = example()
    with pytest.raises(UsageError, match="needs the signal"):
        plots.draw_recovery(replace(recovery, signal=None))
    measured = {**recovery.settings, "filter": {"kind": "measured", "parameters": {}, "normalisation": "peak"}}
    with pytest.raises(UsageError, match="measured filter"):
        plots.draw_recovery(replace(recovery, settings=measured))
    with pytest.raises(UsageError, match="which filter"):
        plots.draw_recovery(replace(recovery, settings={}))


def test_no_pyplot_and_no_changed_settings() -> None:
    program = (
        "import sys, matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_plots import example, render\n"
        "from blasso_flow import plots\n"
        "for format in ('png', 'svg', 'pdf'): render(plots.draw_recovery(example()), format)\n"
        "assert dict.__eq__(matplotlib.rcParams, before)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'numba' not in sys.modules\n"
    )
    here = str(Path(__file__).parent)
    done = complete([sys.executable, "-c", program, here], text=True)
    assert done.returncode == 0, done.stderr
