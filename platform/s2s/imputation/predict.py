"""Everything a network can say of a section: the imputation, how far off it may be, and which genes to believe."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from s2s.contracts.run import ImputationConfig, NetworkConfig
from s2s.imputation.calibration import Calibration, calibrate
from s2s.imputation.out_of_fold import out_of_fold
from s2s.imputation.reliability import Reliability, predicted_reliability
from s2s.imputation.slide import GeneImputers, Imputer, impute_section
from s2s.kriging.folds import Hidden, hide_in_turn
from s2s.kriging.section import usual_folds
from s2s.lattice.measured import Measured
from s2s.lattice.prediction import Prediction

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imputation:
    """What is said of a section.

    Attributes:
        prediction: Mean, median, deviation and intervals on the grid.
        reliability: Of every gene, from measured bins alone.
        calibration: Errors by level, and how often the intervals held on other measured bins.
        guess: log1p units at observed bins, each predicted without the bin; NaN for bins in no part.
    """

    prediction: Prediction
    reliability: Reliability
    calibration: Calibration
    guess: Float32[np.ndarray, "gene bin"]


def hide_samples(measured: Measured, config: NetworkConfig, on_progress: Progress) -> Hidden:
    """Hide the samples of a section in turn, as `predict_section` wants them, the same each time.

    Args:
        measured: What is known.
        config: Says how the network's input is filled.
        on_progress: Told what is going on.
    """
    return hide_in_turn(measured, usual_folds(measured), config, lambda done, total: on_progress("hide samples", done, total))


def predict_section(
    imputer: Imputer | GeneImputers, measured: Measured, known: Hidden, config: ImputationConfig, on_progress: Progress
) -> Imputation:
    """Impute every position, and every measured one as if it had not been, which tells how far to trust the others.

    Args:
        imputer: The network, or that of each gene.
        measured: What is known.
        known: Its samples hidden in turn.
        config: Tiles and batches.
        on_progress: Told what is going on.
    """
    guess = out_of_fold(imputer, measured, known.folds, config, lambda done, total: on_progress("predict hidden samples", done, total))
    values = measured.expression[:, measured.observed]
    told = np.isfinite(guess[0])
    calibration = calibrate(guess[:, told], values[:, told])
    mean = impute_section(imputer, measured, config, lambda done, total: on_progress("impute", done, total), fill=known.fill)
    reliability = predicted_reliability(guess[:, told], values[:, told])
    return Imputation(
        prediction=replace(calibration.predict(mean, measured), predicted_pcc=reliability.pcc),
        reliability=reliability,
        calibration=calibration,
        guess=guess,
    )
