"""What holds for every baseline: nothing held out reaches it, and it answers on every section or says why not."""

from dataclasses import fields, replace

import numpy as np
import pytest

from s2s.errors import ShapeError
from s2s.evaluation.baselines import BASELINE_NAMES, all_baselines, classical_baselines
from s2s.evaluation.baselines.training import Schedule

LATTICES = [pytest.param("square", id="square"), pytest.param("hexagonal", id="hexagonal")]
SMALL = Schedule(max_steps=12, check_every=4, learning_rate=0.01, averaging=0.5)
SETTINGS = {
    "fist": {"settings": ((2, 0.1), (3, 0.1)), "num_trial_iterations": 3, "num_iterations": 5},
    "coordinate_network": {"num_features": 8, "width": 8, "schedule": SMALL},
    "dist_cnn": {"width": 4, "layers": 3, "schedule": SMALL},
    "deep_image_prior": {"width": 8, "levels": 2, "schedule": SMALL},
}
"""Trained rivals, small: what is tested here does not depend on how well they learn."""

SMALL_BASELINES = [replace(baseline, **SETTINGS.get(baseline.name, {})) for baseline in all_baselines()]
BASELINES = [pytest.param(baseline, id=baseline.name) for baseline in SMALL_BASELINES]
ON_LATTICE = ("bilinear", "bicubic", "bicubic_misregistered", "dist_cnn")
KEEP_SAMPLES_APART = "bicubic_misregistered"
"""Half a bin off: it does not give a sample back where it was taken."""


def test_names_are_distinct_metric_keys():
    names = [baseline.name for baseline in SMALL_BASELINES]
    assert tuple(names) == BASELINE_NAMES
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)


def test_the_protocols_rows_come_first_and_are_what_they_were():
    classical = ["zero", "median", "mean", "nearest", "bilinear", "bicubic", "gaussian_cv", "svd_gaussian"]
    assert [baseline.name for baseline in classical_baselines()] == classical
    assert list(BASELINE_NAMES[: len(classical)]) == classical


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
    if baseline.name != KEEP_SAMPLES_APART:
        assert imputed[:, 4, 4] == pytest.approx(0 if baseline.name == "zero" else 1.5)


@pytest.mark.parametrize("baseline", BASELINES)
def test_one_constant_gene_stays_what_it_is(split, baseline):
    measured, _ = split(np.full((1, 12, 14), 0.75))
    imputed = baseline.impute(measured)
    inner = (0, slice(2, 9), slice(2, 11))
    assert imputed[inner] == pytest.approx(0 if baseline.name == "zero" else 0.75, abs=1e-2 if "bicubic" in baseline.name else 1e-6)


@pytest.mark.parametrize("baseline", BASELINES)
def test_holes_in_the_tissue(split, baseline):
    y, x = np.mgrid[:14, :15]
    values = np.random.default_rng(8).random((2, 14, 15))
    measured, held_out = split(values, tissue=(y - 6) ** 2 + (x - 7) ** 2 > 12, phase=(1, 1))
    imputed = baseline.impute(measured)
    assert np.isfinite(imputed).all()
    # Without overshoot or extrapolation an estimate stays near the range of the values.
    assert np.abs(imputed[:, held_out.positions]).max() < 3


@pytest.mark.parametrize("baseline", BASELINES)
def test_scattered_bins_are_imputed_or_refused(split, baseline):
    rng = np.random.default_rng(9)
    measured, _ = split(rng.random((3, 12, 13)), observed=rng.random((12, 13)) < 0.3)
    if baseline.name in ON_LATTICE:
        with pytest.raises(ShapeError, match="off it"):
            baseline.impute(measured)
    else:
        assert np.isfinite(baseline.impute(measured)).all()


@pytest.mark.parametrize("baseline", [pytest.param(b, id=b.name) for b in SMALL_BASELINES if "seed" in {f.name for f in fields(b)}])
def test_a_seed_gives_the_same_bits_whatever_was_drawn_before(split_counts, counts, baseline):
    import torch  # noqa: PLC0415 -- only this test looks at torch's own generator

    measured, _ = split_counts(counts)
    first, before = baseline.impute(measured), (np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    second, after = baseline.impute(measured), (np.random.get_state()[1], torch.get_rng_state())  # noqa: NPY002
    assert np.array_equal(first, second)
    assert np.array_equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize("baseline", [pytest.param(b, id=b.name) for b in SMALL_BASELINES if hasattr(b, "schedule") or b.name == "fist"])
def test_another_seed_gives_another_answer(split_counts, counts, baseline):
    measured, _ = split_counts(counts)
    held = measured.tissue & ~measured.observed
    other = replace(baseline, seed=1)
    assert not np.array_equal(baseline.impute(measured)[:, held], other.impute(measured)[:, held])
