"""Filters: every table against its closed form, its derivatives, norms, jumps and cells; every refusal."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import integrate

from blasso_flow.data.signals import Axis, FilterDescription
from blasso_flow.errors import DataError, UsageError
from blasso_flow.filters import KINDS, build, completed, describe, kind_of
from blasso_flow.filters.table import CELLS_PER_WIDTH, NARROWEST, cell_edges

QUIET = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def gaussian(lag, sd):
    return np.exp(-(lag**2) / (2 * sd**2))


def ricker(lag, frequency):
    return (1 - 2 * (np.pi * frequency * lag) ** 2) * np.exp(-((np.pi * frequency * lag) ** 2))


def decay(lag, rise, decay, exposure=1.0, spacing=1.0, order=1):
    def before(t):
        rates = 1 / rise - 1 / decay
        return np.exp(-t / decay) * (t if rates == 0 else -np.expm1(-t * rates) / rates) ** order

    if exposure == 0:
        return np.where(lag >= 0, before(np.maximum(lag, 0.0)), 0.0)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    low = np.maximum(lag - exposure * spacing / 2, 0.0)
    length = np.maximum(lag + exposure * spacing / 2, 0.0) - low
    inside = before(low[..., None] + length[..., None] * (nodes + 1) / 2)
    return (inside @ weights) / 2 * length / (exposure * spacing)


def lorentzian(lag, fwhm, reach=50.0, spacing=1.0):
    end, flat = np.ceil(reach * fwhm / spacing) * spacing, np.ceil(0.8 * reach * fwhm / spacing) * spacing
    t = np.clip((np.abs(lag) - flat) / (end - flat), 0, 1)
    window = 1 - t**5 * (126 - 420 * t + 540 * t**2 - 315 * t**3 + 70 * t**4)
    return window / (1 + 4 * (lag / fwhm) ** 2)


def emg(lag, sd, decay):
    """The convolution integral over the delay t; its integrand is a Gaussian around ``middle``, cut at t = 0."""
    nodes, weights = np.polynomial.legendre.leggauss(100)
    middle = np.asarray(lag - sd**2 / decay)
    low = np.maximum(middle - 9 * sd, 0.0)
    high = np.maximum(middle, 0.0) + np.minimum(9 * sd, 40 * sd**2 / np.maximum(-middle, 1e-9))
    t = (high + low)[..., None] / 2 + (high - low)[..., None] / 2 * nodes
    values = np.exp(-((lag[..., None] - t) ** 2) / (2 * sd**2) - t / decay)
    return (values @ weights) * (high - low) / 2 / (decay * sd * np.sqrt(2 * np.pi))


def lowpass(lag, order, period):
    k = np.arange(1, order + 1)
    return (1 + 2 * np.cos(2 * np.pi * k * lag[..., None] / period).sum(axis=-1)) / (2 * order + 1)


# text, spacing, samples, closed form with the same parameters
CASES = [
    ("gaussian:sd=0.5", 1.0, 400, lambda t: gaussian(t, 0.5)),
    ("gaussian:sd=0.02", 0.001, 1000, lambda t: gaussian(t, 0.02)),
    ("gaussian:fwhm=7", 1.0, 400, lambda t: gaussian(t, 7 / np.sqrt(8 * np.log(2)))),
    ("ricker:frequency=1.5e9", 4.7e-12, 637, lambda t: ricker(t, 1.5e9)),
    ("ricker:frequency=0.3", 1.0, 100, lambda t: ricker(t, 0.3)),
    ("decay:rise=0.05,decay=1.5", 0.01, 4000, lambda t: decay(t, 0.05, 1.5, spacing=0.01)),
    ("decay:rise=0.5,decay=12", 1.0, 400, lambda t: decay(t, 0.5, 12)),
    ("decay:rise=6,decay=6", 1.0, 400, lambda t: decay(t, 6, 6)),
    ("decay:rise=5.9999,decay=6,exposure=0.37", 1.0, 400, lambda t: decay(t, 5.9999, 6, 0.37)),
    ("decay:rise=2.9,decay=6,exposure=2.7", 1.0, 400, lambda t: decay(t, 2.9, 6, 2.7)),
    ("decay:rise=3.1,decay=6,exposure=0", 1.0, 400, lambda t: decay(t, 3.1, 6, 0)),
    ("decay:rise=0.02,decay=1.5,order=3", 0.01, 4000, lambda t: decay(t, 0.02, 1.5, spacing=0.01, order=3)),
    ("decay:rise=2,decay=30,order=2,exposure=0", 1.0, 1200, lambda t: decay(t, 2, 30, 0, order=2)),
    ("decay:rise=1.5,decay=9,order=5,exposure=2.7", 1.0, 400, lambda t: decay(t, 1.5, 9, 2.7, order=5)),
    ("decay:rise=6,decay=6,order=3", 1.0, 600, lambda t: decay(t, 6, 6, order=3)),
    ("lorentzian:fwhm=2", 1.0, 400, lambda t: lorentzian(t, 2)),
    ("lorentzian:fwhm=0.3,reach=12.3", 0.02, 1000, lambda t: lorentzian(t, 0.3, 12.3, 0.02)),
    ("emg:sd=2,decay=5", 1.0, 400, lambda t: emg(t, 2, 5)),
    ("emg:sd=0.6,decay=0.01", 1.0, 400, lambda t: emg(t, 0.6, 0.01)),
    ("emg:sd=1,decay=40", 1.0, 400, lambda t: emg(t, 1, 40)),
    ("lowpass:order=1", 0.5, 10, lambda t: lowpass(t, 1, 5.0)),
    ("lowpass:order=10,period=1", 0.001, 1000, lambda t: lowpass(t, 10, 1.0)),
    ("lowpass:order=50", 1.0, 101, lambda t: lowpass(t, 50, 101.0)),
]
ALL = pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
TABLES = {}


def made(case, normalisation="peak"):
    text, spacing, samples, _ = case
    key = text, normalisation
    if key not in TABLES:
        TABLES[key] = build(describe(text), Axis(0.0, spacing, samples), normalisation)
    return TABLES[key]


def lags(filter, count, seed=0):
    """Random lags in samples, over the support and beyond, more of them where the response is large."""
    rng = np.random.default_rng(seed)
    low, high = filter.support
    core = rng.uniform(-4, 4, count) * filter.width
    return np.concatenate([rng.uniform(low - 2, high + 2, count), core])


def gauss_nodes(filter, points=16):
    """Lags (samples) and weights that integrate over the whole window, cell by cell."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    half = np.diff(filter.edges) / 2
    fraction = (filter.edges[:-1, None] + half[:, None] * (nodes + 1)).ravel()
    lag = filter.first + np.arange(filter.taps)[:, None] - fraction
    return lag, np.broadcast_to((half[:, None] * weights).ravel(), lag.shape)


