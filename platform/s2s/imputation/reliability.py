"""How far to trust each gene, judged on measured positions alone: hide some, impute, compare.

Decision: a gene is called reliable by the lower end of an interval, not by its correlation, so that small sections promise less;
the price is that Fisher's interval takes bins for independent, as neighbours are not, and is therefore a little narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from s2s.lattice.measured import Measured

RELIABLE_PCC = 0.1
"""A gene is reliable if the lower end of its correlation's 90 % interval lies above: below it an imputed map says next to nothing."""

LEAST_TRUST = 0.1
"""Less is not worth the time that a network takes."""

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


def hidden_error(
    imputed: Float32[np.ndarray, "gene y x"], measured: Measured, hidden: Bool[np.ndarray, "y x"], kind: Literal["l1", "l2"] = "l1"
) -> float:
    """Mean absolute (`l1`) or root mean squared (`l2`) error at hidden positions, log1p units.

    Args:
        imputed: Made from `without(measured, hidden)`.
        measured: With the hidden positions.
        hidden: Observed positions that were taken away; at least one.
        kind: Which error.
    """
    error = imputed[:, hidden].astype(np.float64) - measured.expression[:, hidden]
    return float(np.abs(error).mean() if kind == "l1" else np.sqrt(np.square(error).mean()))


def proven_trust(
    imputed: Float32[np.ndarray, "gene y x"], fill: Float32[np.ndarray, "gene y x"], measured: Measured, hidden: Bool[np.ndarray, "y x"]
) -> float:
    """Share of a network's change to its fill that hidden samples prove to help: a lower bound, 0 where nothing is proven.

    The share with the smallest squared error (genes divided by their spread) less twice its standard error, positions being independent.

    Args:
        imputed: Made from `without(measured, hidden)` and `fill`.
        fill: What the network started from.
        measured: With the hidden positions.
        hidden: Observed positions that no step has learnt from.

    Returns:
        From 0 to 1; 0 below `LEAST_TRUST`.
    """
    spread = measured.expression[:, measured.observed].std(axis=1, dtype=np.float64)
    weight = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)[:, None]
    truth, start = measured.expression[:, hidden].astype(np.float64), fill[:, hidden]
    change = (imputed[:, hidden].astype(np.float64) - start) * weight
    power = np.square(change).sum()
    if power == 0:
        return 0.0
    gain = change * (truth - start) * weight
    best = gain.sum() / power
    error = np.sqrt(np.square((gain - best * np.square(change)).sum(axis=0)).sum()) / power
    proven = float(np.clip(best - 2 * error, 0, 1))
    return proven if proven >= LEAST_TRUST else 0.0


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
    if observed_values.shape[1] == 0:
        unknown = np.full(len(observed_values), np.nan)
        return Reliability(pcc=unknown, lower=unknown)
    return reliability_of(moments_of(out_of_fold, observed_values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What remains of predictions and measurements of the same bins: enough for their correlation, and joined bins by bins.

    Attributes:
        num_bins: At least one.
        mean: Of predictions, then of measurements.
        low: Smallest of each.
        high: Largest of each.
        squares: Squared deviations from the mean, summed, of each.
        products: Deviations of predictions times those of measurements, summed.
    """

    num_bins: int
    mean: Float64[np.ndarray, "2 gene"]
    low: Float64[np.ndarray, "2 gene"]
    high: Float64[np.ndarray, "2 gene"]
    squares: Float64[np.ndarray, "2 gene"]
    products: PerGene


def moments_of(out_of_fold: Float[np.ndarray, "gene bin"], observed_values: Float[np.ndarray, "gene bin"]) -> Moments:
    """Sum predictions and measurements up.

    Args:
        out_of_fold: Predictions at observed bins, each made without the bin, log1p units; at least one bin.
        observed_values: What was measured there.
    """
    exact = [side.astype(np.float64) for side in (out_of_fold, observed_values)]
    mean = [side.mean(axis=1) for side in exact]
    given, truth = (side - middle[:, None] for side, middle in zip(exact, mean, strict=True))
    return Moments(
        num_bins=observed_values.shape[1],
        mean=np.stack(mean),
        low=np.stack([side.min(axis=1) for side in exact]),
        high=np.stack([side.max(axis=1) for side in exact]),
        squares=np.stack([(given**2).sum(axis=1), (truth**2).sum(axis=1)]),
        products=(given * truth).sum(axis=1),
    )


def joined_all(parts: Sequence[Moments | None]) -> Moments | None:
    """Moments of several sets of bins together, in their order; None where no set has bins."""
    whole: Moments | None = None
    for part in parts:
        if part is not None:
            whole = part if whole is None else _joined(whole, part)
    return whole


def _joined(first: Moments, second: Moments) -> Moments:
    """Source: Chan, Golub and LeVeque 1983."""
    number = first.num_bins + second.num_bins
    apart = second.mean - first.mean
    weight = first.num_bins * second.num_bins / number
    return Moments(
        num_bins=number,
        mean=first.mean + apart * (second.num_bins / number),
        low=np.minimum(first.low, second.low),
        high=np.maximum(first.high, second.high),
        squares=first.squares + second.squares + weight * apart**2,
        products=first.products + second.products + weight * apart[0] * apart[1],
    )


def reliability_of(moments: Moments) -> Reliability:
    """Correlation of every gene and the lower end of its interval; see `predicted_reliability`."""
    if moments.num_bins < 4:
        unknown = np.full(len(moments.products), np.nan)
        return Reliability(pcc=unknown, lower=unknown)
    pcc = _correlation(moments)
    # A perfect correlation has no finite tangent.
    transformed = np.arctanh(np.clip(pcc, -1 + 1e-12, 1 - 1e-12))
    return Reliability(pcc=pcc, lower=np.tanh(transformed - QUANTILE_95 / np.sqrt(moments.num_bins - 3)))


def _correlation(moments: Moments) -> PerGene:
    """Pearson correlation per gene, NaN where either side is constant."""
    # What float32 rounding makes of a constant has a spread, and would have a correlation.
    spread = np.maximum(moments.high - moments.mean, moments.mean - moments.low)
    is_constant = (spread <= ROUNDING * np.maximum(np.abs(moments.low), np.abs(moments.high))).any(axis=0)
    norm = np.where(is_constant, 0, np.sqrt(moments.squares[0] * moments.squares[1]))
    correlation = np.divide(moments.products, norm, out=np.full(len(norm), np.nan), where=norm > 0)
    # Rounding puts perfect ones a last bit beyond 1, which no release accepts.
    clipped: np.ndarray = np.clip(correlation, -1, 1)
    return clipped
