"""Low-pass filter: an ideal cut-off at a whole number of cycles a period; the filter of the paper's experiments.

The Dirichlet response ``(1 + 2 sum_{k=1..order} cos(2 pi k lag / period)) / (2 order + 1)``. Signals are periodic: the
period is the record's length (samples times spacing), and every spike reaches every sample.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blasso_flow.data.signals import FilterDescription, FloatArray
from blasso_flow.errors import UsageError
from blasso_flow.filters.kinds import Design, FilterKind, Parameter

WHOLE = 1e-6  # samples by which a period may miss a whole number: rounding of the axis


def response(lag: FloatArray, order: int, period: float) -> FloatArray:
    """Response at lags of any shape, in the units of ``period``.

    The sum is sin((2 order + 1) pi u) / ((2 order + 1) sin(pi u)) with u = lag/period, here as a ratio of two sinc.
    """
    turns = np.asarray(lag, dtype=np.float64) / period
    turns = turns - np.round(turns)
    return np.asarray(np.sinc((2 * order + 1) * turns) / np.sinc(turns))


def design(description: FilterDescription, parameters: Mapping[str, float], spacing: float, samples: int) -> Design:
    """The whole record as window. Raises `UsageError` if the order or the period does not fit the record."""
    order = int(parameters["order"])
    if "period" in parameters:
        _check_period(parameters["period"] / spacing, parameters["period"], samples)
    if 2 * order + 1 > samples:
        raise UsageError(
            f"filter lowpass: order {order} passes {2 * order + 1} frequencies, more than {samples} samples can tell apart",
            received=f"order={order}",
            allowed=f"at most {(samples - 1) // 2} (2 order + 1 <= samples)" if samples > 2 else "records of 3 samples or more",
        )
    cycles = np.arange(1.0, order + 1)
    width = np.sqrt(1.5 * np.sum(cycles**2) / np.sum(cycles**4)) * samples / (2 * np.pi)
    return Design(
        response=lambda lag: response(lag, order, float(samples)),
        support=(-samples / 2, samples / 2),
        width=float(width),
        period=samples,
    )


def _check_period(in_samples: float, period: float, samples: int) -> None:
    whole = round(in_samples)
    if abs(in_samples - whole) > WHOLE:
        raise UsageError(
            "filter lowpass: the period is not a whole number of samples",
            received=f"period={period:.12g}, or {in_samples:.9g} samples",
            mend="leave period out: it is the record's length",
        )
    if whole != samples:
        hint = "the end of a periodic range is its start again: drop the last sample" if whole == samples - 1 else ""
        raise UsageError(
            "filter lowpass: the period is not the record's length",
            received=f"period={period:.12g}, or {whole} samples",
            allowed=f"{samples} samples",
            mend=hint or "leave period out: it is the record's length",
        )


KIND = FilterKind(
    name="lowpass",
    summary="ideal low-pass (Dirichlet), periodic with the record's length: the paper's deconvolution",
    parameters=(
        Parameter("order", "highest number of cycles a period", dimension="count", low=1.0, low_included=True),
        Parameter("period", "the record's length, if it should be checked", required=False),
    ),
    design=design,
    periodic=True,
    example="lowpass:order=10",
)


def lowpass(*, order: int, period: float | None = None, exposure: float | None = None) -> FilterDescription:
    """Ideal low-pass of at most ``order`` cycles a record, which closes on itself; ``period`` (axis units) is only checked.

    ``exposure`` is the share of the spacing that a sample averages over. Raises `UsageError` for what cannot be used.
    """
    return KIND.described(order=order, period=period, exposure=exposure)
