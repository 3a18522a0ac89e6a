"""Low rank, then a kernel: what genes share is separated from their noise before it is smoothed over space.

Decision: the leading factors come from the smaller of the two Gram matrices, whose cost is bins x genes x min(bins, genes)
and needs no random start; the price is that singular values below about 1e-8 of the largest are lost, far below the rank in use.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import linalg

from s2s.evaluation.baselines.smoothing import smooth
from s2s.lattice.measured import Measured


@dataclass(frozen=True, slots=True)
class LowRankGaussian:
    """Rank-20 SVD of observed bins x genes, factors smoothed over the section, mapped back and clipped at 0.

    Attributes:
        name: Row of the table.
        rank: Factors kept; fewer where there are fewer bins or genes.
        bandwidth: Of the smoothing, bins.
    """

    name: str = "svd_gaussian"
    rank: int = 20
    bandwidth: float = 1.5

    def impute(self, measured: Measured) -> Float32[np.ndarray, "gene y x"]:
        """Smooth the factors and map them back, log1p units; the mean of observed bins where none is within reach."""
        bins = measured.expression[:, measured.observed].T.astype(np.float64)
        mean = bins.mean(axis=0)
        scores, loadings = leading_factors(bins - mean, self.rank)
        factors = np.zeros((scores.shape[1], *measured.observed.shape), np.float32)
        factors[:, measured.observed] = scores.T
        smoothed = smooth(factors, measured.observed, self.bandwidth, measured.lattice)
        imputed = np.tensordot(loadings.T.astype(np.float32), smoothed, axes=1)
        imputed += mean.astype(np.float32)[:, None, None]
        return np.maximum(imputed, 0, out=imputed)


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


def _leading_vectors(gram: Float64[np.ndarray, "n n"], rank: int) -> Float64[np.ndarray, "n factor"]:
    size = len(gram)
    vectors: np.ndarray = linalg.eigh(gram, subset_by_index=(max(size - rank, 0), size - 1))[1]
    return vectors
