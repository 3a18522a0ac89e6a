"""The pool of photographs: which tiles are drawn, and how windows are cut from them."""

import numpy as np
import pytest

from s2s.contracts.photographs import PhotographsMeta
from s2s.contracts.settings import Settings
from s2s.errors import InputError
from s2s.storage.photographs import Photographs, open_photographs, write_photographs
from s2s.streaming import photographs as pool_module
from s2s.streaming.photographs import PhotographPool, load_pool

SIDE = 32
NUMBER = 6


@pytest.fixture
def stored() -> Photographs:
    """Six photographs; every pixel of number n is n / 255."""
    meta = PhotographsMeta(id="set", num_photographs=NUMBER, side=SIDE, source="test", input_sha256="0" * 64, code_version="0")
    images = (np.full((SIDE, SIDE), number / 255, np.float32) for number in range(NUMBER))
    write_photographs("memory://pool/set", meta, images, Settings(), replace=True)
    return open_photographs("memory://pool/set", Settings())


def numbers(pool: PhotographPool) -> list[int]:
    return [round(255 * float(tile[0, 0])) for tile in pool.tiles]


def test_a_small_set_is_taken_whole(stored):
    assert sorted(numbers(load_pool(stored, SIDE, seed=0))) == list(range(NUMBER))


def test_of_a_large_set_the_seed_draws(stored, monkeypatch):
    monkeypatch.setattr(pool_module, "POOL_TILES", 2)
    drawn = {seed: tuple(numbers(load_pool(stored, SIDE, seed))) for seed in range(12)}
    assert all(len(set(tiles)) == 2 for tiles in drawn.values())
    assert len(set(drawn.values())) > 1
    assert tuple(numbers(load_pool(stored, SIDE, 3))) == drawn[3]


def test_photographs_below_a_window_are_said(stored):
    with pytest.raises(InputError, match=r"at least 36 x 36 pixels for training\.window 36, set has 32; ingest them with a larger --side"):
        load_pool(stored, 36, seed=0)


def test_windows_lie_inside_and_reach_every_corner():
    tiles = np.arange(2 * 5 * 5, dtype=np.float32).reshape(2, 5, 5)
    windows = PhotographPool(tiles=tiles).crop(np.random.default_rng(0), 400, 4)
    assert windows.shape == (400, 4, 4)
    assert {int(window.min()) for window in windows} == {tile * 25 + y * 5 + x for tile in (0, 1) for y in (0, 1) for x in (0, 1)}
    assert all(len(np.unique(window)) == 16 for window in windows)
