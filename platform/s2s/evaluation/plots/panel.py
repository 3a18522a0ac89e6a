"""The figure of a reviewers' panel: what a method does to spatial structure, and where it errs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from s2s.evaluation.panel import Panel
from s2s.evaluation.plots.canvas import ACCENT, INK, MUTED, blank, frame, to_png

MIN_POSITIONS = 10
"""Groups of fewer bins are left out of the curves: their error is noise."""

GRAYS = ("#5c5c68", "#8f8f9a", "#b9b9c2")
MARKS = ("s", "^", "D")


def panel_figure(panels: Sequence[Panel]) -> bytes:
    """Draw Moran's I of every gene, imputed against true, and the error against two distances.

    Args:
        panels: At least one, on the same held-out bins; the figure is about the first, the others are drawn in gray.

    Returns:
        A PNG.
    """
    figure = blank(12.5, 3.9)
    moran, sample, edge = figure.subplots(1, 3)
    for axis in (moran, sample, edge):
        frame(axis, grid="y")
    for place in reversed(range(len(panels))):
        colour, mark = _style(place)
        panel = panels[place]
        moran.scatter(panel.genes["moran_truth"], panel.genes["moran_imputed"], s=9, c=colour, marker=mark, alpha=0.6, linewidths=0)
        for axis, groups in ((sample, panel.report.by_sample_distance), (edge, panel.report.by_edge_distance)):
            shown = [(group.distance_um, group.rmse) for group in groups if group.num_positions >= MIN_POSITIONS]
            axis.plot(
                *np.array(shown).reshape(-1, 2).T, color=colour, marker=mark, markersize=4.5, linewidth=1.4, label=panel.report.method
            )
    _finish_moran(moran, panels)
    for axis, what in ((sample, "the nearest sample"), (edge, "the edge of the tissue")):
        axis.set_xlabel(f"distance to {what}, µm", color=INK)
        axis.set_ylabel("RMSE in log1p units", color=INK)
    handles = sample.get_legend_handles_labels()
    figure.legend(handles[0][::-1], handles[1][::-1], loc="outside upper right", frameon=False, fontsize=9, ncols=4, labelcolor=INK)
    about = panels[0].report
    figure.suptitle(
        f"{about.method}: {about.num_genes} genes, {about.num_positions} held-out bins", x=0.01, ha="left", fontsize=12, color=INK
    )
    return to_png(figure)


def _finish_moran(axis: Axes, panels: Sequence[Panel]) -> None:
    values = np.concatenate([panel.genes[["moran_truth", "moran_imputed"]].to_numpy().ravel() for panel in panels])
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.1)
    axis.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axis.set_xlabel("Moran's I of the truth, a dot per gene", color=INK)
    axis.set_ylabel("Moran's I of the imputation", color=INK)


def _style(place: int) -> tuple[str, str]:
    if place == 0:
        return ACCENT, "o"
    return GRAYS[(place - 1) % len(GRAYS)], MARKS[(place - 1) % len(MARKS)]
