"""Gaussian processes for many fields at once: what kriging of genes and kriging of factors share.

Model of every field: a constant, plus a process with exponential covariance, plus a nugget of independent noise. Length
and nugget come from a grid by restricted marginal likelihood, field by field. Decision: one eigendecomposition of the
covariance per length serves every nugget and every field, so that thousands of genes cost little more than one; the price
is that length and nugget are known to a factor of two only, which costs less than the choice of the covariance. The exponential
is fixed because it had the highest likelihood on real sections: tissue is rough.

Source: Rasmussen and Williams 2006, chapters 2.7 and 5.4; kriging as in Cressie 1993. Written for this project with scipy (BSD-3-Clause).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import linalg
from scipy.spatial.distance import cdist

from s2s.kriging.factors import FLAT

TARGET_BLOCK = 4096
"""Positions estimated at once: bounds the covariance between positions and observed bins."""

Points = Float64[np.ndarray, "bin 2"]
Fields = Float64[np.ndarray, "bin field"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What length and nugget may be.

    Attributes:
        lengths: Of the exponential covariance `exp(-distance / length)`, in the unit of the points.
        nuggets: Variance of the noise over that of the process.
    """

    lengths: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
    nuggets: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 1000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedFields:
    """Every field's process, given the observed bins.

    Attributes:
        points: Of the observed bins.
        length: Chosen per field, in the unit of the points.
        nugget: Chosen per field.
        level: Constant of each field, in its unit.
        variance: Of each field's process, in its unit squared.
        weights: Kriging weights: the estimate is `level + covariance @ weights`.
    """

    points: Points
    length: Float64[np.ndarray, " field"]
    nugget: Float64[np.ndarray, " field"]
    level: Float64[np.ndarray, " field"]
    variance: Float64[np.ndarray, " field"]
    weights: Fields

    def means(self, targets: Float64[np.ndarray, "target 2"]) -> Float64[np.ndarray, "target field"]:
        """Estimate every field at other points.

        Args:
            targets: In the unit of `points`.
        """
        estimate = np.empty((len(targets), len(self.level)))
        for block, distance in self._blocks(targets):
            for length in np.unique(self.length):
                chosen = self.length == length
                estimate[block, chosen] = self.level[chosen] + np.exp(-distance / length) @ self.weights[:, chosen]
        return estimate

    def variances(self, targets: Float64[np.ndarray, "target 2"]) -> Float64[np.ndarray, "target field"]:
        """Variance of a new measurement at other points: of the process given the bins, of the constant, and of the noise.

        Args:
            targets: In the unit of `points`.
        """
        variance = np.empty((len(targets), len(self.level)))
        for length in np.unique(self.length):
            chosen = np.flatnonzero(self.length == length)
            values, vectors = _spectrum(self.points, length)
            ones = vectors.sum(axis=0)
            precision = 1 / (values[:, None] + self.nugget[chosen])
            of_level = ones**2 @ precision
            for block, distance in self._blocks(targets):
                towards = np.exp(-distance / length) @ vectors
                known = towards**2 @ precision
                unsure = (1 - towards @ (ones[:, None] * precision)) ** 2 / of_level
                variance[block, chosen] = self.variance[chosen] * np.maximum(1 + self.nugget[chosen] - known + unsure, 0)
        return variance

    def _blocks(self, targets: Float64[np.ndarray, "target 2"]) -> Iterator[tuple[slice, Float64[np.ndarray, "block bin"]]]:
        for start in range(0, len(targets), TARGET_BLOCK):
            block = slice(start, start + TARGET_BLOCK)
            yield block, cdist(targets[block], self.points)


CANDIDATES = Candidates()
"""Distances in bins, from one spacing of a stride-2 lattice to the side of a section."""


def fit_fields(values: Fields, points: Points, candidates: Candidates) -> FittedFields:
    """Choose length and nugget of every field and solve for its weights.

    Args:
        values: Of observed bins, any unit; at least one bin.
        points: Of the same bins, any unit of length, no two the same.
        candidates: To choose from.

    Returns:
        Processes; a field that is constant, or known at a single bin, is its value everywhere, with variance 0.
    """
    num_bins, num_fields = values.shape
    centre, scale = values.mean(axis=0), values.std(axis=0)
    varies = np.flatnonzero(scale > FLAT)
    fitted = FittedFields(
        points=points,
        length=np.full(num_fields, candidates.lengths[0]),
        nugget=np.full(num_fields, candidates.nuggets[-1]),
        level=centre.copy(),
        variance=np.zeros(num_fields),
        weights=np.zeros((num_bins, num_fields)),
    )
    if varies.size == 0:
        return fitted
    standard = (values[:, varies] - centre[varies]) / scale[varies]
    best = np.full(varies.size, -np.inf)
    for length in candidates.lengths:
        eigenvalues, vectors = _spectrum(points, length)
        rotated, ones = vectors.T @ standard, vectors.sum(axis=0)
        for nugget in candidates.nuggets:
            likelihood, level, variance = _likelihood(rotated, ones, eigenvalues + nugget)
            better = likelihood > best
            best[better], chosen = likelihood[better], varies[better]
            fitted.length[chosen], fitted.nugget[chosen] = length, nugget
            fitted.level[chosen] = centre[chosen] + scale[chosen] * level[better]
            fitted.variance[chosen] = scale[chosen] ** 2 * variance[better]
            residual = rotated[:, better] - ones[:, None] * level[better]
            fitted.weights[:, chosen] = scale[chosen] * (vectors @ (residual / (eigenvalues + nugget)[:, None]))
    return fitted


def _spectrum(points: Points, length: float) -> tuple[Float64[np.ndarray, " bin"], Float64[np.ndarray, "bin bin"]]:
    eigenvalues, vectors = linalg.eigh(np.exp(-cdist(points, points) / length), driver="evd", overwrite_a=True)
    return np.maximum(eigenvalues, 0), vectors


def _likelihood(
    rotated: Fields, ones: Float64[np.ndarray, " bin"], eigenvalues: Float64[np.ndarray, " bin"]
) -> tuple[Float64[np.ndarray, " field"], Float64[np.ndarray, " field"], Float64[np.ndarray, " field"]]:
    """Restricted log-likelihood (up to a constant), level and variance of every field; level and variance at their optimum."""
    precision = 1 / eigenvalues
    of_level = precision @ ones**2
    level = (precision * ones) @ rotated / of_level
    freedom = len(ones) - 1
    variance = precision @ (rotated - ones[:, None] * level) ** 2 / freedom
    likelihood = -0.5 * (freedom * np.log(variance) + np.log(eigenvalues).sum() + np.log(of_level))
    return likelihood, level, variance
