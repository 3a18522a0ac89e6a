"""The contenders by hand-worked cases: kriging, low-rank kriging, FIST, the misregistered bicubic and the registry."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from s2s.errors import ConfigError
from s2s.evaluation.baselines import BASELINE_NAMES, Baseline, baseline_named
from s2s.evaluation.baselines.fist import MEASURED_ZERO, Fist
from s2s.evaluation.baselines.gaussian_process import Candidates, fit_fields
from s2s.evaluation.baselines.interpolation import Bicubic, MisregisteredBicubic
from s2s.evaluation.baselines.kriging import Kriging, SvdKriging
from s2s.kriging.regions import regions


def gaussian_field(rng, points, length, num_fields):
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    return np.linalg.cholesky(np.exp(-distance / length) + 1e-9 * np.eye(len(points))) @ rng.normal(size=(len(points), num_fields))


def test_misregistered_bicubic_is_half_a_bin_off(split):
    x = np.arange(40.0)
    measured, _ = split([np.broadcast_to(x, (40, 40))])
    inner = (0, slice(12, 28), slice(12, 28))
    assert Bicubic().impute(measured)[inner] == pytest.approx(np.broadcast_to(x, (40, 40))[inner[1:]], abs=1e-3)
    assert MisregisteredBicubic().impute(measured)[inner] == pytest.approx(np.broadcast_to(x - 0.5, (40, 40))[inner[1:]], abs=1e-3)


def test_misregistered_bicubic_takes_missing_samples_for_zeros(split):
    values = np.full((1, 12, 12), 2.0)
    tissue = np.ones((12, 12), bool)
    tissue[:, 6:] = False
    measured, _ = split(values, tissue=tissue)
    edge = (0, slice(4, 8), 5)
    assert Bicubic().impute(measured)[edge] == pytest.approx(2, abs=1e-3)
    assert MisregisteredBicubic().impute(measured)[edge].max() < 1.7


def test_kriging_of_two_bins_by_hand():
    # Two bins a distance 2 apart, 0 and 1; half way between them both weigh the same, whatever length and nugget.
    points = np.array([[0.0, 0], [0, 2]])
    fitted = fit_fields(np.array([[0.0], [1.0]]), points, Candidates(lengths=(2.0,), nuggets=(1.0,)))
    assert fitted.level == pytest.approx(0.5)
    assert fitted.means(np.array([[0.0, 1]])) == pytest.approx(0.5)
    # Covariance [[2, r], [r, 2]] with r = exp(-1): the deviation (-1/2, 1/2) has eigenvalue 2 - r, so at the second bin the mean is
    # 1/2 + (1 - r) / (2 (2 - r)); the variance of the process is 1/2 / (2 - r) over one degree of freedom.
    near = np.exp(-1)
    assert fitted.means(points[1:]) == pytest.approx(0.5 + 0.5 * (1 - near) / (2 - near))
    assert fitted.variance == pytest.approx(0.5 / (2 - near))


def test_variance_equals_the_textbook():
    rng = np.random.default_rng(11)
    points, targets = rng.random((30, 2)) * 10, rng.random((7, 2)) * 10
    length, nugget = 3.0, 0.4
    fitted = fit_fields(rng.normal(size=(30, 1)), points, Candidates(lengths=(length,), nuggets=(nugget,)))
    inverse = np.linalg.inv(np.exp(-np.linalg.norm(points[:, None] - points, axis=2) / length) + nugget * np.eye(30))
    towards = np.exp(-np.linalg.norm(targets[:, None] - points, axis=2) / length)
    unsure = (1 - (towards @ inverse).sum(axis=1)) ** 2 / inverse.sum()
    expected = fitted.variance[0] * (1 + nugget - np.einsum("tb,bc,tc->t", towards, inverse, towards) + unsure)
    assert fitted.variances(targets)[:, 0] == pytest.approx(expected)


def test_length_and_nugget_are_found_again():
    rng = np.random.default_rng(12)
    points = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    smooth = gaussian_field(rng, points, 8.0, 40)
    rough = gaussian_field(rng, points, 2.0, 40)
    noisy = smooth + 2 * rng.normal(size=smooth.shape)
    fitted = fit_fields(np.hstack([smooth, rough, noisy]), points, Candidates(lengths=(2.0, 8.0), nuggets=(0.01, 4.0)))
    assert (fitted.length[:40] == 8).mean() > 0.9
    assert (fitted.length[40:80] == 2).mean() > 0.9
    assert (fitted.nugget[:80] == 0.01).mean() > 0.9
    assert (fitted.nugget[80:] == 4).mean() > 0.9


def test_deviation_covers_what_it_should(split):
    rng = np.random.default_rng(13)
    points = np.stack(np.mgrid[:24, :24], axis=-1).reshape(-1, 2).astype(float)
    fields = 10 + gaussian_field(rng, points, 4.0, 20) + 0.5 * rng.normal(size=(576, 20))
    measured, held_out = split(fields.T.reshape(20, 24, 24))
    prediction = Kriging().predict(measured)
    assert prediction.std is not None
    held = held_out.positions
    score = (held_out.expression - prediction.mean)[:, held] / prediction.std[:, held]
    assert np.square(score).mean() == pytest.approx(1, abs=0.1)
    assert not prediction.std[:, measured.observed].any()


def test_predict_and_impute_give_one_mean_and_keep_what_was_measured(split_counts, counts):
    measured, _ = split_counts(counts)
    mean = Kriging().impute(measured)
    assert np.array_equal(mean, Kriging().predict(measured).mean)
    for imputed in (mean, SvdKriging().impute(measured)):
        assert np.array_equal(imputed[:, measured.observed], measured.expression[:, measured.observed])


def test_regions_share_the_targets_out():
    rng = np.random.default_rng(14)
    points, targets = rng.random((200, 2)) * [50, 20], rng.random((700, 2)) * [50, 20]
    parts = list(regions(points, targets, 40))
    assert np.array_equal(np.sort(np.concatenate([part for _, part in parts])), np.arange(700))
    assert {len(bins) for bins, _ in parts} == {40}
    nearest = np.linalg.norm(targets[:, None] - points, axis=2).argmin(axis=1)
    assert all(np.isin(nearest[part], bins).mean() > 0.95 for bins, part in parts)


def test_a_section_cut_into_regions_hardly_changes(split):
    y, x = np.mgrid[:40, :60]
    rng = np.random.default_rng(15)
    measured, held_out = split(3 + np.sin(np.stack([y, x, x + y]) / 6) + 0.2 * rng.normal(size=(3, 40, 60)))
    held = held_out.positions
    whole, cut = Kriging().impute(measured)[:, held], Kriging(max_bins=200).impute(measured)[:, held]
    assert not np.array_equal(whole, cut)
    assert np.abs(whole - cut).mean() < 0.03


def test_rank_is_chosen_by_the_observed_bins(split):
    y, x = np.mgrid[:24, :26]
    rng = np.random.default_rng(16)
    patterns = np.stack([np.sin(y / 4), np.cos(x / 5), np.sin((x + y) / 6)])
    weights = rng.normal(size=(30, 3))
    measured, _ = split(5 + np.tensordot(weights, patterns, 1) + 0.3 * rng.normal(size=(30, 24, 26)))
    svd = SvdKriging(ranks=(1, 3, 30))
    # Three patterns: one factor is too few; more than three hold noise alone, which their nuggets silence.
    assert svd.choose_rank(measured) >= 3
    assert SvdKriging(ranks=(1, 2)).choose_rank(measured) == 2


def test_factors_help_a_noisy_gene(split):
    y, x = np.mgrid[:24, :26]
    rng = np.random.default_rng(17)
    pattern = np.sin(y / 3) + np.cos(x / 3)
    truth = 5 + np.stack([pattern * weight for weight in np.linspace(0.5, 1.5, 30)])
    noisy = truth + rng.normal(size=truth.shape)
    measured, held_out = split(noisy)
    held = held_out.positions
    error = {method.name: np.square(method.impute(measured) - truth)[:, held].mean() for method in (Kriging(), SvdKriging())}
    assert error["svd_kriging"] < 0.6 * error["kriging"]


def test_fist_counts_an_observed_zero_as_measured(split):
    values = np.zeros((2, 12, 12))
    values[:, :6] = 2.0
    measured, held_out = split(values)
    imputed = Fist(settings=((2, 0.01),), num_iterations=200).impute(measured)
    lower = held_out.positions.copy()
    lower[:7] = False
    upper = held_out.positions & ~lower
    upper[5:] = False
    # Were a 0 missing, the lower half would be filled with the 2 of the upper one.
    assert imputed[:, lower].mean() < 0.3
    assert imputed[:, upper].mean() == pytest.approx(2, abs=0.4)
    assert 0 < MEASURED_ZERO < 1e-3


def test_fist_chooses_what_hidden_bins_prefer(split):
    y, x = np.mgrid[:16, :18]
    values = np.stack([1 + np.sin(y / 3), 1 + np.cos(x / 4), 2 + np.sin(y / 3) + np.cos(x / 4)])
    measured, _ = split(values)
    choice = Fist(settings=((4, 1e6), (4, 0.01)), num_trial_iterations=60)
    assert choice.choose_settings(measured) == (4, 0.01)


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in BASELINE_NAMES])
def test_every_name_gives_its_baseline(name):
    baseline = baseline_named(name, seed=3)
    assert isinstance(baseline, Baseline)
    assert baseline.name == name


def test_a_seed_reaches_what_draws():
    assert baseline_named("deep_image_prior", 7) == replace(baseline_named("deep_image_prior"), seed=7)


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(ConfigError, match=r"got 'krigging', did you mean 'kriging'\? Known are zero, median"):
        baseline_named("krigging")


def test_classical_baselines_cost_no_torch():
    code = "import sys, s2s.evaluation.baselines; print(sorted({'torch', 'fistnd', 'tensorly'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
