"""Weighted kriging: what it knows of noise, and what it averages over. That it pays is shown in `test_protocol_figures.py`."""

import numpy as np
import pytest

from s2s.evaluation.baselines.weighted_kriging import (
    LENGTHS,
    average_covariance,
    krige,
    relative_noise,
    weighted_factors,
)


def test_noise_falls_with_the_genes_detected_in_a_bin():
    values = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    # Detected 4, 2, 1; the median is 2, so 0.5, 1, 2 over their mean of 3.5 / 3.
    assert relative_noise(values) == pytest.approx(np.array([0.5, 1.0, 2.0]) * 3 / 3.5)


def test_full_rank_factors_map_back_to_the_genes():
    centred = np.random.default_rng(0).normal(size=(30, 4)) * [1, 2, 0.5, 0]
    centred -= centred.mean(axis=0)
    fields, loadings = weighted_factors(centred, np.linspace(0.5, 1.5, 30), rank=4)
    assert fields.shape == (30, 3)
    assert fields.std(axis=0) == pytest.approx(1)
    assert fields @ loadings == pytest.approx(centred)
    assert not loadings[:, 3].any()


def _smooth_field(rng, length):
    places = np.argwhere(np.ones((20, 20)))
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    covariance = np.exp(-distance / length)
    field = np.linalg.cholesky(covariance + 1e-9 * np.eye(400)) @ rng.normal(size=400)
    return places.astype(float), distance, field


def test_noise_goes_to_the_nugget_and_structure_to_the_sills():
    rng = np.random.default_rng(1)
    _, distance, field = _smooth_field(rng, length=9.0)
    fields = np.column_stack([field, rng.normal(size=400)])
    fields = (fields - fields.mean(axis=0)) / fields.std(axis=0)
    mixture = average_covariance(fields, np.stack([np.exp(-distance / length) for length in LENGTHS]), np.ones(400))
    assert mixture.nuggets[0] < 0.2 * mixture.sills[0].sum()
    assert mixture.nuggets[1] > 5 * mixture.sills[1].sum()


def test_a_noisy_bin_pulls_less():
    points, targets = np.array([[0.0, 0.0], [0.0, 2.0], [5.0, 0.0], [5.0, 2.0]]), np.array([[0.0, 1.0]])
    fields = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    equal = krige(fields, points, np.ones(4), targets)[0, 0]
    first_is_noisy = krige(fields, points, np.array([10.0, 0.2, 1.0, 1.0]), targets)[0, 0]
    assert equal == pytest.approx(0, abs=1e-9)
    assert first_is_noisy < -0.01
