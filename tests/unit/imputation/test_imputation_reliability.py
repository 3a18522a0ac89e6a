"""Error and correlation at hidden positions, by hand."""

import numpy as np
import pytest

from s2s.imputation.reliability import hidden_error, joined_all, moments_of, predicted_reliability, proven_trust, reliability_of
from s2s.lattice.measured import Measured

HIDDEN = np.array([[True, False, True, True]])


def measured(rows: list[list[float]]) -> Measured:
    expression = np.array(rows, np.float32)[:, None]
    observed = np.ones(expression.shape[1:], np.bool_)
    genes = tuple(f"G{index}" for index in range(len(rows)))
    return Measured(expression=expression, observed=observed, tissue=observed, genes=genes, stride=2, phase=(0, 0), pitch_um=25)


def imputed(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float32)[:, None]


def test_error_is_the_mean_over_genes_and_hidden_positions():
    # Off by 1, 0, 2 and by 0, 3, 0; what is not hidden is off by 96 and does not count.
    assert hidden_error(imputed([[2, 99, 3, 2], [1, 99, 4, 1]]), measured([[1, 3, 3, 4], [1, 3, 1, 1]]), HIDDEN) == 1.0


def test_rounding_never_lifts_it_above_one():
    # A gene seen in k of n bins and guessed in proportion: its correlation is 1, give or take a last bit.
    for number in range(4, 30):
        rows = (np.arange(number) < np.arange(1, number)[:, None]) * np.log(4)
        found = predicted_reliability(rows * 0.37, rows).pcc
        assert (found <= 1).all()
        np.testing.assert_allclose(found, 1)


def test_predicted_correlation_and_its_lower_end():
    # 42 bins at +-1, two thirds of which agree: correlation 2/3 - 1/3.
    given, truth = np.tile([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0], 7), np.tile([-1.0, 1.0, -1.0, 1.0, 1.0, -1.0], 7)
    found = predicted_reliability(given[None], truth[None])
    assert found.pcc[0] == pytest.approx(1 / 3)
    # atanh(1/3) = ln(2) / 2 = 0.34657; 1.6449 / sqrt(39) = 0.26339; tanh(0.08318) = 0.08299.
    assert found.lower[0] == pytest.approx(0.08299, abs=1e-5)
    assert found.is_reliable.tolist() == [False]
    more = predicted_reliability(np.tile(given, 2)[None], np.tile(truth, 2)[None])
    # 1.6449 / 9 = 0.18277; tanh(0.16381) = 0.16236.
    assert more.lower[0] == pytest.approx(0.16236, abs=1e-5)
    assert more.is_reliable.tolist() == [True]


def test_what_is_constant_or_too_small_is_unknown_and_unreliable():
    ramp, flat = np.arange(50.0), np.full(50, 0.37)
    found = predicted_reliability(np.array([ramp, flat, ramp, flat]), np.array([ramp, ramp, flat, flat]))
    assert np.isnan(found.pcc).tolist() == np.isnan(found.lower).tolist() == [False, True, True, True]
    assert found.lower[0] == pytest.approx(1)
    assert found.is_reliable.tolist() == [True, False, False, False]
    few = predicted_reliability(ramp[None, :3], ramp[None, :3])
    assert np.isnan([few.pcc[0], few.lower[0]]).all()
    assert few.is_reliable.tolist() == [False]


def test_squared_error_weighs_large_misses():
    guess, truth = imputed([[2, 99, 3, 2]]), measured([[1, 3, 3, 4]])
    assert hidden_error(guess, truth, HIDDEN, "l2") == pytest.approx((5 / 3) ** 0.5)


def trust_of(right: float, noise: float, num_bins: int = 400) -> float:
    """Trust in a network whose change is `right` times what was missing, plus noise."""
    rng = np.random.default_rng(0)
    truth, fill = rng.gamma(2.0, 1.0, (30, num_bins)), rng.gamma(2.0, 1.0, (30, num_bins))
    guess = fill + right * (truth - fill) + noise * rng.normal(size=fill.shape)
    everywhere = np.ones((1, num_bins), np.bool_)
    return proven_trust(imputed(guess.tolist()), imputed(fill.tolist()), measured(truth.tolist()), everywhere)


def test_trust_is_what_hidden_samples_prove():
    assert trust_of(1.0, 0.0) == 1.0
    assert trust_of(0.0, 1.0) < 0.02
    assert trust_of(-0.5, 0.1) == 0.0
    assert trust_of(0.0, 0.0) == 0.0, "a network that changes nothing proves nothing"


def test_trust_is_careful_where_little_is_hidden():
    assert trust_of(0.5, 2.0, num_bins=10) < trust_of(0.5, 2.0, num_bins=2000) < 1


def test_moments_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(3, 40)) + np.repeat([0.0, 5.0], [15, 25])  # regions differ: what is joined must see that
    truth[2] = 1.5
    given = truth + rng.normal(size=(3, 40))
    parts = [moments_of(given[:, bins], truth[:, bins]) for bins in (slice(0, 15), slice(15, 16), slice(16, 40))]
    whole, one = joined_all([None, *parts]), joined_all([None, parts[0], None])
    assert whole is not None
    assert one is parts[0]
    assert joined_all([None]) is None
    expected = predicted_reliability(given, truth)
    np.testing.assert_allclose(reliability_of(whole).pcc, expected.pcc)
    np.testing.assert_allclose(reliability_of(whole).lower, expected.lower)
    assert np.isnan(expected.pcc[2])
