import numpy as np
import pytest

from s2s.evaluation.bootstrap import Comparison, Resampling, block_bootstrap_mean_difference
from s2s.evaluation.metrics import pearson, root_mean_squared_error

PLACES = np.stack(np.mgrid[:32, :40], axis=-1).reshape(-1, 2)


def noisy(amount: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth field of three genes, and an estimate of it with noise of an amount."""
    y, x = PLACES.T
    truth = np.stack([np.sin(y / 5), np.cos(x / 6), np.sin((x + y) / 7)]).astype(np.float32)
    return truth, (truth + amount * np.random.default_rng(seed).standard_normal(truth.shape)).astype(np.float32)


def test_the_difference_is_that_of_the_metrics() -> None:
    (truth, a), (_, b) = noisy(0.3, 1), noisy(0.8, 2)
    found = block_bootstrap_mean_difference([Comparison(truth=truth, first=a, second=b, places=PLACES)], Resampling(num_resamples=200))
    assert found.pcc_difference == pytest.approx((pearson(truth, a) - pearson(truth, b)).mean(), abs=1e-9)
    errors = root_mean_squared_error(truth, a) - root_mean_squared_error(truth, b)
    assert found.rmse_difference == pytest.approx(errors.mean(), abs=1e-9)
    assert 0 < found.pcc_lower < found.pcc_difference < found.pcc_upper
    assert found.rmse_lower < found.rmse_difference < found.rmse_upper < 0


def test_a_method_does_not_differ_from_itself() -> None:
    truth, a = noisy(0.5, 1)
    found = block_bootstrap_mean_difference([Comparison(truth=truth, first=a, second=a, places=PLACES)], Resampling(num_resamples=200))
    assert (found.pcc_difference, found.pcc_lower, found.pcc_upper) == (0, 0, 0)
    assert (found.rmse_difference, found.rmse_lower, found.rmse_upper) == (0, 0, 0)


def test_a_constant_has_no_correlation() -> None:
    truth, a = noisy(0.0, 1)
    constant = np.full_like(truth, 0.3)
    found = block_bootstrap_mean_difference(
        [Comparison(truth=truth, first=a, second=constant, places=PLACES)], Resampling(num_resamples=200)
    )
    assert (found.pcc_difference, found.pcc_lower, found.pcc_upper) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))


def test_two_blocks_by_hand() -> None:
    """Truth 0; a errs by 1 in the first block and 3 in the second, b not at all: a resample has both, or one of them twice."""
    places = np.array([[0, 0], [0, 1], [0, 2], [0, 3]])
    truth = np.zeros((1, 4), np.float32)
    a = np.array([[1, 1, 3, 3]], np.float32)
    found = block_bootstrap_mean_difference(
        [Comparison(truth=truth, first=a, second=truth, places=places)], Resampling(block=2, num_resamples=400)
    )
    assert found.rmse_difference == pytest.approx(5**0.5)
    assert (found.rmse_lower, found.rmse_upper) == (pytest.approx(1), pytest.approx(3))


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Errors are drawn anew in each of 200 data sets; the true difference of mean RMSE is known."""
    rng = np.random.default_rng(0)
    truth = np.zeros((4, len(PLACES)), np.float32)
    inside = 0
    for _ in range(200):
        a, b = (amount * rng.standard_normal(truth.shape).astype(np.float32) for amount in (1.0, 1.1))
        found = block_bootstrap_mean_difference([Comparison(truth=truth, first=a, second=b, places=PLACES)], Resampling(num_resamples=300))
        inside += found.rmse_lower <= -0.1 <= found.rmse_upper
    assert 0.89 <= inside / 200 <= 0.99


def test_pairs_are_averaged_and_share_their_blocks() -> None:
    (truth, a), (_, b) = noisy(0.3, 1), noisy(0.8, 2)
    there, back = Comparison(truth=truth, first=a, second=b, places=PLACES), Comparison(truth=truth, first=b, second=a, places=PLACES)
    found = block_bootstrap_mean_difference([there, back], Resampling(num_resamples=200))
    # With the same blocks one pair's difference is minus the other's in every draw.
    assert found.pcc_difference == pytest.approx(0, abs=1e-12)
    assert found.pcc_upper - found.pcc_lower == pytest.approx(0, abs=1e-12)
