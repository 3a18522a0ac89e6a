"""The classical rows on hexagonal sections: distances and directions are true ones, by hand."""

import math

import numpy as np
import pytest

from s2s.errors import ShapeError
from s2s.evaluation.baselines.interpolation import Bicubic, Bilinear, Nearest
from s2s.evaluation.baselines.kernel import GaussianKernel
from s2s.evaluation.baselines.lowrank import LowRankGaussian
from s2s.evaluation.baselines.smoothing import smooth
from s2s.lattice.geometry import positions

PHASES = [pytest.param((y, x), id=f"phase-{y}{x}") for y in (0, 1) for x in (0, 1)]
SHAPE = (31, 33)


def cubic_surface():
    y, x = np.moveaxis(positions(SHAPE, "hexagonal"), -1, 0) / 20 - 0.7
    return 2 + y - 3 * x + 2 * x * y**2 + x**3 - y**3


def far_from_edges(margin):
    inner = np.zeros(SHAPE, bool)
    inner[margin:-margin, margin:-margin] = True
    return inner


def test_nearest_goes_by_true_distance(split):
    # From (1, 1), at 1.5 from the left: (0, 3) lies sqrt(3) pitches away, (1, 3) two; by row and column it were the other way round.
    observed = np.zeros((2, 4), bool)
    observed[0, 3] = observed[1, 3] = True
    values = np.zeros((1, 2, 4))
    values[0, 0, 3], values[0, 1, 3] = 5, 7
    measured, _ = split(values, observed=observed, lattice="hexagonal")
    assert Nearest().impute(measured)[0, 1, 1] == 5


def test_half_way_between_two_samples(split):
    # Samples 1 and 3 above, 5 below, as they lie:  1 . 3 .
    #                                                . . . .
    #                                               . 5 . .
    values = np.array([[[1, 0, 3, 0], [0, 0, 0, 0], [0, 5, 0, 0]]])
    tissue = np.ones((3, 4), bool)
    tissue[2, 3] = False
    measured, _ = split(values, tissue=tissue, lattice="hexagonal")
    linear = Bilinear().impute(measured)[0]
    assert (linear[0, 1], linear[1, 0], linear[1, 1]) == (2, 3, 4)
    # Only one of the two samples of (2, 0) and of (2, 2) is there.
    assert linear[2, 0] == linear[2, 2] == 5
    first = Nearest().impute(measured)[0]
    assert (first[0, 1], first[1, 0], first[1, 1], first[2, 0]) == (1, 1, 3, 5), "ties go to the first in reading order"


@pytest.mark.parametrize("phase", PHASES)
def test_linear_gives_planes_back(split, phase):
    y, x = np.moveaxis(positions(SHAPE, "hexagonal"), -1, 0)
    plane = 3 + 2 * y - x
    measured, _ = split([plane], phase=phase, lattice="hexagonal")
    inner = far_from_edges(2)
    assert Bilinear().impute(measured)[0, inner] == pytest.approx(plane[inner], abs=1e-4)


@pytest.mark.parametrize("phase", PHASES)
def test_cubic_gives_cubic_surfaces_back_and_passes_through_the_samples(split, phase):
    surface = cubic_surface()
    measured, _ = split([surface], phase=phase, lattice="hexagonal")
    cubic, inner = Bicubic().impute(measured)[0], far_from_edges(10)
    assert inner.sum() > 100
    assert cubic[inner] == pytest.approx(surface[inner], abs=2e-3)
    assert np.abs(Bilinear().impute(measured)[0] - surface)[inner].max() > 4e-3, "which linear does not"
    assert cubic[measured.observed] == pytest.approx(surface[measured.observed], abs=1e-5)


