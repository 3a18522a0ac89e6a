"""The classical rivals that every run is compared with, each fitted to the observed bins of one section and to nothing else.

One file per family. A baseline returns a finite value for every position of the grid, whatever the observed mask; values
off tissue mean nothing. Whether measured values are put back at observed positions is decided by whoever uses the result.
"""

from s2s.evaluation.baselines.classical import Baseline, baseline_named, classical_baselines

__all__ = ["Baseline", "baseline_named", "classical_baselines"]
