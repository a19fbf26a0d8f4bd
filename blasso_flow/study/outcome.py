"""What a study returns: tables of numbers, settings, and what was found, in sentences. Plain data; nothing computes here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from blasso_flow.data.signals import FloatArray

OnProgress = Callable[[float], None]  # called with the share of the work that is done


def unheard(share: float) -> None:
    """Do nothing with the progress: the default, where nobody watches."""


@dataclass(frozen=True)
class Table:
    """Columns of equal length (rows,), numbers only; ``units`` of those that have any."""

    about: str
    columns: Mapping[str, FloatArray]
    units: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> FloatArray:
        return self.columns[name]

    def rows(self, **where: float) -> Table:
        """The rows in which every named column equals its value."""
        chosen = np.ones(len(next(iter(self.columns.values()))), dtype=np.bool_)
        for name, value in where.items():
            chosen &= self.columns[name] == value
        return Table(self.about, {name: column[chosen] for name, column in self.columns.items()}, self.units)


@dataclass(frozen=True)
class Outcome:
    """A study's name, JSON-ready settings, tables by name, and ``findings``: one sentence each, the first one the claim."""

    study: str
    settings: Mapping[str, object]
    tables: Mapping[str, Table]
    findings: tuple[str, ...]

    def names(self, setting: str) -> list[str]:
        """A setting that is a list of names, to which a column of the tables refers by number."""
        listed = self.settings[setting]
        assert isinstance(listed, list)
        return listed


def table(about: str, units: Mapping[str, str] | None = None, **columns: object) -> Table:
    """A table from sequences of numbers."""
    return Table(about, {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}, units or {})
