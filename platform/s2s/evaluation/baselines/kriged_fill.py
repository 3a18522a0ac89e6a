"""Our own linear step alone: what the network of `fill: krige` starts from, so that a table shows what the network adds.

Source: our implementation, see `s2s.kriging`.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from s2s.contracts.run import KrigingConfig
from s2s.kriging.section import krige_section
from s2s.lattice.measured import Measured


@dataclass(frozen=True, slots=True)
class KrigedFill:
    """Gene factors and genes, weighted by the noise of each bin and kriged with an averaged covariance; clipped at 0.

    Attributes:
        name: Row of the table.
        config: Rank, share and noise.
    """

    name: str = "kriged_fill"
    config: KrigingConfig = field(default_factory=KrigingConfig)

    def impute(self, measured: Measured) -> Float32[np.ndarray, "gene y x"]:
        """Return the kriging mean, log1p units; the measured value at observed bins, the mean of observed bins off tissue."""
        return krige_section(measured, self.config)
