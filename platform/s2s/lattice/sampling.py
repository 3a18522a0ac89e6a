"""Which positions of a grid count as measured."""

import numpy as np
from jaxtyping import Bool


def sampled_positions(shape: tuple[int, int], stride: int, phase: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    """Mark one phase of a strided lattice.

    Args:
        shape: `(y, x)` of the grid.
        stride: Distance of sampled positions, in bins.
        phase: `(y, x)` offset of the first sampled position, each below `stride`.

    Returns:
        True where `y % stride == phase[0]` and `x % stride == phase[1]`.
    """
    rows = np.arange(shape[0]) % stride == phase[0]
    columns = np.arange(shape[1]) % stride == phase[1]
    return rows[:, None] & columns[None, :]
