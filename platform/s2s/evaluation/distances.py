"""Error against distance: how much worse an imputation is far from its samples, and near the edge of the tissue."""

import numpy as np
from jaxtyping import Bool, Float32, Float64
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


def by_sample_distance(imputed: Float32[np.ndarray, "gene y x"], measured: Measured, held_out: HeldOut) -> tuple[DistanceError, ...]:
    """RMSE of held-out bins against their distance to the nearest observed bin, nearest first.

    Args:
        imputed: log1p units.
        measured: What was observed; at least one bin.
        held_out: The truth.
    """
    return _grouped(imputed, measured, held_out, distance_to(measured.observed, measured.lattice), SAMPLE_STEP)


def by_edge_distance(imputed: Float32[np.ndarray, "gene y x"], measured: Measured, held_out: HeldOut) -> tuple[DistanceError, ...]:
    """RMSE of held-out bins against their distance to the nearest position off tissue, nearest first; beyond the grid is off tissue.

    Args:
        imputed: log1p units.
        measured: Its tissue counts.
        held_out: The truth.
    """
    framed = np.pad(measured.tissue, FRAME)
    inner = distance_to(~framed, measured.lattice)[FRAME:-FRAME, FRAME:-FRAME]
    return _grouped(imputed, measured, held_out, inner, EDGE_STEP)


def distance_to(mask: Bool[np.ndarray, "y x"], lattice: LatticeShape) -> Float64[np.ndarray, "y x"]:
    """Distance of every position to the nearest one of a mask, pitches.

    Args:
        mask: At least one position.
        lattice: Of the grid.
    """
    places = positions(mask.shape, lattice)
    nearest: np.ndarray = cKDTree(places[mask]).query(places.reshape(-1, 2))[0]
    return nearest.reshape(mask.shape)


def _grouped(
    imputed: np.ndarray, measured: Measured, held_out: HeldOut, distance: Float64[np.ndarray, "y x"], step: float
) -> tuple[DistanceError, ...]:
    held = held_out.positions
    at = distance[held]
    _, group, size = np.unique(np.rint(at / step), return_inverse=True, return_counts=True)
    of_group = (group[:, None] == np.arange(len(size))).astype(np.float64)
    rmse = np.zeros(len(size))
    for genes in gene_blocks(len(imputed)):
        error = np.subtract(imputed[genes][:, held], held_out.expression[genes][:, held], dtype=np.float64)
        rmse += np.sqrt(error**2 @ of_group / size).sum(axis=0)
    means = measured.pitch_um * (at @ of_group) / size
    return tuple(
        DistanceError(distance_um=float(mean), rmse=float(value), num_positions=int(number))
        for mean, value, number in zip(means, rmse / len(imputed), size, strict=True)
    )
