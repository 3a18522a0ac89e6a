"""Kriging of many fields that share their points: one spectrum per length serves every field and every nugget.

Model of a field: mean 0, an exponential covariance, and a nugget that is proportional to the bin's noise. No single length and
nugget is chosen: estimates are averaged over all candidates, weighted by marginal likelihood, which keeps small sections from
betting on one. Decision: spectra are found and kept in float32, in two thirds of the time; the price is an error near 1e-5.

Source: our implementation, on scipy (BSD-3-Clause). Kriging as in Cressie 1993, model averaging as in Hoeting et al. 1999.
"""

import numpy as np
from jaxtyping import Float32, Float64
from scipy import linalg
from scipy.spatial.distance import cdist

LENGTHS = (1.0, 1.5, 2.5, 4.0, 6.0, 9.0, 14.0, 22.0, 35.0)
"""Candidates in bins, from half a spacing of a stride-2 lattice to a good part of a section."""

NUGGETS = np.logspace(-1.5, 2.5, 17)
"""Candidates: variance of the noise of a mean bin over that of the process."""

TARGET_BLOCK = 4096
"""Positions estimated at once: bounds the covariance between positions and observed bins."""
FIELD_BLOCK = 1024
"""Fields estimated at once: bounds their weights for every length."""

Fields = Float64[np.ndarray, "bin field"]
Points = Float64[np.ndarray, "bin 2"]


class Kriging:
    """Observed bins, ready to estimate any field that was measured at them."""

    def __init__(self, points: Points, noise: Float64[np.ndarray, " bin"]) -> None:
        """Decompose the covariance of the bins for every candidate length.

        Args:
            points: Of the observed bins, in bins.
            noise: Relative variance of each.
        """
        self._points = points
        self._whitening = 1 / np.sqrt(noise)
        distance = cdist(points, points)
        scaled = np.outer(self._whitening, self._whitening)
        self._spectra = [_spectrum(np.exp(-distance / length) * scaled) for length in LENGTHS]

    def estimate(self, fields: Fields, targets: Float64[np.ndarray, "target 2"]) -> Float64[np.ndarray, "target field"]:
        """Estimate fields of mean 0 and unit spread at other points.

        Args:
            fields: Of the observed bins.
            targets: In bins.
        """
        estimate = np.zeros((len(targets), fields.shape[1]))
        for first in range(0, fields.shape[1], FIELD_BLOCK):
            some = slice(first, first + FIELD_BLOCK)
            weights = self._weights(fields[:, some])
            for start in range(0, len(targets), TARGET_BLOCK):
                block = slice(start, start + TARGET_BLOCK)
                away = cdist(targets[block], self._points).astype(np.float32)
                for length, of_length in zip(LENGTHS, weights, strict=True):
                    estimate[block, some] += np.exp(away / np.float32(-length)) @ of_length
        return estimate

    def _weights(self, fields: Fields) -> list[Float32[np.ndarray, "bin field"]]:
        """Kriging weights for every length, times the probability of that length: estimates add up."""
        whitened = (fields * self._whitening[:, None]).astype(np.float32)
        size = len(fields)
        shape = (len(LENGTHS), len(NUGGETS), fields.shape[1])
        likelihood = np.empty(shape)
        rotated = [vectors.T @ whitened for _, vectors in self._spectra]
        for place, ((eigenvalues, _), turned) in enumerate(zip(self._spectra, rotated, strict=True)):
            spectrum = eigenvalues + NUGGETS[:, None]
            variance = (1 / spectrum) @ np.square(turned, dtype=np.float64) / size
            likelihood[place] = -0.5 * (size * np.log(np.maximum(variance, np.finfo(float).tiny)) + np.log(spectrum).sum(axis=1)[:, None])
        share = np.exp(likelihood - likelihood.max(axis=(0, 1)))
        share /= share.sum(axis=(0, 1))
        weights = []
        for (eigenvalues, vectors), turned, of_length in zip(self._spectra, rotated, share, strict=True):
            shrunk = turned * ((1 / (eigenvalues[:, None] + NUGGETS)) @ of_length)
            weights.append((self._whitening[:, None] * (vectors @ shrunk.astype(np.float32))).astype(np.float32))
        return weights


def _spectrum(covariance: Float64[np.ndarray, "bin bin"]) -> tuple[Float64[np.ndarray, " bin"], Float32[np.ndarray, "bin bin"]]:
    eigenvalues, vectors = linalg.eigh(covariance.astype(np.float32), driver="evd", overwrite_a=True)
    return np.maximum(eigenvalues, 0).astype(np.float64), vectors
