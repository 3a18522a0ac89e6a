"""How sure a difference between two methods is: a paired bootstrap over square blocks of a section.

Neighbouring bins are alike, in truth and in error, so that single bins are no independent witnesses: whole blocks are drawn with
replacement, the same for both methods, and the difference is computed anew each time.

Decision: every score in use is a function of sums over bins (count, values, squares, products). They are summed once per gene and
block; a resample is then a row of block counts times these sums, and a thousand resamples are a few matrix products. The price is
that a statistic that is no function of such sums, like a rank correlation, has no place here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int

from s2s.errors import InputError, ShapeError
from s2s.evaluation.metrics import ROUNDING
from s2s.evaluation.protocol import gene_blocks

LEVEL = 0.95
"""Probability of the percentile interval."""

Bins = Float32[np.ndarray, "gene position"]
Sums = Float64[np.ndarray, "block gene"]
PerSample = Float64[np.ndarray, " resample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How blocks are drawn.

    Attributes:
        block: Side of a block in bins of the grid.
        num_resamples: How often the blocks are drawn.
        seed: Of the draws; the same for every comparison on a grid.
    """

    block: int = 8
    num_resamples: int = 1000
    seed: int = 0


DEFAULT = Resampling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two methods on the same held-out bins.

    Attributes:
        truth: log1p units, one column per bin.
        first: What the first method says of them.
        second: What the second method says of them.
        places: `(y, x)` of each bin on the grid of the section.
    """

    truth: Bins
    first: Bins
    second: Bins
    places: Int[np.ndarray, "position 2"]

    def __post_init__(self) -> None:
        """Refuse arrays that do not share genes and bins."""
        shapes = [array.shape for array in (self.truth, self.first, self.second)]
        if len(set(shapes)) > 1 or self.places.shape != (self.truth.shape[1], 2):
            raise ShapeError(
                f"expected truth and both methods with the same (gene, position) and a (y, x) per position, got {shapes[0]}, {shapes[1]}, "
                f"{shapes[2]} and {self.places.shape}; compare methods on the same held-out bins"
            )
        if not self.truth.size:
            raise InputError(f"expected at least one gene at one held-out bin to compare methods on, got {shapes[0]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapResult:
    """Difference of two methods, first minus second, with its 95 % percentile interval.

    Attributes:
        pcc_difference: Of the mean over genes of the Pearson correlation; above 0 the first is better.
        pcc_lower: Lower bound.
        pcc_upper: Upper bound.
        rmse_difference: Of the mean over genes of the RMSE, log1p units; below 0 the first is better.
        rmse_lower: Lower bound.
        rmse_upper: Upper bound.
    """

    pcc_difference: float
    pcc_lower: float
    pcc_upper: float
    rmse_difference: float
    rmse_lower: float
    rmse_upper: float


def block_bootstrap_difference(
    truth: Bins, a: Bins, b: Bins, places: Int[np.ndarray, "position 2"], resampling: Resampling = DEFAULT
) -> BootstrapResult:
    """Compare two methods on one section and one phase.

    Args:
        truth: log1p units at held-out bins.
        a: The first method there.
        b: The second.
        places: `(y, x)` of the bins.
        resampling: How blocks are drawn.

    Returns:
        `a` minus `b`, positions resampled, genes averaged.

    Raises:
        ShapeError: the arrays do not share genes and bins.
        InputError: there is no gene or no bin.
    """
    return block_bootstrap_mean_difference([Comparison(truth=truth, first=a, second=b, places=places)], resampling)


def block_bootstrap_mean_difference(comparisons: Sequence[Comparison], resampling: Resampling = DEFAULT) -> BootstrapResult:
    """Compare two methods over several phases or seeds of one section: the same blocks for all, the difference averaged over them.

    Args:
        comparisons: At least one; places of all of them are on one grid, each may have bins and genes of its own.
        resampling: How blocks are drawn.

    Raises:
        InputError: there is nothing to compare.

    Source:
        Kunsch 1989 (blocks for dependent data), here square and not overlapping; Efron 1979 (percentile interval).
    """
    if not comparisons:
        raise InputError("expected at least one comparison of two methods, got none")
    cells = [comparison.places // resampling.block for comparison in comparisons]
    blocks, block_of = np.unique(np.concatenate(cells), axis=0, return_inverse=True)
    per_comparison = np.split(block_of.reshape(-1), np.cumsum([len(cell) for cell in cells])[:-1])
    rng = np.random.default_rng(resampling.seed)
    draws = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=resampling.num_resamples)
    # The first row counts every block once: the difference itself.
    counts = np.concatenate([np.ones((1, len(blocks))), draws])
    pairs = [_differences(item, which, counts) for item, which in zip(comparisons, per_comparison, strict=True)]
    pcc, rmse = (np.mean(side, axis=0) for side in zip(*pairs, strict=True))
    tail = 100 * (1 - LEVEL) / 2
    (pcc_lower, pcc_upper), (rmse_lower, rmse_upper) = (np.percentile(side[1:], [tail, 100 - tail]) for side in (pcc, rmse))
    return BootstrapResult(
        pcc_difference=float(pcc[0]),
        pcc_lower=float(pcc_lower),
        pcc_upper=float(pcc_upper),
        rmse_difference=float(rmse[0]),
        rmse_lower=float(rmse_lower),
        rmse_upper=float(rmse_upper),
    )


def _differences(
    comparison: Comparison, block_of: Int[np.ndarray, " position"], counts: Float64[np.ndarray, "resample block"]
) -> tuple[PerSample, PerSample]:
    """PCC and RMSE of the first method minus those of the second, mean over genes, in every resample."""
    num_genes, num_positions = comparison.truth.shape
    # Sorted by block, so that a sum over a block is a sum over neighbours in memory.
    order = np.argsort(block_of, kind="stable")
    present, starts = np.unique(block_of[order], return_index=True)
    drawn = counts[:, present]
    size = drawn @ np.diff(np.append(starts, num_positions)).astype(np.float64)
    pcc, rmse = np.zeros(len(counts)), np.zeros(len(counts))
    for genes in gene_blocks(num_genes):
        truth, first, second = (
            array[genes][:, order].astype(np.float64) for array in (comparison.truth, comparison.first, comparison.second)
        )
        centred = _centred(truth)
        for estimate, sign in ((first, 1.0), (second, -1.0)):
            pcc += sign * _correlation(centred, _centred(estimate), starts, drawn, size)
            rmse += sign * _root(_block_sums((estimate - truth) ** 2, starts), drawn, size)
    return pcc / num_genes, rmse / num_genes


def _centred(values: Float64[np.ndarray, "gene position"]) -> Float64[np.ndarray, "gene position"]:
    """Deviations from each gene's mean over all bins: what is left to cancel in a resample is small."""
    deviations: np.ndarray = values - values.mean(axis=1, keepdims=True)
    return deviations


