"""How far an imputation may be off, learnt from predictions of observed bins that were made without those bins.

Mondrian split-conformal calibration: per gene, bins are put into groups of equal size by their predicted level, for the error of
an expressed bin is not that of a silent one, and each group gives the order statistics of its own residuals. Nothing here predicts.

Decision: intervals are ends of residuals, clipped at 0, and the upper end is chosen last: where clipping leaves no value below the
lower end, as in the many bins that are 0, the whole miss is spent above. On nine real sections these intervals held 90 to 92 % at a
nominal 90 %; ends that ignore the clipping held up to 95 % and were up to half as wide again, and quantiles of the values themselves
scored worse where a section is too small for several groups. The price is that a gene silent in more than half of its bins has
50 % intervals of [0, 0], which hold more than their level, and that bins next to a measured one, nearer than the calibration
bins, are held a little too often.

Source: Vovk et al. 2005 (Mondrian conformal predictors); Lei et al. 2018 (split-conformal regression); our clipping.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

from s2s.lattice.measured import Measured
from s2s.lattice.prediction import Interval, Prediction

LEVELS = (0.5, 0.8, 0.9)
"""Of the intervals, from narrow to wide."""

BINS_PER_GROUP = 60
"""Enough for the order statistics of the 90 % interval to be more than the extremes."""

MAX_GROUPS = 20
"""Per gene: more would follow the noise of the ends."""

MAX_LEVELS = 60
"""Of the medians, which all genes share."""

MIN_BINS = 20
"""Fewer say nothing about the ends of a gene's 90 % interval, for which 19 are needed: genes are then pooled."""

FEWEST_BINS = 3
"""Fewer say nothing at all."""

NUM_BANDS = 4
"""Bands of rows over which coverage is cross-validated."""

ROUNDING = 1e-6
"""A lower end below it is 0, log1p units: rounding must not put it above the many values that are exactly 0."""

