"""The Python interface: plain arrays in, every option in the signature, conveniences on results."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest

import blasso_flow as bf
from blasso_flow.filters import KINDS
from blasso_flow.recovery.settings import Settings

SAMPLES = 300
POSITION = 0.1 * np.arange(SAMPLES)
CLEAN = np.exp(-0.5 * ((POSITION - 12.34) / 0.5) ** 2)


def samples(seed=0):
    return CLEAN + 0.01 * np.random.default_rng(seed).standard_normal(SAMPLES)


def test_plain_arrays_are_signals_on_the_axis_that_is_given():
    plain = bf.recover(samples(), spacing=0.1, first=5.0, filter=bf.filters.gaussian(sd=0.5))
    signal = bf.Signal(samples(), bf.Axis(5.0, 0.1, SAMPLES))
    same = bf.recover(signal, filter="gaussian:sd=0.5")
    assert plain.spikes.position.tobytes() == same.spikes.position.tobytes()
    assert plain.spikes.position == pytest.approx([17.34], abs=0.01)
    assert bf.recover(samples().tolist(), filter="gaussian:sd=5").spikes.position == pytest.approx([123.4], abs=0.1)
    with pytest.raises(bf.BlassoFlowError, match="an axis of its own"):
        bf.recover(signal, spacing=0.1)


def test_every_option_is_in_the_signature_with_its_default():
    signature = inspect.signature(bf.recover).parameters
    for name, field in Settings.__dataclass_fields__.items():
        assert str(signature[name].default) == str(field.default), name
        assert signature[name].annotation is not inspect.Parameter.empty
        assert name in (bf.recover.__doc__ or ""), name


@pytest.mark.parametrize("kind", KINDS)
def test_every_filter_has_a_function_with_its_parameters(kind):
    function = getattr(bf.filters, kind)
    names = {parameter.name for parameter in KINDS[kind].parameters} | {"exposure"}
    assert names <= set(inspect.signature(function).parameters)
    if kind == "measured":
        description = function(np.arange(-3.0, 4.0), np.exp(-(np.arange(-3.0, 4.0) ** 2)), scale=2.0)
        assert description.response is not None and description.parameters == {"scale": 2.0}
    else:
        example = bf.filters.describe(KINDS[kind].example)
        checked = KINDS[kind].checked
        assert checked(function(**example.parameters)) == checked(example)


def test_filters_refuse_what_they_cannot_be():
    with pytest.raises(bf.BlassoFlowError, match="sd"):
        bf.filters.gaussian(sd=-1.0)
    with pytest.raises(bf.BlassoFlowError, match="sd or fwhm"):
        bf.filters.gaussian()


def test_what_a_result_says_at_first_sight():
    found = bf.recover(samples(), spacing=0.1, filter=bf.filters.gaussian(sd=0.5))
    report = found.channels[0]
    assert (found.success, found.message, found.gap) == (True, report.message, report.gap)
    short = bf.recover(samples(), spacing=0.1, filter=bf.filters.gaussian(sd=0.5), max_rounds=1, tol=1e-14)
    assert not short.success and "gap" in short.message
    two = bf.recover(np.stack([samples(), np.full(SAMPLES, np.nan)]), spacing=0.1, filter="gaussian:sd=0.5")
    assert not two.success and np.isnan(two.gap)
    assert two.message == "1 of 2 channels converged; every sample is missing"


def test_spikes_are_a_table():
    spikes = bf.recover(samples(), spacing=0.1, filter="gaussian:sd=0.5").spikes
    columns = spikes.columns()
    assert list(columns) == ["channel", "position", "position_errors", "weight", "weight_errors", "group", "significance"]
    assert all(column.shape == (len(spikes),) for column in columns.values())
    pandas = pytest.importorskip("pandas")
    assert spikes.frame().equals(pandas.DataFrame(columns))


def test_a_problem_is_solved_in_axis_units_by_any_method():
    axis = bf.Axis(5.0, 0.1, SAMPLES)
    table = bf.filters.build(bf.filters.gaussian(sd=0.5), axis)
    problem = bf.Problem.from_signal(bf.Signal(samples(), axis, noise_sd=0.01), table, strength=0.1)
    newton, conic = bf.solve(problem), bf.solve(problem, method=bf.Flow("conic", particles=80, keep_paths=True))
    assert newton.gap <= 1e-6
    for solution in (newton, conic):
        assert solution.position[np.argmax(solution.weight)] == pytest.approx(17.34, abs=0.2)
        assert solution.dual_value <= min(newton.objective, conic.objective)
    assert conic.paths is not None and axis.first <= conic.paths.position.min() <= conic.paths.position.max() <= axis.last


def test_a_recovery_is_certified_drawn_and_scored(tmp_path):
    signal = bf.simulate("gaussian:sd=3", samples=300, spikes=3, snr=30, min_separation=40)
    found = bf.recover(signal)
    (verdict,) = bf.certify(found)
    assert verdict.agrees, verdict.reason
    assert bf.plot(found, str(tmp_path / "figure.png")) is not None
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert bf.score(found.spikes, signal.truth, tolerance=1.0).overall.f1 == 1.0


def test_names_are_there_before_they_are_imported():
    code = "import sys, blasso_flow as bf; assert set(bf.__all__) <= set(dir(bf)); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
    for name in bf.__all__:
        assert getattr(bf, name) is not None


def test_without_a_refit_no_significance_is_known():
    spikes = bf.recover(samples(), spacing=0.1, filter="gaussian:sd=0.5", refit=False).spikes
    assert len(spikes) and np.isnan(spikes.significance).all()
