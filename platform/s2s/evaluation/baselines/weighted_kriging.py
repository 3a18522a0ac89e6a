"""Kriging of gene factors that knows which bins are noisy: a bin with few molecules counts less, in factors and in space.

Two changes make it stronger than `svd_kriging`. The noise of a log-normalised value falls with the molecules in its bin, and the
number of genes detected there tells how many there were: bins are weighted by it when the factors are found, and their nugget is
scaled by it. And no single length and nugget is chosen: the covariance of a factor is the average over all candidates, weighted by
their marginal likelihood, which keeps small sections from betting on one. Decision: factors are exchangeable exponential mixtures;
the price is one Cholesky factorisation per factor, and memory for one matrix per length. Where depth is drawn
for every bin alone, as no tissue does, weighting gains nothing and can lose.

Source: our implementation. Kriging as in Cressie 1993; model averaging as in Hoeting et al. 1999; on scipy (BSD-3-Clause).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import linalg
from scipy.spatial.distance import cdist

from s2s.evaluation.baselines.gaussian_process import FLAT, TARGET_BLOCK, Fields, Points, regions
from s2s.evaluation.baselines.kriging import MAX_BINS, observed_values, on_grid, points_of
from s2s.evaluation.baselines.lowrank import leading_factors
from s2s.lattice.measured import Measured

LENGTHS = (1.0, 1.5, 2.5, 4.0, 6.0, 9.0, 14.0, 22.0, 35.0)
"""Candidates in bins, from half a spacing of a stride-2 lattice to a good part of a section."""

NUGGETS = tuple(float(ratio) for ratio in np.logspace(-1.5, 2.5, 17))
"""Candidates: variance of the noise over that of the process."""

NOISE_RANGE = (0.2, 10.0)
"""A bin's noise relative to the median bin's is kept within these."""

JITTER = 1e-6
"""Added to the diagonal of a covariance of unit fields, so that its factorisation exists."""

Bins = Float64[np.ndarray, " bin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureFields:
    """Covariance of every field: a mixture of exponentials and a nugget.

    Attributes:
        sills: Variance that each length of `LENGTHS` carries, in the field's unit squared.
        nuggets: Variance of the noise of a median bin.
    """

    sills: Float64[np.ndarray, "field length"]
    nuggets: Float64[np.ndarray, " field"]


@dataclass(frozen=True, slots=True)
class WeightedKriging:
    """Leading factors of weighted bins x genes, each kriged with an averaged covariance, mapped back and clipped at 0.

    Attributes:
        name: Row of the table.
        rank: Factors kept; fewer where there are fewer bins or genes. Noisy ones shrink to nothing by themselves.
        max_bins: Observed bins of one region, at least 4.
    """

    name: str = "weighted_kriging"
    rank: int = 32
    max_bins: int = MAX_BINS

    def impute(self, measured: Measured) -> Float32[np.ndarray, "gene y x"]:
        """Krige the factors and map them back, log1p units; the measured value at observed bins, their mean off tissue."""
        values, points, targets = observed_values(measured), *points_of(measured)
        mean, noise = values.mean(axis=0), relative_noise(values)
        fields, loadings = weighted_factors(values - mean, noise, self.rank)
        estimate = np.empty((len(targets), len(loadings)))
        for bins, part in regions(points, targets, self.max_bins):
            estimate[part] = krige(fields[bins], points[bins], noise[bins], targets[part])
        return on_grid(mean + estimate @ loadings, mean, measured)


def relative_noise(values: Fields) -> Bins:
    """Variance of each bin's noise relative to the mean bin's: falls with the number of genes detected in it.

    Args:
        values: Observed bins x genes, log1p units.
    """
    detected = np.maximum((values > 0).sum(axis=1), 1)
    noise = np.clip(np.median(detected) / detected, *NOISE_RANGE)
    relative: np.ndarray = noise / noise.mean()
    return relative


def weighted_factors(centred: Fields, noise: Bins, rank: int) -> tuple[Fields, Float64[np.ndarray, "field gene"]]:
    """Leading factors of bins x genes, where noisy bins and loud genes count less.

    Args:
        centred: Gene means removed, log1p units.
        noise: Relative variance of each bin.
        rank: Factors wanted.

    Returns:
        Fields of unit spread, and the loadings that map them back to `centred`; a constant gene has loadings 0.
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


def krige(fields: Fields, points: Points, noise: Bins, targets: Points) -> Float64[np.ndarray, "target field"]:
    """Estimate fields of mean 0 and unit spread at other points.

    Args:
        fields: Of observed bins.
        points: Of the same bins, in bins.
        noise: Relative variance of each bin.
        targets: In bins.
    """
    if fields.shape[1] == 0:
        return np.empty((len(targets), 0))
    distance = cdist(points, points)
    shapes = np.stack([np.exp(-distance / length) for length in LENGTHS])
    mixture = average_covariance(fields, shapes, noise)
    weights = np.empty_like(fields)
    for index, (sills, nugget) in enumerate(zip(mixture.sills, mixture.nuggets, strict=True)):
        covariance = np.tensordot(sills, shapes, axes=1)
        covariance[np.diag_indices(len(points))] += nugget * noise + JITTER
        factor = linalg.cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        weights[:, index] = linalg.cho_solve(factor, fields[:, index], check_finite=False)
    estimate = np.zeros((len(targets), fields.shape[1]))
    for start in range(0, len(targets), TARGET_BLOCK):
        block = slice(start, start + TARGET_BLOCK)
        away = cdist(targets[block], points)
        for length, sills in zip(LENGTHS, mixture.sills.T, strict=True):
            estimate[block] += np.exp(-away / length) @ (weights * sills)
    return estimate


def average_covariance(fields: Fields, shapes: Float64[np.ndarray, "length bin bin"], noise: Bins) -> MixtureFields:
    """Average the covariance of every field over all lengths and nuggets, weighted by their marginal likelihood.

    Args:
        fields: Of observed bins; mean 0, unit spread.
        shapes: Correlation of every pair of bins, one matrix per length.
        noise: Relative variance of each bin.
    """
    whitening = 1 / np.sqrt(noise)
    whitened = fields * whitening[:, None]
    likelihood = np.empty((len(shapes), len(NUGGETS), fields.shape[1]))
    variance = np.empty_like(likelihood)
    for place, shape in enumerate(shapes):
        eigenvalues, vectors = linalg.eigh(shape * np.outer(whitening, whitening), driver="evd", overwrite_a=True)
        power = (vectors.T @ whitened) ** 2
        for index, nugget in enumerate(NUGGETS):
            spectrum = np.maximum(eigenvalues, 0) + nugget
            variance[place, index] = (power / spectrum[:, None]).mean(axis=0)
            likelihood[place, index] = -0.5 * (len(fields) * np.log(variance[place, index]) + np.log(spectrum).sum())
    share = np.exp(likelihood - likelihood.max(axis=(0, 1)))
    share /= share.sum(axis=(0, 1))
    sills = (share * variance).sum(axis=1).T
    nuggets = (share * variance * np.asarray(NUGGETS)[:, None]).sum(axis=(0, 1))
    return MixtureFields(sills=sills, nuggets=nuggets)
