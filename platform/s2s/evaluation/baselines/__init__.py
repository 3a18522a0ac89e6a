"""The rivals that every run is compared with, each fitted to the observed bins of one section and to nothing else.

One file per family. A baseline returns a finite value for every position of the grid, whatever the observed mask; values
off tissue mean nothing. Whether measured values are put back at observed positions is decided by whoever uses the result.
Rivals that sample a lattice refuse scattered bins with a `ShapeError`. Trained ones are imported when they are asked for.
"""

from s2s.evaluation.baselines.classical import Baseline, classical_baselines
from s2s.evaluation.baselines.registry import BASELINE_NAMES, all_baselines, baseline_named

__all__ = ["BASELINE_NAMES", "Baseline", "all_baselines", "baseline_named", "classical_baselines"]
