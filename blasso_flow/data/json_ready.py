"""Results as numbers that JSON can hold."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class JsonReady:
    """A dataclass of numbers, texts and flags that can be written as JSON."""

    def as_dict(self) -> dict[str, bool | int | float | str | None]:
        """The fields by name; NaN and infinities become None, which JSON writes as null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in asdict(self).items()
        }
