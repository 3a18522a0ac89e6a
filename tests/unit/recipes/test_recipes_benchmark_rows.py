"""Means, spread and pairing of cells, worked out by hand."""

import pytest

from s2s.contracts.benchmark import BenchmarkCell, CellResult, Coverage
from s2s.contracts.run import GeneConfig, ScoreRow
from s2s.recipes.benchmark.rows import Outcomes, make_row, pair_cells


def result(pcc: float | None, *, phase=(0, 0), seed=0, peak=1, coverage=()) -> CellResult:
    cell = BenchmarkCell(key="0" * 16, section="s", genes=GeneConfig(), phase=phase, seed=seed, method="as another called it")
    score = None if pcc is None else ScoreRow(method="x", pcc=pcc, mae=1, rmse=2 * pcc, seconds=10 * pcc, num_genes=3)
    return CellResult(
        cell=cell, data_sha256="", code_version="0", score=score, failure="cannot" if score is None else None, coverage=coverage,
        seconds=1, peak_memory_bytes=peak, device="cpu", versions={}, created_at="",
    )  # fmt: skip


def outcomes(*results: CellResult, lost=()) -> Outcomes:
    return Outcomes(section="s", method="mine", results=results, lost=lost)


def test_a_row_is_the_mean_over_phases_and_seeds_and_its_spread_that_of_seeds() -> None:
    # Seed 0: (0.1 + 0.3) / 2 = 0.2; seed 1: (0.3 + 0.5) / 2 = 0.4; standard deviation of the two: 0.2 / sqrt(2).
    cells = [result(0.1, peak=5), result(0.3, phase=(0, 1)), result(0.3, seed=1), result(0.5, phase=(0, 1), seed=1, peak=9)]
    row = make_row(outcomes(*cells), is_reference=True)
    assert row.score is not None
    assert (row.score.method, row.score.pcc, row.score.seconds) == ("mine", pytest.approx(0.3), pytest.approx(3.0))
    assert (row.pcc_spread, row.rmse_spread) == (pytest.approx(0.2 / 2**0.5), pytest.approx(0.4 / 2**0.5))
    assert (row.peak_memory_bytes, row.num_cells, row.num_failed, row.device) == (9, 4, 0, "cpu")


def test_one_seed_has_no_spread() -> None:
    assert make_row(outcomes(result(0.1), result(0.3, phase=(0, 1))), is_reference=False).pcc_spread is None


def test_coverage_is_averaged_level_by_level() -> None:
    levels = [[Coverage(level=0.5, measured=m, width=1), Coverage(level=0.9, measured=2 * m, width=w)] for m, w in ((0.4, 2), (0.5, 4))]
    row = make_row(outcomes(result(0.1, coverage=levels[0]), result(0.1, phase=(0, 1), coverage=levels[1])), is_reference=False)
    assert [(item.level, item.measured, item.width) for item in row.coverage] == [
        (0.5, pytest.approx(0.45), 1),
        (0.9, pytest.approx(0.9), 3),
    ]


def test_a_row_with_a_failed_or_lost_cell_has_no_mean_and_says_why() -> None:
    failed = make_row(outcomes(result(0.1), result(None, phase=(0, 1))), is_reference=False)
    assert (failed.score, failed.num_failed, failed.num_cells, failed.failure) == (None, 1, 2, "cannot")
    lost = make_row(outcomes(result(0.1), lost=("S3 is gone",)), is_reference=False)
    assert (lost.score, lost.num_failed, lost.num_cells, lost.failure) == (None, 1, 2, "S3 is gone")


def test_cells_are_paired_by_phase_and_seed() -> None:
    phases = ((0, 0), (1, 1))
    trained = [result(0.1, phase=phase, seed=seed) for phase in phases for seed in (3, 5)]
    other = [result(0.2, phase=phase, seed=seed) for phase in reversed(phases) for seed in (5, 3)]
    classical = [result(0.3, phase=phase) for phase in phases]
    expected = [((0, 0), 3), ((0, 0), 5), ((1, 1), 3), ((1, 1), 5)]
    for some in (other, classical):
        pairs = pair_cells(trained, some)
        assert [(a.cell.phase, a.cell.seed) for a, _ in pairs] == expected
        assert all(a.cell.phase == b.cell.phase for a, b in pairs)
    assert [b.cell.seed for _, b in pair_cells(trained, other)] == [3, 5, 3, 5]
    assert [b.cell.seed for _, b in pair_cells(classical, trained)] == [3, 5, 3, 5]
