"""Where an imputation errs: its error against the distance to the nearest sample and to the edge of the tissue.

Distances and groups are the same for all who ask. Decision: the panel averages the errors of genes and keeps every group with its
size, as a table does; a curve of the benchmark pools genes and has no point of few positions, which a line would exaggerate. The
price is two numbers that agree for a single gene only.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int
from scipy.spatial import cKDTree

from s2s.contracts.panel import DistanceError
from s2s.evaluation.protocol import gene_blocks
from s2s.lattice.geometry import LatticeShape, positions
from s2s.lattice.measured import HeldOut, Measured

FRAME = 2
"""Positions off tissue that are added around the grid: an even number, so that odd rows stay odd."""

SAMPLE_STEP = 0.5
"""Width of the groups of distances to a sample, pitches: most bins lie at 1, at the square root of 2, or beside a hole in the tissue."""

EDGE_STEP = 1.0
"""Width of the groups of distances to the edge, pitches."""

MIN_SHARE = 0.01
"""Smallest share of the positions that a point of a curve stands on; a smaller group joins the one before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceCurve:
    """RMSE over genes and positions that lie at about the same distance.

    Attributes:
        distance_um: Mean distance of each group, ascending.
        rmse: log1p units.
    """

    distance_um: Float64[np.ndarray, " group"]
    rmse: Float64[np.ndarray, " group"]


def to_nearest_sample_um(measured: Measured, places: Bool[np.ndarray, "y x"]) -> Float64[np.ndarray, " position"]:
    """Distance of positions from the centre of the nearest observed bin.

    Args:
        measured: At least one bin is observed.
        places: Where it is asked for.
    """
    distances: np.ndarray = _distance_to(measured.observed, measured.lattice)[places]
    return distances * measured.pitch_um


def to_tissue_edge_um(measured: Measured, places: Bool[np.ndarray, "y x"]) -> Float64[np.ndarray, " position"]:
    """Distance of positions from the centre of the nearest bin off tissue; beyond the grid there is no tissue.

    Args:
        measured: Says where tissue is.
        places: Where it is asked for.
    """
    inner = _distance_to(~np.pad(measured.tissue, FRAME), measured.lattice)[FRAME:-FRAME, FRAME:-FRAME]
    distances: np.ndarray = inner[places]
    return distances * measured.pitch_um


def error_curve(
    squared_error: Float64[np.ndarray, " position"], distance_um: Float64[np.ndarray, " position"], step_um: float
) -> DistanceCurve:
    """Group positions by distance, and pool the errors of a group.

    Args:
        squared_error: Mean over genes, squared log1p units.
        distance_um: Of the same positions.
        step_um: Width of a group.
    """
    groups = _grouped(distance_um, step_um, min_share=MIN_SHARE)
    return DistanceCurve(distance_um=groups.mean(distance_um), rmse=np.sqrt(groups.mean(squared_error)))


def by_sample_distance(imputed: Float32[np.ndarray, "gene y x"], measured: Measured, held_out: HeldOut) -> tuple[DistanceError, ...]:
    """RMSE of held-out bins, mean over genes, against their distance to the nearest observed bin, nearest first.

    Args:
        imputed: log1p units.
        measured: What was observed; at least one bin.
        held_out: The truth.
    """
    distance_um = to_nearest_sample_um(measured, held_out.positions)
    return _gene_errors(imputed, held_out, distance_um, SAMPLE_STEP * measured.pitch_um)


def by_edge_distance(imputed: Float32[np.ndarray, "gene y x"], measured: Measured, held_out: HeldOut) -> tuple[DistanceError, ...]:
    """RMSE of held-out bins, mean over genes, against their distance to the nearest position off tissue, nearest first.

    Args:
        imputed: log1p units.
        measured: Its tissue counts; beyond the grid is off tissue.
        held_out: The truth.
    """
    distance_um = to_tissue_edge_um(measured, held_out.positions)
    return _gene_errors(imputed, held_out, distance_um, EDGE_STEP * measured.pitch_um)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """Positions in the order of their distance, and where in that order each group starts."""

    order: Int[np.ndarray, " position"]
    starts: Int[np.ndarray, " group"]

    @property
    def sizes(self) -> Int[np.ndarray, " group"]:
        return np.diff(self.starts, append=len(self.order))

    def mean(self, values: Float64[np.ndarray, "*gene position"]) -> Float64[np.ndarray, "*gene group"]:
        means: np.ndarray = np.add.reduceat(values[..., self.order], self.starts, axis=-1) / self.sizes
        return means


def _grouped(distance_um: Float64[np.ndarray, " position"], step_um: float, *, min_share: float = 0.0) -> _Groups:
    """Group positions whose distances round to the same number of steps."""
    order = np.argsort(distance_um, kind="stable")
    steps = np.floor(distance_um[order] / step_um + 0.5)
    starts = np.flatnonzero(np.diff(steps, prepend=-1))
    is_large = np.diff(starts, append=len(order)) >= min_share * len(order)
    is_large[:1] = True  # there is none before it to join
    return _Groups(order=order, starts=starts[is_large])


def _gene_errors(
    imputed: np.ndarray, held_out: HeldOut, distance_um: Float64[np.ndarray, " position"], step_um: float
) -> tuple[DistanceError, ...]:
    held, groups = held_out.positions, _grouped(distance_um, step_um)
    rmse = np.zeros(len(groups.starts))
    for genes in gene_blocks(len(imputed)):
        error = np.subtract(imputed[genes][:, held], held_out.expression[genes][:, held], dtype=np.float64)
        rmse += np.sqrt(groups.mean(error**2)).sum(axis=0)
    return tuple(
        DistanceError(distance_um=float(mean), rmse=float(value), num_positions=int(number))
        for mean, value, number in zip(groups.mean(distance_um), rmse / len(imputed), groups.sizes, strict=True)
    )


def _distance_to(mask: Bool[np.ndarray, "y x"], lattice: LatticeShape) -> Float64[np.ndarray, "y x"]:
    """Distance of every position to the nearest one of a mask with at least one position, pitches."""
    places = positions(mask.shape, lattice)
    nearest: np.ndarray = cKDTree(places[mask]).query(places.reshape(-1, 2))[0]
    return nearest.reshape(mask.shape)
