"""What a method may see of a stored section and what it is judged on, worked out by hand."""

import math

import numpy as np
import pytest

from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.errors import InputError, MissingError
from s2s.storage.sections import Section
from s2s.streaming import survey
from s2s.streaming.sections import measure, measure_with_truth

NAN = math.nan
EVERY_GENE = GeneConfig(min_detected=0)
# Totals: 4 18 8 9 / 9 18 18 18.
COUNTS = np.array(
    [
        [[2, 9, 0, 9], [9, 9, 9, 9]],
        [[2, 9, 8, 0], [0, 9, 9, 9]],
    ],
    np.uint16,
)


def ln(values: list[list[float]]) -> np.ndarray:
    return np.log(np.array(values)).astype(np.float32)


def sampling(phase: tuple[int, int] = (0, 0)) -> SamplingConfig:
    return SamplingConfig(phase=phase)


def test_normalised_by_the_median_total_of_observed_bins(make_section):
    # Observed totals 4 and 8, so every bin is scaled to 6: 2 of 4 become 3, 8 of 8 become 6; log1p adds one.
    measured = measure(make_section(COUNTS), sampling(), EVERY_GENE)
    nothing = [NAN, NAN, NAN, NAN]
    np.testing.assert_allclose(measured.expression[0], ln([[4, NAN, 1, NAN], nothing]), rtol=1e-6)
    np.testing.assert_allclose(measured.expression[1], ln([[4, NAN, 7, NAN], nothing]), rtol=1e-6)
    np.testing.assert_array_equal(measured.observed, [[True, False, True, False], [False] * 4])
    assert measured.expression.dtype == np.float32
    assert measured.tissue.all()
    assert (measured.genes, measured.stride, measured.phase, measured.pitch_um) == (("A", "B"), 2, (0, 0), 25)


@pytest.mark.parametrize(
    ("phase", "gene_a"),
    [
        # Totals 18 and 9, median 13.5: 9 of 18 become 6.75, 9 of 9 become 13.5.
        pytest.param((0, 1), [[NAN, 7.75, NAN, 14.5], [NAN] * 4], id="phase-01"),
        pytest.param((1, 0), [[NAN] * 4, [14.5, NAN, 7.75, NAN]], id="phase-10"),
        pytest.param((1, 1), [[NAN] * 4, [NAN, 10, NAN, 10]], id="phase-11"),
    ],
)
def test_each_phase_has_its_own_constant(make_section, phase, gene_a):
    measured = measure(make_section(COUNTS), sampling(phase), EVERY_GENE)
    np.testing.assert_allclose(measured.expression[0], ln(gene_a), rtol=1e-6)
    assert measured.phase == phase


def test_a_hexagonal_section_is_sampled_on_a_hexagonal_lattice(make_section):
    # Row 2 lies a whole bin further along the diagonal than row 0: there the odd columns are sampled.
    section = make_section(np.ones((1, 3, 4), np.uint16), shape="hexagonal")
    measured = measure(section, sampling(), EVERY_GENE)
    np.testing.assert_array_equal(measured.observed.astype(int), [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 1]])
    assert measured.lattice == "hexagonal"


def test_held_out_is_the_rest_normalised_with_the_constant_of_observed_bins(make_section):
    section = make_section(COUNTS)
    measured, truth = measure_with_truth(section, sampling(), EVERY_GENE)
    np.testing.assert_array_equal(measured.expression, measure(section, sampling(), EVERY_GENE).expression)
    np.testing.assert_allclose(truth.expression[0], ln([[NAN, 4, NAN, 7], [7, 4, 4, 4]]), rtol=1e-6)
    np.testing.assert_allclose(truth.expression[1], ln([[NAN, 4, NAN, 1], [1, 4, 4, 4]]), rtol=1e-6)
    np.testing.assert_array_equal(truth.positions, [[False, True, False, True], [True] * 4])


def test_totals_count_every_gene_whichever_are_chosen(make_section):
    section = make_section(COUNTS)
    (whole, truth), (part, some) = (measure_with_truth(section, sampling(), genes) for genes in (EVERY_GENE, GeneConfig(names=("B",))))
    np.testing.assert_array_equal(part.expression, whole.expression[1:])
    np.testing.assert_array_equal(some.expression, truth.expression[1:])


def test_a_survey_in_blocks_is_the_same(make_section, monkeypatch):
    section = make_section(COUNTS)
    whole = measure(section, sampling(), EVERY_GENE)
    monkeypatch.setattr(survey, "BLOCK_VALUES", 1)
    np.testing.assert_array_equal(measure(section, sampling(), EVERY_GENE).expression, whole.expression)


def test_the_truth_costs_no_further_read(make_section, monkeypatch):
    section, counted, read = make_section(COUNTS), [], Section.read

    def count(section, genes, window=None):
        counted.append(genes)
        return read(section, genes, window)

    monkeypatch.setattr(Section, "read", count)
    measure_with_truth(section, sampling(), GeneConfig(names=("B",)))
    first, chosen = counted
    assert (first.start, first.stop >= 2, chosen) == (0, True, [1])


