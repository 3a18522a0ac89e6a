"""Windows cut out and turned: samples stay samples, and the tissue stays where it lies beside them.

A bin's value is its own number, so that a crop tells where it was cut from.
"""

import numpy as np
import pytest

from s2s.errors import InputError
from s2s.lattice.geometry import NUM_SYMMETRIES, positions
from s2s.lattice.measured import HeldOut, without
from s2s.lattice.sampling import sampled_positions
from s2s.streaming.sections import DenseWindows, SampledWindows
from s2s.streaming.windows import Windows

PHASES = [pytest.param((y, x), id=f"phase-{y}{x}") for y in (0, 1) for x in (0, 1)]
SHAPES = [pytest.param((8, 8), id="even"), pytest.param((7, 9), id="odd"), pytest.param((5, 8), id="odd-and-even")]
SIDE = 2


def numbered(shape: tuple[int, int]) -> np.ndarray:
    return 1 + np.arange(shape[0] * shape[1], dtype=np.float32).reshape(1, *shape)


def holes(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(3).random(shape) < 0.6


def every_window(places: np.ndarray) -> Windows:
    """Every place in every symmetry, so border windows too."""
    place, symmetry = np.repeat(places, NUM_SYMMETRIES, axis=0), np.tile(np.arange(NUM_SYMMETRIES), len(places))
    return Windows(gene=np.zeros(len(place), np.int64), y=place[:, 0], x=place[:, 1], symmetry=symmetry)


def dense_coordinates(sites: np.ndarray, width: int) -> np.ndarray:
    """`(y, x)` of every position of a dense window, from the numbers at its samples: two steps of the window between samples."""
    at = np.stack(np.divmod(sites.astype(np.int64) - 1, width), axis=-1)
    down, right = (at[1, 0] - at[0, 0]) // 2, (at[0, 1] - at[0, 0]) // 2
    rows, columns = np.indices((2 * SIDE, 2 * SIDE))[..., None]
    return at[0, 0] + rows * down + columns * right


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_tissue_lies_where_the_samples_say_in_every_symmetry(make_measured, shape, phase):
    tissue = holes(shape)
    located = SampledWindows(make_measured(numbered(shape), phase=phase), 1.0)
    source = SampledWindows(make_measured(numbered(shape), phase=phase, tissue=tissue), 1.0)
    windows = every_window(located.places(SIDE, 0))
    crops, sites = source.crop(windows, SIDE), located.crop(windows, SIDE).values
    assert len(sites) >= 8 * 2
    np.testing.assert_array_equal(crops.known, crops.tissue[:, ::2, ::2])
    framed = np.pad(tissue, 1)  # a window may reach one row or column beyond the section: no tissue there
    for window, values in zip(crops.tissue, sites, strict=True):
        y, x = np.moveaxis(dense_coordinates(values, shape[1]), -1, 0)
        np.testing.assert_array_equal(window, framed[y + 1, x + 1])


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sampled_windows_show_every_sample_and_nothing_else(make_measured, shape, phase):
    measured = make_measured(numbered(shape), phase=phase)
    source = SampledWindows(measured, 1.0)
    crops = source.crop(every_window(source.places(SIDE, 0)), SIDE)
    assert set(np.unique(crops.values)) == set(numbered(shape)[0][sampled_positions(shape, 2, phase)])
    assert crops.known.all()


def test_what_is_hidden_is_neither_known_nor_shown(make_measured):
    shape = (8, 8)
    measured = make_measured(numbered(shape))
    hidden = np.zeros(shape, np.bool_)
    hidden[2, 4] = hidden[6, 6] = True
    source = SampledWindows(without(measured, hidden), 1.0)
    crops = source.crop(every_window(source.places(SIDE, 0)), SIDE)
    assert not {1 + 2 * 8 + 4, 1 + 6 * 8 + 6} & set(np.unique(crops.values))
    np.testing.assert_array_equal(crops.known, crops.values > 0)
    assert crops.tissue[:, ::2, ::2].all(), "a hidden bin still lies on tissue"


def test_a_window_written_out(make_measured):
    # Samples 1 3 5 / 11 13 15 / 21 23 25 of a 5 x 5 grid, divided by the scale 2; the window at (1, 0) is mirrored.
    tissue = np.ones((5, 5), np.bool_)
    tissue[3, 1] = tissue[2, 0] = False
    source = SampledWindows(make_measured(numbered((5, 5)), tissue=tissue), 2.0)
    one = {name: np.array([number]) for name, number in (("gene", 0), ("y", 1), ("x", 0), ("symmetry", 4))}
    crops = source.crop(Windows(**one), 2)
    np.testing.assert_array_equal(crops.values, [[[6.5, 0], [11.5, 10.5]]])
    np.testing.assert_array_equal(crops.known, [[[True, False], [True, True]]])
    # Bins of rows 2 to 5 (5 lies beyond the section) and columns 2, 1, 0, -1.
    np.testing.assert_array_equal(crops.tissue[0].astype(int), [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]])


