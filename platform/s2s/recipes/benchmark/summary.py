"""Section by section from finished cells to rows, and to what the figures show; one section in memory at a time."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from s2s.contracts.benchmark import BenchmarkRow, Phase
from s2s.contracts.settings import Settings
from s2s.evaluation.distance import EDGE_STEP, SAMPLE_STEP, DistanceCurve, error_curve, to_nearest_sample_um, to_tissue_edge_um
from s2s.evaluation.plots import (
    DistanceCurves,
    GenePairs,
    accuracy_cost_figure,
    coverage_figure,
    distance_figure,
    genes_figure,
    is_constant,
    method_styles,
    moran_figure,
)
from s2s.recipes.benchmark.cell import read_estimate, read_genes
from s2s.recipes.benchmark.plan import Plan
from s2s.recipes.benchmark.rows import Outcomes, Truth, compare, make_row, read_truths

OWN_STEPS = frozenset({"kriged_fill"})
"""Rows that are a part of the default: shown as a rival only where there is no other."""
NUM_RIVALS = 3
"""Methods beside the reference in the figure of distances: the best by PCC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionSummary:
    """One section of a benchmark; no figures of it where the reference failed or stands alone."""

    rows: tuple[BenchmarkRow, ...]
    genes: GenePairs | None = None
    curves: DistanceCurves | None = None


def summarise_section(plan: Plan, section: str, outcomes: Sequence[Outcomes], settings: Settings) -> SectionSummary:
    """Average the cells of a section and compare every method with the reference.

    Args:
        plan: Says what the reference is.
        section: Label.
        outcomes: Of this section, in the order of the table.
        settings: Where cells lie.

    Reads:
        The section, and tables and predictions of its cells.
    """
    label = plan.config.reference_label
    rows = [make_row(item, is_reference=item.method == label) for item in outcomes]
    by_method = {item.method: item for item in outcomes}
    reference = by_method[label]
    rivals = sorted(
        (row for row in rows if row.score and not row.is_reference),
        key=lambda row: (row.method in OWN_STEPS, -row.score.pcc if row.score else 0.0),
    )
    if reference.failures or not rivals:
        return SectionSummary(rows=tuple(rows))
    truths = read_truths(plan, section)
    for place, row in enumerate(rows):
        if row.score is None or row.is_reference:
            continue
        pcc, rmse = compare(by_method[row.method].results, reference.results, truths, plan.config.bootstrap, settings)
        rows[place] = row.model_copy(update={"pcc_difference": pcc, "rmse_difference": rmse})
    shown = [reference, *(by_method[row.method] for row in rivals[:NUM_RIVALS] if row is rivals[0] or not is_constant(row))]
    return SectionSummary(
        rows=tuple(rows),
        genes=_gene_pairs(section, shown[1], reference, settings),
        curves=_distance_curves(section, shown, truths, settings),
    )


def draw_figures(plan: Plan, summaries: Sequence[SectionSummary]) -> dict[str, bytes]:
    """Draw every figure there is something to draw in; name -> PNG."""
    reference = plan.config.reference_label
    styles = method_styles(plan.config.labels, reference)
    rows = [row for summary in summaries for row in summary.rows]
    genes = [summary.genes for summary in summaries if summary.genes is not None]
    curves = [summary.curves for summary in summaries if summary.curves is not None]
    figures = {
        "accuracy_cost.png": accuracy_cost_figure(rows, styles),
        "coverage.png": coverage_figure(rows, styles),
        "genes.png": genes_figure(genes, reference) if genes else None,
        "moran.png": moran_figure(genes, styles, reference) if genes else None,
        "distance.png": distance_figure(curves, styles) if curves else None,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _gene_pairs(section: str, rival: Outcomes, reference: Outcomes, settings: Settings) -> GenePairs:
    of_rival, of_reference = (_mean_genes(outcomes, settings) for outcomes in (rival, reference))
    both = of_rival.join(of_reference, lsuffix="_rival", rsuffix="_own", how="inner")
    return GenePairs(
        section=section,
        rival=rival.method,
        pcc=both[["pcc_rival", "pcc_own"]].to_numpy().T,
        moran=both[["moran_truth_own", "moran_imputed_rival", "moran_imputed_own"]].to_numpy().T,
    )


def _mean_genes(outcomes: Outcomes, settings: Settings) -> pd.DataFrame:
    tables = [pd.read_parquet(io.BytesIO(read_genes(result, settings))) for result in outcomes.results]
    return pd.concat(tables).groupby("gene")[["pcc", "moran_truth", "moran_imputed"]].mean()


def _distance_curves(section: str, outcomes: Sequence[Outcomes], truths: Mapping[Phase, Truth], settings: Settings) -> DistanceCurves:
    pairs = {item.method: _curves_of(item, truths, settings) for item in outcomes}
    return DistanceCurves(
        section=section,
        to_sample={method: to_sample for method, (to_sample, _) in pairs.items()},
        to_edge={method: to_edge for method, (_, to_edge) in pairs.items()},
    )


def _curves_of(outcomes: Outcomes, truths: Mapping[Phase, Truth], settings: Settings) -> tuple[DistanceCurve, DistanceCurve]:
    errors, to_sample, to_edge = [], [], []
    for result in outcomes.results:
        truth = truths[result.cell.phase]
        errors.append(np.square(read_estimate(result, settings) - truth.values, dtype=np.float64).mean(axis=0))
        to_sample.append(to_nearest_sample_um(truth.measured, truth.held_out.positions))
        to_edge.append(to_tissue_edge_um(truth.measured, truth.held_out.positions))
    pitch_um = next(iter(truths.values())).measured.pitch_um
    error = np.concatenate(errors)
    return (
        error_curve(error, np.concatenate(to_sample), SAMPLE_STEP * pitch_um),
        error_curve(error, np.concatenate(to_edge), EDGE_STEP * pitch_um),
    )
