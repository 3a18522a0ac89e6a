"""How noisy each bin is: the fewer genes were detected in it, the more.

Decision: noise varies with the number of detected genes to the power `-exponent`, and the exponent is read off the section: the slope
of the squared differences between a bin and its neighbours. A slope seen in few bins is itself noisy, so it is averaged with 1, the
slope of counting noise; the price is that a section without any such dependence is still weighted a little.
"""

import numpy as np
from jaxtyping import Float64
from scipy.spatial import cKDTree

from s2s.kriging.factors import FLAT

EXPECTED_EXPONENT = 1.0
"""Of counting noise: variance of the logarithm of a count falls with the count."""
EXPONENTS = (0.0, 3.0)
"""Smallest and largest exponent used."""
NOISE_RANGE = (0.2, 10.0)
"""A bin's noise relative to the median bin's is kept within these."""
NEIGHBOURS = 8
"""Observed bins that a bin is compared with."""

Values = Float64[np.ndarray, "bin gene"]
Points = Float64[np.ndarray, "bin 2"]
Bins = Float64[np.ndarray, " bin"]


def relative_noise(values: Values, exponent: float) -> Bins:
    """Variance of each bin's noise relative to the mean bin's: falls with the number of genes detected in it.

    Args:
        values: Observed bins x genes, log1p units.
        exponent: Of the fall; 0 for equal noise everywhere.
    """
    detected = _detected(values)
    noise = np.clip((np.median(detected) / detected) ** exponent, *NOISE_RANGE)
    relative: np.ndarray = noise / noise.mean()
    return relative


def noise_exponent(values: Values, points: Points) -> float:
    """Estimate how fast the noise of a bin falls with the number of genes detected in it.

    Args:
        values: Observed bins x genes, log1p units.
        points: Of the same bins, in bins.

    Returns:
        Mean of the slope seen and of `EXPECTED_EXPONENT`, within `EXPONENTS`; the latter where nothing can be seen.
    """
    num_neighbours = min(NEIGHBOURS, len(values) - 1)
    spread = values.std(axis=0)
    varies = spread > FLAT
    depth = np.log(_detected(values))
    depth -= depth.mean()
    if num_neighbours < 2 or not varies.any() or np.square(depth).sum() < FLAT:
        return EXPECTED_EXPONENT
    _, nearest = cKDTree(points).query(points, k=num_neighbours + 1)
    standard = values[:, varies] / spread[varies]
    difference = np.square(standard - standard[nearest[:, 1:]].mean(axis=1)).mean(axis=1)
    slope = float(depth @ np.log(np.maximum(difference, FLAT)) / np.square(depth).sum())
    return float(np.clip((EXPECTED_EXPONENT - slope) / 2, *EXPONENTS))


def _detected(values: Values) -> Bins:
    detected: np.ndarray = np.maximum((values > 0).sum(axis=1), 1).astype(np.float64)
    return detected