@ALL
def test_table_is_the_closed_form(case):
    filter = made(case)
    lag = lags(filter, 1500)
    exact = case[3](lag * filter.spacing)
    values = filter.response(lag)
    assert filter.error <= 1e-13
    assert np.abs(values - exact * (exact @ values) / (exact @ exact)).max() < 1e-12


@ALL
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_by_position(case, order):
    filter = made(case)
    lag = lags(filter, 300)
    step = 1e-4 * min(1.0, filter.width)
    gap = np.abs((-lag[:, None] % 1) - filter.edges).min(axis=1)
    lag = lag[gap > 2 * step]  # beside an edge the difference would straddle two polynomials
    difference = (filter.response(lag - step, order - 1) - filter.response(lag + step, order - 1)) / (2 * step)
    values = filter.response(lag, order)
    rounding = 1e-14 * (CELLS_PER_WIDTH * 20 * filter.cells) ** (order - 1) / step
    assert np.abs(values - difference).max() < 1e-5 * np.abs(values).max() + rounding


@ALL
def test_norms_and_width(case):
    filter = made(case)
    lag, weights = gauss_nodes(filter)
    norms = [np.sqrt(np.sum(weights * filter.response(lag, order) ** 2)) for order in range(5)]
    assert [filter.norm, filter.norm1, filter.norm2, filter.norm4] == pytest.approx(
        [norms[0], norms[1], norms[2], norms[4]], rel=1e-9
    )
    assert filter.width == pytest.approx(np.sqrt(1.5) * norms[1] / norms[2])
    assert filter.width >= NARROWEST


