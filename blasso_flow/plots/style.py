"""What all figures share: colours, sizes, headings, labels and numbers as text.

Colours are Okabe and Ito's, told apart by colour-blind readers; every curve also differs in style or marker. Properties
are set on each object: matplotlib's global settings stay as they are.
"""

from __future__ import annotations

import math
import textwrap

from matplotlib.axes import Axes
from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

from blasso_flow.data.signals import Axis

BLACK = "#000000"
BLUE = "#0072B2"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
GREY = "#8C8C8C"
PALE = "#DDDDDD"
TEXT = "#333333"

SAMPLE_COLOUR, FIT_COLOUR, BASELINE_COLOUR, SPIKE_COLOUR, TRUTH_COLOUR = GREY, BLUE, GREEN, VERMILLION, BLACK

BASE = 10.0  # points
SMALL = 9.0
WIDTH = 10.0  # inches
MANY = 3000  # artists above this number are stored as pixels inside vector files

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


LETTERS = 105.0  # bold ones of one point in an inch of a headline
GUTTER = 0.8  # inches left of a panel for its label and numbers
LABEL = 0.56  # inches from a panel to the middle of its label, the same in all panels, so that labels line up


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure (inches)."""
    return Figure(figsize=(width, height), facecolor="white")


def panel(figure: Figure, left: float, top: float, width: float, height: float, sharex: Axes | None = None) -> Axes:
    """A panel by its place in inches from the figure's upper left corner.

    Fixed places, not an automatic layout: faster by half, and the same from figure to figure.
    """
    across, down = (float(length) for length in figure.get_size_inches())
    place = (left / across, 1 - (top + height) / down, width / across, height / down)
    ax = figure.add_axes(place, sharex=sharex)
    ax.yaxis.set_label_coords(-LABEL / width, 0.5)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=max(2, round(2.6 * height)), steps=[1, 2, 2.5, 5, 10]))
    return ax


def headline(figure: Figure, text: str) -> None:
    """The result in one line over the whole figure: smaller where it is long, and cut where it is too long even so."""
    across, down = (float(length) for length in figure.get_size_inches())
    letters = LETTERS * across
    size = min(BASE + 3, max(SMALL, letters / max(len(text), 1)))
    longest = int(letters / size)
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    figure.text(0.012, 1 - 0.1 / down, text, ha="left", va="top", fontsize=size, fontweight="bold", color=BLACK)


def note(figure: Figure, top: float, text: str) -> None:
    """A line of explanation, ``top`` inches below the figure's upper edge."""
    across, down = (float(length) for length in figure.get_size_inches())
    figure.text(GUTTER / across, 1 - top / down, text, ha="left", va="top", fontsize=SMALL, color=TEXT)


def dress(ax: Axes, xlabel: str = "", ylabel: str = "", small: bool = False) -> None:
    """Frame, ticks and labels of a panel; numbers on the ticks stay short."""
    size = SMALL - 1 if small else SMALL
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(TEXT)
        ax.spines[side].set_linewidth(0.8)
    ax.tick_params(labelsize=size, color=TEXT, labelcolor=TEXT, length=3, width=0.8)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set_fontsize(size)
        formatter = axis.get_major_formatter()
        if isinstance(formatter, ScalarFormatter):
            formatter.set_powerlimits((-3, 5))
            formatter.set_useOffset(axis is ax.xaxis)
    if xlabel:
        ax.set_xlabel(xlabel, fontsize=size, color=TEXT, labelpad=2)
    if ylabel:
        ax.set_ylabel(ylabel, fontsize=size, color=TEXT)


