"""Low rank, then a kernel: what genes share is separated from their noise before it is smoothed over space."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from s2s.evaluation.baselines.smoothing import smooth
from s2s.kriging.factors import leading_factors
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