def test_norms_against_adaptive_integration():
    filter = build(describe("emg:sd=3,decay=4"), Axis(0.0, 1.0, 200))
    for order, norm in ((0, filter.norm), (1, filter.norm1), (2, filter.norm2), (4, filter.norm4)):
        square = integrate.quad(lambda t, n=order: float(filter.response(t, n)) ** 2, -25, 60, limit=400, epsrel=1e-7)[0]
        assert norm == pytest.approx(np.sqrt(square), rel=1e-6)


@ALL
def test_normalisations(case):
    peak, energy = made(case), made(case, "energy")
    coarse = np.arange(*peak.support, peak.width / 10)
    fine = coarse[np.argmax(np.abs(peak.response(coarse)))] + np.linspace(-0.2, 0.2, 4001) * peak.width
    assert np.abs(peak.response(fine)).max() == pytest.approx(1, abs=1e-7)
    lag, weights = gauss_nodes(energy)
    assert np.sum(weights * energy.response(lag) ** 2) * energy.spacing == pytest.approx(1)
    if kind_of(energy.description.kind).zero_area:
        with pytest.raises(UsageError, match="no area"):
            made(case, "area")
    else:
        area = made(case, "area")
        assert np.sum(weights * area.response(lag)) * area.spacing == pytest.approx(1)


@ALL
def test_jumps_only_where_there_is_a_kink(case):
    filter = made(case)
    kinked = case[0].endswith("exposure=0") and "order" not in case[0]
    assert filter.value_jump.max() < 1e-12 * filter.norm
    assert (filter.slope_jump.max() > 0.1 * filter.norm1) == kinked
    assert kinked or filter.slope_jump.max() < 1e-9 * filter.norm1


@ALL
def test_cells(case):
    filter = made(case)
    design = kind_of(filter.description.kind).design(
        filter.description, kind_of(filter.description.kind).checked(filter.description), filter.spacing, case[2]
    )
    for knot in design.knots:
        assert np.abs(filter.edges - (-knot) % 1.0).min() < 1e-12
    assert filter.edges[0] == 0
    assert filter.edges[-1] == 1
    sizes = np.diff(filter.edges)
    assert sizes.max() <= filter.width / CELLS_PER_WIDTH * 1.001 or sizes.max() == 1
    assert filter.cells <= 1.5 * max(1, np.ceil(CELLS_PER_WIDTH / filter.width)) + 2 * len(design.knots)


@ALL
def test_fourth_derivative_is_bounded(case):
    filter = made(case)
    for cell, (low, high) in enumerate(itertools.pairwise(filter.edges)):
        fraction = np.linspace(low, high, 60)[1:-1]
        taps = filter.response(filter.first + np.arange(filter.taps) - fraction[:, None], 4)
        norms = np.sqrt((taps**2).sum(axis=1))
        assert norms.max() <= filter.fourth_bound[cell]
        assert filter.fourth_bound[cell] <= 4 * norms.max() + 1e-6 * filter.norm


@QUIET
@given(number=st.integers(0, len(CASES) - 1), position=st.floats(-50, 50), sample=st.integers(-60, 60), shift=st.integers(-9, 9))
def test_a_shift_by_samples_changes_nothing(number, position, sample, shift):
    filter = made(CASES[number])
    here = filter.response(np.array(sample - position))
    there = filter.response(np.array((sample + shift) - (position + shift)))
    assert here == pytest.approx(there, abs=1e-11 * max(1, 1 / filter.width))


WIDE = {
    "gaussian": (lambda w: {"sd": w}, gaussian),
    "ricker": (lambda w: {"frequency": 0.147 / w}, ricker),
    "lorentzian": (lambda w: {"fwhm": w / np.sqrt(1 / 8), "reach": 10}, lorentzian),
    "emg": (lambda w: {"sd": w, "decay": 3 * w}, emg),
    "decay": (lambda w: {"rise": max(w, 0.7 * w**2), "decay": 5 * max(w, w**2)}, decay),
}


@QUIET
@given(kind=st.sampled_from(sorted(WIDE)), width=st.floats(np.log(0.5), np.log(500)).map(np.exp), place=st.floats(-3, 3))
def test_any_width(kind, width, place):
    parameters, closed = WIDE[kind]
    if kind == "decay":
        width = min(width, 12.0)
    given = parameters(width)
    filter = build(FilterDescription(kind, given), Axis(0.0, 1.0, 100_000), "area" if kind == "emg" else "peak")
    assert filter.error <= 1e-13
    assert filter.width > 0.4
    lag = np.array([0.0, place * filter.width, place])
    exact = closed(lag, *given.values())
    reference = closed(np.array([0.5 * filter.width]), *given.values())
    ratio = filter.response(np.array([0.5 * filter.width])) / reference
    assert np.abs(filter.response(lag) - ratio * exact).max() < 1e-11 * np.abs(ratio * exact).max() + 1e-13