def finish(figure: Figure) -> Figure:
    """Move common powers of ten from the ends of the axes into their labels: ``time (10⁻⁹ s)``; call it last."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            formatter = axis.get_major_formatter()
            if not isinstance(formatter, ScalarFormatter) or not axis.get_offset_text().get_visible():
                continue
            formatter.set_locs(list(axis.get_majorticklocs()))
            exponent = formatter.get_offset().replace("−", "-").removeprefix("1e")
            if not exponent.lstrip("-").isdigit():  # none, or a sum, which stays where it is
                continue
            power = f"10{exponent.translate(SUPERSCRIPTS)}"
            name, bracket, units = axis.get_label_text().rpartition(" (")
            axis.set_label_text(f"{name} ({power} {units}" if bracket else f"{units} ({power})".lstrip())
            axis.label.set_fontsize(axis.label.get_fontsize() if name or units else SMALL - 1)
            axis.get_offset_text().set_visible(False)
    return figure


def heading(ax: Axes, title: str, detail: str = "", wrap: int = 100, small: bool = False) -> None:
    """Bold title above a panel's left end, and below it the detail in plain words, wrapped at ``wrap`` letters."""
    lines = textwrap.wrap(detail, wrap)
    size = SMALL if small else BASE
    line_height = 1.25 * (SMALL - 1 if small else SMALL)
    ax.set_title(title, loc="left", fontsize=size, fontweight="bold", color=BLACK, pad=4 + line_height * len(lines))
    if lines:
        ax.annotate(
            "\n".join(lines),
            (0, 1),
            xytext=(0, 3),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=SMALL - 1 if small else SMALL,
            color=TEXT,
            linespacing=1.15,
        )


def legend_above(ax: Axes, columns: int = 6) -> None:
    """A legend over the right end of the panel, where it cannot cover data."""
    handles, _ = ax.get_legend_handles_labels()
    if handles:
        ax.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            borderaxespad=0.1,
            ncols=min(columns, len(handles)),
            fontsize=SMALL,
            frameon=False,
            handlelength=1.6,
            handletextpad=0.5,
            columnspacing=1.2,
            labelcolor=TEXT,
        )


def message(ax: Axes, text: str) -> None:
    """Words in place of a panel that has nothing to show."""
    ax.text(0.5, 0.5, textwrap.fill(text, 60), transform=ax.transAxes, ha="center", va="center", fontsize=SMALL, color=TEXT)


def plain(text: str, longest: int = 60) -> str:
    """A text of the user's as a label: one line, not too long, never read as a formula."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if len(line) > longest:
        line = line[: longest - 1] + "…"
    return line.replace("$", r"\$")


def source(name: str) -> str:
    """The name of a signal without its folders, as a label."""
    file, colons, dataset = name.partition("::")
    return plain(file.rstrip("/").rpartition("/")[2] + colons + dataset, 40)


def with_units(name: str, units: str) -> str:
    """``name (units)``, or the name alone."""
    return f"{plain(name)} ({plain(units, 24)})" if units else plain(name)


def axis_label(axis: Axis) -> str:
    """Label of the signal's axis."""
    return with_units(axis.name, axis.units)


def weight_units(normalisation: str, units: str, axis_units: str) -> str:
    """Units of a weight: the signal's for peak, times the axis's for area, times their square root for energy."""
    if normalisation == "peak" or not axis_units:
        return units
    other = axis_units if normalisation == "area" else f"√{axis_units}"
    return f"{units} {other}".strip()


def power_of_ten(value: float, digits: int = 2) -> str:
    """A number for a reader: 0.012, 3.1×10⁻¹⁰."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "infinite"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return (f"{value:.{max(digits, 3)}g}" if abs(value) < 1000 else f"{value:.0f}").replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.replace("-", "−")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if mantissa.strip(".0") == "1" else f"{mantissa}\N{MULTIPLICATION SIGN}{power}"


def powers(ax_axis: MatplotlibAxis) -> None:
    """Powers of ten on a logarithmic axis as plain text, which is drawn ten times faster than a formula."""
    ax_axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))


def at_most(value: float) -> str:
    """An upper bound for a reader: two digits, rounded up, so that the statement stays true."""
    if not math.isfinite(value) or value <= 0:
        return power_of_ten(max(value, 0.0) if math.isfinite(value) else value)
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return power_of_ten(math.ceil(value / step - 1e-9) * step)


def counted(number: int, noun: str) -> str:
    """``1 spike``, ``2,000 spikes``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
