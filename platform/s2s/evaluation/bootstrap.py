"""How sure a difference between two methods is: a paired bootstrap over blocks of positions.

Neighbouring bins are alike, so single bins must not be drawn as if they were independent: whole square blocks are, the
same ones for both methods and for every pair of a comparison. Decision: a block is reduced to sums per gene before
anything is drawn, so that a resample is a row of a matrix product; the price is sums of squares in float64, of values
from which each gene's mean is taken first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from s2s.evaluation.metrics import ROUNDING

INTERVAL = (2.5, 97.5)
"""Percentiles of the 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How blocks are drawn.

    Attributes:
        block: Side of a block in bins of the grid.
        num_resamples: How often the blocks are drawn.
        seed: Of the draws.
    """

    block: int = 8
    num_resamples: int = 1000
    seed: int = 0


DEFAULT = Resampling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two methods on the same held-out bins, log1p units.

    Attributes:
        truth: What both are judged on.
        first: What the first method says of them.
        second: What the second method says of them.
        places: `(y, x)` of each bin on the grid of the section.
    """

    truth: Float[np.ndarray, "gene position"]
    first: Float[np.ndarray, "gene position"]
    second: Float[np.ndarray, "gene position"]
    places: Int[np.ndarray, "position 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapResult:
    """The first method minus the second: means over genes, with the bounds of a 95 % interval."""

    pcc_difference: float
    pcc_lower: float
    pcc_upper: float
    rmse_difference: float
    rmse_lower: float
    rmse_upper: float


def block_bootstrap_mean_difference(comparisons: Sequence[Comparison], resampling: Resampling = DEFAULT) -> BootstrapResult:
    """Compare two methods over several phases or seeds of one section: the same blocks for all, the difference averaged over them.

    Args:
        comparisons: At least one; their places are on one grid.
        resampling: How blocks are drawn, with replacement, as many as there are.

    Returns:
        Differences of the mean over genes of the Pearson correlation, 0 where undefined, and of the RMSE.
    """
    tiles = [item.places // resampling.block for item in comparisons]
    blocks, index = np.unique(np.concatenate(tiles), axis=0, return_inverse=True)
    bounds = np.cumsum([0, *(len(tile) for tile in tiles)])
    rng = np.random.default_rng(resampling.seed)
    draws = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=resampling.num_resamples)
    weights = np.concatenate([np.ones((1, len(blocks))), draws])  # the first row is the sample itself
    differences = np.zeros((2, len(weights)))
    for item, start, stop in zip(comparisons, bounds[:-1], bounds[1:], strict=True):
        membership = np.zeros((stop - start, len(blocks)))
        membership[np.arange(stop - start), index.ravel()[start:stop]] = 1
        first, second = (_statistics(item.truth, estimate, membership, weights) for estimate in (item.first, item.second))
        differences += (first - second) / len(comparisons)
    pcc, rmse = differences
    (pcc_lower, pcc_upper), (rmse_lower, rmse_upper) = (np.percentile(drawn[1:], INTERVAL) for drawn in (pcc, rmse))
    return BootstrapResult(
        pcc_difference=float(pcc[0]),
        pcc_lower=float(pcc_lower),
        pcc_upper=float(pcc_upper),
        rmse_difference=float(rmse[0]),
        rmse_lower=float(rmse_lower),
        rmse_upper=float(rmse_upper),
    )


def _statistics(
    truth: np.ndarray, estimate: np.ndarray, membership: Float64[np.ndarray, "position block"], weights: Float64[np.ndarray, "draw block"]
) -> Float64[np.ndarray, "2 draw"]:
    """Mean over genes of correlation and RMSE in every draw."""
    t, e = _centred(truth), _centred(estimate)
    error = np.square(np.subtract(estimate, truth, dtype=np.float64))
    number = np.maximum(weights @ membership.sum(axis=0), 1)
    sums = [weights @ (values @ membership).T / number[:, None] for values in (t, e, t * t, e * e, t * e, error)]
    mean_t, mean_e, square_t, square_e, product, squared_error = sums
    variance = np.maximum(square_t - mean_t**2, 0) * np.maximum(square_e - mean_e**2, 0)
    # Draws from few blocks may leave a gene without variance, up to rounding.
    is_defined = variance > (ROUNDING**4) * square_t.max() * square_e.max(initial=ROUNDING)
    correlation = np.divide(product - mean_t * mean_e, np.sqrt(variance), out=np.zeros_like(variance), where=is_defined)
    return np.stack([np.clip(correlation, -1, 1).mean(axis=1), np.sqrt(squared_error).mean(axis=1)])


def _centred(values: np.ndarray) -> Float64[np.ndarray, "gene position"]:
    exact = values.astype(np.float64)
    deviations: np.ndarray = exact - exact.mean(axis=1, keepdims=True)
    deviations[np.abs(deviations).max(axis=1, initial=0) <= ROUNDING * np.abs(exact).max(axis=1, initial=0)] = 0
    return deviations
