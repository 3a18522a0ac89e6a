"""What genes share: the leading factors of bins x genes, where noisy bins and loud genes count less.

Decision: the leading factors come from the smaller of the two Gram matrices, whose cost is bins x genes x min(bins, genes)
and needs no random start; the price is that singular values below about 1e-8 of the largest are lost, far below the rank in use.
"""

import numpy as np
from jaxtyping import Float64
from scipy import linalg

FLAT = 1e-6
"""A field whose standard deviation is below this, in its own unit, is constant."""


def leading_factors(
    centred: Float64[np.ndarray, "bin gene"], rank: int
) -> tuple[Float64[np.ndarray, "bin factor"], Float64[np.ndarray, "factor gene"]]:
    """Split a matrix into the two factors of its best approximation of a rank.

    Args:
        centred: Column means removed.
        rank: Factors wanted; `min(bin, gene)` are returned where that is less.

    Returns:
        Scores and loadings, whose product is the truncated singular value decomposition.
    """
    if centred.shape[0] <= centred.shape[1]:
        basis = _leading_vectors(centred @ centred.T, rank)
        return basis, basis.T @ centred
    axes = _leading_vectors(centred.T @ centred, rank)
    return centred @ axes, axes.T


def weighted_factors(
    centred: Float64[np.ndarray, "bin gene"], noise: Float64[np.ndarray, " bin"], rank: int
) -> tuple[Float64[np.ndarray, "bin factor"], Float64[np.ndarray, "factor gene"]]:
    """Leading factors of bins x genes, where noisy bins and loud genes count less.

    Args:
        centred: Gene means removed, log1p units.
        noise: Relative variance of each bin.
        rank: Factors wanted.

    Returns:
        Factors of unit spread, and the loadings that map them back to `centred`; a constant gene has loadings 0.
    """
    spread = centred.std(axis=0)
    # Half-way between raw and standardised: the error that is scored is a mean over genes, yet a gene of pure noise must not lead.
    scale = np.sqrt(np.where(spread > FLAT, spread, np.inf))
    scaled = centred / scale
    _, axes = leading_factors(scaled / np.sqrt(noise)[:, None], rank)
    axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), FLAT)
    scores = scaled @ axes.T
    size = scores.std(axis=0)
    kept = size > FLAT
    return scores[:, kept] / size[kept], axes[kept] * size[kept, None] * np.where(np.isfinite(scale), scale, 0)


def _leading_vectors(gram: Float64[np.ndarray, "n n"], rank: int) -> Float64[np.ndarray, "n factor"]:
    size = len(gram)
    vectors: np.ndarray = linalg.eigh(gram, subset_by_index=(max(size - rank, 0), size - 1))[1]
    return vectors
