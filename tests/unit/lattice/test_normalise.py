import numpy as np
import pytest

from s2s.errors import InputError
from s2s.lattice.normalise import log1p_normalise, median_total

TOTALS = np.array([[2, 100, 4], [0, 50, 8]])


def test_the_median_is_of_observed_bins_only() -> None:
    observed = np.array([[True, False, True], [False, False, True]])
    # Observed totals are 2, 4 and 8.
    assert median_total(TOTALS, observed) == 4.0


def test_the_median_of_two_is_their_mean() -> None:
    assert median_total(TOTALS, np.array([[True, False, True], [False, False, False]])) == 3.0


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        pytest.param(np.zeros((2, 3), bool), "got 0 observed bins", id="nothing-observed"),
        pytest.param(np.array([[False, False, False], [True, False, False]]), "got 1 observed bins with 0 counts", id="only-empty-bins"),
    ],
)
def test_a_section_without_counts_is_refused(observed: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        median_total(TOTALS, observed)


def test_every_bin_is_scaled_to_the_target() -> None:
    counts = np.array([[[1, 50, 0], [0, 50, 8]]], np.uint16)
    # count / total * 4: 1/2*4 = 2, 50/100*4 = 2, 0; an empty bin stays 0, 50/50*4 = 4, 8/8*4 = 4.
    expected = np.array([[[np.log(3), np.log(3), 0], [0, np.log(5), np.log(5)]]])
    normalised = log1p_normalise(counts, TOTALS, 4.0)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, expected, rtol=1e-6)


def test_values_do_not_depend_on_which_genes_are_given() -> None:
    counts = np.random.default_rng(0).poisson(3, (4, 2, 3)).astype(np.uint16)
    totals = counts.sum(axis=0)
    np.testing.assert_array_equal(log1p_normalise(counts, totals, 10.0)[2:3], log1p_normalise(counts[2:3], totals, 10.0))


def test_large_unsigned_counts_do_not_wrap_round() -> None:
    counts = np.array([[[65_535]]], np.uint16)
    np.testing.assert_allclose(log1p_normalise(counts, np.array([[65_535]]), 1e6), np.log1p(1e6), rtol=1e-6)
