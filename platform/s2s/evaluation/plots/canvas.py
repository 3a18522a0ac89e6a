"""What all figures share: the colours, an empty figure, and how it becomes a PNG."""

import io
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK, MUTED, GRID = "#1b1b1f", "#7d7d88", "#ececf0"
ACCENT = "#b5126b"
"""The run that a figure is about; everything it is compared with is drawn in gray."""

DPI = 200


def blank(width_inches: float, height_inches: float) -> Figure:
    """Open an empty white figure that arranges its own margins and closes the gaps that maps of a fixed aspect leave."""
    layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05, compress=True)
    return Figure(figsize=(width_inches, height_inches), dpi=DPI, layout=layout, facecolor="white")


def to_png(figure: Figure) -> bytes:
    """Render a figure, empty margins trimmed; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.12, metadata={"Software": None})
    return buffer.getvalue()


def frame(axis: Axes, *, grid: Literal["x", "y", "both"]) -> None:
    """Give a chart its frame: two spines, and faint lines across one axis or both."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(MUTED)
    axis.tick_params(colors=INK, labelsize=9)
    axis.set_axisbelow(True)
    axis.grid(visible=True, axis=grid, color=GRID, linewidth=0.9)
