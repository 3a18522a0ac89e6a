"""The reviewers' panel: what an imputation does to structure, genes and clusters, beside how far off it is.

Everything is computed at held-out bins alone, as in the protocol. Decision: the null of permuted genes is exact, the mean over all pairs
of different genes, instead of a mean over some permutations: no seed and no noise. The price is one product of genes x genes, taken in
blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from s2s.contracts.panel import GeneCorrelation, MoranBias, PanelReport, PermutedGenes, VariableGenes
from s2s.evaluation import metrics
from s2s.evaluation.clusters import cluster_agreement
from s2s.evaluation.distance import by_edge_distance, by_sample_distance
from s2s.evaluation.protocol import gene_blocks, score
from s2s.evaluation.variable_genes import FALSE_DISCOVERY_RATE, variable_genes
from s2s.lattice.measured import HeldOut, Measured
from s2s.lattice.prediction import Prediction

Bins = Float32[np.ndarray, "gene position"]
Unit = Float64[np.ndarray, "gene position"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The panel of one method.

    Attributes:
        report: Its figures.
        genes: One row per gene: `gene, pcc, rmse, moran_truth, moran_imputed, is_variable_truth, is_variable_imputed`.
    """

    report: PanelReport
    genes: pd.DataFrame


def review(name: str, imputed: Float32[np.ndarray, "gene y x"], measured: Measured, held_out: HeldOut) -> Panel:
    """Make the panel of one imputation.

    Args:
        name: Of the method.
        imputed: log1p units; finite at held-out bins, ignored elsewhere.
        measured: What the method saw.
        held_out: What it did not.

    Raises:
        ShapeError: the three do not share genes and grid.
        InputError: nothing is held out.
        MissingError: scanpy or igraph is not installed.
    """
    held = held_out.positions
    table = score(name, Prediction(mean=imputed), measured, held_out, seconds=0.0).table
    genes = table[["gene", "pcc", "rmse", "moran_truth", "moran_imputed"]].assign(
        is_variable_truth=variable_genes(np.where(held, held_out.expression, 0), held, measured.lattice),
        is_variable_imputed=variable_genes(np.where(held, imputed, 0), held, measured.lattice),
    )
    truth, estimate = held_out.expression[:, held], imputed[:, held]
    has_pairs = len(genes) > 1
    report = PanelReport(
        method=name,
        num_genes=len(genes),
        num_positions=int(held.sum()),
        moran=_moran_bias(genes),
        variable_genes=_recovered(genes),
        clusters=cluster_agreement(truth, estimate),
        gene_correlation=gene_correlation(truth, estimate) if has_pairs else None,
        permuted_genes=permuted_genes(truth, estimate) if has_pairs else None,
        by_sample_distance=by_sample_distance(imputed, measured, held_out),
        by_edge_distance=by_edge_distance(imputed, measured, held_out),
    )
    return Panel(report=report, genes=genes)


def gene_correlation(truth: Bins, estimate: Bins) -> GeneCorrelation:
    """Compare the gene-gene correlations of an estimate with those of the truth.

    Args:
        truth: log1p units, one column per bin; at least two genes. A constant gene correlates with none: 0.
        estimate: The same bins.

    Source:
        Mantel 1967, for the correlation of two such matrices.
    """
    ours, theirs = metrics.unit_deviations(truth), metrics.unit_deviations(estimate)
    total = np.zeros(6)
    for genes, different in _pairs(len(truth)):
        x, y = ((side[genes] @ side.T)[different] for side in (ours, theirs))
        total += [np.abs(x - y).sum(), x.sum(), y.sum(), (x**2).sum(), (y**2).sum(), (x * y).sum()]
    difference, x_mean, y_mean, xx, yy, xy = total / (len(truth) * (len(truth) - 1))
    scale = np.sqrt(max(xx - x_mean**2, 0) * max(yy - y_mean**2, 0))
    mantel = (xy - x_mean * y_mean) / scale if scale > metrics.ROUNDING**2 else 0.0
    return GeneCorrelation(distortion=float(difference), mantel=float(np.clip(mantel, -1, 1)))


def permuted_genes(truth: Bins, estimate: Bins) -> PermutedGenes:
    """Score every gene against the estimate of every other gene.

    Args:
        truth: log1p units, one column per bin; at least two genes.
        estimate: The same bins.

    Returns:
        The scores as they are, and their expectation when genes are paired at random, no gene with itself.
    """
    ours, theirs = metrics.unit_deviations(truth), metrics.unit_deviations(estimate)
    exact = [side.astype(np.float64) for side in (truth, estimate)]
    power = [(side**2).mean(axis=1) for side in exact]
    pcc = rmse = 0.0
    for genes, different in _pairs(len(truth)):
        pcc += float((ours[genes] @ theirs.T)[different].sum())
        squared = power[0][genes, None] + power[1] - 2 * (exact[0][genes] @ exact[1].T) / truth.shape[1]
        rmse += float(np.sqrt(np.maximum(squared, 0))[different].sum())
    num_pairs = len(truth) * (len(truth) - 1)
    return PermutedGenes(
        pcc=float(metrics.pearson(truth, estimate).mean()),
        pcc_permuted=float(np.clip(pcc / num_pairs, -1, 1)),
        rmse=float(metrics.root_mean_squared_error(truth, estimate).mean()),
        rmse_permuted=rmse / num_pairs,
    )


def _pairs(num_genes: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of a genes x genes matrix, and in each all places off the diagonal."""
    for genes in gene_blocks(num_genes):
        yield genes, np.arange(genes.start, genes.stop)[:, None] != np.arange(num_genes)


def _moran_bias(genes: pd.DataFrame) -> MoranBias:
    difference = genes["moran_imputed"] - genes["moran_truth"]
    return MoranBias(
        truth=float(genes["moran_truth"].mean()),
        imputed=float(genes["moran_imputed"].mean()),
        bias=float(difference.mean()),
        absolute=float(difference.abs().mean()),
    )


def _recovered(genes: pd.DataFrame) -> VariableGenes:
    in_truth, in_imputed = genes["is_variable_truth"], genes["is_variable_imputed"]
    both = int((in_truth & in_imputed).sum())
    return VariableGenes(
        false_discovery_rate=FALSE_DISCOVERY_RATE,
        in_truth=int(in_truth.sum()),
        in_imputed=int(in_imputed.sum()),
        precision=both / int(in_imputed.sum()) if in_imputed.any() else None,
        recall=both / int(in_truth.sum()) if in_truth.any() else None,
    )
