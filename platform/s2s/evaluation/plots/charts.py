"""Charts of a run: how methods compare, and how a training went."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from s2s.contracts.run import ScoreRow
from s2s.evaluation.baselines.constant import Zero
from s2s.evaluation.plots.canvas import ACCENT, INK, MUTED, blank, frame, to_png

Curve = Sequence[tuple[int, float]]
"""`(step, value)`, steps ascending."""

FEW_POINTS = 40
"""Up to here every point is marked; beyond, a curve is drawn faint under its running mean over as many points as make 40."""


def methods_figure(rows: Sequence[ScoreRow], *, highlight: str = "") -> bytes:
    """Compare methods as dots: correlation, which should be high, and error, which should be low.

    The zero floor is left out: its error would press all others together.

    Args:
        rows: One per method; the figure sorts them by PCC.
        highlight: Name of the method that the figure is about.

    Returns:
        A PNG.
    """
    ordered = sorted((row for row in rows if row.method != Zero().name), key=lambda row: row.pcc)
    figure = blank(9.5, 1.3 + 0.36 * len(ordered))
    left, right = figure.subplots(1, 2, sharey=True)
    _dots(left, ordered, "pcc", highlight)
    _dots(right, ordered, "rmse", highlight)
    left.set_xlabel("Pearson correlation, higher is better", color=INK)
    right.set_xlabel("RMSE in log1p units, lower is better", color=INK)
    left.set_yticks(range(len(ordered)), [row.method for row in ordered])
    for label, row in zip(left.get_yticklabels(), ordered, strict=True):
        label.set(color=_colour(row, highlight), fontweight="bold" if row.method == highlight else "normal")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper right", frameon=False, fontsize=9, ncols=2, labelcolor=INK)
    return to_png(figure)


def curves_figure(training: Curve, validation: Curve, *, best_step: int | None = None) -> bytes:
    """Draw the training loss and the error on hidden observed bins over the steps.

    Args:
        training: Loss, thinned or not; may be empty.
        validation: Mean absolute error on hidden observed bins, log1p units; may be empty.
        best_step: The step whose weights were kept.

    Returns:
        A PNG.
    """
    figure = blank(9.5, 3.4)
    left, right = figure.subplots(1, 2)
    _curve(left, training, "Training loss", INK)
    _curve(right, validation, "Validation MAE, log1p units", ACCENT)
    if best_step is not None and validation:
        right.axvline(best_step, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        right.text(best_step, 0.97, f" kept: step {best_step}", transform=right.get_xaxis_transform(), va="top", fontsize=9, color=MUTED)
    return to_png(figure)


def _dots(axis: Axes, rows: Sequence[ScoreRow], key: str, highlight: str) -> None:
    frame(axis, grid="x")
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    colours = [_colour(row, highlight) for row in rows]
    places = range(len(rows))
    marked = [(value, place, colours[place]) for place, row in enumerate(rows) if (value := getattr(row, f"marker_{key}")) is not None]
    for value, place, colour in marked:
        axis.plot([getattr(rows[place], key), value], [place, place], color=colour, alpha=0.35, linewidth=1.2, zorder=2)
    axis.scatter([getattr(row, key) for row in rows], places, s=52, c=colours, zorder=3, label="mean over genes")
    if marked:
        x, y, edges = zip(*marked, strict=True)
        axis.scatter(x, y, s=46, facecolors="white", edgecolors=edges, linewidths=1.5, zorder=3, label="mean over marker genes")


def _curve(axis: Axes, curve: Curve, title: str, colour: str) -> None:
    frame(axis, grid="y")
    axis.set_title(title, fontsize=11, color=INK, loc="left")
    axis.set_xlabel("step", color=INK)
    if not curve:
        axis.text(0.5, 0.5, "nothing recorded", transform=axis.transAxes, ha="center", color=MUTED)
        return
    steps, values = (np.array(column, dtype=float) for column in zip(*curve, strict=True))
    if len(steps) <= FEW_POINTS:
        axis.plot(steps, values, color=colour, linewidth=1.5, marker="o", markersize=3.5)
        return
    # Single windows are noisy: the curve to read is their running mean.
    width = max(1, len(steps) // FEW_POINTS)
    axis.plot(steps, values, color=colour, linewidth=0.6, alpha=0.25)
    axis.plot(steps[width - 1 :], np.convolve(values, np.ones(width) / width, mode="valid"), color=colour, linewidth=1.6)


def _colour(row: ScoreRow, highlight: str) -> str:
    return ACCENT if row.method == highlight else "#5c5c68"
