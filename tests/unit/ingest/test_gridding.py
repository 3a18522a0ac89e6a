import numpy as np
import pytest

from s2s.ingest.binned import Placement
from s2s.ingest.gridding import bins_of, place_grid, sensible_pitch


def test_a_bin_holds_its_lower_edge_and_not_its_upper_one():
    placement = Placement(shape=(2, 3), pitch_um=10.0, origin_um=(5.0, 100.0))
    points = np.array([[5.0, 100.0], [14.999, 100.0], [15.0, 100.0], [5.0, 110.0], [34.9, 119.9]])
    np.testing.assert_array_equal(bins_of(points, placement), [0, 0, 1, 3, 5])


@pytest.mark.parametrize(
    ("extent", "shape"),
    [
        pytest.param((29.0, 19.0), (2, 3), id="inside the last bin"),
        pytest.param((30.0, 20.0), (3, 4), id="on an edge: one bin more"),
        pytest.param((0.0, 20.0), (3, 1), id="a line"),
    ],
)
def test_the_grid_is_the_smallest_over_all_points(extent, shape):
    low = np.array([5.0, 100.0])
    assert place_grid(low, low + extent, 10.0, where="test") == Placement(shape=shape, pitch_um=10.0, origin_um=(5.0, 100.0))


def test_every_point_lies_on_the_grid_whatever_the_rounding():
    rng = np.random.default_rng(0)
    for _ in range(200):
        points = rng.uniform(-1e4, 1e4, size=(50, 2))
        placement = place_grid(points.min(axis=0), points.max(axis=0), float(rng.uniform(1, 700)), where="test")
        bins = bins_of(points, placement)
        assert bins.min() >= 0
        assert bins.max() < placement.num_bins


@pytest.mark.parametrize(
    ("extent_um", "pitch_um"),
    [
        pytest.param(2963.0, 20.0, id="a Xenium region"),
        pytest.param(100.0, 1.0, id="exactly a power of ten"),
        pytest.param(0.3, 0.002, id="millimetres taken for micrometres"),
        pytest.param(96.0, 1.0, id="rounded up"),
    ],
)
def test_a_sensible_pitch_is_a_round_hundredth(extent_um, pitch_um):
    assert sensible_pitch(extent_um) == pytest.approx(pitch_um)
