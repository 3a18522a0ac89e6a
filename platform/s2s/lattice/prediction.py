"""What a method gives back: an estimate of every position and, if it can tell, how far off it may be.

Decision: intervals are kept apart from the standard deviation because expression is skewed and often zero, so that no
multiple of a deviation is an honest interval; the price is two more arrays per level.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64

Field = Float32[np.ndarray, "gene y x"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Bounds between which a value lies with the probability of its level; log1p units, never negative."""

    lower: Field
    upper: Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One method's answer for one section.

    Attributes:
        mean: log1p units, finite on tissue, the measured value at observed positions.
        median: As the mean, the value that half of the measurements would exceed; None where a method knows none.
        std: Standard deviation, log1p units, 0 at observed positions; None where a method knows none.
        predicted_pcc: Correlation of each gene with the truth as the method expects it, from measured bins alone; None where unknown.
        intervals: Level (0.5, 0.8, 0.9) -> its bounds, of zero width at observed positions; empty where a method knows none.
    """

    mean: Field
    median: Field | None = None
    std: Field | None = None
    predicted_pcc: Float64[np.ndarray, " gene"] | None = None
    intervals: Mapping[float, Interval] = field(default_factory=dict)
