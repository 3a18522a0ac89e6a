"""Charts of a benchmark as a whole: accuracy against cost, and how honest intervals are.

Decision: the reference is drawn in the accent colour, every other method has a marker and a colour of its own from a
palette that colour-blind readers can tell apart, and the key stands beside the panels, never in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from s2s.contracts.benchmark import BenchmarkRow
from s2s.evaluation.plots.canvas import ACCENT, INK, MUTED, blank, frame, to_png

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#8a8a00", "#5c5c68")
"""Okabe and Ito 2008, without the pink that is too near the accent."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
COLUMNS = 3
PANEL = (3.3, 2.9)
MIN_PCC = 1e-6
"""Rows below it are constants: they have no correlation to draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a method is drawn in every figure of a benchmark."""

    colour: str
    marker: str
    is_reference: bool


def method_styles(methods: Sequence[str], reference: str) -> dict[str, Style]:
    """Give every method its colour and marker, by its place in the table."""
    styles = {}
    for place, name in enumerate(name for name in methods if name != reference):
        styles[name] = Style(colour=PALETTE[place % len(PALETTE)], marker=MARKERS[place % len(MARKERS)], is_reference=False)
    return {reference: Style(colour=ACCENT, marker="*", is_reference=True), **styles}


def is_constant(row: BenchmarkRow) -> bool:
    """Whether a row's estimate is the same everywhere, so that nothing of it correlates with anything."""
    return row.score is not None and abs(row.score.pcc) < MIN_PCC


def accuracy_cost_figure(rows: Sequence[BenchmarkRow], styles: Mapping[str, Style]) -> bytes | None:
    """Draw PCC against seconds, one panel per section, seconds on a logarithmic axis.

    Constants are left out: they have no correlation.

    Returns:
        A PNG; None where no row has a score.
    """
    drawn = [row for row in rows if row.score is not None and not is_constant(row)]
    if not drawn:
        return None
    sections = list(dict.fromkeys(row.section for row in drawn))
    figure, axes = panels(len(sections))
    for axis, section in zip(axes, sections, strict=True):
        frame(axis, grid="y")
        axis.set_xscale("log")
        for row in (row for row in drawn if row.section == section):
            _point(axis, row, styles[row.method])
        axis.xaxis.set_major_locator(LogLocator(numticks=6))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
        axis.margins(x=0.12, y=0.12)
        axis.set_title(section, fontsize=10, color=INK, loc="left")
        axis.set_xlabel("seconds", color=INK, fontsize=9)
        axis.set_ylabel("Pearson correlation", color=INK, fontsize=9)
    add_key(figure, {name: style for name, style in styles.items() if any(row.method == name for row in drawn)})
    return to_png(figure)


def coverage_figure(rows: Sequence[BenchmarkRow], styles: Mapping[str, Style]) -> bytes | None:
    """Draw measured against nominal coverage of every method that gives intervals, mean over sections.

    Returns:
        A PNG; None where no method gives intervals.
    """
    curves = {name: curve for name in styles if (curve := _coverage_of([row for row in rows if row.method == name]))}
    if not curves:
        return None
    figure = blank(5.6, 3.9)
    axis = figure.subplots()
    frame(axis, grid="both")
    axis.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axis.text(
        0.1, 0.12, "as promised", color=MUTED, fontsize=9, va="bottom", rotation=45, rotation_mode="anchor", transform_rotates_text=True
    )
    for name, curve in curves.items():
        levels, measured = zip(*sorted(curve.items()), strict=True)
        axis.plot(levels, measured, color=styles[name].colour, marker=styles[name].marker, linewidth=1.4, markersize=_size(styles[name]))
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set_xlabel("nominal coverage", color=INK)
    axis.set_ylabel("share of held-out values inside", color=INK)
    add_key(figure, {name: styles[name] for name in curves})
    return to_png(figure)


def panels(number: int) -> tuple[Figure, list[Axes]]:
    """Open a figure with a number of panels, at most three side by side."""
    columns = min(number, COLUMNS)
    lines = -(-number // columns)
    figure = blank(PANEL[0] * columns + 2.2, PANEL[1] * lines)
    axes: list[Axes] = list(np.ravel(figure.subplots(lines, columns, squeeze=False)))
    for spare in axes[number:]:
        spare.remove()
    return figure, axes[:number]


def add_key(figure: Figure, styles: Mapping[str, Style]) -> None:
    """Put the key of the methods to the right of the panels."""
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, linewidth=0, markersize=_size(style), label=name)
        for name, style in styles.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9, labelcolor=INK)


def _point(axis: Axes, row: BenchmarkRow, style: Style) -> None:
    assert row.score is not None
    axis.errorbar(
        max(row.score.seconds, 1e-3),
        row.score.pcc,
        yerr=row.pcc_spread,
        color=style.colour,
        marker=style.marker,
        markersize=_size(style),
        linewidth=1.2,
        capsize=2,
        zorder=4 if style.is_reference else 3,
    )


def _size(style: Style) -> float:
    return 12.0 if style.is_reference else 6.5


def _coverage_of(rows: Sequence[BenchmarkRow]) -> dict[float, float]:
    levels: dict[float, list[float]] = {}
    for item in (item for row in rows for item in row.coverage):
        levels.setdefault(item.level, []).append(item.measured)
    return {level: float(np.mean(values)) for level, values in levels.items()}
