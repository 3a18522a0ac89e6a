"""The card of a release says what a reader must know before using it."""

from collections.abc import Callable

from s2s.contracts.release import Coverage, GeneReliability, Release, Trial, TrialScore
from s2s.contracts.run import NetworkConfig, ScoreRow
from s2s.evaluation.release_card import release_card


def test_a_card_names_data_accuracy_calibration_genes_and_licence(make_release: Callable[..., Release]) -> None:
    unseen = TrialScore(
        section_id="unseen", data_sha256="b" * 64, pcc=0.35, rmse=0.5, coverage_90=0.905, best_classical_pcc=0.31, champion_pcc=0.3
    )
    text = release_card(
        make_release(
            licence="CC BY 4.0",
            scores=[ScoreRow(method="CDCIN", pcc=0.3345, mae=0.36, rmse=0.47, num_genes=10)],
            coverage=[Coverage(level=0.9, measured=0.912)],
            reliability=[GeneReliability(gene=f"G{place}", pcc=place / 100) for place in range(100)],
            trial=Trial(id="0" * 32, atlas="hest", basis="other donors", num_candidates=5, num_runs=40, scores=(unseen,)),
        )
    )
    for expected in (
        "# s2s-human-breast", "CC BY 4.0", "25 um", "| section", "40 finished runs of atlas hest, 5 were scored", "other donors",
        "0.3500", "0.3100", "0.3000", "90.5%", "+0.0400", "**0.3345**", "91.2%", "Best: G99 0.99", "G0 0.00", "median 0.49",
    ):  # fmt: skip
        assert expected in text, expected
    assert "synthetic" not in text
    assert "eaky" not in text


def test_a_card_warns_of_what_must_not_be_used_and_leaves_out_what_is_not_known(make_release: Callable[..., Release]) -> None:
    text = release_card(make_release(is_leaky=True, is_synthetic=True))
    assert "**Leaky" in text
    assert "**Made from synthetic tissue" in text
    for heading in ("Accuracy", "Calibration", "Genes", "Chosen among"):
        assert f"## {heading}" not in text


def test_a_card_says_how_much_of_the_network_is_in_the_result(make_release: Callable[..., Release]) -> None:
    kriged = NetworkConfig(fill="krige", cascades=2)
    assert "CDCIN of 2 cascades, on a kriged fill, of whose change by the network 40% is kept" in release_card(
        make_release(network=kriged, trust=0.4)
    )
    assert "\nkriged fill, of whose change by the network 0% is kept" in release_card(make_release(network=kriged, trust=0))
