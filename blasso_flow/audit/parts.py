"""The parts of a problem that is audited: its whole domain, or the sections of a width law, checked against that law.

Imports nothing but filters, as data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blasso_flow.data.reports import Section
from blasso_flow.data.signals import FloatArray, Signal
from blasso_flow.errors import UsageError
from blasso_flow.filters import Filter, gaussian_like

LAW_TOLERANCE = 1e-9  # relative, of a squared width


@dataclass(frozen=True)
class Part:
    """A range of the domain (samples), its filter and strength, and the spikes (positions in samples) that it holds."""

    filter: Filter
    domain: tuple[float, float]
    strength: float
    position: FloatArray
    weight: FloatArray


def section_parts(channel: Signal, whole: Part, sections: Sequence[Section], law: object) -> tuple[str, list[Part]]:
    """What is wrong with the stored sections ("" if nothing), and the parts that they make of the ``whole``.

    They must follow each other over the whole domain, and each width must be the law's somewhere in its section.
    Raises `UsageError` when the stored ``law`` is none.
    """
    if not isinstance(law, list | tuple) or len(law) != 2 or not all(isinstance(number, int | float) for number in law):
        raise UsageError("certify: the stored width law cannot be used", received=law, allowed="two numbers")
    cuts = [float(section.first) for section in sections] + [float(section.last) for section in sections[-1:]]
    joined = all(section.last == after for section, after in zip(sections, cuts[1:], strict=True))
    if not cuts or (cuts[0], cuts[-1]) != whole.domain or not joined or sorted(set(cuts)) != cuts:
        return "the stored sections do not cover the domain once", []
    number = np.searchsorted(cuts[1:-1], whole.position, side="right")
    parts = []
    for index, section in enumerate(sections):
        ends = (float(channel.axis.from_samples(end)) for end in (section.first, section.last))
        low, high = sorted(law[0] + law[1] * end for end in ends)
        if not low * (1 - LAW_TOLERANCE) <= section.sd**2 <= high * (1 + LAW_TOLERANCE):
            return f"section {index} has a width of {section.sd:.6g}, which is not the law's there", []
        if not (math.isfinite(section.strength) and section.strength > 0):
            return f"section {index} has a strength of {section.strength:g}, not a finite number above 0", []
        middle = float(channel.axis.spacing_at((section.first + section.last) / 2))
        table = gaussian_like(whole.filter, section.sd * (channel.axis.spacing / middle), channel.axis)
        own = number == index
        domain = (float(section.first), float(section.last))
        parts.append(Part(table, domain, section.strength, whole.position[own], whole.weight[own]))
    return "", parts
