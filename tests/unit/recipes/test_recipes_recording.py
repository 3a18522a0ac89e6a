"""What is said of a run in MLflow and above its figure."""

import pytest

from s2s.contracts.run import ScoreRow
from s2s.recipes.judging import Judgement, method_name
from s2s.recipes.recording import figure_title, final_metrics, flatten


def test_a_nested_configuration_becomes_dotted_keys():
    tree = {"a": 1, "b": {"c": None, "d": {"e": True}}, "phase": [0, 1], "empty": {}}
    assert flatten(tree) == {"a": "1", "b.c": "None", "b.d.e": "True", "phase": "[0, 1]"}


def test_every_field_of_a_run_is_a_parameter(make_run):
    flat = flatten(make_run().config.model_dump(mode="json"))
    assert flat["training.weights.sparse_to_dense"] == "1.0"
    assert flat["network.features"] == "2"
    assert flat["sampling.phase"] == "[0, 0]"
    assert not [key for key in flat if key.startswith(".") or key.endswith(".")]


def test_final_metrics_are_the_run_and_the_best_rival(judgement):
    # Best means highest PCC: smoothing, although kriging has the smaller error.
    assert final_metrics(judgement) == {
        "test/pcc": 0.5,
        "test/mae": 0.25,
        "test/rmse": 1.0,
        "best_classical/pcc": 0.375,
        "best_classical/mae": 0.625,
        "best_classical/rmse": 1.0,
    }


def test_scores_that_exist_are_all_named():
    row = ScoreRow(
        method="any", pcc=1, mae=2, rmse=3, marker_pcc=4, marker_mae=5, marker_rmse=6, ssim=7, moran_truth=8, moran_imputed=9, num_genes=1
    )
    metrics = final_metrics(Judgement(rows=(row, row)))
    names = ("pcc", "mae", "rmse", "marker_pcc", "marker_mae", "marker_rmse", "ssim", "moran_truth", "moran_imputed")
    assert metrics == {f"{who}/{name}": number for who in ("test", "best_classical") for number, name in enumerate(names, start=1)}


@pytest.mark.parametrize(
    ("is_synthetic", "mode", "num_tiles", "expected"),
    [
        pytest.param(False, "strict", 0, "tiny · 25 µm bins", id="plain"),
        pytest.param(True, "strict", 0, "tiny · 25 µm bins · synthetic", id="synthetic"),
        pytest.param(False, "paper", 0, "tiny · 25 µm bins · LEAKY: paper mode", id="leaky"),
        pytest.param(True, "paper", 4, "tiny · 25 µm bins · synthetic · 4 tiles of it · LEAKY: paper mode", id="all"),
    ],
)
def test_a_figure_says_what_it_is_not(make_run, make_section, is_synthetic, mode, num_tiles, expected):
    assert figure_title(make_run(make_section(is_synthetic=is_synthetic), sampling={"mode": mode}), num_tiles) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, "CDCIN (custom)", id="no-preset"),
        pytest.param({"preset": "paper"}, "CDCIN (paper)", id="preset"),
        pytest.param({"preset": "paper", "sampling": {"mode": "paper"}}, "CDCIN (paper, LEAKY)", id="leaky"),
    ],
)
def test_a_table_names_preset_and_leak(make_run, changes, expected):
    assert method_name(make_run(**changes).config) == expected
