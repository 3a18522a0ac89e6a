"""Putting spots on the lattice they were printed on: pure geometry, no files.

Spots are given in the frame of a photograph, so their lattice is turned and stretched by a per cent or so; over eighty spots that is
most of a pitch. Angle and scale are therefore measured on neighbours, one spot anchors the lattice, and two rounds of least squares
remove what is left.

Decision: a hexagonal lattice is stored in offset coordinates whose first row is not shifted and whose ODD rows are, by half a pitch to the
right. Sections printed the other way round keep that convention at the price of one more column, empty in every other row.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from s2s.errors import InputError
from s2s.lattice.geometry import ROW_STEP, LatticeShape

SYMMETRY: dict[LatticeShape, int] = {"square": 4, "hexagonal": 6}
PITCH_TOLERANCE = 0.2
"""Neighbours may be this much nearer or farther than the pitch given; beyond it the pitch is wrong."""

MAX_RESIDUAL = 0.3
"""Of a pitch, for 95 % of the spots. Spots that lie on no such lattice come to about 0.6."""

REFINEMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Where spots lie on their lattice.

    Attributes:
        rows: Per spot, from 0; in a hexagonal lattice odd rows are shifted by half a pitch.
        columns: Per spot, from 0.
        residuals: Distance of each spot from its site after fitting, in pitches.
        turn_degrees: By how much the lattice was turned against the axes, from -45 to 45 (-30 to 30 for hexagonal).
    """

    rows: Int[np.ndarray, " n"]
    columns: Int[np.ndarray, " n"]
    residuals: Float[np.ndarray, " n"]
    turn_degrees: float


def fit_sites(coordinates_um: Float[np.ndarray, "n 2"], pitch_um: float, shape: LatticeShape, *, where: str) -> Sites:
    """Find the site of every spot on a lattice of known pitch but unknown place, turn and slight stretch.

    Args:
        coordinates_um: `(x, y)` per spot, micrometres.
        pitch_um: Distance of neighbouring spots.
        shape: Of the lattice.
        where: The file, for messages.

    Raises:
        InputError: neighbours are not a pitch apart, or the spots lie on no lattice of this shape.
    """
    turn, pitch = _turn_and_pitch(coordinates_um, pitch_um, shape, where=where)
    centred = coordinates_um - coordinates_um[_most_central(coordinates_um)]
    cosine, sine = np.cos(turn), np.sin(turn)
    turned = centred @ np.array([[cosine, -sine], [sine, cosine]])
    units = turned / (pitch * np.array([1.0, ROW_STEP[shape]]))
    for _ in range(REFINEMENTS):
        units = _refine(units, _ideal(*_nearest(units, shape), shape))
    rows, columns = _nearest(units, shape)
    offsets = (units - _ideal(rows, columns, shape)) * np.array([1.0, ROW_STEP[shape]])
    residuals = np.hypot(offsets[:, 0], offsets[:, 1])
    _require_fit(residuals, pitch_um, shape, where=where)
    top = rows.min()
    if shape == "hexagonal" and top % 2:
        # The first row must not be a shifted one: seen from it, the rows between are shifted from one column earlier.
        columns = columns - (rows % 2 == 0)
    return Sites(rows=rows - top, columns=columns - columns.min(), residuals=residuals, turn_degrees=float(np.degrees(turn)))


def _turn_and_pitch(coordinates: Float[np.ndarray, "n 2"], pitch_um: float, shape: LatticeShape, *, where: str) -> tuple[float, float]:
    # Spots at the very same place are told apart later, by name; here they would pass for a pitch of 0.
    points = np.unique(coordinates, axis=0)
    if len(points) < 2:
        return 0.0, pitch_um
    symmetry = SYMMETRY[shape]
    distances, neighbours = cKDTree(points).query(points, k=min(symmetry + 1, len(points)))
    nearest = float(np.median(distances[:, 1]))
    if abs(nearest / pitch_um - 1) > PITCH_TOLERANCE:
        raise InputError(
            f"expected neighbouring spots {pitch_um:g} um apart, they are {nearest:.4g} um apart in {where}; "
            f"use --pitch-um {nearest:.4g}, or --um-per-unit if the coordinates are not in um"
        )
    near = np.abs(distances / pitch_um - 1) < PITCH_TOLERANCE
    vectors = (points[neighbours] - points[:, None, :])[near]
    directions = np.arctan2(vectors[:, 1], vectors[:, 0])
    # Directions repeat every 60 or 90 degrees: multiplied by the symmetry they all point the same way and can be averaged.
    turn = float(np.angle(np.mean(np.exp(1j * symmetry * directions)))) / symmetry
    return turn, float(np.median(np.hypot(vectors[:, 0], vectors[:, 1])))


def _most_central(coordinates: Float[np.ndarray, "n 2"]) -> int:
    return int(np.argmin(((coordinates - coordinates.mean(axis=0)) ** 2).sum(axis=1)))


def _nearest(units: Float[np.ndarray, "n 2"], shape: LatticeShape) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    # Rounding the row first is the nearest site for every spot closer to it than half a row, which `_require_fit` makes sure of.
    rows = np.rint(units[:, 1]).astype(np.int64)
    shift = 0.5 * (rows % 2) if shape == "hexagonal" else 0.0
    return rows, np.rint(units[:, 0] - shift).astype(np.int64)


def _ideal(rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"], shape: LatticeShape) -> Float[np.ndarray, "n 2"]:
    shift = 0.5 * (rows % 2) if shape == "hexagonal" else 0.0
    return np.stack([columns + shift, rows.astype(np.float64)], axis=1)


def _refine(units: Float[np.ndarray, "n 2"], ideal: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    # An affine map from where the spots are to where their sites are; with all spots on one line the least-norm solution still fits them.
    design = np.column_stack([units, np.ones(len(units))])
    solution, *_ = np.linalg.lstsq(design, ideal, rcond=None)
    return np.asarray(design @ solution)


def _require_fit(residuals: Float[np.ndarray, " n"], pitch_um: float, shape: LatticeShape, *, where: str) -> None:
    residual = float(np.quantile(residuals, 0.95))
    if residual > MAX_RESIDUAL:
        other = "hexagonal" if shape == "square" else "square"
        raise InputError(
            f"expected spots on a {shape} lattice of pitch {pitch_um:g} um, those of {where} lie up to {residual:.2f} pitches off it; "
            f"try --lattice-shape {other}, check --pitch-um and --um-per-unit, or use --reader cells for free positions"
        )
