import io

import pandas as pd
import pytest

from s2s.contracts.benchmark import BenchmarkCell, BenchmarkRow, BootstrapConfig, CellResult, Coverage, Difference
from s2s.contracts.run import GeneConfig, ScoreRow
from s2s.evaluation.benchmark_table import benchmark_markdown, benchmark_parquet, cells_parquet, coverage_at

BOOTSTRAP = BootstrapConfig(resamples=500, block=4)


def row(method: str, pcc: float, *, section="one", coverage=(), **about: object) -> BenchmarkRow:
    score = ScoreRow(method=method, pcc=pcc, mae=0.5, rmse=1 - pcc, moran_truth=0.25, moran_imputed=pcc, seconds=20 * pcc, num_genes=3)
    fields = {"section": section, "method": method, "is_reference": False, "score": score, "num_cells": 4, "coverage": coverage, **about}
    return BenchmarkRow.model_validate({"peak_memory_bytes": 250_000_000, **fields})


def lines(rows: list[BenchmarkRow]) -> list[list[str]]:
    table = [line for line in benchmark_markdown(rows, BOOTSTRAP).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_cell_by_hand() -> None:
    pcc, rmse = Difference(value=-0.2, lower=-0.3, upper=-0.00001), Difference(value=0.2, lower=0.1, upper=0.3)
    rows = [
        row("plain", 0.4, pcc_difference=pcc, rmse_difference=rmse),
        row("ours", 0.6, is_reference=True, pcc_spread=0.0125, rmse_spread=0.5),
    ]
    head, _, plain, ours = lines(rows)
    assert head == ["method", "PCC", "MAE", "RMSE", "Moran's I (truth 0.250)", "seconds", "MB", "Δ PCC", "Δ RMSE"]
    assert plain == [
        "plain",
        "0.4000",
        "**0.5000**",
        "0.6000",
        "0.4000",
        "8.00",
        "250",
        "-0.2000 [-0.3000, +0.0000]",
        "+0.2000 [+0.1000, +0.3000]",
    ]
    assert ours == ["ours (reference)", "**0.6000** ± 0.0125", "**0.5000**", "**0.4000** ± 0.5000", "0.6000", "12", "250", "-", "-"]


def test_a_failed_row_is_a_dash_with_a_note_and_the_best_is_among_the_others() -> None:
    failed = BenchmarkRow(section="one", method="kriging", is_reference=False, num_cells=4, num_failed=3, failure="no\nbins")
    rows = [failed, row("plain", 0.4)]
    _, _, first, second = lines(rows)
    assert first == ["kriging [1]", "-", "-", "-", "-", "-", "-"]
    assert second[1] == "**0.4000**"
    assert "[1] kriging: 3 of 4 cells failed: no bins" in benchmark_markdown(rows, BOOTSTRAP)


def test_only_failures_make_a_table_too() -> None:
    failed = BenchmarkRow(section="one", method="kriging", is_reference=True, num_cells=1, num_failed=1, failure="no")
    assert lines([failed])[2] == ["kriging (reference) [1]", "-", "-"]


def test_each_section_has_its_table_and_its_best() -> None:
    text = benchmark_markdown([row("a", 0.4), row("b", 0.3), row("a", 0.1, section="two"), row("b", 0.2, section="two")], BOOTSTRAP)
    assert [line for line in text.splitlines() if line.startswith("### ")] == ["### one", "### two"]
    assert text.count("**0.4000**") == 1
    assert "**0.2000**" in text
    assert "500 draws of blocks of 4 x 4 bins" in text


def test_coverage_stands_in_the_table_where_a_method_gives_intervals() -> None:
    covered = row("a", 0.4, coverage=(Coverage(level=0.5, measured=0.45, width=1), Coverage(level=0.9, measured=0.875, width=2)))
    head, _, first, second = lines([covered, row("b", 0.3)])
    assert head[5] == "coverage of 90 %"
    assert (first[5], second[5]) == ("0.875", "-")
    assert coverage_at(covered, 0.8) is None


def test_parquet_has_a_line_per_row_with_everything() -> None:
    rows = [
        row("a", 0.4, pcc_difference=Difference(value=1, lower=0.5, upper=2), coverage=(Coverage(level=0.9, measured=0.8, width=1),)),
        row("b", 0.3),
    ]
    table = pd.read_parquet(io.BytesIO(benchmark_parquet(rows)))
    assert list(table["method"]) == ["a", "b"]
    assert table["pcc"].tolist() == [0.4, 0.3]
    assert (table["pcc_difference_lower"][0], table["coverage_0.9"][0]) == (0.5, 0.8)
    assert table["coverage_0.9"].isna().tolist() == [False, True]


def test_cells_have_the_labels_of_this_benchmark() -> None:
    cell = BenchmarkCell(key="0" * 16, section="s3://a/b", genes=GeneConfig(), phase=(1, 0), seed=2, method="another label")
    about = {
        "cell": cell,
        "data_sha256": "",
        "code_version": "0",
        "peak_memory_bytes": 7,
        "device": "cpu",
        "versions": {},
        "created_at": "",
    }
    results = [
        CellResult.model_validate({**about, "seconds": 3.0, "failure": "cannot"}),
        CellResult.model_validate({**about, "seconds": 1.0, "score": row("x", 0.5).score}),
    ]
    table = pd.read_parquet(io.BytesIO(cells_parquet([("one", "mine", result) for result in results])))
    assert table[["section", "method", "phase_y", "phase_x", "seed"]].to_numpy().tolist() == [["one", "mine", 1, 0, 2]] * 2
    assert table["failure"][0] == "cannot"
    assert table["pcc"][1] == pytest.approx(0.5)