# Observed bins are those of even columns in the first row; what lies elsewhere must not matter.
NAMES = ("often", "half", "once", "never")
CHOICE = np.full((4, 2, 8), 99, np.uint16)
CHOICE[:, 0, ::2] = [[1, 1, 1, 1], [0, 5, 0, 5], [9, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(GeneConfig(min_detected=0), NAMES, id="all"),
        pytest.param(GeneConfig(min_detected=0.25), ("often", "half", "once"), id="a-quarter-of-the-bins"),
        pytest.param(GeneConfig(min_detected=0.5), ("often", "half"), id="half-of-the-bins"),
        pytest.param(GeneConfig(min_detected=1), ("often",), id="every-bin"),
        pytest.param(GeneConfig(min_detected=0.25, limit=2), ("half", "once"), id="highest-means-in-order-of-the-section"),
        pytest.param(GeneConfig(min_detected=0.25, limit=9), ("often", "half", "once"), id="limit-above"),
        pytest.param(GeneConfig(min_detected=1, limit=1, names=("never", "often")), ("never", "often"), id="names-in-their-order"),
    ],
)
def test_choice_of_genes_looks_at_observed_bins_alone(make_section, config, expected):
    assert measure(make_section(CHOICE, genes=NAMES), sampling(), config).genes == expected


def test_an_unknown_gene_is_said(make_section):
    with pytest.raises(MissingError, match=r"not found: ACTB, GAPDH; it has for instance often, half"):
        measure(make_section(CHOICE, genes=NAMES), sampling(), GeneConfig(names=("ACTB", "often", "GAPDH")))


def test_no_gene_detected_often_enough_says_what_would_do(make_section):
    section = make_section(CHOICE[1:], genes=NAMES[1:])
    with pytest.raises(InputError, match=r"detected in 80% of observed bins .* the best is detected in 50\.0%; lower genes\.min_detected"):
        measure(section, sampling(), GeneConfig(min_detected=0.8))


def test_a_sparse_section_keeps_its_own_positions_and_has_no_truth(make_section):
    observed = [[False] * 4, [False, True, False, False]]  # of (1, 1) and (1, 3) only one was measured
    section = make_section(COUNTS, observed=observed, stride=2, phase=(1, 1))
    measured, truth = measure_with_truth(section, sampling(), EVERY_GENE)
    np.testing.assert_array_equal(measured.observed, observed)
    np.testing.assert_allclose(measured.expression[0], ln([[NAN] * 4, [NAN, 10, NAN, NAN]]), rtol=1e-6)
    assert (measured.stride, measured.phase) == (2, (1, 1))
    assert truth is None


def test_a_section_of_another_stride_is_refused(make_section):
    section = make_section(COUNTS, observed=[[True, False, False, True], [False] * 4], stride=3)
    with pytest.raises(InputError, match=r"sampled at stride 2, .* has stride 3; ingest it with --stride 2"):
        measure(section, sampling(), EVERY_GENE)


def test_bins_that_are_not_valid_do_not_exist(make_section):
    valid = np.ones((2, 4), np.bool_)
    valid[0, 0] = valid[1, 3] = False
    section = make_section(COUNTS, valid=valid)
    measured, truth = measure_with_truth(section, sampling(), EVERY_GENE)
    np.testing.assert_array_equal(measured.tissue, valid)
    # Only the bin with total 8 is left: 8 of 8 stay 8.
    np.testing.assert_allclose(measured.expression[1], ln([[NAN, NAN, 9, NAN], [NAN] * 4]), rtol=1e-6)
    np.testing.assert_array_equal(truth.positions, [[False, True, False, True], [True, True, True, False]])


def test_off_tissue_is_neither_observed_nor_held_out(make_section):
    tissue = np.array([[True, True, False, False], [False] * 4])
    section = make_section(COUNTS, tissue=tissue)
    measured, truth = measure_with_truth(section, sampling(), EVERY_GENE)
    assert np.argwhere(measured.observed).tolist() == [[0, 0]]
    assert np.argwhere(truth.positions).tolist() == [[0, 1]]


def test_log1p_values_pass_through_bit_for_bit(make_section):
    values = np.random.default_rng(0).uniform(0, 5, (2, 3, 5)).astype(np.float32)
    section = make_section(values)
    measured, truth = measure_with_truth(section, sampling((1, 0)), EVERY_GENE)
    np.testing.assert_array_equal(measured.expression[:, measured.observed], values[:, 1::2, ::2].reshape(2, -1))
    np.testing.assert_array_equal(np.where(measured.observed, measured.expression, truth.expression), values)


def test_nothing_observed_is_said(make_section):
    section = make_section(COUNTS, tissue=[[False, True, False, True], [True] * 4])
    with pytest.raises(InputError, match=r"at least one observed bin on tissue in memory://.* got none at stride 2, phase \(0, 0\)"):
        measure(section, sampling(), EVERY_GENE)


def test_observed_bins_without_counts_are_said(make_section):
    empty = COUNTS.copy()
    empty[:, 0, ::2] = 0
    with pytest.raises(InputError, match="got 2 observed bins with 0 counts"):
        measure(make_section(empty), sampling(), EVERY_GENE)