def _block_sums(values: Float64[np.ndarray, "gene position"], starts: Int[np.ndarray, " block"]) -> Sums:
    sums: np.ndarray = np.add.reduceat(values, starts, axis=1).T
    return sums


def _correlation(a: np.ndarray, b: np.ndarray, starts: Int[np.ndarray, " block"], drawn: np.ndarray, size: PerSample) -> PerSample:
    """Sum over genes of the Pearson correlation in every resample; a gene that is constant in one counts as 0 there."""
    sum_a, sum_b, aa, bb, ab = (drawn @ _block_sums(values, starts) for values in (a, b, a * a, b * b, a * b))
    count = size[:, None]
    variances = [count * squares - total**2 for squares, total in ((aa, sum_a), (bb, sum_b))]
    is_defined = (variances[0] > ROUNDING**2 * count * aa) & (variances[1] > ROUNDING**2 * count * bb)
    scale = np.sqrt(np.where(is_defined, variances[0] * variances[1], 1.0))
    correlation = np.where(is_defined, (count * ab - sum_a * sum_b) / scale, 0.0)
    total: np.ndarray = np.clip(correlation, -1, 1).sum(axis=1)
    return total


def _root(squares: Sums, drawn: np.ndarray, size: PerSample) -> PerSample:
    """Sum over genes of the root mean squared error in every resample; 0 in one that drew none of the bins."""
    total: np.ndarray = np.sqrt(drawn @ squares / np.maximum(size, 1)[:, None]).sum(axis=1)
    return total
