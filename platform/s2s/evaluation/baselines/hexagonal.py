"""Interpolation on a hexagonal lattice: what nearest, bilinear and bicubic become where odd rows are shifted.

In axial coordinates (`lattice.geometry`) the samples are an ordinary array, so `value * observed` and the mask go through the same
linear operator and the one is divided by the other, as on a square lattice. Only the operator differs.

Decision: `linear` interpolates on the triangles of neighbouring samples, so that a position half-way between two is their mean in
all three directions of the lattice; bilinear weights would favour one. `cubic` is the mean of the cubic splines along the three
pairs of directions: it treats them alike, passes through the samples and gives cubic polynomials back. A Clough-Tocher surface does
not: it rests on estimated gradients, which a mask with holes spoils. The price is three splines for one.
"""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy import ndimage
from scipy.spatial import cKDTree

from s2s.lattice.geometry import from_axial, positions
from s2s.lattice.measured import Measured, on_axial_grid

FRAMES = (((1, 0), (0, 1)), ((1, 0), (1, 1)), ((1, 1), (0, -1)))
"""From axial `(y, q)` to coordinates along each pair of the directions `(0, 1)`, `(1, 0)` and `(1, -1)`."""

MOST_TIES = 6
"""Nearest samples that are looked at: a position of a full lattice has no more at one distance."""

ROUNDING = 1e-9
"""Distances closer than this are equal, pitches."""

Plane = Float64[np.ndarray, "a b"]
Coordinates = Float64[np.ndarray, "2 y x"]
Values = Float64[np.ndarray, "y x"]
Imputer = TypeVar("Imputer", bound=Callable[..., np.ndarray])


def nearest_observed(observed: Bool[np.ndarray, "y x"]) -> tuple[Int[np.ndarray, "y x"], Int[np.ndarray, "y x"]]:
    """Row and column of the observed bin nearest to each position; the first in reading order where several are.

    Args:
        observed: Offset coordinates; at least one.
    """
    places, sources = positions(observed.shape, "hexagonal"), np.argwhere(observed)
    ranks = list(range(1, min(MOST_TIES, len(sources)) + 1))
    distances, found = cKDTree(places[observed]).query(places.reshape(-1, 2), k=ranks)
    is_nearest = distances <= distances[:, :1] + ROUNDING
    rows, columns = sources[np.where(is_nearest, found, len(sources)).min(axis=1)].T
    return rows.reshape(observed.shape), columns.reshape(observed.shape)


def linear(plane: Plane, coordinates: Coordinates) -> Values:
    """Interpolate linearly on the triangles of neighbouring samples.

    Args:
        plane: Values of the samples, axial; 0 beyond its edges.
        coordinates: `(y, q)` of the positions in units of the samples' distance, less than one beyond the edges.
    """
    corners = np.floor(coordinates).astype(np.int64)
    down, right = coordinates - corners
    row, column = corners + 1
    padded = np.pad(plane, 1)
    # A cell is cut from top right to bottom left, the shorter of its diagonals.
    upper = (1 - down - right) * padded[row, column] + right * padded[row, column + 1] + down * padded[row + 1, column]
    lower = (down + right - 1) * padded[row + 1, column + 1] + (1 - right) * padded[row + 1, column] + (1 - down) * padded[row, column + 1]
    interpolated: np.ndarray = np.where(down + right <= 1, upper, lower)
    return interpolated


def cubic(plane: Plane, coordinates: Coordinates) -> Values:
    """Interpolate with the mean of the cubic splines along the three pairs of lattice directions.

    Args:
        plane: Values of the samples, axial.
        coordinates: `(y, q)` of the positions in units of the samples' distance; edge values are repeated beyond the edges.
    """
    sites = np.indices(plane.shape)
    total = np.zeros(coordinates.shape[1:])
    for frame in FRAMES:
        turned = np.tensordot(frame, sites, axes=1)
        first = turned.min(axis=(1, 2))
        laid = np.zeros(turned.max(axis=(1, 2)) - first + 1)
        laid[tuple(turned - first[:, None, None])] = plane
        at = np.tensordot(frame, coordinates, axes=1) - first[:, None, None]
        total += ndimage.map_coordinates(laid, at, order=3, mode="nearest")
    return total / len(FRAMES)


def on_axial(impute: Imputer) -> Imputer:
    """Let a method of square arrays work on hexagonal sections: it sees the axial grid, where neighbours are neighbours.

    Args:
        impute: A baseline's method `impute(self, measured)`.
    """

    @wraps(impute)
    def on_lattice(baseline: object, measured: Measured) -> np.ndarray:
        if measured.lattice == "square":
            return impute(baseline, measured)
        return from_axial(impute(baseline, on_axial_grid(measured)), measured.observed.shape, measured.stride)

    return cast(Imputer, on_lattice)
