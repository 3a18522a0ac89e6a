"""Kriging of fields against its textbook solution, and what averaging over covariances does."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from s2s.kriging import fields as module
from s2s.kriging.factors import weighted_factors
from s2s.kriging.fields import Kriging


@pytest.fixture
def one_candidate(monkeypatch):
    """A single length and nugget: then the answer is a formula."""
    monkeypatch.setattr(module, "LENGTHS", (3.0,))
    monkeypatch.setattr(module, "NUGGETS", np.array([0.5]))


def test_a_single_candidate_gives_simple_kriging(one_candidate):
    rng = np.random.default_rng(0)
    points, targets = rng.uniform(0, 20, (40, 2)), rng.uniform(0, 20, (9, 2))
    noise, values = rng.uniform(0.5, 2.0, 40), rng.normal(size=(40, 3))
    covariance = np.exp(-cdist(points, points) / 3.0) + 0.5 * np.diag(noise)
    expected = np.exp(-cdist(targets, points) / 3.0) @ np.linalg.solve(covariance, values)
    np.testing.assert_allclose(Kriging(points, noise).estimate(values, targets), expected, atol=2e-5)


def test_blocks_of_fields_and_targets_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    points, targets, values = rng.uniform(0, 20, (30, 2)), rng.uniform(0, 20, (25, 2)), rng.normal(size=(30, 7))
    kriging = Kriging(points, np.ones(30))
    whole = kriging.estimate(values, targets)
    monkeypatch.setattr(module, "FIELD_BLOCK", 3)
    monkeypatch.setattr(module, "TARGET_BLOCK", 4)
    np.testing.assert_allclose(kriging.estimate(values, targets), whole, atol=1e-5)


def _smooth_field(rng, length):
    places = np.argwhere(np.ones((20, 20))).astype(float)
    covariance = np.exp(-cdist(places, places) / length)
    return places, np.linalg.cholesky(covariance + 1e-9 * np.eye(400)) @ rng.normal(size=400)


def test_structure_is_kept_and_noise_shrinks_to_the_mean():
    rng = np.random.default_rng(1)
    places, field = _smooth_field(rng, length=9.0)
    values = np.column_stack([field, rng.normal(size=400)])
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    seen = (places % 2 == 0).all(axis=1)
    estimate = Kriging(places[seen], np.ones(seen.sum())).estimate(values[seen], places[~seen])
    assert np.corrcoef(estimate[:, 0], values[~seen, 0])[0, 1] > 0.8
    assert estimate[:, 1].std() < 0.4


def test_a_noisy_bin_pulls_less():
    points, targets = np.array([[0.0, 0.0], [0.0, 2.0], [5.0, 0.0], [5.0, 2.0]]), np.array([[0.0, 1.0]])
    values = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    equal = Kriging(points, np.ones(4)).estimate(values, targets)[0, 0]
    first_is_noisy = Kriging(points, np.array([10.0, 0.2, 1.0, 1.0])).estimate(values, targets)[0, 0]
    assert equal == pytest.approx(0, abs=1e-6)
    assert first_is_noisy < -0.01


def test_full_rank_factors_map_back_to_the_genes():
    centred = np.random.default_rng(0).normal(size=(30, 4)) * [1, 2, 0.5, 0]
    centred -= centred.mean(axis=0)
    factors, loadings = weighted_factors(centred, np.linspace(0.5, 1.5, 30), rank=4)
    assert factors.shape == (30, 3)
    assert factors.std(axis=0) == pytest.approx(1)
    assert factors @ loadings == pytest.approx(centred)
    assert not loadings[:, 3].any()
