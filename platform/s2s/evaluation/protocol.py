"""The protocol: what is compared with what, on which positions, and how genes and phases are averaged.

Gene choice and normalisation happen before, from observed bins; every gene of a `Measured` is scored. Errors,
correlations and Moran's I use held-out bins alone: neighbours in Moran's I are pairs of held-out bins, so that measured
values cannot hide how far an imputation inflates it. SSIM needs whole windows, so it compares maps with the measured
values in place, and averages over held-out bins. Decision: what a method returns at observed bins is never looked at,
so that one that honours its samples and one that smooths them are judged alike; the price is that SSIM never falls to
that of the imputed bins alone.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool

from s2s.contracts.run import ScoreRow
from s2s.errors import InputError, ShapeError
from s2s.evaluation import metrics
from s2s.evaluation.baselines import Baseline
from s2s.lattice.measured import HeldOut, Measured
from s2s.lattice.prediction import Prediction

MARKERS = ("ERBB2", "FOXA1", "ESR1", "MLPH", "EGFR", "CD68", "PGR", "ACTA2", "KRT7", "LUM", "POSTN", "CD3E")
"""Breast markers reported beside the mean over all genes, where present. Source: the project's protocol."""

GENE_BLOCK = 32
"""Genes scored at once: bounds the float64 copies of large sections."""

SCORES = ("pcc", "mae", "rmse")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneScores:
    """One method on one section.

    Attributes:
        name: Of the method.
        table: One row per gene: `gene, is_marker, detected` (fraction of observed bins), `pcc, mae, rmse, ssim,
            moran_truth, moran_imputed`; `median_mae` where the method gives a median, `predicted_pcc` where it expects one.
        seconds: What the imputation took.
    """

    name: str
    table: pd.DataFrame
    seconds: float


def score(name: str, prediction: Prediction, measured: Measured, held_out: HeldOut, seconds: float) -> GeneScores:
    """Compare an imputation with the truth at held-out bins, gene by gene.

    Args:
        name: Of the method.
        prediction: log1p units; finite at held-out positions, ignored elsewhere. Its mean is judged, and beside it by absolute
            error the median, which is what that error asks for.
        measured: What the method saw.
        held_out: What it did not.
        seconds: What the imputation took.

    Raises:
        ShapeError: the three do not share genes and grid.
        InputError: nothing is held out.
    """
    _check(name, prediction.mean, measured, held_out)
    tables = [_score_block(prediction.mean, measured, held_out, genes) for genes in gene_blocks(len(measured.genes))]
    table = pd.concat(tables, ignore_index=True)
    if prediction.median is not None:
        held = held_out.positions
        table["median_mae"] = metrics.mean_absolute_error(held_out.expression[:, held], prediction.median[:, held])
    if prediction.predicted_pcc is not None:
        table["predicted_pcc"] = prediction.predicted_pcc
    return GeneScores(name=name, table=table, seconds=seconds)


def summarise(scores: GeneScores) -> ScoreRow:
    """Average a method's table over its genes, and over the markers among them."""
    table = scores.table
    mean = table[[*SCORES, "ssim", "moran_truth", "moran_imputed"]].mean()
    markers = table.loc[table["is_marker"], list(SCORES)]
    of_markers = {f"marker_{key}": None if markers.empty else float(markers[key].mean()) for key in SCORES}
    known = table[["pcc", "predicted_pcc"]].dropna() if "predicted_pcc" in table else table[:0]
    return ScoreRow(
        method=scores.name,
        **{key: float(mean[key]) for key in SCORES},
        **of_markers,
        ssim=float(mean["ssim"]),
        moran_truth=float(mean["moran_truth"]),
        moran_imputed=float(mean["moran_imputed"]),
        median_mae=float(table["median_mae"].mean()) if "median_mae" in table else None,
        reliability=float(known.corr().iloc[0, 1]) if len(known) > 2 and known.std().min() > 0 else None,
        seconds=scores.seconds,
        num_genes=len(table),
    )


