"""Tiles of a section that is too large to be learnt from whole, laid beside each other on one small sheet.

A sheet is a section like any other: whoever learns, imputes or judges need not know. Decision: tiles lie where the section is measured
best, one in each quarter of its samples. A network that sees one gene at a time learns textures, of which some thousand samples hold
more than it can take up; the price is that a structure outside all tiles is neither learnt from nor judged on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isqrt

import numpy as np
from jaxtyping import Bool, Float32, Int

from s2s.lattice.measured import HeldOut, Measured
from s2s.storage.sections import Window
from s2s.streaming.windows import tissue_share

LARGE_BINS = 2**16
"""Of a grid; larger ones are learnt from by tiles. Kriging one of this size, once for every fold, takes minutes before the first step."""

TILE, NUM_TILES = 40, 4
"""Side in bins, a training window of 32 and room to move it; their number: halved twice."""

GAP = 16
"""Bins off tissue between two tiles of a sheet."""

MOST_VALUES = 2**26
"""Of a sheet, genes times positions: 256 MB, of which a run holds some ten."""

Place = tuple[slice, slice]


def is_large(shape: tuple[int, int]) -> bool:
    """Say whether a section of this shape is learnt from by tiles.

    Args:
        shape: `(y, x)` of its grid.
    """
    return shape[0] * shape[1] > LARGE_BINS


def choose_tiles(observed: Bool[np.ndarray, "y x"], step: int) -> list[Window]:
    """Choose a tile in each quarter of the measured bins, where most of them lie; of equal ones that in the middle.

    Args:
        observed: Measured bins, one at least.
        step: Rows and columns of a tile's corner are multiples of it: twice the stride keeps phases on any lattice.
    """
    side, tiles = min(TILE, *observed.shape), []
    for part in _quarters(np.argwhere(observed)):
        mask = np.zeros_like(observed)
        mask[tuple(part.T)] = True
        share = tissue_share(mask, side)[::step, ::step]
        corners = np.argwhere(share == share.max()) * step
        away = np.abs(corners - (part.mean(axis=0) - side / 2)).max(axis=1)
        y, x = (int(place) for place in corners[away.argmin()])
        tiles.append(Window(y=y, x=x, height=side, width=side))
    return tiles


def choose_genes(genes: Sequence[int]) -> tuple[int, ...]:
    """Thin genes out evenly, to as many as a sheet holds.

    Args:
        genes: Indices.
    """
    most = MOST_VALUES // _side_of_sheet(NUM_TILES, TILE) ** 2
    return tuple(genes[place] for place in np.unique(np.linspace(0, len(genes) - 1, min(most, len(genes))).round().astype(int)))


def on_one_sheet(tiles: Sequence[tuple[Measured, HeldOut | None]]) -> tuple[Measured, HeldOut | None]:
    """Lay tiles beside each other.

    Args:
        tiles: Of one section, all of one shape, cut where `choose_tiles` says.

    Returns:
        The sheet, which knows its tiles as `pieces`, and the truth on it where there is one.
    """
    first = tiles[0][0]
    side = len(first.tissue)
    sheet = _side_of_sheet(len(tiles), side)
    places = tuple(_places(len(tiles), side))

    def lay(arrays: Sequence[np.ndarray], blank: float | bool) -> np.ndarray:
        laid = np.full((*arrays[0].shape[:-2], sheet, sheet), blank, arrays[0].dtype)
        for array, place in zip(arrays, places, strict=True):
            laid[..., place[0], place[1]] = array
        return laid

    measured = replace(
        first,
        expression=lay([tile.expression for tile, _ in tiles], np.nan),
        observed=lay([tile.observed for tile, _ in tiles], False),
        tissue=lay([tile.tissue for tile, _ in tiles], False),
        pieces=places,
    )
    truths = [truth for _, truth in tiles if truth is not None]
    if not truths:
        return measured, None
    expression: Float32[np.ndarray, "gene y x"] = lay([truth.expression for truth in truths], np.nan)
    return measured, HeldOut(expression=expression, positions=lay([truth.positions for truth in truths], False))


def _quarters(places: Int[np.ndarray, "bin 2"]) -> Iterator[Int[np.ndarray, "bin 2"]]:
    """Halve twice, each time along the longer side."""
    for half in _halves(places):
        yield from (quarter for quarter in _halves(half) if len(quarter))


def _halves(places: Int[np.ndarray, "bin 2"]) -> list[Int[np.ndarray, "bin 2"]]:
    if len(places) < 2:
        return [places]
    axis = int(np.ptp(places, axis=0).argmax())
    return np.array_split(places[np.argsort(places[:, axis], kind="stable")], 2)


def _places(num_tiles: int, side: int) -> Iterator[Place]:
    across = _across(num_tiles)
    for number in range(num_tiles):
        top, left = (place * _pitch(side) for place in divmod(number, across))
        yield slice(top, top + side), slice(left, left + side)


def _side_of_sheet(num_tiles: int, side: int) -> int:
    return (_across(num_tiles) - 1) * _pitch(side) + side


def _across(num_tiles: int) -> int:
    return isqrt(num_tiles - 1) + 1


def _pitch(side: int) -> int:
    """From one tile to the next: a multiple of the gap."""
    return -(-(side + GAP) // GAP) * GAP
