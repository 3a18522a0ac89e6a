"""The completeness map as a figure.

A small atlas is a list: a line per section, with the reason of what is not done. A large one is a mosaic: a tissue is a band, a
section four small tiles in it.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from s2s.evaluation.completeness import COLOURS, STAGES, SectionRow
from s2s.evaluation.plots.canvas import INK, MUTED, blank, to_png

LISTED = 60
"""Sections up to which the map is a list."""

PER_BAND = 80
"""Sections side by side in the mosaic; further ones stand in a further band of their tissue."""

MAX_REASON = 70
"""Characters of a reason in the list; the page has all of it."""


def completeness_figure(rows: Sequence[SectionRow], *, title: str) -> bytes:
    """Draw section x stage.

    Args:
        rows: From `completeness`, ordered by tissue.
        title: Above the map.
    """
    by_tissue: dict[str, list[SectionRow]] = {}
    for row in rows:
        by_tissue.setdefault(row.tissue or "no tissue", []).append(row)
    return _list(by_tissue, title) if len(rows) <= LISTED else _mosaic(by_tissue, title)


def _list(by_tissue: dict[str, list[SectionRow]], title: str) -> bytes:
    num_lines = sum(len(rows) + 1 for rows in by_tissue.values())
    figure = blank(8.5, 0.2 * num_lines + 1.1)
    axis, y = figure.subplots(), 0.0
    for tissue, rows in by_tissue.items():
        axis.text(-0.1, y + 0.55, tissue, ha="right", va="center", fontsize=9, color=INK, fontweight="bold")
        for line, row in enumerate(rows, start=1):
            axis.text(-0.1, y + line + 0.5, row.section_id, ha="right", va="center", fontsize=8, color=INK)
            _tiles(axis, row, x=0.0, y=y + line, is_upright=False)
            axis.text(len(STAGES) + 0.15, y + line + 0.5, _short(row.why), va="center", fontsize=7.5, color=MUTED)
        y += len(rows) + 1
    axis.set(xlim=(-2.2, len(STAGES) + 5.5), ylim=(y, 0))
    axis.set_xticks([place + 0.5 for place in range(len(STAGES))], STAGES, fontsize=8, color=MUTED)
    axis.xaxis.tick_top()
    axis.set_yticks([])
    _finish(axis)
    return _with_legend(figure, title)


def _mosaic(by_tissue: dict[str, list[SectionRow]], title: str) -> bytes:
    bands = [
        (tissue if start == 0 else "", rows[start : start + PER_BAND])
        for tissue, rows in by_tissue.items()
        for start in range(0, len(rows), PER_BAND)
    ]
    longest, tile = max(len(band) for _, band in bands), 0.11
    figure = blank(longest * tile + 2.6, len(bands) * (len(STAGES) + 2) * tile + 0.9)
    axis, y = figure.subplots(), 0.0
    for tissue, band in bands:
        axis.text(-0.8, y + len(STAGES) / 2, tissue, ha="right", va="center", fontsize=9, color=INK, fontweight="bold")
        for x, row in enumerate(band):
            _tiles(axis, row, x=float(x), y=y, is_upright=True)
        y += len(STAGES) + 2
    axis.set(xlim=(-12, longest), ylim=(y, 0), aspect="equal")
    axis.set(xticks=[], yticks=[])
    _finish(axis)
    return _with_legend(figure, f"{title}; from top to bottom: {', '.join(STAGES)}")


def _tiles(axis: Axes, row: SectionRow, *, x: float, y: float, is_upright: bool) -> None:
    for place, look in enumerate(row.looks):
        corner = (x + 0.06, y + place + 0.06) if is_upright else (x + place + 0.03, y + 0.08)
        size = (0.88, 0.88) if is_upright else (0.94, 0.84)
        axis.add_patch(Rectangle(corner, *size, facecolor=COLOURS[look], edgecolor="none"))


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 3] + "..."


def _finish(axis: Axes) -> None:
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _with_legend(figure: Figure, title: str) -> bytes:
    keys = [Patch(facecolor=colour, label=look) for look, colour in COLOURS.items() if look != "none"]
    figure.legend(handles=keys, loc="outside lower left", ncols=len(keys), frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    return to_png(figure)