def compare(
    measured: Measured,
    held_out: HeldOut,
    baselines: Iterable[Baseline],
    on_progress: Callable[[str], None] | None = None,
) -> list[GeneScores]:
    """Run and score baselines on one section, timing each imputation.

    Args:
        measured: All that a baseline sees.
        held_out: Only the scoring sees it.
        baselines: In the order of the table.
        on_progress: Told the name of each baseline before it starts.

    Raises:
        ShapeError: truth and measurement differ in genes or grid, or a baseline cannot work on the section's lattice.
        InputError: nothing is held out.
    """
    scored = []
    for baseline in baselines:
        if on_progress:
            on_progress(baseline.name)
        start = time.perf_counter()
        imputed = Prediction(mean=baseline.impute(measured))
        scored.append(score(baseline.name, imputed, measured, held_out, time.perf_counter() - start))
    return scored


def mean_over_phases(phases: Sequence[Sequence[ScoreRow]]) -> tuple[ScoreRow, ...]:
    """Average each method's row over the phases of the lattice.

    Args:
        phases: The rows of every phase, the same methods in the same order.

    Returns:
        One row per method; a value absent from some phase is averaged over the others, `num_genes` is rounded.
    """
    assert len({tuple(row.method for row in rows) for rows in phases}) == 1, "expected the same methods in every phase"
    return tuple(_mean_row(rows) for rows in zip(*phases, strict=True))


def gene_blocks(num_genes: int) -> Iterator[slice]:
    """Cut the gene axis into blocks of `GENE_BLOCK`."""
    return (slice(start, min(start + GENE_BLOCK, num_genes)) for start in range(0, num_genes, GENE_BLOCK))


def _score_block(imputed: np.ndarray, measured: Measured, held_out: HeldOut, genes: slice) -> pd.DataFrame:
    held = held_out.positions
    truth, estimate = held_out.expression[genes][:, held], imputed[genes][:, held]
    true_map = _known_map(held_out.expression[genes], measured, held, genes)
    imputed_map = _known_map(imputed[genes], measured, held, genes)
    names = measured.genes[genes]
    return pd.DataFrame(
        {
            "gene": names,
            "is_marker": [gene in MARKERS for gene in names],
            "detected": (measured.expression[genes][:, measured.observed] > 0).mean(axis=1),
            "pcc": metrics.pearson(truth, estimate),
            "mae": metrics.mean_absolute_error(truth, estimate),
            "rmse": metrics.root_mean_squared_error(truth, estimate),
            "ssim": metrics.ssim(true_map, imputed_map, held),
            "moran_truth": metrics.morans_i(true_map, held, measured.lattice),
            "moran_imputed": metrics.morans_i(imputed_map, held, measured.lattice),
        }
    )


def _known_map(values: np.ndarray, measured: Measured, held: Bool[np.ndarray, "y x"], genes: slice) -> np.ndarray:
    return np.where(measured.observed, measured.expression[genes], np.where(held, values, np.float32(0)))


def _check(name: str, imputed: np.ndarray, measured: Measured, held_out: HeldOut) -> None:
    shapes = [array.shape for array in (imputed, measured.expression, held_out.expression)]
    if len(set(shapes)) > 1:
        raise ShapeError(
            f"expected imputation, measurement and truth with the same (gene, y, x), got {shapes[0]}, {shapes[1]}, {shapes[2]} "
            f"from {name}; impute the section that is scored"
        )
    if not held_out.positions.any():
        raise InputError(f"expected held-out bins to score {name} on, got none; every bin on tissue was measured")
    assert np.isfinite(imputed[:, held_out.positions]).all(), f"{name} left held-out bins without a finite value"


def _mean_row(rows: Sequence[ScoreRow]) -> ScoreRow:
    averaged: dict[str, float | None] = {}
    for key in ScoreRow.model_fields.keys() - {"method", "num_genes"}:
        present = [value for row in rows if (value := getattr(row, key)) is not None]
        averaged[key] = float(np.mean(present)) if present else None
    num_genes = int(np.mean([row.num_genes for row in rows]) + 0.5)
    return ScoreRow.model_validate({"method": rows[0].method, "num_genes": num_genes, **averaged})
