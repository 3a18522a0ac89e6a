"""The completeness map as a figure.

A small atlas is a list: a line per section, with the reason of what is not done. A large one is a mosaic: a tissue is a band, a
section a tile per stage in it. A very large one is a mosaic of which each column stands for several sections of a tissue and shows
the least of them, because a picture has only so many points; the page beside it still has a line per section.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from s2s.evaluation.completeness import COLOURS, STAGES, Look, SectionRow
from s2s.evaluation.plots.canvas import INK, MUTED, blank, to_png

Tile = tuple[Rectangle, Look]

LISTED = 60
"""Sections up to which the map is a list."""

PER_BAND = 80
"""Sections side by side in the mosaic; further ones stand in a further band of their tissue."""

NAME_WIDTH, REASON_WIDTH = 2.2, 5.5
"""Of the list, in stages: left of them, and right of them where anything is to be explained."""

MOST_COLUMNS = 10_000
"""Columns of the mosaic, of all tissues together and about; matplotlib draws no picture of more than 65,536 points a side."""

LEAST_FIRST: tuple[Look, ...] = ("failed", "skipped", "running", "waiting", "none", "done")

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
    if len(rows) <= LISTED:
        return _list(by_tissue, title)
    share = -(-len(rows) // MOST_COLUMNS)
    if share > 1:
        by_tissue = {tissue: [_least(some) for some in _parts(rows, share)] for tissue, rows in by_tissue.items()}
        title = f"{title}; a column is {share} sections and shows the least of them"
    return _mosaic(by_tissue, title)


def _parts(rows: Sequence[SectionRow], size: int) -> list[Sequence[SectionRow]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _least(rows: Sequence[SectionRow]) -> SectionRow:
    looks = tuple(min(stage, key=LEAST_FIRST.index) for stage in zip(*(row.looks for row in rows), strict=True))
    return replace(rows[0], looks=looks)


def _list(by_tissue: dict[str, list[SectionRow]], title: str) -> bytes:
    num_lines = sum(len(rows) + 1 for rows in by_tissue.values())
    room = REASON_WIDTH if any(row.why for rows in by_tissue.values() for row in rows) else 0.0
    figure = blank(0.8 * (NAME_WIDTH + len(STAGES) + room), 0.2 * num_lines + 1.1)
    axis, y = figure.subplots(), 0.0
    for tissue, rows in by_tissue.items():
        axis.text(-0.1, y + 0.55, tissue, ha="right", va="center", fontsize=9, color=INK, fontweight="bold")
        for line, row in enumerate(rows, start=1):
            axis.text(-0.1, y + line + 0.5, row.section_id, ha="right", va="center", fontsize=8, color=INK)
            _draw(axis, _tiles(row, x=0.0, y=y + line, is_upright=False))
            axis.text(len(STAGES) + 0.15, y + line + 0.5, _short(row.why), va="center", fontsize=7.5, color=MUTED)
        y += len(rows) + 1
    axis.set(xlim=(-NAME_WIDTH, len(STAGES) + room), ylim=(y, 0))
    axis.set_xticks([place + 0.5 for place in range(len(STAGES))], STAGES, fontsize=8, color=MUTED)
    axis.xaxis.tick_top()
    axis.set_yticks([])
    _finish(axis)
    return _with_legend(figure, title)


def _mosaic(by_tissue: dict[str, list[SectionRow]], title: str) -> bytes:
    bands = [
        (tissue if place == 0 else "", band) for tissue, rows in by_tissue.items() for place, band in enumerate(_parts(rows, PER_BAND))
    ]
    longest, tile = max(len(band) for _, band in bands), 0.11
    figure = blank(longest * tile + 2.6, len(bands) * (len(STAGES) + 2) * tile + 0.9)
    axis, y = figure.subplots(), 0.0
    tiles: list[Tile] = []
    for tissue, band in bands:
        axis.text(-0.8, y + len(STAGES) / 2, tissue, ha="right", va="center", fontsize=9, color=INK, fontweight="bold")
        tiles += [(tile, look) for x, row in enumerate(band) for tile, look in _tiles(row, x=float(x), y=y, is_upright=True)]
        y += len(STAGES) + 2
    _draw(axis, tiles)
    axis.set(xlim=(-12, longest), ylim=(y, 0), aspect="equal")
    axis.set(xticks=[], yticks=[])
    _finish(axis)
    return _with_legend(figure, f"{title}; from top to bottom: {', '.join(STAGES)}")


def _tiles(row: SectionRow, *, x: float, y: float, is_upright: bool) -> Iterator[Tile]:
    for place, look in enumerate(row.looks):
        corner = (x + 0.06, y + place + 0.06) if is_upright else (x + place + 0.03, y + 0.08)
        size = (0.88, 0.88) if is_upright else (0.94, 0.84)
        yield Rectangle(corner, *size), look


def _draw(axis: Axes, tiles: Iterable[Tile]) -> None:
    # One collection for all: ten thousand patches of their own take matplotlib a minute.
    shapes, looks = zip(*tiles, strict=True)
    axis.add_collection(PatchCollection(shapes, facecolors=[COLOURS[look] for look in looks], edgecolors="none"))


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
