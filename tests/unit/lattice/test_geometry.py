"""Where positions lie and how a hexagonal grid is sheared, on grids small enough to draw."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.lattice.geometry import NEIGHBOURS, from_axial, positions, to_axial
from s2s.lattice.measured import Measured, on_axial_grid
from s2s.lattice.sampling import sampled_positions

LOW = sqrt(3) / 2
SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))
STRIDES = st.integers(1, 4)


def test_square_positions_are_their_indices():
    np.testing.assert_array_equal(positions((2, 2), "square"), [[[0, 0], [0, 1]], [[1, 0], [1, 1]]])


def test_odd_rows_of_hexagons_are_shifted_to_the_right():
    expected = [[[0, 0], [0, 1]], [[LOW, 0.5], [LOW, 1.5]], [[2 * LOW, 0], [2 * LOW, 1]]]
    np.testing.assert_allclose(positions((3, 2), "hexagonal"), expected)


@pytest.mark.parametrize("toward", [pytest.param(toward, id=f"{toward}") for toward in NEIGHBOURS["hexagonal"]])
def test_axial_neighbours_are_one_pitch_away_wherever_they_are(toward):
    where = to_axial(np.moveaxis(positions((6, 6), "hexagonal"), -1, 0), np.nan)
    step = np.roll(where, [-toward[0], -toward[1]], axis=(1, 2))[:, :-1, 1:-1] - where[:, :-1, 1:-1]
    distances = np.hypot(*step)
    assert np.isfinite(distances).sum() > 15
    np.testing.assert_allclose(distances[np.isfinite(distances)], 1)


def test_a_sheared_grid_written_out():
    # Rows 2 and 3 begin at q = -1; the margin is 2, so that q = 0 stands in an even column.
    grid = np.arange(1, 13).reshape(4, 3)
    expected = [[0, 0, 1, 2, 3], [0, 0, 4, 5, 6], [0, 7, 8, 9, 0], [0, 10, 11, 12, 0]]
    np.testing.assert_array_equal(to_axial(grid, 0), expected)


@given(shape=SIDES, stride=STRIDES)
def test_shearing_is_undone_to_the_bit(shape, stride):
    grid = np.arange(2.0 * shape[0] * shape[1], dtype=np.float32).reshape(2, *shape)
    sheared = to_axial(grid, np.nan, stride)
    assert sheared.dtype == np.float32
    assert np.isfinite(sheared).sum() == grid.size
    np.testing.assert_array_equal(from_axial(sheared, shape, stride), grid)


@given(shape=SIDES, stride=STRIDES, data=st.data())
def test_a_sampled_hexagonal_lattice_is_an_ordinary_one_in_axial_coordinates(shape, stride, data):
    phase = data.draw(st.tuples(st.integers(0, stride - 1), st.integers(0, stride - 1)))
    sheared = to_axial(sampled_positions(shape, stride, phase, "hexagonal"), False, stride)
    inside = to_axial(np.ones(shape, bool), False, stride)
    np.testing.assert_array_equal(sheared, inside & sampled_positions(sheared.shape, stride, phase))


def test_a_section_on_its_axial_grid():
    grid = np.arange(1, 13, dtype=np.float32).reshape(1, 4, 3)
    observed = sampled_positions((4, 3), 2, (1, 0), "hexagonal")
    tissue = np.ones((4, 3), bool)
    tissue[0] = False
    measured = Measured(
        expression=np.where(observed, grid, np.float32(np.nan)), observed=observed, tissue=tissue, genes=("ESR1",), stride=2, phase=(1, 0),
        pitch_um=100, lattice="hexagonal",
    )  # fmt: skip
    axial = on_axial_grid(measured)
    nan = np.nan
    expected = [[nan] * 5, [nan, nan, 4, nan, 6], [nan] * 5, [nan, nan, 11, nan, nan]]
    np.testing.assert_array_equal(axial.expression[0], expected)
    np.testing.assert_array_equal(axial.observed, np.isfinite(expected))
    np.testing.assert_array_equal(axial.tissue.astype(int), [[0] * 5, [0, 0, 1, 1, 1], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0]])
    assert (axial.lattice, axial.phase) == ("square", (1, 0))
    assert on_axial_grid(axial) is axial
