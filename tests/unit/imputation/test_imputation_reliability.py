"""Error and correlation at hidden positions, by hand."""

import numpy as np
import pytest

from s2s.imputation.reliability import gene_reliability, hidden_error, predicted_reliability
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


@pytest.mark.parametrize(
    ("guess", "truth", "expected"),
    [
        pytest.param([3, 0, 5, 7], [1, 9, 2, 3], 1.0, id="straight-line"),
        pytest.param([3, 0, 2, 1], [1, 9, 2, 3], -1.0, id="upside-down"),
        pytest.param([1, 0, 3, 2], [1, 9, 2, 3], 0.5, id="two-swapped"),
        pytest.param([1, 0, 1, 1], [1, 9, 2, 3], 0.0, id="constant-guess"),
        pytest.param([1, 0, 2, 3], [4, 9, 4, 4], 0.0, id="constant-truth"),
    ],
)
def test_correlation_per_gene(guess, truth, expected):
    found = gene_reliability(imputed([guess, truth]), measured([truth, truth]), HIDDEN)
    assert found[0] == pytest.approx(expected, abs=1e-12)
    assert found.dtype == np.float64


@pytest.mark.parametrize(("num_hidden", "is_known"), [pytest.param(2, False, id="two"), pytest.param(3, True, id="three")])
def test_two_positions_say_nothing(num_hidden, is_known):
    rows = [[1, 2, 4, 3], [5, 6, 8, 9]]
    hidden = np.arange(4)[None] < num_hidden
    assert np.isfinite(gene_reliability(imputed(rows), measured(rows), hidden)).tolist() == [is_known, is_known]


def test_rounding_never_lifts_it_above_one():
    # A gene seen in k of n bins and guessed in proportion: its correlation is 1, give or take a last bit.
    for number in range(3, 30):
        rows = (np.arange(number) < np.arange(1, number)[:, None]) * np.log(4)
        everywhere = np.ones((1, number), np.bool_)
        found = gene_reliability(imputed(rows * 0.37), measured(rows), everywhere)
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
