"""How far to trust each gene, judged on measured positions alone: hide some, impute, compare."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from s2s.lattice.measured import Measured


def hidden_error(imputed: Float32[np.ndarray, "gene y x"], measured: Measured, hidden: Bool[np.ndarray, "y x"]) -> float:
    """Mean absolute error at hidden positions, log1p units.

    Args:
        imputed: Made from `without(measured, hidden)`.
        measured: With the hidden positions.
        hidden: Observed positions that were taken away; at least one.
    """
    return float(np.abs(imputed[:, hidden] - measured.expression[:, hidden]).mean(dtype=np.float64))


def gene_reliability(
    imputed: Float32[np.ndarray, "gene y x"], measured: Measured, hidden: Bool[np.ndarray, "y x"]
) -> Float64[np.ndarray, " gene"]:
    """Pearson correlation per gene at hidden positions; 0 where undefined, NaN with fewer than three positions.

    Args:
        imputed: Made from `without(measured, hidden)`.
        measured: With the hidden positions.
        hidden: Observed positions that were taken away.
    """
    if hidden.sum() < 3:
        return np.full(len(imputed), np.nan)
    given, truth = (array[:, hidden].astype(np.float64) for array in (imputed, measured.expression))
    given, truth = given - given.mean(axis=1, keepdims=True), truth - truth.mean(axis=1, keepdims=True)
    norm = np.sqrt((given**2).sum(axis=1) * (truth**2).sum(axis=1))
    correlation = np.divide((given * truth).sum(axis=1), norm, out=np.zeros(len(imputed)), where=norm > 0)
    # Rounding puts perfect ones a last bit beyond 1, which no release accepts.
    clipped: np.ndarray = np.clip(correlation, -1, 1)
    return clipped
