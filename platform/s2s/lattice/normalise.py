"""Library-size normalisation whose only constant comes from observed bins, so that nothing held out leaks into it."""

import numpy as np
from jaxtyping import Bool, Float32, Num

from s2s.errors import InputError


def median_total(totals: Num[np.ndarray, "y x"], observed: Bool[np.ndarray, "y x"]) -> float:
    """Median over observed bins of the total count of a bin.

    Args:
        totals: Sum over all genes, counts per bin.
        observed: Bins that were measured.

    Raises:
        InputError: no bin was observed, or the observed ones are empty.
    """
    values = totals[observed]
    if values.size == 0 or not np.median(values) > 0:
        raise InputError(
            f"expected observed bins with counts, got {values.size} observed bins with {values.sum():g} counts; check pitch and phase"
        )
    return float(np.median(values))


def log1p_normalise(counts: Num[np.ndarray, "gene y x"], totals: Num[np.ndarray, "y x"], target: float) -> Float32[np.ndarray, "gene y x"]:
    """`log1p(count / total of the bin * target)`, 0 in empty bins.

    Args:
        counts: Counts per gene and bin.
        totals: Sum over ALL genes of the section, not only those in `counts`.
        target: Total that every bin is scaled to, from `median_total`.

    Source:
        Protocol of the project: median of observed bins instead of the authors' median of all bins.
    """
    scale = np.divide(target, totals, out=np.zeros(totals.shape, np.float64), where=totals > 0)
    values: np.ndarray = np.log1p(counts * scale).astype(np.float32)
    return values
