"""How noisy a bin is taken to be."""

import numpy as np
import pytest

from s2s.kriging.noise import EXPECTED_EXPONENT, EXPONENTS, noise_exponent, relative_noise


def test_noise_falls_with_the_genes_detected_in_a_bin():
    values = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    # Detected 4, 2, 1; the median is 2, so 0.5, 1, 2 over their mean of 3.5 / 3.
    assert relative_noise(values, 1.0) == pytest.approx(np.array([0.5, 1.0, 2.0]) * 3 / 3.5)


def test_with_exponent_0_all_bins_are_alike():
    values = np.random.default_rng(0).poisson(1.0, (30, 8)).astype(float)
    assert relative_noise(values, 0.0) == pytest.approx(1)


def _bins(slope, num_bins=900, num_genes=60):
    """Bins whose noise falls with their detected genes to the power `slope`."""
    rng = np.random.default_rng(1)
    side = round(num_bins**0.5)
    points = np.argwhere(np.ones((side, side))).astype(float)
    detected = rng.integers(20, num_genes, size=len(points))
    noise = (detected / detected.mean()) ** (-slope / 2)
    values = 3 + noise[:, None] * rng.normal(size=(len(points), num_genes))
    # Zeros say how many genes were detected, in a block of genes of their own that adds little to the differences.
    silent = np.arange(num_genes) >= detected[:, None]
    return np.hstack([np.maximum(values, 0.01), np.where(silent, 0.0, 1.0)]), points


def test_the_exponent_lies_half_way_between_the_slope_seen_and_the_expected_one():
    steep, flat = (noise_exponent(*_bins(slope)) for slope in (3.0, 0.0))
    assert flat < EXPECTED_EXPONENT < steep
    assert EXPONENTS[0] <= flat
    assert steep <= EXPONENTS[1]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.ones((1, 3)), id="one-bin"),
        pytest.param(np.ones((9, 3)), id="constant"),
        pytest.param(np.zeros((9, 3)), id="all-zero"),
        pytest.param(np.linspace(1, 2, 27).reshape(9, 3), id="equal-detection"),
    ],
)
def test_where_nothing_can_be_seen_the_exponent_is_the_expected_one(values):
    points = np.argwhere(np.ones((len(values), 1))).astype(float)
    assert noise_exponent(values, points) == EXPECTED_EXPONENT
