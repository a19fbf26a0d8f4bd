"""Where new particles belong."""

from __future__ import annotations

from typing import NamedTuple

from blasso_flow.data.signals import FloatArray


class Births(NamedTuple):
    """Local maxima of a certificate: candidates for new particles, ``position`` (C,) in samples, and ``eta`` (C,) there."""

    position: FloatArray
    eta: FloatArray
