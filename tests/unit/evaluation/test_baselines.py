import math

import numpy as np
import pytest
from scipy import ndimage

from s2s.errors import ShapeError
from s2s.evaluation.baselines.constant import Mean, Median, Zero
from s2s.evaluation.baselines.interpolation import Bicubic, Bilinear, Nearest
from s2s.evaluation.baselines.kernel import GaussianKernel
from s2s.evaluation.baselines.lowrank import LowRankGaussian
from s2s.evaluation.baselines.smoothing import smooth
from s2s.kriging.factors import leading_factors


@pytest.mark.parametrize(
    ("baseline", "value"),
    [pytest.param(Zero(), 0, id="zero"), pytest.param(Median(), 1, id="median"), pytest.param(Mean(), 3, id="mean")],
)
def test_constants_come_from_observed_bins(split, baseline, value):
    measured, _ = split([[[0, 9, 1, 9, 8]]])
    assert baseline.impute(measured).tolist() == [[[value] * 5]]


def test_nearest_copies_the_closest_observed_bin(split):
    measured, _ = split([[[5, 0, 0, 0, 7]]], observed=[[1, 0, 0, 0, 1]])
    imputed = Nearest().impute(measured)[0, 0]
    assert imputed[[0, 1, 3, 4]].tolist() == [5, 5, 7, 7]
    assert imputed[2] in (5, 7)


@pytest.mark.parametrize(
    "phase", [pytest.param((0, 0), id="00"), pytest.param((0, 1), id="01"), pytest.param((1, 0), id="10"), pytest.param((1, 1), id="11")]
)
def test_bilinear_is_registered(split, phase):
    y, x = np.mgrid[:9, :11]
    plane = 3.0 + y + 2 * x
    measured, _ = split([plane], phase=phase)
    # Between the first and the last sample a plane comes back exactly; half a bin off it would not.
    inner = (slice(phase[0], 8), slice(phase[1], 10))
    assert Bilinear().impute(measured)[0][inner] == pytest.approx(plane[inner], rel=1e-6)


def test_edges_are_repeated(split):
    measured, _ = split([[[0, 2, 0, 4]]], phase=(0, 1))
    assert Bilinear().impute(measured).tolist() == [[[2, 2, 3, 4]]]


def test_bilinear_ignores_neighbours_without_tissue(split):
    measured, _ = split([[[6, 0, 0, 0, 0, 0, 0]]], tissue=[[1, 1, 0, 0, 0, 0, 0]])
    # Position 1 lies between a sample and a bin without tissue: only the sample counts. From position 2 on no sample is near.
    assert Bilinear().impute(measured).tolist() == [[[6, 6, 0, 0, 0, 0, 0]]]


def test_bicubic_passes_through_the_samples(split):
    values = np.random.default_rng(1).random((2, 12, 10))
    measured, _ = split(values)
    imputed = Bicubic().impute(measured)
    assert imputed[:, measured.observed] == pytest.approx(measured.expression[:, measured.observed], abs=1e-5)


def test_splines_refuse_observed_bins_off_the_lattice(split):
    measured, _ = split(np.ones((1, 4, 4)), observed=np.eye(4))
    with pytest.raises(ShapeError, match=r"stride 2 and phase \(0, 0\), got 2 off it"):
        Bilinear().impute(measured)


def test_gaussian_by_hand(split):
    measured, _ = split([[[0, 9, 4]]])
    near = math.exp(-2)
    expected = [4 * near / (1 + near), 2, 4 / (1 + near)]
    assert GaussianKernel(bandwidths=(1.0,)).impute(measured)[0, 0] == pytest.approx(expected, rel=1e-6)


def test_gaussian_out_of_reach_is_the_mean(split):
    measured, _ = split(np.arange(30)[None, None], observed=[[1, 1] + 28 * [0]])
    assert GaussianKernel(bandwidths=(1.0,)).impute(measured)[0, 0, -1] == 0.5


def test_smoothing_equals_scipy():
    rng = np.random.default_rng(2)
    values, mask = rng.random((3, 20, 31)).astype(np.float32), rng.random((20, 31)) < 0.4
    weight = ndimage.gaussian_filter(mask.astype(float), 1.7, mode="constant", truncate=4)
    total = ndimage.gaussian_filter(np.where(mask, values, 0).astype(float), (0, 1.7, 1.7), mode="constant", truncate=4)
    assert smooth(values, mask, 1.7) == pytest.approx(total / weight, abs=1e-5)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda rng, y, x: rng.normal(size=y.shape), 8.0, id="noise-wants-wide"),
        pytest.param(lambda rng, y, x: 5.0 * ((y // 6 + x // 6) % 2), 1.0, id="sharp-blocks-want-narrow"),
    ],
)
def test_bandwidth_is_chosen_by_the_observed_bins(split, make, expected):
    y, x = np.mgrid[:48, :48]
    measured, _ = split([make(np.random.default_rng(3), y, x)])
    assert GaussianKernel(bandwidths=(1.0, 3.0, 8.0)).choose_bandwidth(measured) == expected


@pytest.mark.parametrize("shape", [pytest.param((30, 8), id="more-bins"), pytest.param((8, 30), id="more-genes")])
def test_leading_factors_are_the_truncated_svd(shape):
    matrix = np.random.default_rng(4).normal(size=shape)
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    scores, loadings = leading_factors(matrix, 3)
    assert scores @ loadings == pytest.approx((u[:, :3] * s[:3]) @ v[:3])


def test_low_rank_removes_what_one_gene_has_alone(split):
    shared = np.array([0.0, 1, 2, 3, 4, 5])
    genes = np.stack([shared, 2 * shared, 3 * shared, np.zeros(6)])
    alone = genes.copy()
    alone[3, 2] = 0.1
    measured, _ = split(alone[:, None], stride=1)
    # A bandwidth this narrow leaves every bin to itself: what remains is the rank-1 part, clipped at 0.
    imputed = LowRankGaussian(rank=1, bandwidth=0.1).impute(measured)[:, 0]
    assert imputed[:3] == pytest.approx(genes[:3], abs=1e-2)
    assert imputed[3].max() < 0.05


def test_low_rank_is_clipped_at_zero(split):
    bins = np.random.default_rng(7).poisson(0.3, size=(30, 8)).astype(float)
    centred = bins - bins.mean(axis=0)
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    unclipped = (u[:, :2] * s[:2]) @ v[:2] + bins.mean(axis=0)
    assert unclipped.min() < -0.1
    measured, _ = split(bins.T[:, None], stride=1)
    assert LowRankGaussian(rank=2, bandwidth=0.1).impute(measured)[:, 0] == pytest.approx(np.maximum(unclipped, 0).T, abs=1e-5)
