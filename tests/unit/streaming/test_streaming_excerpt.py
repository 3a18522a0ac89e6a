"""A large section by its tiles: where they lie, what they hold, and that the rest is left out."""

import numpy as np
import pytest

from s2s.contracts.run import GeneConfig, SamplingConfig
from s2s.lattice.sampling import sampled_positions
from s2s.streaming import excerpt
from s2s.streaming.excerpt import GAP, TILE, choose_genes, choose_tiles, is_large
from s2s.streaming.sections import measure, measure_with_truth

EVERY_GENE = GeneConfig(min_detected=0)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(excerpt, "LARGE_BINS", 800)
    monkeypatch.setattr(excerpt, "TILE", 12)


def numbered(shape):
    """One gene whose counts say where each bin lies."""
    return np.arange(1, shape[0] * shape[1] + 1, dtype=np.uint16).reshape(1, *shape)


def test_a_section_as_large_as_allowed_is_taken_whole():
    assert not is_large((256, 256))
    assert is_large((256, 257))


def test_tiles_lie_in_each_quarter_where_most_is_measured():
    observed = np.zeros((400, 300), np.bool_)
    for top, left in ((8, 16), (60, 200), (220, 12), (300, 240)):
        observed[top : top + TILE, left : left + TILE] = True
    observed[::40, ::40] = True
    tiles = choose_tiles(observed, 4)
    assert {(tile.y, tile.x) for tile in tiles} == {(8, 16), (60, 200), (220, 12), (300, 240)}
    assert {(tile.height, tile.width) for tile in tiles} == {(TILE, TILE)}


def test_where_all_is_measured_a_tile_lies_in_the_middle_of_its_quarter():
    tiles = choose_tiles(sampled_positions((400, 400), 2, (1, 0)), 4)
    for tile, (y, x) in zip(tiles, [(100, 100), (100, 300), (300, 100), (300, 300)], strict=True):
        assert abs(tile.y + TILE // 2 - y) <= 4
        assert abs(tile.x + TILE // 2 - x) <= 4


@pytest.mark.parametrize(
    ("shape", "places", "num"), [((20, 4000), None, 4), ((300, 300), [(5, 7)], 1), ((300, 300), [(5, 7), (250, 3)], 2)]
)
def test_narrow_and_nearly_empty_sections_have_tiles_too(shape, places, num):
    observed = np.zeros(shape, np.bool_)
    observed[tuple(np.transpose(places)) if places else ...] = True
    tiles = choose_tiles(observed, 4)
    assert len(tiles) == num
    for tile in tiles:
        assert observed[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width].any()
        assert tile.y + tile.height <= shape[0]
        assert tile.x + tile.width <= shape[1]


@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
@pytest.mark.parametrize("phase", [(0, 0), (1, 1)])
@pytest.mark.usefixtures("small_tiles")
def test_a_tile_on_the_sheet_is_what_the_section_holds_there(make_section, lattice, phase):
    section = make_section(numbered((36, 40)), shape=lattice)
    sheet, truth = measure_with_truth(section, SamplingConfig(phase=phase), EVERY_GENE)
    whole = measure(section, SamplingConfig(phase=phase), EVERY_GENE)
    tiles = choose_tiles(whole.observed, 4)
    assert len(sheet.pieces) == len(tiles) == 4
    for tile, place in zip(tiles, sheet.pieces, strict=True):
        at = np.s_[tile.y : tile.y + 12, tile.x : tile.x + 12]
        np.testing.assert_array_equal(sheet.expression[:, *place], whole.expression[:, *at])
        np.testing.assert_array_equal(sheet.observed[place], whole.observed[at])
        np.testing.assert_array_equal(truth.positions[place], ~whole.observed[at])
    # Phases hold on the sheet too, and nothing lies between the tiles.
    on_lattice = sampled_positions(sheet.tissue.shape, 2, phase, lattice)
    np.testing.assert_array_equal(sheet.observed, sheet.tissue & on_lattice)
    assert sheet.tissue.sum() == 4 * 12 * 12
    assert np.isnan(truth.expression[:, ~truth.positions]).all()
    assert sheet.pieces[1][1].start - sheet.pieces[0][1].stop >= GAP


@pytest.mark.usefixtures("small_tiles")
def test_a_sparse_section_has_a_sheet_without_truth(make_section):
    observed = sampled_positions((36, 40), 2, (0, 0))
    section = make_section(numbered((36, 40)), stride=2, observed=observed)
    sheet, truth = measure_with_truth(section, SamplingConfig(), EVERY_GENE)
    assert truth is None
    assert sheet.observed.sum() == 4 * 36


def test_genes_are_thinned_out_evenly_where_there_are_many():
    assert choose_genes((3, 5, 8)) == (3, 5, 8)
    some = choose_genes(range(18_000))
    assert len(some) <= excerpt.MOST_VALUES // 104**2
    assert (some[0], some[-1]) == (0, 17_999)
    assert set(np.diff(some)) <= {2, 3}
