"""The reviewers' panel on sections whose answers are known."""

import math
import sys

import numpy as np
import pytest
from scipy import stats

from s2s.errors import InputError, MissingError, ShapeError
from s2s.evaluation.clusters import clusters
from s2s.evaluation.distance import by_edge_distance, by_sample_distance
from s2s.evaluation.metrics import morans_i, pearson
from s2s.evaluation.panel import gene_correlation, permuted_genes, review
from s2s.evaluation.variable_genes import moran_z, num_neighbours, variable_genes

LATTICES = [pytest.param("square", id="square"), pytest.param("hexagonal", id="hexagonal")]
SIDE = 24


@pytest.fixture(scope="module")
def layers():
    """Twelve genes in three layers of tissue, and four that are noise; log1p units."""
    rng = np.random.default_rng(0)
    layer = np.indices((SIDE, SIDE))[1] // (SIDE // 3)
    structured = [3.0 * (layer == gene % 3) + rng.gamma(2, 0.3, layer.shape) for gene in range(12)]
    return np.array([*structured, *rng.gamma(2, 0.5, (4, *layer.shape))], np.float32)


@pytest.fixture(scope="module")
def smoothed(layers):
    """Every bin the mean of the 5 x 5 around it."""
    padded = np.pad(layers, ((0, 0), (2, 2), (2, 2)), mode="edge")
    shifted = [padded[:, y : y + SIDE, x : x + SIDE] for y in range(5) for x in range(5)]
    return np.mean(shifted, axis=0, dtype=np.float32)


@pytest.mark.parametrize("lattice", LATTICES)
def test_a_perfect_imputation_has_a_perfect_panel(split, layers, lattice):
    measured, held_out = split(layers, lattice=lattice)
    report = review("perfect", layers, measured, held_out).report
    assert (report.moran.bias, report.moran.absolute) == (0, 0)
    assert report.variable_genes.in_truth >= 12
    assert (report.variable_genes.precision, report.variable_genes.recall) == (1, 1)
    assert report.clusters.in_truth >= 3
    assert (report.clusters.ari, report.clusters.nmi) == pytest.approx((1, 1))
    assert (report.gene_correlation.distortion, report.gene_correlation.mantel) == pytest.approx((0, 1))
    assert (report.permuted_genes.pcc, report.permuted_genes.rmse) == pytest.approx((1, 0))
    assert {group.rmse for group in (*report.by_sample_distance, *report.by_edge_distance)} == {0}
    assert report.num_positions == held_out.positions.sum()


def test_a_smoothed_imputation_inflates_structure(split, layers, smoothed):
    measured, held_out = split(layers)
    panel = review("smoothed", smoothed, measured, held_out)
    report = panel.report
    assert report.moran.bias > 0.25
    assert report.moran.bias == pytest.approx(report.moran.imputed - report.moran.truth)
    # Smoothed noise looks like structure: nothing is missed, and all four noise genes are called.
    assert report.variable_genes.in_imputed == 16
    assert report.variable_genes.recall == 1
    assert report.variable_genes.precision == pytest.approx(report.variable_genes.in_truth / 16)
    assert report.gene_correlation.distortion > 0.05
    assert panel.genes["is_variable_truth"][:12].all()
    assert panel.genes["gene"].tolist() == list(measured.genes)


def test_only_held_out_bins_count(split, layers, smoothed):
    measured, held_out = split(layers)
    other = np.where(held_out.positions, smoothed, np.float32(np.nan))
    assert review("same", smoothed, measured, held_out).report == review("same", other, measured, held_out).report


def test_a_constant_imputation_calls_nothing_and_has_one_cluster(split, layers):
    measured, held_out = split(layers)
    report = review("constant", np.ones_like(layers), measured, held_out).report
    assert report.variable_genes.precision is None
    assert report.variable_genes.recall == 0
    assert (report.clusters.in_imputed, report.clusters.ari) == (1, 0)
    assert (report.moran.imputed, report.gene_correlation.mantel, report.permuted_genes.pcc_permuted) == (0, 0, 0)


def test_one_gene_has_no_pairs(split, layers):
    measured, held_out = split(layers[:1])
    report = review("alone", layers[:1], measured, held_out).report
    assert (report.gene_correlation, report.permuted_genes) == (None, None)
    assert report.clusters.ari == pytest.approx(1)


