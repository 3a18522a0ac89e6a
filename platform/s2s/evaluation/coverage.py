"""How often intervals hold the truth."""

import numpy as np

from s2s.contracts.benchmark import Coverage
from s2s.lattice.measured import HeldOut
from s2s.lattice.prediction import Prediction


def measured_coverage(prediction: Prediction, truth: HeldOut) -> tuple[Coverage, ...]:
    """Say for each nominal level how much of the truth its intervals hold, over all genes and held-out bins.

    Args:
        prediction: Of any method; without intervals the answer is empty.
        truth: At least one held-out bin.
    """
    held = truth.positions
    values = truth.expression[:, held]
    rows = []
    for level, interval in sorted(prediction.intervals.items()):
        lower, upper = interval.lower[:, held], interval.upper[:, held]
        share = float(((values >= lower) & (values <= upper)).mean())
        rows.append(Coverage(level=level, measured=share, width=float((upper - lower).mean(dtype=np.float64))))
    return tuple(rows)
