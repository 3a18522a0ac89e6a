"""Drawing of one map: its background, its values or its dots, its colour bar, its scale bar.

Decision: off tissue is light gray, and tissue without a value is a background of its own: neither can be mistaken for zero
expression, which is the dark end of magma; the price is that a figure needs no key only for those who know magma.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, PolyCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patches import Rectangle

from s2s.evaluation.plots.canvas import INK
from s2s.lattice.geometry import ROW_STEP, positions
from s2s.lattice.measured import Measured

Kind = Literal["expression", "samples", "deviation", "error"]

COLOURS: dict[Kind, str] = {"expression": "magma", "samples": "magma", "deviation": "viridis", "error": "RdBu_r"}
OFF_TISSUE = "#e1e3e8"
ON_TISSUE: dict[Kind, str] = {"expression": OFF_TISSUE, "samples": "#c6cad2", "deviation": "#440154", "error": "#f7f7f7"}
"""Tissue without a value. A measured bin has no error and no deviation, so it has the colour that stands for 0."""

MAX_SIDE_OF_DOTS = 240
"""Bins along the longer side up to which a sample is drawn as a dot; in larger sections it would be smaller than a pixel."""

DOT_STRIDES = 0.85
"""Diameter of a dot in strides of the lattice: neighbours nearly touch."""

HEXAGON_RADIUS = 1 / sqrt(3)
"""From the centre of a hexagonal bin to its corners, in pitches."""

SCALE_BARS_UM = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One column of maps.

    Attributes:
        title: Above the column.
        kind: Chooses colours and background; `samples` are drawn as dots.
        values: log1p units; NaN where the background shows.
    """

    title: str
    kind: Kind
    values: Float32[np.ndarray, "row y x"]


def draw_map(axis: Axes, panel: Panel, row: int, norm: Normalize, measured: Measured) -> None:
    """Draw one row of a panel over the section's tissue.

    Args:
        axis: Empty; it loses its ticks and its frame.
        panel: What to draw.
        row: Which of its rows.
        norm: From values to colours.
        measured: Its tissue and its lattice.
    """
    values = np.ma.masked_invalid(panel.values[row])
    colours, background = mpl.colormaps[COLOURS[panel.kind]], ListedColormap([OFF_TISSUE, ON_TISSUE[panel.kind]])
    # Explicit limits: dots and scale bars reach beyond the grid and would widen the view.
    left, right, top, bottom = extent(measured)
    axis.set(xticks=[], yticks=[], xlim=(left, right), ylim=(bottom, top))
    axis.spines[:].set_visible(False)
    if measured.lattice == "hexagonal":
        _draw_hexagons(axis, np.ma.asarray(measured.tissue), 1.0).set(cmap=background, clim=(0, 1))
        _draw_hexagons(axis, values, DOT_STRIDES * measured.stride if panel.kind == "samples" else 1.0).set(cmap=colours, norm=norm)
        return
    axis.imshow(measured.tissue, cmap=background, vmin=0, vmax=1, interpolation="nearest")
    if panel.kind != "samples":
        axis.imshow(values, cmap=colours, norm=norm)
    elif max(values.shape) <= MAX_SIDE_OF_DOTS:
        size, places = DOT_STRIDES * measured.stride, np.argwhere(~values.mask)[:, ::-1]
        dots = EllipseCollection(size, size, 0, units="xy", offsets=places, offset_transform=axis.transData, linewidth=0)
        dots.set(cmap=colours, norm=norm)
        dots.set_array(values.compressed())
        axis.add_collection(dots)
    else:
        axis.imshow(_blocks(values, measured), cmap=colours, norm=norm)
    axis.set(xlim=(left, right), ylim=(bottom, top))


def extent(measured: Measured) -> tuple[float, float, float, float]:
    """Left, right, top and bottom edge of a section's grid in pitches; the first position lies at the origin."""
    height, width = measured.tissue.shape
    if measured.lattice == "square":
        return -0.5, width - 0.5, -0.5, height - 0.5
    return -0.5, float(width), -HEXAGON_RADIUS, (height - 1) * ROW_STEP["hexagonal"] + HEXAGON_RADIUS


def add_colour_bar(axis: Axes, kind: Kind, norm: Normalize, label: str) -> None:
    """Put a colour bar to the right of a map, exactly as high as the map whatever the section's proportions."""
    bar = axis.figure.colorbar(ScalarMappable(norm, COLOURS[kind]), cax=axis.inset_axes((1.03, 0, 0.045, 1)))
    bar.set_label(label, fontsize=8.5, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK, length=2)
    bar.outline.set_visible(False)


def add_scale_bar(axis: Axes, measured: Measured) -> None:
    """Put a bar of a round length in micrometres or millimetres below a map, about a third of its width at most."""
    left, right, top_edge, bottom_edge = extent(measured)
    fitting = [um for um in SCALE_BARS_UM if um <= 0.33 * (right - left) * measured.pitch_um]
    length_um = fitting[-1] if fitting else measured.pitch_um
    label = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    length, thickness = length_um / measured.pitch_um, 0.02 * (bottom_edge - top_edge)
    top = bottom_edge + 1.5 * thickness
    axis.add_patch(Rectangle((-0.5, top), length, thickness, facecolor=INK, edgecolor="none", clip_on=False))
    axis.text(length - 0.5, top + thickness / 2, f"  {label}", ha="left", va="center", fontsize=9, color=INK)


def add_note(axis: Axes, text: str) -> None:
    """Write a short text on white into the top left corner of a map."""
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    axis.text(0.03, 0.96, text, transform=axis.transAxes, ha="left", va="top", fontsize=9.5, color=INK, bbox=box)


def _draw_hexagons(axis: Axes, values: np.ma.MaskedArray, side: float) -> PolyCollection:
    # Each at its true place: in offset coordinates odd rows would stand half a pitch too far left, and rows too far apart.
    places = positions(values.shape, "hexagonal")[~np.ma.getmaskarray(values)][:, ::-1]
    corners = np.radians(60 * np.arange(6) + 30)
    hexagon = HEXAGON_RADIUS * side * np.stack([np.cos(corners), np.sin(corners)], axis=1)
    outlines = list(places[:, None] + hexagon)
    hexagons = PolyCollection(outlines, array=values.compressed().astype(np.float64), edgecolor="face", linewidth=0.2)
    axis.add_collection(hexagons)
    axis.set_aspect("equal")
    return hexagons


def _blocks(values: np.ma.MaskedArray, measured: Measured) -> np.ma.MaskedArray:
    # Every second pixel of an image that is itself scaled down is moire; a block for each sample is not.
    (first_y, first_x), stride = measured.phase, measured.stride
    height, width = values.shape
    filled = values[first_y::stride, first_x::stride].repeat(stride, axis=0).repeat(stride, axis=1)
    blocks = np.ma.masked_where(np.ones(values.shape, np.bool_), values)
    blocks[first_y:, first_x:] = filled[: height - first_y, : width - first_x]
    return np.ma.masked_where(~measured.tissue, blocks)
