"""How far to trust each gene, judged on measured positions alone: hide some, impute, compare.

Decision: a gene is called reliable by the lower end of an interval, not by its correlation, so that small sections promise less;
the price is that Fisher's interval takes bins for independent, as neighbours are not, and is therefore a little narrow.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from s2s.lattice.measured import Measured

RELIABLE_PCC = 0.1
"""A gene is reliable if the lower end of its correlation's 90 % interval lies above: below it an imputed map says next to nothing."""

QUANTILE_95 = 1.6449
"""Of the normal distribution: both ends of a 90 % interval."""

ROUNDING = 1e-6
"""Relative deviation below which values count as constant: eight units in the last place of float32."""

PerGene = Float64[np.ndarray, " gene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What predictions of measured bins say about imputing the others.

    Attributes:
        pcc: Pearson correlation of each gene with its predictions; NaN where undefined.
        lower: Lower end of its 90 % interval; NaN where undefined.
    """

    pcc: PerGene
    lower: PerGene

    @property
    def is_reliable(self) -> Bool[np.ndarray, " gene"]:
        """Genes whose lower end lies above `RELIABLE_PCC`; never an undefined one."""
        above: np.ndarray = self.lower > RELIABLE_PCC
        return above


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
    given, truth = (array[:, hidden] for array in (imputed, measured.expression))
    correlation = _correlation(given, truth)
    return np.where(np.isnan(correlation), 0.0, correlation)


def predicted_reliability(out_of_fold: Float[np.ndarray, "gene bin"], observed_values: Float[np.ndarray, "gene bin"]) -> Reliability:
    """Predict how well each gene comes back, from every observed bin predicted without it.

    Args:
        out_of_fold: Predictions at observed bins, each made without the bin, log1p units.
        observed_values: What was measured there.

    Returns:
        NaN where the values or the predictions of a gene are constant, and with fewer than four bins.

    Source:
        Fisher 1921: the inverse hyperbolic tangent of a correlation has variance 1 / (n - 3).
    """
    num_bins = observed_values.shape[1]
    if num_bins < 4:
        unknown = np.full(len(observed_values), np.nan)
        return Reliability(pcc=unknown, lower=unknown)
    pcc = _correlation(out_of_fold, observed_values)
    # A perfect correlation has no finite tangent.
    transformed = np.arctanh(np.clip(pcc, -1 + 1e-12, 1 - 1e-12))
    return Reliability(pcc=pcc, lower=np.tanh(transformed - QUANTILE_95 / np.sqrt(num_bins - 3)))


def _correlation(given: Float[np.ndarray, "gene bin"], truth: Float[np.ndarray, "gene bin"]) -> PerGene:
    """Pearson correlation per gene, NaN where either side is constant."""
    given, truth = _deviations(given), _deviations(truth)
    norm = np.sqrt((given**2).sum(axis=1) * (truth**2).sum(axis=1))
    correlation = np.divide((given * truth).sum(axis=1), norm, out=np.full(len(given), np.nan), where=norm > 0)
    # Rounding puts perfect ones a last bit beyond 1, which no release accepts.
    clipped: np.ndarray = np.clip(correlation, -1, 1)
    return clipped


def _deviations(values: Float[np.ndarray, "gene bin"]) -> Float64[np.ndarray, "gene bin"]:
    # What float32 rounding makes of a constant has a spread, and would have a correlation.
    exact = values.astype(np.float64)
    deviations: np.ndarray = exact - exact.mean(axis=1, keepdims=True)
    is_constant = np.abs(deviations).max(axis=1) <= ROUNDING * np.abs(exact).max(axis=1)
    deviations[is_constant] = 0
    return deviations
