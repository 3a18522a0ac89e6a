"""Where an imputation errs: its error against the distance to the nearest sample and to the edge of the tissue."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from s2s.evaluation.distances import FRAME, distance_to
from s2s.lattice.measured import Measured

MIN_SHARE = 0.01
"""Smallest share of the positions that a point of a curve stands on; farther ones are drawn into the last point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceCurve:
    """RMSE over genes and positions that lie at about the same distance.

    Attributes:
        distance_um: Mean distance of each group, ascending.
        rmse: log1p units.
    """

    distance_um: Float64[np.ndarray, " group"]
    rmse: Float64[np.ndarray, " group"]


def to_nearest_sample_um(measured: Measured, positions: Bool[np.ndarray, "y x"]) -> Float64[np.ndarray, " position"]:
    """Distance of positions from the centre of the nearest observed bin.

    Args:
        measured: At least one bin is observed.
        positions: Where it is asked for.
    """
    distances: np.ndarray = distance_to(measured.observed, measured.lattice)[positions]
    return distances * measured.pitch_um


def to_tissue_edge_um(measured: Measured, positions: Bool[np.ndarray, "y x"]) -> Float64[np.ndarray, " position"]:
    """Distance of positions from the centre of the nearest bin off tissue; beyond the grid there is no tissue.

    Args:
        measured: Says where tissue is.
        positions: Where it is asked for.
    """
    inner = distance_to(~np.pad(measured.tissue, FRAME), measured.lattice)[FRAME:-FRAME, FRAME:-FRAME]
    distances: np.ndarray = inner[positions]
    return distances * measured.pitch_um


def error_curve(
    squared_error: Float64[np.ndarray, " position"], distance_um: Float64[np.ndarray, " position"], step_um: float
) -> DistanceCurve:
    """Group positions by distance.

    Args:
        squared_error: Mean over genes, squared log1p units.
        distance_um: Of the same positions; at least one.
        step_um: Width of a group.
    """
    order = np.argsort(distance_um, kind="stable")
    groups = np.floor(distance_um[order] / step_um + 0.5)
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    # A group too small to mean anything joins the one before it.
    least = MIN_SHARE * len(order)
    sizes = np.diff(starts, append=len(order))
    starts = starts[(sizes >= least) | (np.arange(len(starts)) == 0)]
    count = np.diff(starts, append=len(order))
    mean_error, mean_distance = (np.add.reduceat(values[order], starts) / count for values in (squared_error, distance_um))
    return DistanceCurve(distance_um=mean_distance, rmse=np.sqrt(mean_error))
