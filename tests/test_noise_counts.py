"""The noise of counts in least squares: what it is, that it leaves fits unbiased, and that results with it are confirmed."""

from __future__ import annotations

import numpy as np
import pytest
from command import run

from blasso_flow import recover, write_signal
from blasso_flow.audit.audit import audit, certify
from blasso_flow.audit.noise import variance_of_counts
from blasso_flow.data.signals import Axis, FilterDescription, Signal
from blasso_flow.errors import UsageError
from blasso_flow.filters import build
from blasso_flow.noise.counts import ENOUGH, sd_of_counts

FILTER = FilterDescription("gaussian", {"sd": 4.0})


def spectrum(samples=1200, seed=0, lines=((300.3, 150.0), (500.6, 500.0), (900.2, 40.0))):
    """Counts on a continuum that falls from 400 to 4, with lines."""
    axis = Axis(0.0, 1.0, samples)
    at = axis.positions()
    rate = 4.0 + 396.0 * np.exp(-at / (samples / 6))
    for position, height in lines:
        rate += height * build(FILTER, axis).response(at - position)
    return Signal(np.random.default_rng(seed).poisson(rate).astype(float), axis, "count", filter=FILTER)


def by_definition(values):
    """Variance of every sample, in loops."""
    variance = np.ones(values.size)
    for n in np.flatnonzero(np.isfinite(values)):
        for reach in 2 ** np.arange(20):
            around = [values[k] for k in range(n - reach, n + reach + 1) if k != n and 0 <= k < values.size]
            around = [value for value in around if np.isfinite(value)]
            if around and (sum(around) >= ENOUGH or reach >= values.size):
                variance[n] = max(sum(around), 1.0) / len(around)
                break
    return variance


@pytest.mark.parametrize("rate", [0.02, 0.7, 30.0])
def test_the_variance_of_a_sample_is_the_mean_of_those_around_it(rate):
    values = np.random.default_rng(1).poisson(rate, 150).astype(float)
    values[[0, 40, 41, 42, 43, 149]] = np.nan
    np.testing.assert_allclose(sd_of_counts(values) ** 2, by_definition(values), rtol=1e-12)
    np.testing.assert_allclose(variance_of_counts(values), by_definition(values), rtol=1e-12)


def test_a_lone_sample_and_no_counts_have_a_noise():
    for values in (np.array([7.0]), np.zeros(5), np.array([np.nan, 3.0, np.nan])):
        assert (sd_of_counts(values) > 0).all()
        np.testing.assert_allclose(sd_of_counts(values) ** 2, variance_of_counts(values))


@pytest.mark.parametrize("rate", [0.5, 4.0, 60.0])
def test_a_weighted_mean_is_unbiased_however_few_the_counts(rate):
    """Weights from the samples themselves pull it down by about a count."""
    counts = np.random.default_rng(2).poisson(rate, (60, 2000)).astype(float)
    means = [np.average(row, weights=sd_of_counts(row) ** -2.0) for row in counts]
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - rate) < 4 * error
    own = [np.average(row, weights=1 / np.maximum(row, 1.0)) for row in counts]
    assert abs(np.mean(own) - rate) > 8 * error


def test_lines_are_found_on_high_and_low_continua_and_nothing_else():
    found = [recover(spectrum(seed=seed), noise="counts", baseline="spline:knot=100").spikes for seed in range(6)]
    extra = 0
    for spikes in found:
        known = np.abs(spikes.position[:, None] - [300.3, 500.6, 900.2]) < 4
        assert known.any(axis=0).all()
        extra += int((~known.any(axis=1)).sum())
    assert extra <= 2


def test_results_are_confirmed_and_those_of_other_noise_are_not():
    recovery = recover(spectrum(), noise="counts", baseline="spline:knot=100")
    assert recovery.channels[0].noise_rule.endswith("the counts around each sample")
    assert [verdict.agrees for verdict in certify(recovery)] == [True]
    assert recovery.signal is not None
    assert recovery.signal.noise_sd is None
    [verdict] = audit(recovery.signal, recovery.optimum, recovery.channels, {**recovery.settings, "noise": "white"})
    assert not verdict.agrees


def test_a_signal_that_is_no_counts_fails_with_a_reason():
    signal = spectrum()
    report = recover(Signal(signal.values - 10, signal.axis, filter=FILTER), noise="counts").channels[0]
    assert (report.status, "needs counts" in report.message) == ("failed", True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "pink"}, "unknown noise; received pink; allowed: auto, white, coloured, counts"),
        ({"noise": "counts", "noise_sd": 2.0}, "an sd of its own at every sample"),
        ({"noise": "counts", "loss": "poisson"}, "knows the noise of counts by itself"),
    ],
)
def test_what_excludes_it_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        recover(spectrum(), **options)


def test_from_the_command_line(tmp_path):
    path, result = tmp_path / "counts.h5", tmp_path / "counts.spikes.h5"
    write_signal(spectrum(), path)
    assert "--noise counts" in run("inspect", path).text
    done = run("recover", path, "--noise", "counts", "--baseline", "spline:knot=100", "-o", result)
    assert (done.code, (tmp_path / "counts.spikes.png").exists()) == (0, True)
    assert "1 of 1 channels confirmed" in run("certify", result).text
    assert run("plot", result, "-o", tmp_path / "again.png").code == 0
