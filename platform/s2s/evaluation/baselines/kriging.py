"""Kriging: the best linear guess from the covariance of the observed bins, gene by gene or factor by factor.

`Kriging` lets every gene choose its own length and nugget, and knows how far off it may be. `SvdKriging` kriges the leading
factors of observed bins x genes instead: what genes share is estimated from all of them, and each factor's nugget says how
much of it is noise, so that even many factors do no harm. Decision: all fields of a section go through one set of candidates
(`gaussian_process`), and a section with more than `max_bins` observed bins is cut into regions; the price is a faint seam there.

Source: ordinary kriging (Matheron 1963; Cressie 1993), our implementation on scipy (BSD-3-Clause).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from s2s.evaluation.baselines.gaussian_process import CANDIDATES, Candidates, Fields, Points, fit_fields
from s2s.kriging.factors import FLAT, leading_factors
from s2s.kriging.regions import regions
from s2s.kriging.section import observed_values, on_grid, place_on_grid, points_of
from s2s.lattice.measured import Measured
from s2s.lattice.prediction import Prediction

MAX_BINS = 2500
"""Observed bins of one region: its covariance and eigenvectors take 50 MB each."""

Field = Float32[np.ndarray, "gene y x"]


@dataclass(frozen=True, slots=True)
class Kriging:
    """Ordinary kriging of every gene, length and nugget by restricted marginal likelihood; clipped at 0.

    Attributes:
        name: Row of the table.
        candidates: Lengths in bins, and nuggets.
        max_bins: Observed bins of one region, at least 4.
    """

    name: str = "kriging"
    candidates: Candidates = CANDIDATES
    max_bins: int = MAX_BINS

    def impute(self, measured: Measured) -> Field:
        """Return the kriging mean, log1p units; the measured value at observed bins, the mean of observed bins off tissue."""
        values, points, targets = observed_values(measured), *points_of(measured)
        means = np.empty((len(targets), values.shape[1]), np.float32)
        for bins, part in regions(points, targets, self.max_bins):
            means[part] = fit_fields(values[bins], points[bins], self.candidates).means(targets[part])
        return on_grid(means, values.mean(axis=0), measured)

    def predict(self, measured: Measured) -> Prediction:
        """Estimate every position and say how far off a measurement there may be.

        Returns:
            `impute` as the mean, and the deviation of a new measurement (process and nugget), both log1p units; the deviation
            is 0 at observed bins, and that of all observed bins off tissue.
        """
        values, points, targets = observed_values(measured), *points_of(measured)
        means, deviations = np.empty((2, len(targets), values.shape[1]), np.float32)
        for bins, part in regions(points, targets, self.max_bins):
            fitted = fit_fields(values[bins], points[bins], self.candidates)
            means[part] = fitted.means(targets[part])
            deviations[part] = np.sqrt(fitted.variances(targets[part]))
        std = place_on_grid(deviations, values.std(axis=0), measured)
        std[:, measured.observed] = 0
        return Prediction(mean=on_grid(means, values.mean(axis=0), measured), std=std)


@dataclass(frozen=True, slots=True)
class SvdKriging:
    """The leading factors of observed bins x genes, each kriged with its own length and nugget, mapped back and clipped at 0.

    Attributes:
        name: Row of the table.
        ranks: Numbers of factors that cross-validation on observed bins chooses from, rising.
        candidates: Lengths in bins, and nuggets.
        num_folds: Of the cross-validation; fewer where there are fewer observed bins.
        seed: Which observed bin falls in which fold.
        max_bins: Observed bins of one region, at least 4.
    """

    name: str = "svd_kriging"
    ranks: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320)
    candidates: Candidates = CANDIDATES
    num_folds: int = 3
    seed: int = 0
    max_bins: int = MAX_BINS

    def impute(self, measured: Measured) -> Field:
        """Krige the factors and map them back, log1p units; the measured value at observed bins, their mean off tissue."""
        values, points, targets = observed_values(measured), *points_of(measured)
        rank = self.choose_rank(measured)
        factors, loadings = self._krige_factors(values, points, targets)
        mean = values.mean(axis=0)
        return on_grid(mean + factors[:, :rank] @ loadings[:rank], mean, measured)

    def choose_rank(self, measured: Measured) -> int:
        """Find the number of factors with the smallest squared error on hidden observed bins.

        Returns:
            One of `ranks`; the first where a single observed bin leaves nothing to hide.
        """
        values, (points, _) = observed_values(measured), points_of(measured)
        if len(values) < 2:
            return self.ranks[0]
        fold = np.random.default_rng(self.seed).permutation(len(values)) % self.num_folds
        errors = np.zeros(len(self.ranks))
        for index in range(min(self.num_folds, len(values))):
            kept, hidden = fold != index, fold == index
            factors, loadings = self._krige_factors(values[kept], points[kept], points[hidden])
            for candidate, rank in enumerate(self.ranks):
                estimate = np.maximum(values[kept].mean(axis=0) + factors[:, :rank] @ loadings[:rank], 0)
                errors[candidate] += np.square(estimate - values[hidden]).sum()
        return self.ranks[int(errors.argmin())]

    def _krige_factors(
        self, values: Fields, points: Points, targets: Points
    ) -> tuple[Float64[np.ndarray, "target factor"], Float64[np.ndarray, "factor gene"]]:
        """Estimate factors at the targets; factors and loadings stand in falling order, a constant gene has loadings 0."""
        varies = values.std(axis=0) > FLAT
        scores, axes = leading_factors(values[:, varies] - values[:, varies].mean(axis=0), self.ranks[-1])
        loadings = np.zeros((len(axes), len(varies)))
        loadings[:, varies] = axes[::-1]
        factors = np.empty((len(targets), len(axes)))
        for bins, part in regions(points, targets, self.max_bins):
            factors[part] = fit_fields(scores[bins, ::-1], points[bins], self.candidates).means(targets[part])
        return factors, loadings