@QUIET
@given(rise=st.floats(0.5, 6), share=st.floats(1e-9, 1), exposure=st.sampled_from([0.0, 0.2, 1.0, 2.5]), lag=st.floats(-3, 60))
def test_decay_is_stable_for_similar_times(rise, share, exposure, lag):
    from blasso_flow.filters.shapes.decay import response

    slow = rise * (1 + share)
    for order in (1, 3):
        values = response(np.array([lag]), rise, slow, exposure, order)
        closed = decay(np.array([lag]), rise, slow, exposure, order=order)
        assert values == pytest.approx(closed, rel=1e-11, abs=1e-13 * rise ** (order - 1))


@QUIET
@given(knots=st.lists(st.floats(-30, 30), max_size=4), phases=st.integers(1, 20))
def test_cell_edges(knots, phases):
    edges = cell_edges(knots, phases)
    sizes = np.diff(edges)
    assert sizes.min() > 0
    assert sizes.max() <= 1 / phases + 1e-9
    assert edges.size - 1 <= phases + len(knots)
    for knot in knots:
        distance = np.abs(edges - (-knot) % 1.0)
        assert distance.min() <= 1e-9


def test_periodic_table_closes_on_itself():
    filter = build(describe("lowpass:order=3"), Axis(0.0, 1.0, 20, periodic=True))
    lag = np.linspace(-15, 15, 301)
    for order in range(3):
        assert filter.response(lag, order) == pytest.approx(filter.response(lag + 20, order), abs=1e-11)
        assert filter.response(lag, order) == pytest.approx(filter.response(lag - 40, order), abs=1e-11)
    whole = filter.response(np.arange(-30.0, 31.0))
    assert whole == pytest.approx(lowpass(np.arange(-30.0, 31.0), 3, 20.0), abs=1e-13)
    assert filter.response(np.array([-1e-19]))[0] == pytest.approx(1)


def test_the_full_band_tells_samples_apart():
    filter = build(describe("lowpass:order=10"), Axis(0.0, 1.0, 21, periodic=True))
    assert filter.response(np.arange(-10.0, 11.0)) == pytest.approx(1.0 * (np.arange(-10, 11) == 0), abs=1e-13)


def bell(count=81, step=1.0, sd=5.0, skew=0.0):
    lag = (np.arange(count) - count // 2) * step
    return lag, np.exp(-((lag / sd) ** 2) / 2) * (1 + skew * lag / sd)


def measured(lag, response, spacing=1.0, samples=500, **parameters):
    return build(FilterDescription("measured", parameters, lag, response), Axis(0.0, spacing, samples))


@pytest.mark.parametrize("spacing", [0.25, 0.7, 1.0, 3.0])
@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_measured_follows_its_points(spacing, scale):
    lag, response = bell(skew=0.3)
    filter = measured(lag, response, spacing, scale=scale)
    assert filter.error <= 1e-13
    assert filter.value_jump.max() < 1e-12 * filter.norm
    assert filter.slope_jump.max() < 1e-9 * filter.norm1
    values = filter.response(lag * scale / spacing)
    assert np.abs(values - response * (values @ response) / (response @ response)).max() < 3e-6
    assert filter.response(np.array(filter.support)) == pytest.approx([0, 0], abs=1e-14)


def test_measured_passes_through_its_points_when_both_steps_agree():
    lag, response = bell()
    filter = measured(lag, response)
    assert filter.response(lag) / filter.response(np.array(0.0)) == pytest.approx(response / response.max(), abs=1e-13)
    assert filter.width == pytest.approx(5, rel=1e-4)
    assert filter.cells == 1


def test_measured_is_tapered_where_it_does_not_end_at_zero():
    lag, response = bell(count=31)
    assert response[0] > 0.01
    filter = measured(lag, response)
    assert filter.response(lag) == pytest.approx(response, abs=1e-12)
    beyond = filter.response(np.linspace(15, filter.support[1], 400))
    assert 0 < beyond[40] < response[-1] * 1.2
    assert beyond[-1] == pytest.approx(0, abs=1e-14)
    assert np.abs(filter.response(np.linspace(15, filter.support[1], 400), 1)).max() < 0.1 * filter.norm1
    assert filter.support[0] == -filter.support[1] or filter.support[0] < -25


def test_measured_keeps_the_sign_of_a_dip():
    lag, response = bell()
    assert measured(lag, -response).response(np.array(0.0)) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lag, r: (lag, 0 * r), "zero everywhere"),
        (lambda lag, r: (lag, np.where(lag == 3, np.nan, r)), "1 of 81 points"),
        (lambda lag, r: (np.where(lag == 3, np.inf, lag), r), "not finite"),
        (lambda lag, r: (lag[:7], r[:7]), "too few points; received 7; allowed: at least 8"),
        (lambda lag, r: (lag[::-1], r), "do not increase"),
        (lambda lag, r: (np.sign(lag) * lag**2, r), "not uniform"),
        (lambda lag, r: (lag, r[:-1]), "do not match"),
    ],
)
def test_measured_refuses_what_it_cannot_use(change, message):
    with pytest.raises(DataError, match=message):
        measured(*change(*bell()))