@pytest.mark.parametrize(
    ("shape", "positions", "error"),
    [pytest.param((16, 3, 3), None, ShapeError, id="another-grid"), pytest.param(None, "all-observed", InputError, id="nothing-held-out")],
)
def test_what_cannot_be_reviewed_is_refused(split, layers, shape, positions, error):
    observed = np.ones((SIDE, SIDE)) if positions else None
    measured, held_out = split(layers, observed=observed)
    with pytest.raises(error, match="expected"):
        review("any", np.zeros(shape or layers.shape, np.float32), measured, held_out)


# --- spatially variable genes


@pytest.mark.parametrize("lattice", LATTICES)
def test_the_standard_score_is_that_of_permutations(lattice):
    rng = np.random.default_rng(1)
    mask = rng.random((12, 11)) < 0.7
    values = np.zeros((1, 12, 11))
    values[0, mask] = rng.gamma(0.3, 1, mask.sum()) + (np.indices((12, 11))[0] / 12)[mask]
    shuffled = np.zeros((4000, 12, 11))
    shuffled[:, mask] = rng.permuted(np.tile(values[:, mask], (4000, 1)), axis=1)
    by_chance = morans_i(shuffled, mask, lattice)
    expected = (morans_i(values, mask, lattice)[0] - by_chance.mean()) / by_chance.std()
    assert expected > 1
    assert moran_z(values, mask, lattice)[0] == pytest.approx(expected, rel=0.05)


def test_neighbours_by_hand():
    mask = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    np.testing.assert_array_equal(num_neighbours(mask, "square"), [[2, 2, 0], [2, 4, 1], [0, 1, 0]])
    # Odd rows stand half a bin to the right:  a b .      a: b d      b: a d e
    #                                           d e f     d: a b e g  e: b d f g  f: e
    #                                          . g .      g: d e
    np.testing.assert_array_equal(num_neighbours(mask, "hexagonal"), [[2, 3, 0], [4, 4, 1], [0, 2, 0]])