Bins = Float[np.ndarray, "gene bin"]
PerBin = Float64[np.ndarray, " bin"]
Bounds = tuple[PerBin, PerBin]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCurve:
    """Errors of one gene against its predicted level: linear between groups, constant beyond the outer ones; log1p units.

    Attributes:
        centres: Mean prediction of each group, increasing.
        std: Root mean square of value minus prediction: a bias is part of how far off it may be.
        lower: Residual at the lower end of each level of `LEVELS`.
        upper: At the upper end; never below `lower`.
    """

    centres: Float64[np.ndarray, " group"]
    std: Float64[np.ndarray, " group"]
    lower: Float64[np.ndarray, "level group"]
    upper: Float64[np.ndarray, "level group"]

    def std_at(self, mean: PerBin) -> PerBin:
        """Standard deviation of bins that are predicted at `mean`."""
        deviation: PerBin = np.interp(mean, self.centres, self.std)
        return deviation

    def bounds_at(self, mean: PerBin) -> Iterator[Bounds]:
        """Lower and upper ends of bins that are predicted at `mean`, one pair per level; never negative, wider ones hold narrower ones."""
        for lower, upper in zip(self.lower, self.upper, strict=True):
            yield _lower_end(mean, self.centres, lower), np.maximum(mean + np.interp(mean, self.centres, upper), 0)

    def times(self, spread: float) -> "ErrorCurve":
        """The same curve in a unit `spread` times smaller."""
        return ErrorCurve(centres=self.centres * spread, std=self.std * spread, lower=self.lower * spread, upper=self.upper * spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What is known about the errors of one method on one section.

    Attributes:
        curves: One per gene; none where too few bins were observed.
        medians: Predicted level and the median of what was measured there, over all genes: a gene has too few bins for its own.
        coverage: Level -> share of values inside intervals that were calibrated on other bands of rows; empty where unknown.
    """

    curves: tuple[ErrorCurve, ...] = ()
    medians: Float64[np.ndarray, "2 group"] | None = None
    coverage: Mapping[float, float] = field(default_factory=dict)

    def predict(self, mean: Float32[np.ndarray, "gene y x"], measured: Measured) -> Prediction:
        """Give an imputation its standard deviation and its intervals.

        Args:
            mean: Made from all observed bins, log1p units, finite on tissue.
            measured: The section it was made for; the same genes.

        Returns:
            The measured value as mean and median, std 0 and intervals of zero width at observed positions; 0 off tissue. Without
            curves nothing but the mean.
        """
        assert mean.shape == measured.expression.shape
        known = np.where(measured.observed, measured.expression, np.float32(0))
        target = measured.tissue & ~measured.observed
        whole = known.copy()
        whole[:, target] = mean[:, target]
        if not self.curves or self.medians is None:
            return Prediction(mean=whole)
        median = known.copy()
        median[:, target] = np.interp(mean[:, target], *self.medians)
        assert len(self.curves) == len(mean)
        std = np.zeros_like(known)
        intervals = {level: Interval(lower=known.copy(), upper=known.copy()) for level in LEVELS}
        for gene, curve in enumerate(self.curves):
            level_of = mean[gene, target].astype(np.float64)
            std[gene, target] = curve.std_at(level_of)
            for interval, (lower, upper) in zip(intervals.values(), curve.bounds_at(level_of), strict=True):
                interval.lower[gene, target], interval.upper[gene, target] = lower, upper
        return Prediction(mean=whole, median=median, std=std, intervals=intervals)


def calibrate(out_of_fold: Bins, observed_values: Bins) -> Calibration:
    """Learn how far predictions are off, gene by gene and level by level.

    Args:
        out_of_fold: Predictions at observed bins, each made without the bin, log1p units, finite.
        observed_values: What was measured there, log1p units, never negative; bins row by row, as `expression[:, observed]` gives them.

    Returns:
        Curves per gene. With fewer than `MIN_BINS` bins the residuals of all genes are pooled, each over its gene's spread; with fewer
        than `FEWEST_BINS` there are none. So few pooled values may be too few for the ends of a level: the extremes stand in.
    """
    assert out_of_fold.shape == observed_values.shape
    predicted, values = out_of_fold.astype(np.float64), observed_values.astype(np.float64)
    curves = _curves(predicted, values)
    medians = _medians(predicted, values) if curves else None
    return Calibration(curves=curves, medians=medians, coverage=_cross_validated_coverage(predicted, values))


def _curves(predicted: Bins, values: Bins) -> tuple[ErrorCurve, ...]:
    num_bins = values.shape[1]
    if num_bins < FEWEST_BINS:
        return ()
    if num_bins >= MIN_BINS:
        return tuple(_fit(*gene) for gene in zip(predicted, values, strict=True))
    spread = _spread(values)
    pooled = _fit((predicted / spread[:, None]).ravel(), (values / spread[:, None]).ravel())
    return tuple(pooled.times(float(of_gene)) for of_gene in spread)


def _medians(predicted: Bins, values: Bins) -> Float64[np.ndarray, "2 group"]:
    order = np.argsort(predicted, axis=None, kind="stable")
    groups = np.array_split(order, int(np.clip(values.size // BINS_PER_GROUP, 1, MAX_LEVELS)))
    return np.array([[predicted.flat[group].mean(), np.median(values.flat[group])] for group in groups]).T


def _spread(values: Bins) -> Float64[np.ndarray, " gene"]:
    # As if each gene had one more bin, of the mean variance: a few equal values do not prove that a gene never varies.
    variance, num_bins = values.var(axis=1), values.shape[1]
    spread: np.ndarray = np.sqrt((num_bins * variance + variance.mean()) / (num_bins + 1))
    return np.where(spread > 0, spread, 1.0)


def _fit(predicted: PerBin, values: PerBin) -> ErrorCurve:
    order = np.argsort(predicted, kind="stable")
    predicted, values = predicted[order], values[order]
    edges = _edges(predicted)
    starts, sizes = edges[:-1], np.diff(edges)
    centres = np.add.reduceat(predicted, starts) / sizes
    residual = values - predicted
    std = np.sqrt(np.add.reduceat(residual**2, starts) / sizes)
    ordered = residual[np.lexsort((residual, np.repeat(np.arange(len(sizes)), sizes)))]
    lower, upper = np.empty((len(LEVELS), len(sizes))), np.empty((len(LEVELS), len(sizes)))
    for index, level in enumerate(LEVELS):
        # A hair keeps 100 * 0.05 from being 4.999...
        rank = np.floor((sizes + 1) * (1 - level) / 2 + 1e-9).astype(int)
        # Too few for this end: no value is below 0.
        lower[index] = np.where(rank > 0, ordered[starts + np.maximum(rank, 1) - 1], -predicted[edges[1:] - 1])
        missed = np.add.reduceat(_is_missed_below(values, _lower_end(predicted, centres, lower[index])), starts)
        rank = np.ceil((sizes + 1) * level - 1e-9).astype(int) + missed
        upper[index] = ordered[starts + np.minimum(rank, sizes) - 1]
    return ErrorCurve(centres=centres, std=std, lower=lower, upper=np.maximum.accumulate(upper, axis=0))


def _edges(predicted: PerBin) -> Int[np.ndarray, " edge"]:
    """Cut sorted predictions into groups of about one size; equal predictions stay together, and no group is less than half a share."""
    number = len(predicted)
    num_groups = int(np.clip(number // BINS_PER_GROUP, 1, MAX_GROUPS))
    share, edges = number / num_groups, [0]
    for group in range(1, num_groups):
        edge = int(np.searchsorted(predicted, predicted[group * number // num_groups]))
        if edge - edges[-1] >= share / 2 and number - edge >= share / 2:
            edges.append(edge)
    return np.array([*edges, number])


def _lower_end(mean: PerBin, centres: Float64[np.ndarray, " group"], lower: Float64[np.ndarray, " group"]) -> PerBin:
    end = mean + np.interp(mean, centres, lower)
    return np.where(end > ROUNDING, end, 0.0)


def _is_missed_below(values: PerBin, lower: PerBin) -> Int[np.ndarray, " bin"]:
    # The value that sets the end counts: among n + 1 values the next one falls below the k-th with k chances.
    return ((lower > 0) & (values <= lower + ROUNDING)).astype(int)


def _cross_validated_coverage(predicted: Bins, values: Bins) -> dict[float, float]:
    num_bins = values.shape[1]
    band_of = np.arange(num_bins) * NUM_BANDS // max(num_bins, 1)
    inside = np.zeros(len(LEVELS))
    for band in range(NUM_BANDS):
        inside += _num_inside(predicted, values, band_of == band)
    return {level: float(share) for level, share in zip(LEVELS, inside / max(values.size, 1), strict=True) if np.isfinite(share)}


def _num_inside(predicted: Bins, values: Bins, hidden: Bool[np.ndarray, " bin"]) -> Float64[np.ndarray, " level"]:
    """Calibrate on the other bins and count hidden values inside each level; NaN where too few are left."""
    curves = _curves(predicted[:, ~hidden], values[:, ~hidden])
    if not curves:
        return np.full(len(LEVELS), np.nan)
    inside = np.zeros(len(LEVELS))
    for curve, mean, truth in zip(curves, predicted[:, hidden], values[:, hidden], strict=True):
        inside += [float(((lower <= truth) & (truth <= upper)).sum()) for lower, upper in curve.bounds_at(mean)]
    return inside
