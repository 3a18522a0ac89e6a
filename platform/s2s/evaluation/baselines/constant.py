"""Floors: one value per gene, the same at every position. What does not beat them has learned nothing of space."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from s2s.lattice.measured import Measured

Field = Float32[np.ndarray, "gene y x"]


@dataclass(frozen=True, slots=True)
class Zero:
    """No expression anywhere; the best guess in absolute error for genes that most bins lack."""

    name: str = "zero"

    def impute(self, measured: Measured) -> Field:
        """Return zeros of the section's shape, log1p units."""
        return np.zeros_like(measured.expression)


@dataclass(frozen=True, slots=True)
class Median:
    """The median of observed bins: smallest absolute error among constants."""

    name: str = "median"

    def impute(self, measured: Measured) -> Field:
        """Return each gene's median over observed bins, log1p units, at every position."""
        return _spread(measured, np.median)


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of observed bins: smallest squared error among constants."""

    name: str = "mean"

    def impute(self, measured: Measured) -> Field:
        """Return each gene's mean over observed bins, log1p units, at every position."""
        return _spread(measured, np.mean)


def _spread(measured: Measured, statistic: Callable[..., np.ndarray]) -> Field:
    values = statistic(measured.expression[:, measured.observed], axis=1).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(values[:, None, None], measured.expression.shape))
