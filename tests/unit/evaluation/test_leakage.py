"""What holds for every baseline: nothing held out reaches it, and it answers on every section."""

import numpy as np
import pytest

from s2s.evaluation.baselines import classical_baselines

LATTICES = [pytest.param("square", id="square"), pytest.param("hexagonal", id="hexagonal")]
BASELINES = [pytest.param(baseline, id=baseline.name) for baseline in classical_baselines()]


def test_names_are_distinct_metric_keys():
    names = [baseline.name for baseline in classical_baselines()]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_held_out_counts_change_nothing(split_counts, counts, baseline, lattice):
    measured, held_out = split_counts(counts, lattice=lattice)
    other = counts + 50 * held_out.positions
    changed, other_truth = split_counts(other, lattice=lattice)
    assert not np.array_equal(held_out.expression[:, held_out.positions], other_truth.expression[:, held_out.positions])
    assert np.array_equal(baseline.impute(measured), baseline.impute(changed))


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_unobserved_bins_are_poison_and_results_are_finite(split_counts, counts, baseline, lattice):
    measured, _ = split_counts(counts, lattice=lattice)
    assert np.isnan(measured.expression[:, ~measured.observed]).all()
    imputed = baseline.impute(measured)
    assert imputed.shape == measured.expression.shape
    assert imputed.dtype == np.float32
    assert np.isfinite(imputed).all()


@pytest.mark.parametrize("baseline", BASELINES)
def test_measurement_is_left_as_it_was(split_counts, counts, baseline):
    measured, _ = split_counts(counts)
    before = measured.expression.copy()
    baseline.impute(measured)
    assert np.array_equal(before, measured.expression, equal_nan=True)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 1), id="one-bin"),
        pytest.param((1, 40), id="one-row"),
        pytest.param((40, 1), id="one-column"),
        pytest.param((3, 5), id="tiny"),
    ],
)
def test_any_size_and_a_gene_that_is_nowhere(split, baseline, shape, lattice):
    values = np.random.default_rng(6).random((3, *shape))
    values[1] = 0
    imputed = baseline.impute(split(values, lattice=lattice)[0])
    assert np.isfinite(imputed).all()
    assert not imputed[1].any()


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_one_observed_bin_gives_its_value_around_it(split, baseline, lattice):
    observed = np.zeros((9, 9), bool)
    observed[4, 4] = True
    measured, _ = split(np.full((2, 9, 9), 1.5), observed=observed, lattice=lattice)
    imputed = baseline.impute(measured)
    assert np.isfinite(imputed).all()
    assert imputed[:, 4, 4] == pytest.approx(0 if baseline.name == "zero" else 1.5)
