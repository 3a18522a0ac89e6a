import numpy as np
import pytest

from s2s.lattice.geometry import LatticeShape
from s2s.lattice.sampling import anchored, choose_positions, lattice_folds, random_folds, sampled_positions


@pytest.mark.parametrize(
    ("stride", "phase", "expected"),
    [
        pytest.param(2, (0, 0), ["x.x.x", ".....", "x.x.x"], id="even-even"),
        pytest.param(2, (1, 0), [".....", "x.x.x", "....."], id="odd-rows"),
        pytest.param(2, (0, 1), [".x.x.", ".....", ".x.x."], id="odd-columns"),
        pytest.param(1, (0, 0), ["xxxxx", "xxxxx", "xxxxx"], id="every-bin"),
        pytest.param(3, (2, 1), [".....", ".....", ".x..x"], id="stride-3"),
    ],
)
def test_one_phase_of_the_lattice_is_marked(stride: int, phase: tuple[int, int], expected: list[str]) -> None:
    marked = sampled_positions((3, 5), stride, phase)
    assert ["".join("x" if cell else "." for cell in row) for row in marked] == expected


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        # Drawn as they lie: odd rows half a bin to the right.
        pytest.param((0, 0), ["x . x .", " . . . .", ". x . x", " . . . .", "x . x ."], id="even-even"),
        pytest.param((1, 0), [". . . .", " x . x .", ". . . .", " . x . x", ". . . ."], id="odd-rows"),
        pytest.param((0, 1), [". x . x", " . . . .", "x . x .", " . . . .", ". x . x"], id="odd-columns"),
        pytest.param((1, 1), [". . . .", " . x . x", ". . . .", " x . x .", ". . . ."], id="odd-odd"),
    ],
)
def test_one_phase_of_a_hexagonal_lattice_is_one_of_twice_the_pitch(phase: tuple[int, int], expected: list[str]) -> None:
    marked = sampled_positions((5, 4), 2, phase, "hexagonal")
    assert [" " * (y % 2) + " ".join("x" if cell else "." for cell in row) for y, row in enumerate(marked)] == expected


@pytest.mark.parametrize("lattice", [pytest.param("square", id="square"), pytest.param("hexagonal", id="hexagonal")])
def test_the_four_phases_of_stride_2_cover_every_bin_once(lattice: LatticeShape) -> None:
    total = sum(sampled_positions((5, 7), 2, (y, x), lattice).astype(int) for y in (0, 1) for x in (0, 1))
    np.testing.assert_array_equal(total, np.ones((5, 7), int))


@pytest.mark.parametrize(
    ("size", "fraction", "expected"),
    [
        pytest.param(20, 0.1, 2, id="a-tenth"),
        pytest.param(20, 0.0, 0, id="none"),
        pytest.param(20, 0.01, 1, id="at-least-one"),
        pytest.param(20, 0.99, 19, id="never-all"),
        pytest.param(1, 0.5, 0, id="the-only-one-stays"),
        pytest.param(0, 0.5, 0, id="empty-mask"),
    ],
)
def test_a_share_of_the_mask_is_chosen(size: int, fraction: float, expected: int) -> None:
    mask = np.zeros((5, 8), bool)
    mask.flat[:size] = True
    chosen = choose_positions(mask, fraction, np.random.default_rng(0))
    assert chosen.sum() == expected
    assert not np.any(chosen & ~mask)


def test_the_choice_follows_its_generator() -> None:
    mask = np.ones((10, 10), bool)
    first, again, other = (choose_positions(mask, 0.5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("phase", [pytest.param((y, x), id=f"phase-{y}-{x}") for y in (0, 1) for x in (0, 1)])
def test_anchoring_moves_the_lattice_to_the_corner(phase: tuple[int, int]) -> None:
    observed = sampled_positions((4, 6), 2, phase)
    moved = anchored(observed, phase, 2, blank=False)
    assert moved.shape == (4 + phase[0], 6 + phase[1])
    expected = sampled_positions(moved.shape, 2, (0, 0))
    # The padding itself was never measured.
    expected[: phase[0]] = False
    expected[:, : phase[1]] = False
    np.testing.assert_array_equal(moved, expected)


def test_anchoring_pads_top_and_left_of_the_last_two_axes() -> None:
    array = np.array([[[1.0, 2.0]], [[3.0, 4.0]]])
    np.testing.assert_array_equal(anchored(array, (1, 1), 2, blank=-1.0), [[[-1, -1, -1], [-1, 1, 2]], [[-1, -1, -1], [-1, 3, 4]]])


def test_random_folds_split_the_mask():
    mask = np.random.default_rng(0).random((9, 11)) < 0.4
    folds = random_folds(mask, 4, np.random.default_rng(1))
    assert len(folds) == 4
    np.testing.assert_array_equal(np.sum(folds, axis=0), mask)
    assert max(fold.sum() for fold in folds) - min(fold.sum() for fold in folds) <= 1


@pytest.mark.parametrize(("num_positions", "num_folds"), [(0, 0), (1, 0), (2, 2), (3, 3)])
def test_random_folds_leave_something_beside_each(num_positions, num_folds):
    mask = np.zeros((3, 3), bool)
    mask.flat[:num_positions] = True
    folds = random_folds(mask, 5, np.random.default_rng(0))
    assert len(folds) == num_folds
    assert all((mask & ~fold).any() for fold in folds)


@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
def test_lattice_folds_keep_a_lattice_twice_as_sparse(lattice):
    mask = sampled_positions((16, 20), 2, (1, 0), lattice)
    folds = lattice_folds(mask, 2, (1, 0), lattice)
    assert len(folds) == 4
    np.testing.assert_array_equal(np.sum([mask & ~fold for fold in folds], axis=0), mask)
    assert all(abs((mask & ~fold).sum() / mask.sum() - 0.25) < 0.1 for fold in folds)
