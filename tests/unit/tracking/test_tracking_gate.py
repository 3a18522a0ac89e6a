"""Who may carry @champion, case by case."""

from collections.abc import Callable
from typing import Any

import pytest

from s2s.contracts.release import Release, Trial, TrialScore
from s2s.contracts.run import ScoreRow
from s2s.tracking.gate import best_classical, decide, own_score

OTHER = "b" * 64


def row(method: str, pcc: float, genes: int = 10) -> ScoreRow:
    return ScoreRow(method=method, pcc=pcc, mae=0.5, rmse=0.6, num_genes=genes)


@pytest.fixture
def scored(make_release: Callable[..., Release]) -> Callable[..., Release]:
    """Build a release whose run scored `pcc`, beside two classical methods; without scores where that is None."""

    def make(*, pcc: float | None, genes: int = 10, **changes: object) -> Release:
        rows = () if pcc is None else (row("cdcin", pcc, genes), row("nearest", 0.2, genes), row("bilinear", 0.45, genes))
        return make_release(scores=rows, **changes)

    return make


@pytest.mark.parametrize(
    ("candidate", "champion", "is_champion", "reason"),
    [
        pytest.param({"pcc": 0.5}, None, True, "first", id="first of its tissue"),
        pytest.param({"pcc": None}, None, True, "first", id="first, without scores"),
        pytest.param({"pcc": 0.9, "is_leaky": True}, None, False, "leaky", id="leaky, even as the first"),
        pytest.param({"pcc": 0.9, "is_leaky": True}, {"pcc": 0.5}, False, "leaky", id="leaky and better"),
        pytest.param({"pcc": 0.51}, {"pcc": 0.5}, True, "better: pcc 0.5100, the champion's 0.5000", id="better"),
        pytest.param({"pcc": 0.5}, {"pcc": 0.5}, False, "not better", id="equal is not better"),
        pytest.param({"pcc": 0.4}, {"pcc": 0.5}, False, "not better", id="worse"),
        pytest.param({"pcc": 0.9, "data_sha256": OTHER}, {"pcc": 0.5}, False, "other data", id="other section"),
        pytest.param({"pcc": 0.9, "genes": 5}, {"pcc": 0.5}, False, "on 5 genes, the champion on 10", id="fewer genes"),
        pytest.param({"pcc": None}, {"pcc": 0.5}, False, "no scores", id="unscored candidate"),
        pytest.param({"pcc": 0.1}, {"pcc": None}, True, "no scores", id="unscored champion"),
        pytest.param({"pcc": 0.9, "is_synthetic": True}, {"pcc": 0.5}, False, "measured", id="synthetic over measured"),
        pytest.param({"pcc": 0.1}, {"pcc": 0.9, "is_synthetic": True}, True, "measured", id="measured over synthetic"),
    ],
)
def test_decision(
    scored: Callable[..., Release], candidate: dict[str, Any], champion: dict[str, Any] | None, is_champion: bool, reason: str
) -> None:
    decision = decide(scored(**candidate), None if champion is None else scored(**champion))
    assert decision.is_champion is is_champion
    assert reason in decision.reason


def test_scores_are_the_run_first_then_the_classical_rows(scored: Callable[..., Release]) -> None:
    release = scored(pcc=0.3)
    assert own_score(release) == row("cdcin", 0.3)
    assert best_classical(release) == row("bilinear", 0.45)
    assert own_score(scored(pcc=None)) is best_classical(scored(pcc=None)) is None


def trial(*scores: tuple[float, float | None], champion: str = "1" * 64) -> Trial:
    rows = [
        TrialScore(section_id=f"unseen-{place}", data_sha256="c" * 64, pcc=pcc, rmse=0.5, best_classical_pcc=0.3, champion_pcc=champions)
        for place, (pcc, champions) in enumerate(scores)
    ]
    return Trial(
        id="0" * 32, atlas="a", basis="other donors", num_candidates=2, num_runs=2, champion_weights_sha256=champion, scores=tuple(rows)
    )


@pytest.mark.parametrize(
    ("scores", "is_champion", "reason"),
    [
        pytest.param([(0.35, 0.32), (0.31, 0.33)], True, "better: +0.0300 pcc", id="better in the mean"),
        pytest.param([(0.35, 0.35)], False, "not better", id="equal"),
        pytest.param([(0.35, 0.33), (0.4, None), (0.31, 0.36)], False, "on 2 sections new to both", id="only sections new to both count"),
        pytest.param([(0.29, 0.25)], False, "not than classical", id="better than a poor champion, worse than classical methods"),
        pytest.param([(0.4, None)], False, "other data", id="nothing new to both"),
    ],
)
def test_after_a_trial_sections_new_to_both_decide(
    scored: Callable[..., Release], scores: list[tuple[float, float | None]], is_champion: bool, reason: str
) -> None:
    champion = scored(pcc=0.9, weights_sha256="1" * 64, data_sha256=OTHER)
    decision = decide(scored(pcc=0.1, trial=trial(*scores)), champion)
    assert decision.is_champion is is_champion
    assert reason in decision.reason


def test_a_trial_against_another_champion_than_the_present_one_decides_nothing(scored: Callable[..., Release]) -> None:
    champion = scored(pcc=0.1, weights_sha256="2" * 64, data_sha256=OTHER)
    assert "other data" in decide(scored(pcc=0.9, trial=trial((0.5, 0.1))), champion).reason
