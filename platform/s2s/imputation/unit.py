"""Impute one unit of a section: what `s2s impute` does with a whole one, kept for the bins that the unit answers for.

Decision: a tile with next to nothing measured within its reach gets what is known of its genes from elsewhere in the section, their mean
and the spread of their measured values, so that no bin on tissue stays empty; its `std` and intervals say how little that is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32

from s2s.contracts.run import ImputationConfig
from s2s.imputation.calibration import FEWEST_BINS, Calibration, calibrate
from s2s.imputation.predict import Progress, hide_samples, predict_section
from s2s.imputation.reliability import Moments, moments_of
from s2s.imputation.slide import Imputer
from s2s.imputation.tiling import Span
from s2s.lattice.measured import Measured
from s2s.lattice.prediction import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What is known of genes where nothing was measured nearby.

    Attributes:
        mean: Of each gene over measured bins, log1p units.
        calibration: Of that mean as a prediction of any bin.
    """

    mean: Float32[np.ndarray, " gene"]
    calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitImputer:
    """Imputes the units of one section.

    Attributes:
        imputer: The network.
        config: Tiles and batches of the network within a unit.
        num_observed: Measured bins of the whole section.
        on_progress: Told what is going on.
    """

    imputer: Imputer
    config: ImputationConfig
    num_observed: int
    on_progress: Progress

    def impute(
        self, measured: Measured, rows: Span, columns: Span, elsewhere: Callable[[], Elsewhere]
    ) -> tuple[Prediction, Moments | None]:
        """Impute a tile of some genes.

        Args:
            measured: What its reach holds.
            rows: Of the tile.
            columns: Of the tile.
            elsewhere: Gives what is known of the same genes in the rest of the section; asked only where it is needed.

        Returns:
            The prediction of the core, and what predictions of its measured bins without themselves say about its genes; None without
            such bins.
        """
        core = (rows.core_in_reach, columns.core_in_reach)
        if not measured.tissue[core].any():
            return _blank(_part(measured, core), has_uncertainty=self.num_observed >= FEWEST_BINS), None
        # A whole section with so few bins has no better elsewhere.
        if measured.observed.sum() < min(FEWEST_BINS, self.num_observed):
            return _flat(_part(measured, core), elsewhere()), None
        known = hide_samples(measured, self.imputer.network.config, self.on_progress)
        imputed = predict_section(self.imputer, measured, known, self.config, self.on_progress)
        inside = np.zeros_like(measured.observed)
        inside[core] = True
        told = inside[measured.observed] & np.isfinite(imputed.guess[0])
        values = measured.expression[:, measured.observed][:, told]
        moments = moments_of(imputed.guess[:, told], values) if told.any() else None
        return _core_of(imputed.prediction, core), moments


def describe_elsewhere(values: Float32[np.ndarray, "gene bin"]) -> Elsewhere:
    """Describe genes by their measured values, for bins that lie far from all of them.

    Args:
        values: Measured, log1p units; a share of the section's bins is enough.
    """
    mean = values.mean(axis=1, dtype=np.float64).astype(np.float32)
    return Elsewhere(mean=mean, calibration=calibrate(np.broadcast_to(mean[:, None], values.shape), values))


def _part(measured: Measured, core: tuple[slice, slice]) -> Measured:
    cut = (slice(None), *core)
    return replace(measured, expression=measured.expression[cut], observed=measured.observed[core], tissue=measured.tissue[core])


def _flat(measured: Measured, elsewhere: Elsewhere) -> Prediction:
    field = np.broadcast_to(elsewhere.mean[:, None, None], measured.expression.shape)
    return elsewhere.calibration.predict(field, measured)


def _blank(measured: Measured, *, has_uncertainty: bool) -> Prediction:
    zeros: Float32[np.ndarray, "gene y x"] = np.zeros(measured.expression.shape, np.float32)
    nothing: Bool[np.ndarray, "y x"] = np.zeros_like(measured.tissue)
    off_tissue = replace(measured, observed=nothing, tissue=nothing)
    if not has_uncertainty:
        return Prediction(mean=zeros)
    # Any calibration names the layers; there is no bin for it to speak of.
    three = np.zeros((len(zeros), FEWEST_BINS), np.float32)
    return calibrate(three, three).predict(zeros, off_tissue)


def _core_of(prediction: Prediction, core: tuple[slice, slice]) -> Prediction:
    cut = (slice(None), *core)
    intervals = {level: replace(each, lower=each.lower[cut], upper=each.upper[cut]) for level, each in prediction.intervals.items()}
    median = None if prediction.median is None else prediction.median[cut]
    std = None if prediction.std is None else prediction.std[cut]
    return Prediction(mean=prediction.mean[cut], median=median, std=std, intervals=intervals)
