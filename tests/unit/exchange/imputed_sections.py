"""An imputed section of six bins, small enough to be worked out by hand."""

import numpy as np

from s2s.exchange.anndata_out import ImputedSection
from s2s.lattice.prediction import Interval

NAN = np.nan


def six_bins(lattice: str = "square", **changes: object) -> ImputedSection:
    """Two genes on two rows and three columns; measured at (0, 0) and (0, 2), off tissue at (1, 2); pitch 10, corner at (100, 200)."""
    imputed = np.array([[[1, 2, 3], [4, 5, NAN]], [[0, 8, 7], [6, 1, NAN]]], np.float32)
    is_measured = np.array([[True, False, True], [False, False, False]])
    about = {
        "genes": ("ESR1", "PGR"),
        "observed": np.where(is_measured, imputed, np.float32(NAN)),
        "imputed": imputed,
        "tissue": np.array([[True, True, True], [True, True, False]]),
        "is_measured": is_measured,
        "pitch_um": 10.0,
        "origin_um": (100.0, 200.0),
        "lattice": lattice,
        "reliability": np.array([0.5, 0.75]),
        "provenance": {
            "section": {"id": "six", "is_synthetic": True},
            "sampling": {"stride": 2, "phase": [0, 0]},
            "release": {"is_leaky": False, "parent": None, "scores": [{"pcc": 0.5}]},
        },
        "std": np.where(is_measured, np.float32(0), imputed / 4),
        "intervals": {0.9: Interval(lower=imputed / 2, upper=imputed * 2)},
        "is_reliable": np.array([True, True]),
    }
    return ImputedSection(**{**about, **changes})  # type: ignore[arg-type]
