"""What can be scored and over which phases; the scores themselves are the business of evaluation."""

import io

import pandas as pd
import pytest

from s2s.contracts.run import GeneConfig
from s2s.errors import ConfigError, InputError, MissingError
from s2s.evaluation.baselines import classical_baselines
from s2s.recipes.scoring import ALL_PHASES, ScoreRequest, parse_phases, score_classical


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("all", ((0, 0), (0, 1), (1, 0), (1, 1)), id="all"),
        pytest.param("0,0", ((0, 0),), id="first"),
        pytest.param("1,0", ((1, 0),), id="second-row"),
    ],
)
def test_phases(text, expected):
    assert parse_phases(text) == expected


@pytest.mark.parametrize("text", [pytest.param(text, id=text or "empty") for text in ("2,0", "0", "0, 1", "ALL", "")])
def test_other_phases_are_refused(text):
    with pytest.raises(ConfigError, match=r"expected --phase all or one of 0,0 0,1 1,0 1,1, got"):
        parse_phases(text)


def test_a_file_needs_a_pitch(settings):
    with pytest.raises(ConfigError, match=r"expected --pitch-um with a file, got cells\.h5ad alone; for instance --pitch-um 25"):
        score_classical(ScoreRequest(section="cells.h5ad"), settings)


def test_a_file_that_is_not_there_is_said(settings):
    with pytest.raises(MissingError, match=r"nowhere\.h5ad"):
        score_classical(ScoreRequest(section="nowhere.h5ad", pitch_um=25), settings)


def test_a_sparse_section_has_nothing_held_out(make_section, settings):
    section = make_section(stride=2)
    with pytest.raises(InputError, match=rf"expected a fully measured section to hold bins out of, {section.uri} was measured at stride 2"):
        score_classical(ScoreRequest(section=section.uri, genes=GeneConfig(min_detected=0)), settings)


def test_every_method_is_scored_on_every_phase(make_section, settings):
    section = make_section()
    said = []
    request = ScoreRequest(section=section.uri, phases=((0, 0), (1, 1)), genes=GeneConfig(names=("A", "C")))
    result = score_classical(request, settings, lambda stage, done, total, note="": said.append((stage, note)))
    methods = [baseline.name for baseline in classical_baselines()]
    assert [row.method for row in result.rows] == methods
    assert {row.num_genes for row in result.rows} == {2}
    assert [(phase, scores.name) for phase, scores in result.genes] == [(phase, name) for phase in request.phases for name in methods]
    assert result.num_bins == 11 * 13 - 6 * 7, "of the first phase"
    assert said == [("score", name) for _ in request.phases for name in methods]

    table = pd.read_parquet(io.BytesIO(result.parquet()))
    assert list(table.columns[:4]) == ["phase_y", "phase_x", "method", "gene"]
    assert len(table) == 2 * len(methods) * 2
    means = table.groupby("method")["pcc"].mean()
    for row in result.rows:
        assert row.pcc == pytest.approx(means[row.method]), row.method


def test_panels_are_of_the_first_phase_and_in_the_order_asked(make_section, settings):
    section = make_section()
    request = ScoreRequest(section=section.uri, phases=((1, 0), (0, 0)), genes=GeneConfig(min_detected=0), panel=("bilinear", "mean"))
    result = score_classical(request, settings)
    assert [panel.report.method for panel in result.panels] == ["bilinear", "mean"]
    first = {scores.name: scores.table for phase, scores in result.genes if phase == (1, 0)}
    for panel in result.panels:
        assert panel.report.num_positions == result.num_bins
        assert panel.genes["pcc"].tolist() == first[panel.report.method]["pcc"].tolist()


def test_a_panel_of_an_unknown_method_is_refused(settings):
    with pytest.raises(ConfigError, match=r"expected --panel with methods among zero, .*, svd_gaussian, got cdcin"):
        score_classical(ScoreRequest(section="any", panel=("mean", "cdcin")), settings)


def test_all_four_phases_are_the_default():
    assert ScoreRequest(section="any").phases == ALL_PHASES
