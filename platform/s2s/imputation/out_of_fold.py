"""Predict every measured bin from the others: what a network can be trusted with, told by measurements alone."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from s2s.contracts.run import ImputationConfig
from s2s.imputation.slide import GeneImputers, Imputer, impute_section
from s2s.kriging.folds import Fold
from s2s.lattice.measured import Measured, without


def out_of_fold(
    imputer: Imputer | GeneImputers,
    measured: Measured,
    folds: Sequence[Fold],
    config: ImputationConfig,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Float32[np.ndarray, "gene bin"]:
    """Impute a section once for every part of its bins that is hidden, and keep what was said of that part.

    Args:
        imputer: The network, or that of each gene.
        measured: What is known.
        folds: Parts of its observed bins; a bin in several keeps the last prediction.
        config: Tiles and batches.
        on_progress: Told parts done and parts in all.

    Returns:
        log1p units at the observed bins in the order of the grid; NaN for bins in no part.
    """
    guess = np.full(measured.expression.shape, np.nan, np.float32)
    for done, fold in enumerate(folds):
        on_progress(done, len(folds))
        imputed = impute_section(imputer, without(measured, fold.hidden), config, fill=fold.fill)
        guess[:, fold.hidden] = imputed[:, fold.hidden]
    on_progress(len(folds), len(folds))
    return guess[:, measured.observed]