def test_measured_needs_a_response():
    description = describe("measured:scale=1.2")
    with pytest.raises(UsageError, match="no impulse response") as caught:
        build(description, Axis(0.0, 1.0, 100))
    assert "/filter/impulse_response" in str(caught.value)
    lag, response = bell()
    filled = completed(description, FilterDescription("measured", {}, lag, response))
    assert build(filled, Axis(0.0, 1.0, 100)).width == pytest.approx(6, rel=1e-3)
    assert completed(description, None) is description
    assert completed(describe("gaussian:sd=1"), filled) == describe("gaussian:sd=1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("boxcar:width=3", "unknown filter; received boxcar; allowed: gaussian, ricker"),
        ("gaussian", "one of sd or fwhm; received neither"),
        ("gaussian:sd=1,fwhm=2", "received sd and fwhm"),
        ("gaussian:sd=1,sd=2", "given twice"),
        ("gaussian:sd", "no value"),
        ("gaussian:sd=wide", "not a number; received wide"),
        ("gaussian:sd=-1", "sd is out of range; received -1; allowed: above 0"),
        ("gaussian:sd=nan", "out of range"),
        ("gaussian:sd=inf", "out of range"),
        ("gaussian:width=1", "unknown parameter; received width; allowed: sd, fwhm"),
        ("ricker:", "give frequency"),
        ("ricker:frequency=0", "out of range"),
        ("decay:rise=1", "give decay; received nothing"),
        ("decay:rise=1,decay=2,exposure=-0.1", "allowed: at least 0"),
        ("decay:rise=1,decay=2,order=6", "allowed: a whole number from 1 to 5"),
        ("decay:rise=1,decay=2,order=2.9", "allowed: a whole number from 1 to 5"),
        ("lorentzian:fwhm=1,reach=2", "allowed: at least 10"),
        ("emg:sd=1,decay=0", "out of range"),
        ("lowpass:order=2.5", "a whole number from 1"),
        ("lowpass:order=0", "a whole number from 1"),
        ("measured:scale=0", "out of range"),
    ],
)
def test_descriptions_that_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        describe(text)


@pytest.mark.parametrize(
    ("text", "samples", "message"),
    [
        ("gaussian:sd=0.2", 100, "too narrow for the spacing 1; received a width of 0.2 samples.* 2 times wider"),
        ("gaussian:sd=1e-9", 100, r"4e\+08 times wider"),
        ("ricker:frequency=0.6", 100, "too narrow"),
        ("lorentzian:fwhm=0.5", 100, "a width of 0.177 samples.* 2.26 times wider"),
        ("decay:rise=0.05,decay=30", 100, "too narrow.* a longer rise makes it wider"),
        ("decay:rise=5,decay=30,exposure=0.005", 100, "too narrow.* exposure=1"),
        ("emg:sd=0.05,decay=3", 100, "too narrow"),
        ("gaussian:sd=45", 100, "longer than the record; received a filter of 112.8 on a record of 100"),
        ("decay:rise=1,decay=200", 100, "longer than the record"),
        ("lorentzian:fwhm=80", 100, "longer than the record"),
        ("decay:rise=3,decay=2", 100, "rise is longer than the decay"),
        ("decay:rise=9e5,decay=9e5", 10_000_000, "too large a table"),
        ("lowpass:order=50", 100, "passes 101 frequencies, more than 100 samples can tell apart.* at most 49"),
        ("lowpass:order=1", 2, "records of 3 samples or more"),
        ("lowpass:order=3,period=99", 100, "not the record's length.* drop the last sample"),
        ("lowpass:order=3,period=50", 100, "not the record's length; received period=50, or 50 samples; allowed: 100 samples"),
        ("lowpass:order=3,period=99.5", 100, "not a whole number of samples"),
    ],
)
def test_filters_that_do_not_fit_the_record(text, samples, message):
    with pytest.raises(UsageError, match=message):
        build(describe(text), Axis(0.0, 1.0, samples))


