"""Numbers as a person reads them: significant digits follow the errors."""

from __future__ import annotations

import math
from collections.abc import Sequence


def rounded(value: float, error: float) -> str:
    """A value with the digits its standard error supports (two of the error's), six digits where there is no error."""
    if not math.isfinite(value):
        return "-"
    if not (math.isfinite(error) and error > 0):
        return f"{value:.6g}"
    decimals = _decimals(error)
    if _is_plain(decimals) and abs(value) < 1e7:
        return f"{round(value, decimals):.{max(decimals, 0)}f}"
    significant = max(1, decimals + (math.floor(math.log10(abs(value))) if value else 0))
    return f"{value:.{min(significant, 15)}e}"


def error_text(error: float) -> str:
    """A standard error with two digits, a dash where it is not identifiable."""
    if not math.isfinite(error):
        return "-"
    decimals = _decimals(error) if error > 0 else 0
    return f"{round(error, decimals):.{max(decimals, 0)}f}" if _is_plain(decimals) else f"{error:.1e}"


def _decimals(error: float) -> int:
    """Decimals that show two digits of an error; negative where it has more than two before the point."""
    return 1 - math.floor(math.log10(error))


def _is_plain(decimals: int) -> bool:
    """Whether such numbers are read more easily without an exponent."""
    return -6 < decimals <= 9


def short(value: float, digits: int = 3) -> str:
    """A number with a few digits, a dash for none."""
    return f"{value:.{digits}g}" if math.isfinite(value) else "-"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> list[str]:
    """Lines of an aligned table; columns are right-aligned but for the numbers in ``left``."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
