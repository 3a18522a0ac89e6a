"""The interval around a difference: by hand, exactly zero for equals, and as wide as dependent bins demand."""

import math

import numpy as np
import pytest

from s2s.errors import InputError, ShapeError
from s2s.evaluation import metrics
from s2s.evaluation.bootstrap import Comparison, Resampling, block_bootstrap_difference, block_bootstrap_mean_difference


def grid_places(height, width):
    return np.stack(np.indices((height, width)), axis=-1).reshape(-1, 2)


def blocky_noise(rng, num_genes, side, block, sd=1.0):
    """One value per gene and block, spread over its bins."""
    coarse = rng.normal(0, sd, (num_genes, side // block, side // block))
    return coarse.repeat(block, axis=1).repeat(block, axis=2).reshape(num_genes, -1)


def as_float32(*arrays):
    return tuple(np.asarray(array, np.float32) for array in arrays)


def test_two_blocks_by_hand():
    # Two blocks of two bins. The first method errs by 1 in the second block, the second by 2 in the first.
    truth, a, b = as_float32([[0, 2, 4, 6]], [[0, 2, 5, 7]], [[2, 4, 4, 6]])
    places = np.array([[0, 0], [0, 1], [0, 8], [0, 9]])
    result = block_bootstrap_difference(truth, a, b, places, Resampling(num_resamples=400))
    root = math.sqrt
    assert result.rmse_difference == pytest.approx(root(0.5) - root(2))
    # Drawn are both blocks, or one of them twice: first minus second is then 0 - 2 or 1 - 0.
    assert result.rmse_lower == pytest.approx(-2)
    assert result.rmse_upper == pytest.approx(1)
    # Deviations of the truth -3 -1 1 3, of a -3.5 -1.5 1.5 3.5, of b -2 0 0 2; inside a single block every correlation is 1.
    of_a, of_b = (10.5 + 1.5 + 1.5 + 10.5) / root(20 * 29), 12 / root(20 * 8)
    assert result.pcc_difference == pytest.approx(of_a - of_b)
    assert (result.pcc_lower, result.pcc_upper) == pytest.approx((0, of_a - of_b))


def test_without_resampling_it_is_the_difference_of_the_metrics():
    rng = np.random.default_rng(0)
    truth, a, b = as_float32(*(rng.gamma(1, 1, (50, 400)) for _ in range(3)))
    truth[3] = 2.5
    a[4] = 0.0
    result = block_bootstrap_difference(truth, a, b, grid_places(20, 20), Resampling(num_resamples=10))
    pcc = metrics.pearson(truth, a).mean() - metrics.pearson(truth, b).mean()
    rmse = metrics.root_mean_squared_error(truth, a).mean() - metrics.root_mean_squared_error(truth, b).mean()
    assert (result.pcc_difference, result.rmse_difference) == pytest.approx((pcc, rmse))


def test_equal_methods_differ_by_exactly_nothing():
    rng = np.random.default_rng(1)
    truth, a = as_float32(*(rng.gamma(1, 1, (5, 400)) for _ in range(2)))
    result = block_bootstrap_difference(truth, a, a.copy(), grid_places(20, 20))
    assert [getattr(result, name) for name in result.__slots__] == [0.0] * 6


def test_a_known_difference_is_found():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(20, 1600))
    a, b = truth + rng.normal(0, 0.5, truth.shape), truth + rng.normal(0, 0.6, truth.shape)
    result = block_bootstrap_difference(*as_float32(truth, a, b), grid_places(40, 40))
    assert result.rmse_lower < -0.1 < result.rmse_upper < 0
    expected = 1 / math.sqrt(1.25) - 1 / math.sqrt(1.36)
    assert 0 < result.pcc_lower < expected < result.pcc_upper


def test_the_seed_decides():
    rng = np.random.default_rng(3)
    arrays = as_float32(*(rng.normal(size=(2, 400)) for _ in range(3)))
    one, again, other = (block_bootstrap_difference(*arrays, grid_places(20, 20), Resampling(seed=seed)) for seed in (1, 1, 2))
    assert one == again
    assert one.pcc_lower != other.pcc_lower
    assert one.pcc_difference == other.pcc_difference


def test_the_order_of_positions_does_not_matter():
    rng = np.random.default_rng(4)
    arrays, places = as_float32(*(rng.normal(size=(2, 400)) for _ in range(3))), grid_places(20, 20)
    shuffled = rng.permutation(400)
    one = block_bootstrap_difference(*arrays, places)
    other = block_bootstrap_difference(*(array[:, shuffled] for array in arrays), places[shuffled])
    assert [getattr(one, name) for name in one.__slots__] == pytest.approx([getattr(other, name) for name in one.__slots__])


def coverage(block, num_sections=200):
    """Share of intervals that hold the true difference, 0, where errors are alike within blocks of 4 x 4 bins."""
    rng, places, held = np.random.default_rng(5), grid_places(32, 32), 0
    for section in range(num_sections):
        truth = rng.normal(size=(1, 1024))
        a, b = (truth + blocky_noise(rng, 1, 32, 4) for _ in range(2))
        result = block_bootstrap_difference(*as_float32(truth, a, b), places, Resampling(block=block, num_resamples=200, seed=section))
        held += result.rmse_lower <= 0 <= result.rmse_upper
    return held / num_sections


def test_intervals_hold_the_truth_as_often_as_they_say():
    assert 0.88 <= coverage(block=4) <= 0.99


def test_single_bins_would_claim_too_much():
    assert coverage(block=1) < 0.7


def test_phases_are_averaged_over_the_same_blocks():
    rng = np.random.default_rng(6)
    places = grid_places(32, 32)
    phases = []
    for phase in range(4):
        held = (2 * (places[:, 0] % 2) + places[:, 1] % 2) != phase
        truth, a, b = as_float32(*(rng.normal(size=(3, held.sum())) for _ in range(3)))
        phases.append(Comparison(truth=truth, first=a, second=b, places=places[held]))
    singles = [block_bootstrap_mean_difference([phase]) for phase in phases]
    together = block_bootstrap_mean_difference(phases)
    assert together.rmse_difference == pytest.approx(np.mean([single.rmse_difference for single in singles]))
    # Four equal phases tell no more than one: their blocks are not drawn independently.
    same = block_bootstrap_mean_difference([phases[0]] * 4)
    assert same.pcc_upper - same.pcc_lower == pytest.approx(singles[0].pcc_upper - singles[0].pcc_lower)
    assert together.pcc_upper - together.pcc_lower < 0.8 * np.mean([single.pcc_upper - single.pcc_lower for single in singles])


def test_a_phase_without_bins_in_the_drawn_blocks_is_no_error():
    truth, a, b = as_float32([[0, 1]], [[0, 2]], [[1, 1]])
    far = Comparison(truth=truth, first=a, second=b, places=np.array([[0, 0], [0, 1]]))
    near = Comparison(truth=truth, first=a, second=b, places=np.array([[50, 50], [50, 51]]))
    result = block_bootstrap_mean_difference([far, near], Resampling(num_resamples=50))
    assert np.isfinite([getattr(result, name) for name in result.__slots__]).all()


@pytest.mark.parametrize(
    ("shapes", "places", "error"),
    [
        pytest.param(((2, 4), (2, 4), (2, 3)), 4, ShapeError, id="methods-differ"),
        pytest.param(((2, 4), (2, 4), (2, 4)), 3, ShapeError, id="places-differ"),
        pytest.param(((2, 0), (2, 0), (2, 0)), 0, InputError, id="no-bins"),
        pytest.param(((0, 4), (0, 4), (0, 4)), 4, InputError, id="no-genes"),
    ],
)
def test_what_cannot_be_compared_is_refused(shapes, places, error):
    with pytest.raises(error, match="expected"):
        block_bootstrap_difference(*(np.zeros(shape, np.float32) for shape in shapes), np.zeros((places, 2), int))


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="got none"):
        block_bootstrap_mean_difference([])
