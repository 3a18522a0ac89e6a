"""Photographs as windows: the same construction as on a section, with everything known.

Decision: a pool of tiles, drawn once per run, is kept in memory; co-learning needs variety, not every photograph, and a
pool of 1,024 tiles of 128 x 128 costs 67 MB.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from s2s.errors import InputError
from s2s.lattice.geometry import NUM_SYMMETRIES, turn
from s2s.storage.photographs import Photographs

POOL_TILES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographPool:
    """Tiles in memory, gray in [0, 1]."""

    tiles: Float32[np.ndarray, "tile y x"]

    def crop(self, rng: np.random.Generator, batch: int, side: int) -> Float32[np.ndarray, "batch y x"]:
        """Cut random windows of `side` pixels, each turned by a random symmetry."""
        room = self.tiles.shape[1] - side + 1
        tile, y, x = rng.integers(len(self.tiles), size=batch), rng.integers(room, size=batch), rng.integers(room, size=batch)
        symmetry = rng.integers(NUM_SYMMETRIES, size=batch)
        return np.stack([turn(self.tiles[t, i : i + side, j : j + side], s) for t, i, j, s in zip(tile, y, x, symmetry, strict=True)])


def load_pool(photographs: Photographs, side: int, seed: int) -> PhotographPool:
    """Draw the tiles of a run.

    Args:
        photographs: An open set.
        side: Of the windows that will be cut, in pixels.
        seed: Of the draw.

    Raises:
        InputError: the tiles are smaller than a window.

    Reads:
        At most `POOL_TILES` tiles.
    """
    meta = photographs.meta
    if meta.side < side:
        raise InputError(
            f"expected photographs of at least {side} x {side} pixels for training.window {side}, {meta.id} has {meta.side}; "
            "ingest them with a larger --side"
        )
    rng = np.random.default_rng([seed, 1])
    wanted = min(POOL_TILES, meta.num_photographs)
    chosen = np.sort(rng.choice(meta.num_photographs, size=wanted, replace=False))
    return PhotographPool(tiles=photographs.read([int(index) for index in chosen]))
