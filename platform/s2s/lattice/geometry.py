"""Where the positions of a grid truly lie, and hexagonal grids as ordinary arrays: pure numpy.

A hexagonal section is stored in offset coordinates `(y, x)`: rows are `sqrt(3) / 2` of a pitch apart, odd rows shifted by half a
pitch to the right. Its neighbours there depend on the parity of the row. In axial coordinates `(y, q)`, `q = x - y // 2`, they do
not: the six neighbours are `(0, 1)`, `(1, 0)`, `(1, -1)` and their opposites everywhere, so that every second row and column is a
hexagonal lattice of twice the pitch, and a window, a tile or a stride of a square array means the same thing at every place.

Decision: an axial array is a sheared rectangle, padded to one again. The price is about half the height in extra columns that
hold nothing, and that two of a position's eight array neighbours (`(1, 1)` and its opposite) lie `sqrt(3)` pitches away.
"""

from math import sqrt
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int

LatticeShape = Literal["square", "hexagonal", "axial"]
"""Axial: a hexagonal grid that lies in axial coordinates already."""

ROW_STEP: dict[LatticeShape, float] = {"square": 1.0, "hexagonal": sqrt(3) / 2, "axial": sqrt(3) / 2}
"""Distance of neighbouring rows in units of the pitch."""

NEIGHBOURS: dict[LatticeShape, tuple[tuple[int, int], ...]] = {
    "square": ((0, 1), (1, 0)),
    "hexagonal": ((0, 1), (1, 0), (1, -1)),
    "axial": ((0, 1), (1, 0), (1, -1)),
}
"""Half of a position's nearest neighbours, the other half being their opposites: offset or, on a hexagonal lattice, axial `(y, q)`."""

NUM_SYMMETRIES = 8
"""Of the square."""

SYMMETRIES: dict[LatticeShape, tuple[int, ...]] = {"square": (0, 1, 2, 3, 4, 5, 6, 7), "hexagonal": (0, 2, 5, 7), "axial": (0, 2, 5, 7)}
"""Symmetries of a square array that map neighbours to neighbours, numbered by quarter turns, plus 4 for a mirror image first.

Of the twelve symmetries of a hexagonal lattice four are also symmetries of a square axial array: identity, half turn, transpose
and anti-transpose.
"""


def positions(shape: tuple[int, int], lattice: LatticeShape) -> Float64[np.ndarray, "y x 2"]:
    """True coordinates of every position of a grid.

    Args:
        shape: `(y, x)` of the grid.
        lattice: How rows follow each other.

    Returns:
        `(y, x)` of each centre in units of the pitch; `(0, 0)` at the first.
    """
    rows, columns = np.indices(shape, dtype=np.float64)
    if lattice == "hexagonal":
        columns += 0.5 * (rows % 2)
    elif lattice == "axial":
        columns += 0.5 * rows
    rows *= ROW_STEP[lattice]
    return np.stack([rows, columns], axis=-1)


def axial_columns(shape: tuple[int, int]) -> Int[np.ndarray, "y x"]:
    """Axial `q = x - y // 2` of every position of a hexagonal grid; negative towards the bottom left."""
    rows, columns = np.indices(shape)
    axial: np.ndarray = columns - rows // 2
    return axial


def to_axial(array: np.ndarray, blank: float | bool, stride: int = 2) -> np.ndarray:
    """Shear a hexagonal grid from offset to axial coordinates.

    Args:
        array: `(..., y, x)`, offset coordinates.
        blank: Value of positions that the grid does not have.
        stride: The first column stands for a multiple of it, so that positions with `y % stride` and `q % stride` equal to a
            phase are those where row and column of the result are.

    Returns:
        `(..., y, x + margin)`, same dtype; column `q + margin` holds the position `(y, q)`.
    """
    height, width = array.shape[-2:]
    margin = _margin(height, stride)
    sheared = np.full((*array.shape[:-2], height, width + margin), blank, array.dtype)
    sheared[..., np.arange(height)[:, None], axial_columns((height, width)) + margin] = array
    return sheared


def from_axial(array: np.ndarray, shape: tuple[int, int], stride: int = 2) -> np.ndarray:
    """Undo `to_axial`.

    Args:
        array: `(..., y, x + margin)`, axial coordinates.
        shape: `(y, x)` of the grid in offset coordinates.
        stride: As given to `to_axial`.

    Returns:
        `(..., y, x)`, same dtype; what stood at positions that the grid does not have is dropped.
    """
    height, width = shape
    margin = _margin(height, stride)
    assert array.shape[-2:] == (height, width + margin), "expected an array of `to_axial`, or of its shape"
    straight: np.ndarray = array[..., np.arange(height)[:, None], axial_columns(shape) + margin]
    return straight


def turn(array: np.ndarray, symmetry: int) -> np.ndarray:
    """Apply one of the eight symmetries of the square to the last two axes.

    Args:
        array: `(..., y, x)`.
        symmetry: Quarter turns plus 4 for a mirror image first.
    """
    mirrored = array[..., ::-1] if symmetry >= NUM_SYMMETRIES // 2 else array
    return np.rot90(mirrored, symmetry % 4, axes=(-2, -1))


def turn_back(array: np.ndarray, symmetry: int) -> np.ndarray:
    """Undo `turn`.

    Args:
        array: `(..., y, x)`, turned.
        symmetry: As given to `turn`.
    """
    straight = np.rot90(array, -(symmetry % 4), axes=(-2, -1))
    return straight[..., ::-1] if symmetry >= NUM_SYMMETRIES // 2 else straight


def _margin(height: int, stride: int) -> int:
    """Columns before `q = 0`: the smallest multiple of the stride that holds the most negative `q`, `-((height - 1) // 2)`."""
    return -(-((height - 1) // 2) // stride) * stride
