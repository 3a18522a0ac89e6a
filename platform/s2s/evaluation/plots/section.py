"""The figure of a section: a row per gene, truth, sampled, imputed, deviation and error side by side.

Decision: expression runs from 0 to the 99th percentile of what is known of the gene, one range per row, so that the panels
of a row compare by eye; the price is that the brightest bin in a hundred is shown no brighter than that percentile.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from s2s.errors import MissingError
from s2s.evaluation import metrics
from s2s.evaluation.plots.canvas import INK, blank, to_png
from s2s.evaluation.plots.maps import Panel, add_colour_bar, add_note, add_scale_bar, draw_map, extent
from s2s.evaluation.protocol import MARKERS, gene_blocks
from s2s.lattice.measured import HeldOut, Measured
from s2s.lattice.prediction import Prediction

NUM_GENES = 4
PANEL_INCHES = 2.9
BAR_INCHES = 0.75


def section_figure(
    measured: Measured,
    prediction: Prediction,
    *,
    held_out: HeldOut | None = None,
    genes: Sequence[str] | None = None,
    title: str = "",
) -> bytes:
    """Draw some genes of a section: truth, sampled, imputed, how far off that may be, error; what is not known is left out.

    Args:
        measured: What the method saw.
        prediction: log1p units, every gene of `measured`; its mean is drawn, and its deviation where it has one.
        held_out: Truth at the other positions, where it is known.
        genes: The rows; `choose_genes` when absent.
        title: Section and method, above the panels.

    Returns:
        A PNG.

    Raises:
        MissingError: a gene is not in the section.
    """
    names = tuple(genes) if genes is not None else choose_genes(measured)
    if unknown := [name for name in names if name not in measured.genes]:
        raise MissingError(f"expected some of the {len(measured.genes)} imputed genes, got {', '.join(unknown)}; name others")
    rows = [measured.genes.index(name) for name in names]
    panels = _panels(measured, prediction, held_out, rows)
    accuracy = _accuracy(prediction.mean, held_out, rows)
    left, right, top, bottom = extent(measured)
    panel_height = PANEL_INCHES * min(max((bottom - top) / (right - left), 0.3), 1.8)
    num_bars = sum(panel.kind != "samples" and panel.title != "Truth" for panel in panels)
    figure = blank(PANEL_INCHES * len(panels) + BAR_INCHES * num_bars + 0.5, (panel_height + 0.1) * len(rows) + 0.9)
    axes = figure.subplots(len(rows), len(panels), squeeze=False)
    for row, name in enumerate(names):
        _draw_row(list(axes[row]), panels, row, measured)
        axes[row, 0].set_ylabel(name, fontstyle="italic", fontsize=14, color=INK, labelpad=8)
        if accuracy is not None:
            add_note(axes[row, 2], f"PCC {accuracy[row]:.2f}")
    for axis, panel in zip(axes[0], panels, strict=True):
        axis.set_title(panel.title, fontsize=12, color=INK, pad=7)
    add_scale_bar(axes[-1, 0], measured)
    if title:
        figure.suptitle(title, fontsize=13, fontweight="bold", color=INK)
    return to_png(figure)


def choose_genes(measured: Measured, limit: int = NUM_GENES) -> tuple[str, ...]:
    """Name the genes worth looking at: markers first, each group by the Moran's I of its observed bins.

    Args:
        measured: Only observed bins are looked at, so that the truth chooses no figure.
        limit: How many at most.
    """
    structure = np.concatenate(
        [
            metrics.morans_i(measured.expression[block], measured.observed, measured.lattice, measured.stride)
            for block in gene_blocks(len(measured.genes))
        ]
    )
    order = sorted(range(len(measured.genes)), key=lambda gene: (measured.genes[gene] not in MARKERS, -structure[gene]))
    return tuple(measured.genes[gene] for gene in order[:limit])


def _panels(measured: Measured, prediction: Prediction, held_out: HeldOut | None, rows: Sequence[int]) -> list[Panel]:
    nan, imputed, std = np.float32(np.nan), prediction.mean, prediction.std
    sampled = measured.expression[rows]
    share = measured.observed.sum() / max(int(measured.tissue.sum()), 1)
    panels = [
        Panel(title=f"Sampled ({share:.0%} of bins)", kind="samples", values=sampled),
        Panel(title="Imputed", kind="expression", values=np.where(measured.tissue, imputed[rows], nan)),
    ]
    if std is not None:
        unmeasured = measured.tissue & ~measured.observed
        panels.append(Panel(title="Standard deviation", kind="deviation", values=np.where(unmeasured, std[rows], nan)))
    if held_out is None:
        return panels
    truth = np.where(held_out.positions, held_out.expression[rows], sampled)
    error = np.where(held_out.positions, imputed[rows] - held_out.expression[rows], nan)
    first = Panel(title="Truth", kind="expression", values=truth)
    return [first, *panels, Panel(title="Error (imputed \N{MINUS SIGN} truth)", kind="error", values=error)]


def _accuracy(imputed: np.ndarray, held_out: HeldOut | None, rows: Sequence[int]) -> Float64[np.ndarray, " row"] | None:
    if held_out is None or not held_out.positions.any():
        return None
    return metrics.pearson(held_out.expression[rows][:, held_out.positions], imputed[rows][:, held_out.positions])


def _draw_row(axes: Sequence[Axes], panels: Sequence[Panel], row: int, measured: Measured) -> None:
    expression = Normalize(0, _percentile(panels[0].values[row]))
    for axis, panel in zip(axes, panels, strict=True):
        if panel.kind == "error":
            limit = _percentile(np.abs(panel.values[row]))
            error = Normalize(-limit, limit)
            draw_map(axis, panel, row, error, measured)
            add_colour_bar(axis, panel.kind, error, "error, log1p")
            continue
        if panel.kind == "deviation":
            deviation = Normalize(0, _percentile(panel.values[row]))
            draw_map(axis, panel, row, deviation, measured)
            add_colour_bar(axis, panel.kind, deviation, "deviation, log1p")
            continue
        draw_map(axis, panel, row, expression, measured)
        if panel.title == "Imputed":
            add_colour_bar(axis, panel.kind, expression, "log1p expression")


def _percentile(values: Float[np.ndarray, "y x"]) -> float:
    finite = values[np.isfinite(values)]
    top = float(np.percentile(finite, 99)) if finite.size else 0.0
    # The second: a gene seen in fewer than one bin in a hundred. The third: one seen nowhere.
    return top or float(finite.max(initial=0)) or 1.0