@pytest.mark.parametrize("baseline", [pytest.param(Bilinear(), id="linear"), pytest.param(Bicubic(), id="cubic")])
def test_all_six_directions_are_alike(split, baseline):
    peak = np.zeros((1, *SHAPE))
    peak[0, 16, 16] = 1
    measured, _ = split(peak, lattice="hexagonal")
    assert measured.observed[16, 16]
    imputed = baseline.impute(measured)[0]
    places = positions(SHAPE, "hexagonal")
    distance = np.linalg.norm(places - places[16, 16], axis=2)
    for ring in (1, math.sqrt(3), math.sqrt(7)):
        around = imputed[np.isclose(distance, ring)]
        assert len(around) in (6, 12)
        assert around == pytest.approx(np.full(len(around), around[0]), abs=1e-4), "but for what is left of the edges"


def test_samples_off_the_hexagonal_lattice_are_refused(split):
    # (2, 0) is on the square lattice of stride 2, but not on the hexagonal one.
    observed = np.zeros((4, 4), bool)
    observed[0, 0] = observed[2, 0] = True
    measured, _ = split(np.ones((1, 4, 4)), observed=observed, lattice="hexagonal")
    with pytest.raises(ShapeError, match=r"stride 2 and phase \(0, 0\), got 1 off it"):
        Bilinear().impute(measured)


def test_smoothing_by_hand():
    values = np.array([[[0], [9], [4]]], np.float32)
    mask = np.array([[True], [False], [True]])
    # Rows 0 and 2 lie sqrt(3) pitches apart, row 1 one pitch from both.
    far = math.exp(-1.5)
    expected = [4 * far / (1 + far), 2, 4 / (1 + far)]
    assert smooth(values, mask, 1.0, "hexagonal")[0, :, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("bandwidth", [pytest.param(0.5, id="just-within-reach"), pytest.param(0.49, id="just-out-of-reach")])
def test_smoothing_ends_at_the_same_distance_in_every_direction(bandwidth):
    mask, values = np.zeros((5, 5), bool), np.ones((1, 5, 5), np.float32)
    mask[2, 2] = True
    around = [(2, 0), (2, 4), (0, 1), (0, 3), (4, 1), (4, 3)]
    smoothed = smooth(values, mask, bandwidth, "hexagonal")[0]
    assert [smoothed[place] for place in around] == [1.0 if bandwidth == 0.5 else 0.0] * 6


def test_smoothing_in_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(2)
    values, mask = rng.random((3, 9, 8)).astype(np.float32), rng.random((9, 8)) < 0.4
    whole = smooth(values, mask, 1.7, "hexagonal")
    monkeypatch.setattr("s2s.evaluation.baselines.smoothing.BLOCK_PAIRS", 1)
    np.testing.assert_array_equal(smooth(values, mask, 1.7, "hexagonal"), whole)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda rng, y, x: rng.normal(size=y.shape), 8.0, id="noise-wants-wide"),
        pytest.param(lambda rng, y, x: 5.0 * ((y // 6 + x // 6) % 2), 1.0, id="sharp-blocks-want-narrow"),
    ],
)
def test_bandwidth_is_chosen_by_the_observed_bins(split, make, expected):
    y, x = np.mgrid[:36, :36]
    measured, _ = split([make(np.random.default_rng(3), y, x)], lattice="hexagonal")
    assert GaussianKernel(bandwidths=(1.0, 3.0, 8.0)).choose_bandwidth(measured) == expected


def test_low_rank_smooths_over_true_distances(split):
    # One gene has one factor, itself: (1, 0) lies as far from (0, 0) as from (2, 0), which columns alone would not tell.
    observed = np.array([[1, 0], [0, 0], [1, 0]], bool)
    measured, _ = split([[[2, 0], [0, 0], [6, 0]]], observed=observed, lattice="hexagonal")
    imputed = LowRankGaussian().impute(measured)[0]
    assert imputed[1, 0] == pytest.approx(4, abs=1e-5)
    # At (0, 1): distances 1 and 2, deviations from the mean -2 and 2.
    near, far = math.exp(-0.5 / 2.25), math.exp(-2 / 2.25)
    assert imputed[0, 1] == pytest.approx(4 + 2 * (far - near) / (far + near), abs=1e-5)
