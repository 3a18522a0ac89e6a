import numpy as np
import pytest

from s2s.evaluation import metrics
from s2s.lattice.geometry import positions
from s2s.lattice.sampling import sampled_positions


@pytest.mark.parametrize(
    ("truth", "estimate", "expected"),
    [
        pytest.param([0, 1, 2], [1, 3, 5], 1.0, id="scaled-and-shifted"),
        pytest.param([0, 1, 2], [2, 1, 0], -1.0, id="reversed"),
        pytest.param([0, 0, 1], [0, 1, 1], 0.5, id="half"),
        pytest.param([0, 1, 2], [7, 7, 7], 0.0, id="constant-estimate"),
        pytest.param([0, 0, 0], [0, 1, 2], 0.0, id="constant-truth"),
        pytest.param([3], [5], 0.0, id="one-position"),
    ],
)
def test_pearson(truth, estimate, expected):
    assert metrics.pearson(np.array([truth], float), np.array([estimate], float)) == pytest.approx([expected])


def test_pearson_of_a_constant_with_rounding_noise_is_undefined():
    noisy = np.array([[1.1, np.nextafter(np.float32(1.1), np.float32(2)), 1.1]], np.float32)
    assert metrics.pearson(np.array([[0, 1, 0]], np.float32), noisy).tolist() == [0]


def test_pearson_of_small_expression_is_not_mistaken_for_a_constant():
    small = np.array([[1.0, 1.0001, 1.0]], np.float32)
    assert metrics.pearson(np.array([[0, 1, 0]], np.float32), small) == pytest.approx([1])


def test_errors_per_gene():
    truth, estimate = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, -4.0], [1.0, 1.0]])
    assert metrics.mean_absolute_error(truth, estimate) == pytest.approx([3.5, 0])
    assert metrics.root_mean_squared_error(truth, estimate) == pytest.approx([12.5**0.5, 0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([[1, -1], [-1, 1]], -1.0, id="checkerboard"),
        # Deviations +-1/2; pairs: 2 x (1/4 - 1/4 + 1/4) across, 4 x 1/4 down = 1.5; x 8 bins / 10 pairs / variance 2.
        pytest.param([[0, 0, 1, 1], [0, 0, 1, 1]], 0.6, id="halves"),
        pytest.param([[2, 2], [2, 2]], 0.0, id="constant"),
        pytest.param([[5]], 0.0, id="one-bin"),
    ],
)
def test_morans_i(values, expected):
    field = np.array([values], float)
    assert metrics.morans_i(field, np.ones(field.shape[1:], bool)) == pytest.approx([expected])


def test_morans_i_takes_only_pairs_inside_the_mask():
    field = np.array([[[0, 1, np.nan, 0]]])
    mask = np.array([[True, True, False, True]])
    # Mean 1/3; the only pair is (-1/3)(2/3) = -2/9; x 3 bins / 1 pair / variance 6/9 = -1.
    assert metrics.morans_i(field, mask) == pytest.approx([-1])


def test_morans_i_of_hexagons_has_six_neighbours():
    # Pairs of a 2 x 2 grid: across -1 and -1; from the top left down-right -1; from the top right down-left +1, down-right -1.
    field = np.array([[[1.0, -1.0], [-1.0, 1.0]]])
    assert metrics.morans_i(field, np.ones((2, 2), bool), "hexagonal") == pytest.approx([-3 * 4 / 5 / 4])


def test_morans_i_of_hexagons_is_that_of_all_pairs_one_pitch_apart():
    rng = np.random.default_rng(1)
    field, mask = rng.normal(size=(2, 7, 6)), rng.random((7, 6)) < 0.7
    places = positions((7, 6), "hexagonal")[mask]
    weights = np.isclose(np.linalg.norm(places[:, None] - places[None], axis=2), 1)
    centred = field[:, mask] - field[:, mask].mean(axis=1, keepdims=True)
    expected = np.einsum("gi,ij,gj->g", centred, weights, centred) * mask.sum() / weights.sum() / (centred**2).sum(axis=1)
    assert metrics.morans_i(field, mask, "hexagonal") == pytest.approx(expected)


@pytest.mark.parametrize("lattice", [pytest.param("square", id="square"), pytest.param("hexagonal", id="hexagonal")])
def test_morans_i_of_a_sampled_lattice_looks_from_sample_to_sample(lattice):
    y, x = np.mgrid[:8, :12]
    # Every second row belongs to the samples; what lies between is as rough as can be.
    field = np.where(sampled_positions((8, 12), 2, (0, 0), lattice), x, 100.0 * ((x + y) % 2))[None]
    mask = sampled_positions((8, 12), 2, (0, 0), lattice)
    assert metrics.morans_i(field, mask, lattice).tolist() == [0]
    assert metrics.morans_i(field, mask, lattice, step=2)[0] > 0.5


def test_morans_i_without_neighbours_is_undefined():
    mask = np.array([[True, False], [False, True]])
    assert metrics.morans_i(np.array([[[0.0, 1], [1, 3]]]), mask).tolist() == [0]


def test_ssim_of_two_levels_is_the_luminance_term():
    centre = np.zeros((15, 15), bool)
    centre[7, 7] = True
    one, two = np.full((1, 15, 15), 1.0), np.full((1, 15, 15), 2.0)
    # C1 = (0.01 x 10)^2: (2 x 1 x 2 + C1) / (1 + 4 + C1); no variance, so the other term is 1.
    assert metrics.ssim(one, two, centre) == pytest.approx([4.01 / 5.01])


@pytest.mark.parametrize("shape", [pytest.param((1, 1), id="one-bin"), pytest.param((2, 9), id="smaller-than-window")])
def test_ssim_of_identical_maps_is_one_at_any_size(shape):
    values = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    assert metrics.ssim(values, values, np.ones(shape, bool)) == pytest.approx([1, 1])
