"""Mask-normalised Gaussian smoothing, shared by the kernel and the low-rank baseline.

Decision: on a square lattice a Gaussian is separable, and only rows and columns that hold an observed bin carry weight, so smoothing all
fields at once is two matrix products with small dense weight matrices. On a stride-2 lattice that is several times faster than
convolving the full grid; the price is that cost grows with the cube of the side, and overtakes a convolution at a few thousand bins.
A hexagonal lattice is not separable: there the weights of all pairs of positions make one dense matrix, truncated by the true distance
instead of along each axis. Its sections are small (Visium: 5,000 to 14,000 spots); the price is memory with the square of their number.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from s2s.lattice.geometry import LatticeShape, positions

TRUNCATE = 4.0
"""Weights beyond this many bandwidths are zero. Source: the project's protocol, and scipy's default."""

ROUNDING = 1e-9
"""Added to `TRUNCATE` where distances hold square roots, so that a position exactly that far away counts whatever its direction."""

ALONE = np.ones((1, 1), np.float32)
"""Weights along the first axis of positions that stand in one row."""


BLOCK_PAIRS = 4_000_000
"""Pairs of positions whose distance is computed at once: 32 MB each of float64."""


def smooth(
    values: Float32[np.ndarray, "field y x"], mask: Bool[np.ndarray, "y x"], bandwidth: float, lattice: LatticeShape = "square"
) -> Float32[np.ndarray, "field y x"]:
    """Average of the masked values, weighted by a Gaussian of the distance.

    Args:
        values: Any unit; ignored, even NaN, where not `mask`.
        mask: Positions that carry a value.
        bandwidth: Standard deviation in bins.
        lattice: How positions lie; distances are true ones.

    Returns:
        Weighted mean at every position; 0 where no masked position lies within `TRUNCATE` bandwidths (along both axes, on a
        square lattice). Callers pass deviations from a mean, so that 0 means the mean.
    """
    if lattice == "hexagonal":
        places = positions(mask.shape, lattice)
        weights = pair_weights(places.reshape(-1, 2), places[mask], bandwidth)
        return weighted_mean(*in_one_row(values, mask), ALONE, weights).reshape(values.shape)
    rows, columns = support(mask)
    held = mask[np.ix_(rows, columns)]
    compact = np.where(held, at(values, rows, columns), np.float32(0))
    weights_y = gaussian_weights(np.arange(mask.shape[0]), rows, bandwidth)
    weights_x = gaussian_weights(np.arange(mask.shape[1]), columns, bandwidth)
    return weighted_mean(compact, held, weights_y, weights_x)


def support(mask: Bool[np.ndarray, "y x"]) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
    """Rows and columns with at least one masked position."""
    return np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))


def at(
    values: Float32[np.ndarray, "field y x"], rows: Int[np.ndarray, " a"], columns: Int[np.ndarray, " b"]
) -> Float32[np.ndarray, "field a b"]:
    """Keep some rows and columns of every field, in C order: numpy multiplies matrices of any other order outside BLAS."""
    return np.ascontiguousarray(values[:, rows[:, None], columns])


def gaussian_weights(to: Int[np.ndarray, " m"], source: Int[np.ndarray, " n"], bandwidth: float) -> Float32[np.ndarray, "m n"]:
    """Gaussian of the distance of every pair of indices along one axis, 0 beyond `TRUNCATE` bandwidths.

    Args:
        to: Indices to estimate, bins.
        source: Indices that carry values, bins.
        bandwidth: Standard deviation in bins.
    """
    distance = np.abs(to[:, None] - source[None, :])
    reach = int(TRUNCATE * bandwidth + 0.5)
    return np.where(distance <= reach, np.exp(-0.5 * (distance / bandwidth) ** 2), 0.0).astype(np.float32)


def pair_weights(to: Float[np.ndarray, "m 2"], source: Float[np.ndarray, "n 2"], bandwidth: float) -> Float32[np.ndarray, "m n"]:
    """Gaussian of the distance of every pair of positions, 0 beyond `TRUNCATE` bandwidths.

    Args:
        to: `(y, x)` to estimate, bins.
        source: `(y, x)` that carry values, bins.
        bandwidth: Standard deviation in bins.
    """
    weights = np.empty((len(to), len(source)), np.float32)
    block = max(1, BLOCK_PAIRS // max(len(source), 1))
    for start in range(0, len(to), block):
        squared = ((to[start : start + block, None] - source[None]) ** 2).sum(axis=2) / bandwidth**2
        weights[start : start + block] = np.where(squared <= (TRUNCATE + ROUNDING) ** 2, np.exp(-0.5 * squared), 0.0)
    return weights


def in_one_row(
    values: Float32[np.ndarray, "field y x"], mask: Bool[np.ndarray, "y x"]
) -> tuple[Float32[np.ndarray, "field 1 n"], Bool[np.ndarray, "1 n"]]:
    """Line masked positions up, so that `weighted_mean` takes them with weights `ALONE` along the first axis."""
    return np.ascontiguousarray(values[:, mask])[:, None], np.ones((1, int(mask.sum())), np.bool_)


def weighted_mean(
    values: Float32[np.ndarray, "field a b"],
    mask: Bool[np.ndarray, "a b"],
    weights_y: Float32[np.ndarray, "y a"],
    weights_x: Float32[np.ndarray, "x b"],
) -> Float32[np.ndarray, "field y x"]:
    """Separable weighted sum of the values over that of the mask, 0 where the mask has no weight.

    Args:
        values: Zero where not `mask`.
        mask: Positions that carry a value.
        weights_y: From `gaussian_weights`.
        weights_x: From `gaussian_weights`.
    """
    # Some processors' kernels of OpenBLAS compute on what lies beside a tiny matrix, and leave its invalid flag set: finite inputs,
    # finite answers and a warning (numpy/numpy#24067).
    with np.errstate(invalid="ignore"):
        weight = weights_y @ mask.astype(np.float32) @ weights_x.T
        # One product for all fields: a product per field wakes BLAS's threads hundreds of times for a millisecond's work.
        down = weights_y @ values
        total = (down.reshape(-1, down.shape[2]) @ weights_x.T).reshape(*down.shape[:2], -1)
    mean: np.ndarray = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return mean
