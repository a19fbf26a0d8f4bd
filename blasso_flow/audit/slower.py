"""The slower record that a report is about, from the signal again. Its samples follow from a kind, a ratio and a place that are
stored, without any choice or fit: so the function is shared, and what may be stored is checked here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blasso_flow.data.reports import ChannelReport
from blasso_flow.data.signals import Signal
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter
from blasso_flow.filters.exposure import STAMPS
from blasso_flow.noise.slower import DEGREES, as_reported

KINDS = (*DEGREES, "periodic", "mirrored")


def slower_record(
    channel: Signal, filter: Filter, report: ChannelReport, settings: Mapping[str, object]
) -> tuple[Signal, Filter]:
    """The channel at the rate of its slower samples, and the filter for them. Raises `UsageError` for what cannot be meant."""
    stamp = str(settings.get("stamp", "middle"))
    numbers = (report.ratio, report.first_sample, report.sample_exposure)
    within = np.isfinite(numbers).all() and report.ratio > 1 and 0 <= report.first_sample < channel.axis.size
    if report.interpolation not in KINDS or not within or report.sample_exposure < 0 or stamp not in STAMPS:
        raise UsageError(
            "certify: the stored interpolation cannot be used",
            received=f"{report.interpolation}, {', '.join(f'{number:g}' for number in numbers)}, {stamp}",
        )
    if np.isnan(channel.values).all():
        return channel, filter
    return as_reported(channel, filter, report, stamp)
