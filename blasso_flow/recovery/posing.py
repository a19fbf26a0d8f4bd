"""The problem that settings and noise pose for one channel, at the strength that they choose. Everything in samples."""

from __future__ import annotations

import numpy as np

from blasso_flow.data.signals import Signal
from blasso_flow.errors import DataError
from blasso_flow.filters import Filter
from blasso_flow.noise.counts import with_noise_of_counts
from blasso_flow.noise.level import NoiseEstimate, estimate_noise
from blasso_flow.noise.strength import StrengthChoice, choose_strength
from blasso_flow.problem.problem import Problem
from blasso_flow.proof.evidence import largest_strength
from blasso_flow.recovery.settings import Settings

FIRST_FIT_TOLERANCE = 1e-3  # of a fit that only measures the noise, or chooses a baseline


def posed(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate, strength: float = 1.0) -> Problem:
    """The problem that the settings pose, at a strength; the noise of every sample, where it is stored, wins."""
    stored = isinstance(channel.noise_sd, np.ndarray) and settings.noise_sd is None
    return Problem.from_signal(
        channel,
        filter,
        strength=strength,
        noise_sd=None if stored else noise.sd,
        positive=settings.positive,
        baseline=settings.baseline,
        margin=settings.margin,
        loss=settings.loss,
        whitener=noise.whitener,
    )


def channel_noise(channel: Signal, filter: Filter | None, settings: Settings) -> NoiseEstimate:
    """The noise as given, as stored with the signal (or as its counts have it), or as estimated, in this order."""
    if settings.noise_sd is not None:
        return NoiseEstimate(settings.noise_sd, "given")
    if settings.noise == "coloured" and isinstance(channel.noise_sd, np.ndarray):
        raise DataError(
            "coloured noise has one sd", received="a sd for each sample, stored with the signal", mend="use `noise=white`"
        )
    if channel.noise_sd is None or settings.noise == "coloured":
        return estimate_noise(channel.values, filter)
    sd = channel.noise_sd
    if isinstance(sd, np.ndarray):
        sd = float(np.median(sd[np.isfinite(channel.values)]))
    rule = "median of the square roots of the counts around each sample" if settings.noise == "counts" else ""
    return NoiseEstimate(sd, rule or "stored with the signal")


def seen(channel: Signal, settings: Settings) -> Signal:
    """The channel with the noise that the settings ask for at every sample, where they do."""
    return with_noise_of_counts(channel) if settings.noise == "counts" else channel


def posed_problem(channel: Signal, filter: Filter, settings: Settings, noise: NoiseEstimate) -> tuple[Problem, StrengthChoice]:
    """The problem at the strength that the settings choose for this noise. Raises `DataError` where there is none."""
    draft = posed(channel, filter, settings, noise)
    strength = choose_strength(
        settings.strength,
        filter=draft.filter,
        noise_sd=noise.sd,
        weights=draft.sample_weights,
        domain=draft.domain,
        positive=settings.positive,
        false_alarms=settings.false_alarms,
        freedom=noise.freedom,
        strength_max=lambda: largest_strength(draft),
    )
    if not (np.isfinite(strength.strength) and strength.strength > 0):
        raise DataError("no usable strength", received=strength.strength, mend="give one with `strength=`")
    return draft.with_strength(strength.strength), strength
