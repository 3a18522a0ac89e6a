"""Charts that set the reference beside its best rivals, section by section: gene by gene, in structure, and by distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from s2s.evaluation.distance import DistanceCurve
from s2s.evaluation.plots.benchmark import Style, add_key, panels
from s2s.evaluation.plots.canvas import ACCENT, INK, MUTED, blank, frame, to_png

FEW_SECTIONS = 3
"""Up to here the figure of distances has a line per section, beyond one per two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenePairs:
    """Per gene, the reference beside its best rival on one section, means over phases and seeds.

    Attributes:
        section: Label.
        rival: Label of the best rival there.
        pcc: Of the rival, then of the reference.
        moran: Of the truth, of the rival, of the reference.
    """

    section: str
    rival: str
    pcc: Float64[np.ndarray, "2 gene"]
    moran: Float64[np.ndarray, "3 gene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceCurves:
    """RMSE of some methods on one section, against two distances; method -> curve."""

    section: str
    to_sample: Mapping[str, DistanceCurve]
    to_edge: Mapping[str, DistanceCurve]


def genes_figure(pairs: Sequence[GenePairs], reference: str) -> bytes:
    """Draw the correlation of every gene under the reference against that under its best rival.

    Args:
        pairs: One per section, at least one.
        reference: Its label.

    Returns:
        A PNG.
    """
    figure, axes = panels(len(pairs))
    for axis, pair in zip(axes, pairs, strict=True):
        rival, own = pair.pcc
        _diagonal(axis, rival, own)
        axis.scatter(rival, own, s=9, color=ACCENT, alpha=0.45, linewidth=0, zorder=3)
        axis.set_title(pair.section, fontsize=10, color=INK, loc="left")
        axis.set_xlabel(f"PCC of {pair.rival}", color=INK, fontsize=9)
        axis.set_ylabel(f"PCC of {reference}", color=INK, fontsize=9)
        note = f"{np.mean(own > rival):.0%} of {len(own)} genes above"
        axis.text(0.03, 0.97, note, transform=axis.transAxes, va="top", fontsize=8.5, color=INK)
    return to_png(figure)


def moran_figure(pairs: Sequence[GenePairs], styles: Mapping[str, Style], reference: str) -> bytes:
    """Draw Moran's I of every imputed gene against that of its truth, for the reference and its best rival.

    Returns:
        A PNG. Above the diagonal an imputation is smoother than the tissue.
    """
    figure, axes = panels(len(pairs))
    for axis, pair in zip(axes, pairs, strict=True):
        truth, rival, own = pair.moran
        _diagonal(axis, truth, np.concatenate([rival, own]))
        for name, values in ((pair.rival, rival), (reference, own)):
            axis.scatter(truth, values, s=9, color=styles[name].colour, alpha=0.45, linewidth=0, zorder=3)
        axis.set_title(pair.section, fontsize=10, color=INK, loc="left")
        axis.set_xlabel("Moran's I of the truth", color=INK, fontsize=9)
        axis.set_ylabel("Moran's I imputed", color=INK, fontsize=9)
    drawn = {reference, *(pair.rival for pair in pairs)}
    add_key(figure, {name: replace(style, marker="o", is_reference=False) for name, style in styles.items() if name in drawn})
    return to_png(figure)


def distance_figure(curves: Sequence[DistanceCurves], styles: Mapping[str, Style]) -> bytes:
    """Draw the error against the distance to the nearest sample, and to the edge of the tissue; a line per section.

    Returns:
        A PNG.
    """
    columns = 1 if len(curves) <= FEW_SECTIONS else 2
    lines = -(-len(curves) // columns)
    figure = blank(0.8 + 8.0 * columns, 2.6 * lines)
    axes = figure.subplots(lines, 2 * columns, squeeze=False).reshape(lines * columns, 2)
    for (left, right), section in zip(axes, curves, strict=False):
        for axis, some, label in (
            (left, section.to_sample, "distance to the nearest sample, µm"),
            (right, section.to_edge, "distance to the edge of the tissue, µm"),
        ):
            _curves(axis, some, styles)
            axis.set_xlabel(label, color=INK, fontsize=9)
        right.sharey(left)
        left.set_xticks(sorted({round(float(d)) for curve in section.to_sample.values() for d in curve.distance_um}))
        left.set_ylabel("RMSE, log1p units", color=INK, fontsize=9)
        left.set_title(section.section, fontsize=10, color=INK, loc="left")
    for spare in axes[len(curves) :].ravel():
        spare.remove()
    drawn = {name for section in curves for name in section.to_sample}
    add_key(figure, {name: style for name, style in styles.items() if name in drawn})
    return to_png(figure)


def _curves(axis: Axes, curves: Mapping[str, DistanceCurve], styles: Mapping[str, Style]) -> None:
    frame(axis, grid="y")
    for name, curve in curves.items():
        style = styles[name]
        size = 8 if style.is_reference else 4.5
        axis.plot(curve.distance_um, curve.rmse, color=style.colour, marker=style.marker, markersize=size, linewidth=1.3)


def _diagonal(axis: Axes, x: Float64[np.ndarray, " gene"], y: Float64[np.ndarray, " point"]) -> None:
    frame(axis, grid="both")
    values = np.concatenate([x, y])
    margin = 0.05 * max(float(np.ptp(values)), 0.1)
    low, high = float(values.min()) - margin, float(values.max()) + margin
    axis.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
