"""Gaussian kernel smoothing of the observed bins, bandwidth by cross-validation on the observed bins.

Decision: one bandwidth for all genes, by the mean squared error of hidden observed bins. Hidden bins of a stride-2
lattice lie two bins from their nearest neighbour where held-out ones lie one, so the choice is biased to wide kernels;
that bias is the price of never looking at a held-out bin, and the protocol's row has it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from s2s.evaluation.baselines.smoothing import ALONE, at, gaussian_weights, in_one_row, pair_weights, smooth, support, weighted_mean
from s2s.lattice.geometry import positions
from s2s.lattice.measured import Measured

BANDWIDTHS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Candidates in bins."""


@dataclass(frozen=True, slots=True)
class GaussianKernel:
    """Mask-normalised Gaussian smoothing whose bandwidth the observed bins choose.

    Attributes:
        name: Row of the table.
        bandwidths: Candidates in bins.
        num_folds: Folds of the cross-validation; fewer where there are fewer observed bins.
        seed: Which observed bin falls in which fold.
    """

    name: str = "gaussian_cv"
    bandwidths: tuple[float, ...] = BANDWIDTHS
    num_folds: int = 5
    seed: int = 0

    def impute(self, measured: Measured) -> Float32[np.ndarray, "gene y x"]:
        """Smooth with the chosen bandwidth, log1p units; the mean of observed bins where none is within reach."""
        bandwidth = self.choose_bandwidth(measured)
        mean = measured.expression[:, measured.observed].mean(axis=1)[:, None, None]
        imputed = smooth(measured.expression - mean, measured.observed, bandwidth, measured.lattice)
        imputed += mean
        return imputed

    def choose_bandwidth(self, measured: Measured) -> float:
        """Find the candidate with the smallest squared error on hidden observed bins.

        Returns:
            A bandwidth in bins; the first candidate where a single observed bin leaves nothing to hide.
        """
        num_observed = int(measured.observed.sum())
        if num_observed < 2:
            return self.bandwidths[0]
        values, observed = _compact(measured)
        weights = [_weights(measured, bandwidth) for bandwidth in self.bandwidths]
        fold = np.full(observed.shape, -1)
        fold[observed] = np.random.default_rng(self.seed).permutation(num_observed) % self.num_folds
        errors = np.zeros(len(self.bandwidths))
        for index in range(min(self.num_folds, num_observed)):
            kept, hidden = observed & (fold != index), fold == index
            mean = values[:, kept].mean(axis=1)
            deviations = np.where(kept, values - mean[:, None, None], np.float32(0))
            truth = values[:, hidden] - mean[:, None]
            for candidate, (weights_y, weights_x) in enumerate(weights):
                estimate = weighted_mean(deviations, kept, weights_y, weights_x)[:, hidden]
                errors[candidate] += float(np.square(estimate - truth, dtype=np.float64).sum())
        return self.bandwidths[int(errors.argmin())]


def _compact(measured: Measured) -> tuple[Float32[np.ndarray, "gene a b"], Bool[np.ndarray, "a b"]]:
    """Expression without what the weights do not need: empty rows and columns, or on a hexagonal grid every unobserved bin."""
    if measured.lattice == "hexagonal":
        return in_one_row(measured.expression, measured.observed)
    rows, columns = support(measured.observed)
    return at(measured.expression, rows, columns), measured.observed[np.ix_(rows, columns)]


def _weights(measured: Measured, bandwidth: float) -> tuple[Float32[np.ndarray, "a a"], Float32[np.ndarray, "b b"]]:
    """Weights along the two axes of what `_compact` gives."""
    if measured.lattice == "hexagonal":
        places = positions(measured.observed.shape, measured.lattice)[measured.observed]
        return ALONE, pair_weights(places, places, bandwidth)
    rows, columns = support(measured.observed)
    return gaussian_weights(rows, rows, bandwidth), gaussian_weights(columns, columns, bandwidth)
