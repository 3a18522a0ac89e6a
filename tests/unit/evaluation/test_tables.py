import io

import pandas as pd
import pytest

from s2s.contracts.panel import ClusterAgreement, DistanceError, GeneCorrelation, MoranBias, PanelReport, PermutedGenes, VariableGenes
from s2s.contracts.run import ScoreRow
from s2s.evaluation.baselines.constant import Mean, Zero
from s2s.evaluation.protocol import compare
from s2s.evaluation.tables import gene_parquet, markdown_table, panel_table


def test_table_marks_the_best_of_each_column():
    rows = [
        ScoreRow(method="cdcin", pcc=0.25, mae=0.5, rmse=0.75, moran_truth=0.2, moran_imputed=0.5, seconds=12, num_genes=3),
        ScoreRow(method="mean", pcc=-0.00001, mae=0.4, rmse=0.75, moran_truth=0.2, moran_imputed=0.0, seconds=0.001, num_genes=3),
    ]
    assert markdown_table(rows).splitlines() == [
        "| method |        PCC |        MAE |       RMSE | Moran's I (truth 0.200) | seconds |",
        "| ------ | ---------: | ---------: | ---------: | ----------------------: | ------: |",
        "| cdcin  | **0.2500** |     0.5000 | **0.7500** |                  0.5000 |   12.00 |",
        "| mean   |     0.0000 | **0.4000** | **0.7500** |                  0.0000 |    0.00 |",
    ]


def test_the_table_says_what_is_half_a_bin_off():
    rows = [ScoreRow(method="bicubic_misregistered", pcc=0, mae=0, rmse=0, num_genes=1)]
    assert "| bicubic_misregistered (half a bin off) |" in markdown_table(rows)


def test_a_missing_value_is_a_dash():
    rows = [
        ScoreRow(method="a", pcc=0, mae=0, rmse=0, marker_pcc=0.5, num_genes=1),
        ScoreRow(method="b", pcc=0, mae=0, rmse=0, num_genes=1),
    ]
    lines = markdown_table(rows).splitlines()
    assert "PCC markers" in lines[0]
    assert "**0.5000**" in lines[2]
    assert lines[3].count(" - ") == 1


def test_a_panel_is_a_row_per_method():
    group = DistanceError(distance_um=25, rmse=0.5, num_positions=8)
    smooth = PanelReport(
        method="smooth", num_genes=9, num_positions=8,
        moran=MoranBias(truth=0.2, imputed=0.95, bias=0.75, absolute=0.75),
        variable_genes=VariableGenes(false_discovery_rate=0.05, in_truth=6, in_imputed=8, precision=0.75, recall=1),
        clusters=ClusterAgreement(in_truth=4, in_imputed=3, ari=0.5, nmi=0.625),
        gene_correlation=GeneCorrelation(distortion=0.25, mantel=0.8125),
        permuted_genes=PermutedGenes(pcc=0.4, pcc_permuted=-0.0001, rmse=0.5, rmse_permuted=1),
        by_sample_distance=(group,), by_edge_distance=(group,),
    )  # fmt: skip
    alone = smooth.model_copy(update={"method": "one gene", "gene_correlation": None, "permuted_genes": None})
    assert panel_table([smooth, alone]).splitlines() == [
        "| method   | Moran's I bias | SVG precision | SVG recall |   ARI |   NMI | "
        "clusters (truth) | gene-gene distortion | Mantel |   PCC | PCC permuted |",
        "| -------- | -------------: | ------------: | ---------: | ----: | ----: | "
        "---------------: | -------------------: | -----: | ----: | -----------: |",
        "| smooth   |          0.750 |         0.750 |      1.000 | 0.500 | 0.625 | "
        "           3 (4) |                0.250 |  0.812 | 0.400 |        0.000 |",
        "| one gene |          0.750 |         0.750 |      1.000 | 0.500 | 0.625 | "
        "           3 (4) |                    - |      - |     - |            - |",
    ]


@pytest.mark.parametrize("num_methods", [pytest.param(1, id="one"), pytest.param(2, id="two")])
def test_parquet_holds_every_gene_of_every_method(split, num_methods):
    measured, held_out = split([[[1, 2, 0, 4]], [[0, 1, 0, 1]]], genes=["ERBB2", "OTHER"])
    scores = compare(measured, held_out, (Mean(), Zero())[:num_methods])
    table = pd.read_parquet(io.BytesIO(gene_parquet(scores)))
    assert table.columns.tolist() == ["method", *scores[0].table.columns]
    assert table["gene"].tolist() == ["ERBB2", "OTHER"] * num_methods
    assert table.drop(columns="method")[:2].equals(scores[0].table)
