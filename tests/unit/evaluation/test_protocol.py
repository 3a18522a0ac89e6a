import numpy as np
import pytest

from s2s.contracts.run import ScoreRow
from s2s.errors import InputError, ShapeError
from s2s.evaluation.baselines.constant import Mean, Zero
from s2s.evaluation.protocol import GENE_BLOCK, compare, mean_over_phases, score, summarise
from s2s.lattice.prediction import Prediction

# One row; bins 0 and 2 are observed, 1 and 3 held out. ERBB2 is a marker.
TRUTH = [[[1, 2, 0, 4]], [[0, 1, 0, 1]]]
GENES = ["ERBB2", "OTHER"]


def test_score_by_hand(split):
    measured, held_out = split(TRUTH, genes=GENES)
    imputed = np.array([[[9, 3, 9, 6]], [[9, 0, 9, 0]]], np.float32)
    table = score("mine", Prediction(mean=imputed), measured, held_out, 1.5).table.set_index("gene")
    assert table["is_marker"].to_dict() == {"ERBB2": True, "OTHER": False}
    assert table["detected"].to_dict() == {"ERBB2": 0.5, "OTHER": 0.0}
    assert table["pcc"].to_dict() == pytest.approx({"ERBB2": 1, "OTHER": 0})
    assert table["mae"].to_dict() == pytest.approx({"ERBB2": 1.5, "OTHER": 1})
    assert table["rmse"].to_dict() == pytest.approx({"ERBB2": 2.5**0.5, "OTHER": 1})


def test_observed_positions_are_not_scored(split):
    measured, held_out = split(np.random.default_rng(0).random((2, 8, 8)))
    imputed = Mean().impute(measured)
    wild = np.where(measured.observed, np.float32(1e6), imputed)
    first, second = (score("mine", Prediction(mean=values), measured, held_out, 0.0).table for values in (imputed, wild))
    assert first.equals(second)


def test_the_truth_scores_perfectly(split):
    truth = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    measured, held_out = split(truth)
    row = summarise(score("oracle", Prediction(mean=truth), measured, held_out, 0.0))
    assert (row.pcc, row.mae, row.rmse, row.ssim) == pytest.approx((1, 0, 0, 1))
    assert row.moran_imputed == row.moran_truth


def test_every_gene_is_scored_whatever_the_block(split):
    truth = np.random.default_rng(0).random((GENE_BLOCK + 3, 6, 6)).astype(np.float32)
    measured, held_out = split(truth)
    imputed = np.flip(truth, axis=2)
    table = score("mine", Prediction(mean=imputed), measured, held_out, 0.0).table
    errors = np.abs(imputed - truth)[:, held_out.positions].mean(axis=1)
    assert table["gene"].tolist() == list(measured.genes)
    assert table["mae"].to_numpy() == pytest.approx(errors)


def test_summary_averages_genes_and_markers(split):
    measured, held_out = split(TRUTH, genes=GENES)
    row = summarise(score("zero", Prediction(mean=Zero().impute(measured)), measured, held_out, 0.25))
    assert (row.method, row.num_genes, row.seconds) == ("zero", 2, 0.25)
    assert (row.mae, row.marker_mae) == pytest.approx((2, 3))
    assert (row.pcc, row.marker_pcc) == (0, 0)


def test_summary_without_markers(split):
    measured, held_out = split(TRUTH)
    row = summarise(score("zero", Prediction(mean=Zero().impute(measured)), measured, held_out, 0.0))
    assert row.marker_pcc is row.marker_mae is row.marker_rmse is None


def test_compare_tells_its_progress_and_times(split):
    measured, held_out = split(TRUTH)
    told = []
    scores = compare(measured, held_out, (Zero(), Mean()), told.append)
    assert told == [item.name for item in scores] == ["zero", "mean"]
    assert all(item.seconds > 0 for item in scores)


def test_another_grid_is_refused(split):
    measured, held_out = split(TRUTH)
    with pytest.raises(ShapeError, match=r"got \(2, 1, 3\), \(2, 1, 4\), \(2, 1, 4\) from mine"):
        score("mine", Prediction(mean=np.zeros((2, 1, 3), np.float32)), measured, held_out, 0.0)


def test_nothing_held_out_is_refused(split):
    measured, held_out = split(TRUTH, stride=1)
    with pytest.raises(InputError, match="expected held-out bins to score zero on, got none"):
        compare(measured, held_out, (Zero(),))


def test_nan_at_a_held_out_bin_is_a_defect(split):
    measured, held_out = split(TRUTH)
    with pytest.raises(AssertionError, match="poisoned left held-out bins without a finite value"):
        score("poisoned", Prediction(mean=measured.expression), measured, held_out, 0.0)


def test_phases_are_averaged_by_method():
    def row(method, pcc, marker, genes):
        return ScoreRow(method=method, pcc=pcc, mae=1, rmse=2, marker_pcc=marker, seconds=pcc, num_genes=genes)

    phases = [[row("a", 0.2, None, 281), row("b", 0.5, 1, 281)], [row("a", 0.4, 0.6, 284), row("b", 0.5, 0, 284)]]
    first, second = mean_over_phases(phases)
    assert (first.method, first.pcc, first.marker_pcc, first.ssim, first.num_genes) == ("a", pytest.approx(0.3), 0.6, None, 283)
    assert (second.method, second.marker_pcc, second.seconds) == ("b", 0.5, 0.5)
