"""What a baseline is, and which ones stand in every table.

Decision: hyper-parameters that the protocol fixes (rank 20, 1.5 bins, the bandwidth candidates) are defaults of the
frozen dataclasses, so that a row of the table is reproduced by naming its class; the price is that a study of another
rank builds its own instance.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from s2s.evaluation.baselines.constant import Mean, Median, Zero
from s2s.evaluation.baselines.interpolation import Bicubic, Bilinear, Nearest
from s2s.evaluation.baselines.kernel import GaussianKernel
from s2s.evaluation.baselines.lowrank import LowRankGaussian
from s2s.lattice.measured import Measured


@runtime_checkable
class Baseline(Protocol):
    """A method that needs no training beyond the section it imputes."""

    @property
    def name(self) -> str:
        """Row of the table: lower-case letters, digits and underscores, fit for a metric key."""
        ...

    def impute(self, measured: Measured) -> Float32[np.ndarray, "gene y x"]:
        """Estimate every position of the grid from the observed ones.

        Args:
            measured: A section with at least one observed bin; NaN where nothing was observed.

        Returns:
            log1p units, finite everywhere; meaningless off tissue.
        """
        ...


def classical_baselines() -> tuple[Baseline, ...]:
    """The rows of the protocol's tables, weakest assumptions first."""
    return (Zero(), Median(), Mean(), Nearest(), Bilinear(), Bicubic(), GaussianKernel(), LowRankGaussian())
