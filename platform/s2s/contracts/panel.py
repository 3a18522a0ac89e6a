"""What reviewers ask of an imputation beside its error: one document per method and section.

A share or an agreement that is not defined is null, never 0: no gene was called, or there was a single cluster to agree on.
"""

from typing import Literal

from pydantic import Field

from s2s.contracts.document import Document, Part


class MoranBias(Part):
    """Moran's I at held-out bins: an imputation that smooths inflates it."""

    truth: float = Field(description="mean over genes")
    imputed: float = Field(description="mean over genes")
    bias: float = Field(description="imputed minus truth, mean over genes; above 0: too smooth")
    absolute: float = Field(ge=0, description="mean over genes of the absolute difference")


class VariableGenes(Part):
    """Spatially variable genes, called in the truth and in the imputation by the same test."""

    false_discovery_rate: float = Field(gt=0, lt=1, description="level of Benjamini and Hochberg's procedure")
    in_truth: int = Field(ge=0)
    in_imputed: int = Field(ge=0)
    precision: float | None = Field(ge=0, le=1, description="share of the genes called in the imputation that are called in the truth")
    recall: float | None = Field(ge=0, le=1, description="share of the genes called in the truth that are called in the imputation")


class ClusterAgreement(Part):
    """Clusters of held-out bins by their true and by their imputed expression."""

    in_truth: int = Field(ge=1, description="number of clusters")
    in_imputed: int = Field(ge=1, description="number of clusters")
    ari: float = Field(ge=-1, le=1, description="adjusted Rand index: 1 the same clusters, 0 what chance gives")
    nmi: float = Field(ge=0, le=1, description="normalised mutual information")


class GeneCorrelation(Part):
    """How far the gene-gene correlations of the imputation are from those of the truth."""

    distortion: float = Field(ge=0, le=2, description="mean absolute difference over all pairs of genes")
    mantel: float = Field(ge=-1, le=1, description="Pearson correlation of the two over all pairs of genes")


class PermutedGenes(Part):
    """Scores when every gene is compared with another gene's imputation: what common structure alone would give."""

    pcc: float = Field(ge=-1, le=1, description="as imputed, mean over genes")
    pcc_permuted: float = Field(ge=-1, le=1, description="mean over all pairs of different genes")
    rmse: float = Field(ge=0, description="as imputed, log1p units, mean over genes")
    rmse_permuted: float = Field(ge=0, description="mean over all pairs of different genes")


class DistanceError(Part):
    """Error of the held-out bins at one distance."""

    distance_um: float = Field(ge=0, description="mean over the bins of the group")
    rmse: float = Field(ge=0, description="log1p units, mean over genes")
    num_positions: int = Field(ge=1)


class PanelReport(Document):
    """The reviewers' panel of one imputation against the truth at held-out bins."""

    kind: Literal["panel_report"] = "panel_report"
    version: Literal[1] = 1
    method: str = Field(min_length=1)
    num_genes: int = Field(ge=1)
    num_positions: int = Field(ge=1, description="held-out bins")
    moran: MoranBias
    variable_genes: VariableGenes
    clusters: ClusterAgreement
    gene_correlation: GeneCorrelation | None = Field(description="absent for a single gene")
    permuted_genes: PermutedGenes | None = Field(description="absent for a single gene")
    by_sample_distance: tuple[DistanceError, ...] = Field(description="error against the distance to the nearest observed bin")
    by_edge_distance: tuple[DistanceError, ...] = Field(description="error against the distance to the nearest position off tissue")
