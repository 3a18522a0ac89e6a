"""Which windows there are, which are drawn, and how they are turned: written out on grids of a few positions."""

import numpy as np
import pytest

from s2s.errors import InputError
from s2s.lattice.geometry import NUM_SYMMETRIES, turn
from s2s.streaming.windows import draw_windows, window_places

TISSUE = np.array(
    [
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [0, 1, 1, 1],
    ],
    np.bool_,
)


@pytest.mark.parametrize(
    ("side", "min_tissue", "expected"),
    [
        pytest.param(2, 1.0, [(0, 0), (1, 1)], id="full-windows-only"),
        pytest.param(2, 0.75, [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)], id="three-of-four"),
        pytest.param(2, 0.0, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)], id="all"),
        pytest.param(3, 0.7, [(0, 0)], id="as-high-as-the-section"),
        pytest.param(1, 0.5, [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3)], id="single-positions"),
    ],
)
def test_places_are_the_corners_with_enough_tissue(side, min_tissue, expected):
    assert [tuple(place) for place in window_places(TISSUE, side, min_tissue)] == expected


@pytest.mark.parametrize(
    ("shape", "window", "hint"),
    [
        pytest.param((5, 9), 16, 8, id="low"),
        pytest.param((20, 11), 32, 16, id="narrow"),
        pytest.param((4, 4), 64, 8, id="the-smallest-window"),
    ],
)
def test_a_section_below_a_window_says_a_window_that_fits(shape, window, hint):
    tissue = np.ones(shape, np.bool_)
    words = rf"training\.window {window}, got {shape[0]} x {shape[1]}; set training\.window to {hint} or less"
    with pytest.raises(InputError, match=words):
        window_places(tissue, window // 2, 0.5)
    assert len(window_places(tissue, hint // 2, 0.5))


def test_a_section_below_the_smallest_window_asks_for_a_smaller_pitch():
    with pytest.raises(InputError, match=r"got 3 x 40; choose a smaller pitch"):
        window_places(np.ones((3, 40), np.bool_), 4, 0.5)


def test_too_little_tissue_says_a_share_that_would_do():
    with pytest.raises(InputError, match=r"tissue fraction of 0\.9, the best has 0\.77; lower training\.min_tissue"):
        window_places(TISSUE, 3, 0.9)  # 7 of 9 positions
    assert len(window_places(TISSUE, 3, 0.77)) == 1


def test_draws_depend_on_the_generator_alone_and_stay_in_range():
    places = np.array([(0, 3), (2, 1), (5, 5)])
    first, second = (draw_windows(np.random.default_rng(7), 4, places, 600) for _ in range(2))
    other = draw_windows(np.random.default_rng(8), 4, places, 600)
    for name in ("gene", "y", "x", "symmetry"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert (getattr(first, name) != getattr(other, name)).any()
    assert set(first.gene) == set(range(4))
    assert set(first.symmetry) == set(range(NUM_SYMMETRIES))
    assert set(zip(first.y, first.x, strict=True)) == {(0, 3), (2, 1), (5, 5)}


TURNED = [
    pytest.param(0, [[1, 2], [3, 4]], id="as-it-is"),
    pytest.param(1, [[2, 4], [1, 3]], id="quarter-turn"),
    pytest.param(2, [[4, 3], [2, 1]], id="half-turn"),
    pytest.param(3, [[3, 1], [4, 2]], id="three-quarter-turn"),
    pytest.param(4, [[2, 1], [4, 3]], id="mirrored"),
    pytest.param(5, [[1, 3], [2, 4]], id="mirrored-quarter-turn"),
    pytest.param(6, [[3, 4], [1, 2]], id="mirrored-half-turn"),
    pytest.param(7, [[4, 2], [3, 1]], id="mirrored-three-quarter-turn"),
]


@pytest.mark.parametrize(("symmetry", "expected"), TURNED)
def test_symmetries_written_out(symmetry, expected):
    np.testing.assert_array_equal(turn(np.array([[1, 2], [3, 4]]), symmetry), expected)


def test_symmetries_are_distinct_and_closed():
    def key(array: np.ndarray) -> tuple[int, ...]:
        return tuple(array.ravel().tolist())

    start = np.array([[1, 2], [3, 4]])
    orbit = {key(turn(start, symmetry)) for symmetry in range(NUM_SYMMETRIES)}
    assert len(orbit) == NUM_SYMMETRIES
    for first in range(NUM_SYMMETRIES):
        assert {key(turn(turn(start, first), second)) for second in range(NUM_SYMMETRIES)} == orbit


def test_a_stack_is_turned_plane_by_plane():
    stack = np.arange(12).reshape(3, 2, 2)
    for symmetry in range(NUM_SYMMETRIES):
        np.testing.assert_array_equal(turn(stack, symmetry), [turn(plane, symmetry) for plane in stack])
