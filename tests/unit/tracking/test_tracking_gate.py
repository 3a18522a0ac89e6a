"""Who may carry @champion, case by case."""

import pytest

from s2s.contracts.release import Release
from s2s.contracts.run import NetworkConfig, ScoreRow
from s2s.tracking.gate import best_classical, decide, own_score

DATA, OTHER = "a" * 64, "b" * 64


def row(method: str, pcc: float, genes: int = 10) -> ScoreRow:
    return ScoreRow(method=method, pcc=pcc, mae=0.5, rmse=0.6, num_genes=genes)


def make_release(*, pcc: float | None, data: str = DATA, genes: int = 10, is_leaky: bool = False, is_synthetic: bool = False) -> Release:
    own = () if pcc is None else (row("cdcin", pcc, genes), row("nearest", 0.2, genes), row("bilinear", 0.45, genes))
    return Release(
        name="s2s-human-breast",
        tissue="breast",
        organism="human",
        technology="xenium",
        pitch_um=25,
        stride=2,
        normalisation="log1p_median_total",
        expression_scale=10,
        network=NetworkConfig(),
        weights_sha256="0" * 64,
        is_leaky=is_leaky,
        is_synthetic=is_synthetic,
        run_key="0" * 16,
        section_id="section",
        data_sha256=data,
        photographs=None,
        code_version="0.1.0",
        scores=own,
    )


@pytest.mark.parametrize(
    ("candidate", "champion", "is_champion", "reason"),
    [
        pytest.param(make_release(pcc=0.5), None, True, "first", id="first of its tissue"),
        pytest.param(make_release(pcc=None), None, True, "first", id="first, without scores"),
        pytest.param(make_release(pcc=0.9, is_leaky=True), None, False, "leaky", id="leaky, even as the first"),
        pytest.param(make_release(pcc=0.9, is_leaky=True), make_release(pcc=0.5), False, "leaky", id="leaky and better"),
        pytest.param(make_release(pcc=0.51), make_release(pcc=0.5), True, "better: pcc 0.5100, the champion's 0.5000", id="better"),
        pytest.param(make_release(pcc=0.5), make_release(pcc=0.5), False, "not better", id="equal is not better"),
        pytest.param(make_release(pcc=0.4), make_release(pcc=0.5), False, "not better", id="worse"),
        pytest.param(make_release(pcc=0.9, data=OTHER), make_release(pcc=0.5), False, "other data", id="other section"),
        pytest.param(make_release(pcc=0.9, genes=5), make_release(pcc=0.5), False, "on 5 genes, the champion on 10", id="fewer genes"),
        pytest.param(make_release(pcc=None), make_release(pcc=0.5), False, "no scores", id="unscored candidate"),
        pytest.param(make_release(pcc=0.1), make_release(pcc=None), True, "no scores", id="unscored champion"),
        pytest.param(make_release(pcc=0.9, is_synthetic=True), make_release(pcc=0.5), False, "measured", id="synthetic over measured"),
        pytest.param(make_release(pcc=0.1), make_release(pcc=0.9, is_synthetic=True), True, "measured", id="measured over synthetic"),
    ],
)
def test_decision(candidate: Release, champion: Release | None, is_champion: bool, reason: str) -> None:
    decision = decide(candidate, champion)
    assert decision.is_champion is is_champion
    assert reason in decision.reason


def test_scores_are_the_run_first_then_the_classical_rows() -> None:
    release = make_release(pcc=0.3)
    assert own_score(release) == row("cdcin", 0.3)
    assert best_classical(release) == row("bilinear", 0.45)
    assert own_score(make_release(pcc=None)) is best_classical(make_release(pcc=None)) is None
