"""Which positions of a grid count as measured."""

import numpy as np
from jaxtyping import Bool

from s2s.lattice.geometry import LatticeShape, axial_columns


def sampled_positions(
    shape: tuple[int, int], stride: int, phase: tuple[int, int], lattice: LatticeShape = "square"
) -> Bool[np.ndarray, "y x"]:
    """Mark one phase of a strided lattice.

    Args:
        shape: `(y, x)` of the grid.
        stride: Distance of sampled positions, in bins.
        phase: `(y, x)` offset of the first sampled position, each below `stride`.
        lattice: Of the grid; a hexagonal one is sampled on the hexagonal lattice of `stride` times its pitch.

    Returns:
        True where `y % stride == phase[0]` and `x % stride == phase[1]`; on a hexagonal grid the axial `q = x - y // 2` takes the
        place of `x`.
    """
    rows = np.arange(shape[0]) % stride == phase[0]
    if lattice == "hexagonal":
        on_lattice: np.ndarray = rows[:, None] & (axial_columns(shape) % stride == phase[1])
        return on_lattice
    columns = np.arange(shape[1]) % stride == phase[1]
    mask: np.ndarray = rows[:, None] & columns[None, :]
    return mask


def choose_positions(mask: Bool[np.ndarray, "y x"], fraction: float, rng: np.random.Generator) -> Bool[np.ndarray, "y x"]:
    """Choose a share of the positions of a mask at random, at least one unless the share is 0, and never all.

    Args:
        mask: Positions to choose from.
        fraction: Share to choose, from 0 to below 1.
        rng: Source of randomness.
    """
    places = np.flatnonzero(mask)
    wanted = min(max(1, round(fraction * places.size)), places.size - 1) if fraction > 0 and places.size > 1 else 0
    chosen = np.zeros(mask.shape, np.bool_)
    chosen.flat[rng.choice(places, size=wanted, replace=False)] = True
    return chosen


def random_folds(mask: Bool[np.ndarray, "y x"], num: int, rng: np.random.Generator) -> tuple[Bool[np.ndarray, "y x"], ...]:
    """Split the positions of a mask at random into parts of equal size.

    Args:
        mask: Positions to split.
        num: Parts wanted; fewer where there are fewer positions, and none that would leave nothing beside it.
        rng: Source of randomness.
    """
    places = np.flatnonzero(mask)
    if places.size < 2:
        return ()
    parts = np.zeros((min(num, places.size), mask.size), np.bool_)
    parts[rng.permutation(places.size) % len(parts), places] = True
    return tuple(part.reshape(mask.shape) for part in parts)


def lattice_folds(
    mask: Bool[np.ndarray, "y x"], stride: int, phase: tuple[int, int], lattice: LatticeShape = "square"
) -> tuple[Bool[np.ndarray, "y x"], ...]:
    """All but every second sample along both axes, four times: what `sparser` hides of `sparse`.

    Args:
        mask: Sampled positions.
        stride: Their distance, in bins.
        phase: Their offset.
        lattice: Of the grid.

    Returns:
        What each of the four phases of the sparser lattice hides; those that would keep or hide nothing are left out.
    """
    kept = [
        mask & sampled_positions(mask.shape, 2 * stride, (phase[0] + stride * down, phase[1] + stride * right), lattice)
        for down in (0, 1)
        for right in (0, 1)
    ]
    return tuple(mask & ~some for some in kept if some.any() and (mask & ~some).any())


def anchored(array: np.ndarray, phase: tuple[int, int], stride: int, blank: float | bool) -> np.ndarray:
    """Pad the top and left so that the lattice of observed positions starts at (0, 0).

    Args:
        array: `(..., y, x)`.
        phase: Offset of the observed positions.
        stride: Their distance.
        blank: Value of the padding.
    """
    pads = [(0, 0)] * (array.ndim - 2) + [((stride - p) % stride, 0) for p in phase]
    return np.pad(array, pads, constant_values=blank)
