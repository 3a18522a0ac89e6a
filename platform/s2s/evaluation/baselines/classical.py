"""What a baseline is, and which ones stand in every table.

Decision: hyper-parameters that the protocol fixes (rank 20, 1.5 bins, the bandwidth candidates) are defaults of the
frozen dataclasses, so that a row of the table is reproduced by naming its class; the price is that a study of another
rank builds its own instance.
"""

from difflib import get_close_matches
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from s2s.errors import ConfigError
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


def baseline_named(name: str, seed: int = 0) -> Baseline:
    """Find a baseline by its row of the table.

    Args:
        name: Of the row.
        seed: For one whose result depends on it.

    Raises:
        ConfigError: no such baseline; the message lists those there are and names the nearest.
    """
    known = {baseline.name: baseline for baseline in classical_baselines()}
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"expected one of the baselines {', '.join(known)}, got {name!r}{hint}")
    return known[name]