def test_each_window_is_of_its_own_gene(make_measured):
    values = np.stack([np.full((4, 4), gene + 1.0) for gene in range(3)])
    source = SampledWindows(make_measured(values), 1.0)
    nowhere = np.zeros(3, np.int64)
    crops = source.crop(Windows(gene=np.array([2, 0, 1]), y=nowhere, x=nowhere, symmetry=nowhere), 2)
    assert source.num_genes == 3
    np.testing.assert_array_equal(crops.values[:, 0, 0], [3, 1, 2])


@pytest.mark.parametrize("phase", PHASES)
def test_windows_of_hexagons_hold_neighbours(make_measured, phase):
    shape = (9, 8)
    source = SampledWindows(make_measured(numbered(shape), phase=phase, lattice="hexagonal"), 1.0)
    crops = source.crop(every_window(source.places(SIDE, 0)), SIDE)
    sampled = sampled_positions(shape, 2, phase, "hexagonal")
    assert set(np.unique(crops.values)) - {0} == set(numbered(shape)[0][sampled])
    whole = crops.values[crops.known.all(axis=(1, 2))].astype(int) - 1
    assert len(whole) >= 8
    places = positions(shape, "hexagonal").reshape(-1, 2)
    # Whatever the symmetry: sites side by side lie two pitches apart, and so do those of one diagonal.
    for one, other in (((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 1), (1, 0))):
        gaps = places[whole[:, *one]] - places[whole[:, *other]]
        np.testing.assert_allclose(np.hypot(*gaps.T), 2)


def test_dense_windows_of_hexagons_hold_neighbours(make_measured):
    shape = (9, 8)
    measured = make_measured(numbered(shape), lattice="hexagonal")
    held = ~measured.observed
    truth = HeldOut(expression=np.where(held, numbered(shape), np.float32(np.nan)), positions=held)
    source = DenseWindows(measured, truth, 1.0)
    crops = source.crop(every_window(source.places(SIDE, 0)), SIDE)
    whole = crops.values[crops.known.all(axis=(1, 2))].astype(int) - 1
    assert set(np.unique(whole)) - set(np.flatnonzero(measured.observed)), "the leak, as on a square lattice"
    places = positions(shape, "hexagonal").reshape(-1, 2)
    np.testing.assert_allclose(np.hypot(*(places[whole[:, 0, 1]] - places[whole[:, 1, 0]]).T), 2)


def split(make_measured, shape, tissue=None):
    measured = make_measured(numbered(shape), tissue=tissue)
    positions = measured.tissue & ~measured.observed
    return measured, HeldOut(expression=np.where(positions, numbered(shape), np.float32(np.nan)), positions=positions)


def test_dense_windows_leak_bins_that_count_as_unsampled(make_measured):
    shape = (6, 7)
    measured, truth = split(make_measured, shape)
    source = DenseWindows(measured, truth, 1.0)
    crops = source.crop(every_window(source.places(SIDE, 0)), SIDE)
    assert set(np.unique(crops.values)) == set(numbered(shape).ravel())


def test_dense_windows_never_show_what_is_hidden_nor_nan(make_measured):
    shape = (6, 6)
    tissue = holes(shape)
    measured, truth = split(make_measured, shape, tissue)
    hidden = measured.observed & (np.cumsum(measured.observed).reshape(shape) == 1)
    source = DenseWindows(without(measured, hidden), truth, 1.0)
    crops = source.crop(every_window(source.places(SIDE, 0)), SIDE)
    assert set(np.unique(crops.values)) == {0.0, *numbered(shape)[0][tissue & ~hidden]}
    np.testing.assert_array_equal(crops.known, crops.values > 0)
    assert not (crops.known & ~crops.tissue[:, ::2, ::2]).any()


def test_dense_windows_turn_first_then_sample(make_measured):
    measured, truth = split(make_measured, (4, 4))
    source = DenseWindows(measured, truth, 2.0)
    one = {name: np.array([number]) for name, number in (("gene", 0), ("y", 0), ("x", 0), ("symmetry", 4))}
    # Rows 4 3 2 1 / 8 7 6 5 / 12 11 10 9 / ..., every second of every second row, halved.
    np.testing.assert_array_equal(source.crop(Windows(**one), 2).values, [[[2, 1], [6, 5]]])


def test_places_count_samples_or_bins(make_measured):
    measured, truth = split(make_measured, (7, 9))
    assert SampledWindows(measured, 1.0).places(2, 1).max(axis=0).tolist() == [2, 3]  # 4 x 5 samples
    assert DenseWindows(measured, truth, 1.0).places(2, 1).max(axis=0).tolist() == [3, 5]  # 7 x 9 bins, windows of 4


def test_both_sources_name_the_window_that_was_asked_for(make_measured):
    measured, truth = split(make_measured, (16, 16))
    for source in (SampledWindows(measured, 1.0), DenseWindows(measured, truth, 1.0)):
        with pytest.raises(InputError, match=r"for training\.window 32, .* set training\.window to 16 or less"):
            source.places(16, 0.5)
        assert len(source.places(8, 0.5))