def test_noise_is_called_as_rarely_as_said():
    noise = np.random.default_rng(2).gamma(0.5, 1, (400, 15, 15))
    everywhere = np.ones((15, 15), bool)
    chance = stats.norm.sf(moran_z(noise, everywhere, "square"))
    assert (chance < 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert variable_genes(noise, everywhere, "square").sum() <= 4


@pytest.mark.parametrize(
    ("values", "mask"),
    [
        pytest.param([[1, 1], [1, 1]], [[1, 1], [1, 1]], id="constant"),
        pytest.param([[1, 2], [3, 4]], [[1, 1], [1, 0]], id="three-bins"),
        pytest.param([[1, 0, 2], [0, 0, 0], [3, 0, 9]], [[1, 0, 1], [0, 0, 0], [1, 0, 1]], id="no-neighbours"),
    ],
)
def test_what_has_no_score_is_not_called(values, mask):
    field, chosen = np.array([values], float), np.array(mask, bool)
    assert moran_z(field, chosen, "square").tolist() == [0]
    assert not variable_genes(field, chosen, "square").any()


# --- pairs of genes


def test_gene_correlations_by_hand():
    # Truth: B follows A, C runs against both. Estimate: B and C have swapped their roles against A.
    up, down = [0.0, 1.0, 2.0], [2.0, 1.0, 0.0]
    truth, estimate = np.array([up, up, down], np.float32), np.array([up, down, up], np.float32)
    found = gene_correlation(truth, estimate)
    # Pairs AB AC BC: 1 -1 -1 in truth, -1 1 -1 in the estimate.
    assert found.distortion == pytest.approx(4 / 3)
    assert found.mantel == pytest.approx(-0.5)


def test_permuted_genes_are_all_pairs_of_different_genes():
    rng = np.random.default_rng(3)
    truth, estimate = rng.gamma(1, 1, (40, 60)).astype(np.float32), rng.gamma(1, 1, (40, 60)).astype(np.float32)
    pairs = [(i, j) for i in range(40) for j in range(40) if i != j]
    found = permuted_genes(truth, estimate)
    pcc = np.mean([pearson(truth[[i]], estimate[[j]])[0] for i, j in pairs])
    rmse = np.mean([math.sqrt(np.mean((truth[i].astype(float) - estimate[j]) ** 2)) for i, j in pairs])
    assert (found.pcc_permuted, found.rmse_permuted) == pytest.approx((pcc, rmse))
    assert found.pcc == pytest.approx(pearson(truth, estimate).mean())


def test_common_structure_alone_survives_the_permutation(layers):
    # One pattern for all genes: which gene is which tells nothing.
    common = np.stack([layers[0].ravel()] * 4) * np.array([[1], [2], [3], [4]], np.float32)
    assert permuted_genes(common, common).pcc_permuted == pytest.approx(1)
    assert permuted_genes(layers[:3].reshape(3, -1), layers[:3].reshape(3, -1)).pcc_permuted < -0.3


# --- clusters


def test_clusters_are_the_layers(layers):
    found = clusters(layers.reshape(16, -1)).reshape(SIDE, SIDE)
    layer = np.indices((SIDE, SIDE))[1] // (SIDE // 3)
    # No cluster spans two layers.
    assert all(len(np.unique(layer[found == number])) == 1 for number in np.unique(found))


@pytest.mark.parametrize(
    "shape", [pytest.param((3, 2), id="two-bins"), pytest.param((0, 9), id="no-genes"), pytest.param((2, 0), id="no-bins")]
)
def test_too_little_is_one_cluster(shape):
    values = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    assert clusters(values).tolist() == [0] * shape[1]


@pytest.mark.parametrize("absent", [pytest.param("scanpy", id="scanpy"), pytest.param("igraph", id="igraph")])
def test_an_absent_extra_is_said_with_the_command(monkeypatch, layers, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingError, match=rf"{absent} is not installed; pip install 's2s-atlas\[analysis\]'"):
        clusters(layers.reshape(16, -1))


# --- distances


def test_error_against_the_nearest_sample(split):
    # Held out beside a sample: error 1; on the diagonal: error 3.
    y, x = np.indices((5, 5))
    measured, held_out = split(np.zeros((2, 5, 5)))
    wrong = np.where(y % 2 + x % 2 == 2, 3, np.where(y % 2 + x % 2 == 1, 1, 99)).astype(np.float32)
    beside, diagonal = by_sample_distance(np.stack([wrong, 2 * wrong]), measured, held_out)
    assert (beside.distance_um, beside.rmse, beside.num_positions) == pytest.approx((25, 1.5, 12))
    assert (diagonal.distance_um, diagonal.rmse, diagonal.num_positions) == pytest.approx((25 * math.sqrt(2), 4.5, 4))


def test_every_held_out_hexagon_lies_beside_two_samples(split):
    measured, held_out = split(np.zeros((1, 7, 6)), lattice="hexagonal")
    (group,) = by_sample_distance(np.ones((1, 7, 6), np.float32), measured, held_out)
    assert (group.distance_um, group.rmse, group.num_positions) == pytest.approx((25, 1, held_out.positions.sum()))


def test_error_against_the_edge_of_the_tissue(split):
    # A 5 x 5 section and a hole at (2, 2), a sample: the ring around it lies one bin from it or from the grid's edge, its corners sqrt(2).
    tissue = np.ones((5, 5), bool)
    tissue[2, 2] = False
    measured, held_out = split(np.zeros((1, 5, 5)), tissue=tissue)
    error = np.zeros((1, 5, 5), np.float32)
    error[0, [1, 1, 3, 3], [1, 3, 1, 3]] = 2
    (near,) = by_edge_distance(error, measured, held_out)
    assert (near.num_positions, near.rmse) == pytest.approx((16, 1))
    assert near.distance_um == pytest.approx(25 * (12 + 4 * math.sqrt(2)) / 16)


@pytest.mark.parametrize("lattice", LATTICES)
def test_the_middle_of_a_section_is_farthest_from_its_edge(split, lattice):
    measured, held_out = split(np.zeros((1, 9, 9)), lattice=lattice)
    groups = by_edge_distance(np.zeros((1, 9, 9), np.float32), measured, held_out)
    assert [group.distance_um for group in groups] == sorted(group.distance_um for group in groups)
    assert groups[0].distance_um == pytest.approx(25, rel=0.05)
    # The centre, five bins from the edge on squares, is a sample.
    assert len(groups) == 4