def test_unknown_normalisation():
    with pytest.raises(UsageError, match="unknown normalisation; received sum; allowed: peak, area, energy"):
        build(describe("gaussian:sd=3"), Axis(0.0, 1.0, 100), "sum")


def test_every_kind_describes_itself():
    assert set(KINDS) == {"gaussian", "ricker", "decay", "lorentzian", "emg", "lowpass", "measured"}
    for name, kind in KINDS.items():
        assert kind.name == name
        assert describe(kind.example).kind == name
        assert kind.summary
        for parameter in kind.parameters:
            assert parameter.meaning
            assert parameter.allowed()
            assert kind.need(parameter)
    needs = {parameter.name: KINDS["lowpass"].need(parameter) for parameter in KINDS["lowpass"].parameters}
    assert needs == {"order": "required", "period": "optional"}
    assert KINDS["gaussian"].need(KINDS["gaussian"].parameters[0]) == "this or fwhm"
    assert [KINDS["decay"].need(parameter) for parameter in KINDS["decay"].parameters] == ["required", "required", "1", "1"]


def test_the_position_is_where_lag_zero_lies():
    onset = build(describe("decay:rise=2,decay=9"), Axis(0.0, 1.0, 100))
    assert onset.response(np.array([-0.51, -0.49])) == pytest.approx([0, 0], abs=1e-4)
    assert onset.response(np.array(-0.51)) == 0
    assert onset.response(np.array(-0.49)) > 0
    tailed = build(describe("emg:sd=2,decay=6"), Axis(0.0, 1.0, 200), "area")
    lag, weights = gauss_nodes(tailed)
    assert np.sum(weights * tailed.response(lag) * lag) == pytest.approx(6, rel=1e-6)  # its mean lies one decay later


@pytest.mark.parametrize("order", [1.5, 2.5, 3.2])
def test_a_fractional_ricker_is_the_ricker_with_its_spectrum_multiplied(order):
    filter = build(describe(f"ricker:frequency=0.02,order={order}"), Axis(0.0, 1.0, 2000))
    sd, size, step = 1 / (np.sqrt(2) * np.pi * 0.02), 2**20, 1 / 8
    omega = 2 * np.pi * np.fft.rfftfreq(size, step)
    lag = np.arange(size) * step
    wavelet = ricker(lag, 0.02) + ricker(lag - size * step, 0.02)
    factor = np.zeros(omega.size, dtype=complex)
    factor[1:] = (1j * omega[1:] * sd) ** (order - 2)
    exact = np.fft.irfft(np.fft.rfft(wavelet) * factor, size)
    at = np.arange(-int(6 * sd / step), int(35 * sd / step))
    found, exact = filter.response(at * step), exact[at]
    exact *= (found @ exact) / (exact @ exact)  # the peak is normalised between the samples
    assert np.abs(found - exact).max() < 1e-8
    assert filter.error < 1e-12


def test_a_filter_is_tabulated_once_for_who_asks_again():
    axis = Axis(0.0, 0.1, 200)
    description = describe("gaussian:sd=0.5")
    table = build(description, axis)
    assert build(describe("gaussian:sd=0.5"), axis) is table
    for other in (
        build(describe("gaussian:sd=0.5000000001"), axis),
        build(description, Axis(0.0, 0.1, 201)),
        build(description, axis, "area"),
    ):
        assert other is not table
        assert other.response(np.zeros(1)) != pytest.approx(0.0)
