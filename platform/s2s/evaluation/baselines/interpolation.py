"""Interpolation between observed bins: nearest, bilinear and bicubic, registered to where the samples really lie.

Decision: bilinear and bicubic interpolate `value * observed` and divide by the same interpolation of the mask, so that
positions without tissue do not pull the estimate to zero; the spline's overshoot is kept, as the protocol's figures
demand. The price: where the interpolated mask is small the quotient is unstable, hence 0 below `MIN_WEIGHT`.
The misregistered bicubic has neither registration nor normalisation, on purpose.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from s2s.errors import ShapeError
from s2s.evaluation.baselines import hexagonal
from s2s.lattice.geometry import from_axial
from s2s.lattice.measured import Measured, on_axial_grid

MIN_WEIGHT = 0.05
"""Smallest magnitude of the interpolated mask that is divided by. Source: the project's protocol."""

Field = Float32[np.ndarray, "gene y x"]
Interpolation = Callable[[hexagonal.Plane, hexagonal.Coordinates], hexagonal.Values]
"""From values of the sampled lattice and coordinates on it to values there."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The value of the nearest observed bin, Euclidean distance; works for any observed mask."""

    name: str = "nearest"

    def impute(self, measured: Measured) -> Field:
        """Return the value of each position's nearest observed bin, log1p units.

        Ties go as scipy's distance transform breaks them; on a hexagonal lattice, where every position lies half-way between two
        samples, to the first bin in reading order.
        """
        if measured.lattice == "hexagonal":
            rows, columns = hexagonal.nearest_observed(measured.observed)
            return np.ascontiguousarray(measured.expression[:, rows, columns])
        rows, columns = ndimage.distance_transform_edt(~measured.observed, return_distances=False, return_indices=True)
        return np.ascontiguousarray(measured.expression[:, rows, columns])


@dataclass(frozen=True, slots=True)
class Bilinear:
    """Order-1 spline through the sampled lattice, mask-normalised; linear on triangles where it is hexagonal."""

    name: str = "bilinear"

    def impute(self, measured: Measured) -> Field:
        """Interpolate linearly, log1p units.

        Raises:
            ShapeError: an observed bin lies off the section's lattice.
        """
        return _interpolated(measured, _bilinear, hexagonal.linear)


@dataclass(frozen=True, slots=True)
class Bicubic:
    """Order-3 spline through the sampled lattice, mask-normalised; may overshoot below zero.

    Where the lattice is hexagonal, the mean of three splines: `baselines.hexagonal` says why.
    """

    name: str = "bicubic"

    def impute(self, measured: Measured) -> Field:
        """Interpolate cubically, log1p units.

        Raises:
            ShapeError: an observed bin lies off the section's lattice.
        """
        return _interpolated(measured, _bicubic, hexagonal.cubic)


@dataclass(frozen=True, slots=True)
class MisregisteredBicubic:
    """Bicubic as in the authors' code, half a bin off: what a table shows beside the registered one to tell what the shift costs.

    Order-3 spline through the sampled lattice, 0 where a sample is missing and not mask-normalised. Every sample is taken
    for the centre of its block of `stride` x `stride` bins (resizing with `align_corners=False`), though it was taken from
    one corner of it; at stride 2 that is half a bin along both axes. Re-implemented from the description of that fault; no code copied.
    """

    name: str = "bicubic_misregistered"

    @hexagonal.on_axial
    def impute(self, measured: Measured) -> Field:
        """Resize the lattice to the grid, log1p units.

        Raises:
            ShapeError: an observed bin lies off the section's lattice.
        """
        lattice, sampled = sampled_lattice(measured)
        rows, columns = np.indices(measured.observed.shape)
        coordinates = (np.stack([rows, columns]) + 0.5) / measured.stride - 0.5
        planes = (np.where(sampled, plane[lattice], 0.0).astype(np.float64) for plane in measured.expression)
        return np.stack([_bicubic(plane, coordinates).astype(np.float32) for plane in planes])


def _interpolated(measured: Measured, on_square: Interpolation, on_hexagons: Interpolation) -> Field:
    if measured.lattice == "square":
        return _on_array(measured, on_square)
    return from_axial(_on_array(on_axial_grid(measured), on_hexagons), measured.observed.shape, measured.stride)


def _on_array(measured: Measured, interpolate: Interpolation) -> Field:
    (first_y, first_x), stride = measured.phase, measured.stride
    lattice, sampled = sampled_lattice(measured)
    rows, columns = np.indices(measured.observed.shape)
    coordinates = np.stack([(rows - first_y) / stride, (columns - first_x) / stride])
    weight = interpolate(sampled.astype(np.float64), coordinates)
    is_near = np.abs(weight) > MIN_WEIGHT
    imputed = np.zeros_like(measured.expression)
    for gene, plane in enumerate(measured.expression):
        values = np.where(sampled, plane[lattice], 0.0).astype(np.float64)
        np.divide(interpolate(values, coordinates), weight, out=imputed[gene], where=is_near, casting="same_kind")
    return imputed


def sampled_lattice(measured: Measured) -> tuple[tuple[slice, slice], Bool[np.ndarray, "a b"]]:
    """Find the section's lattice.

    Args:
        measured: Observed at positions of its stride and phase.

    Returns:
        Where the lattice lies in the grid, and which of its positions were observed.

    Raises:
        ShapeError: an observed bin lies off the lattice.
    """
    (first_y, first_x), stride = measured.phase, measured.stride
    lattice = (slice(first_y, None, stride), slice(first_x, None, stride))
    sampled = measured.observed[lattice]
    if sampled.sum() != measured.observed.sum():
        off = int(measured.observed.sum() - sampled.sum())
        raise ShapeError(
            f"expected all observed bins on the lattice of stride {stride} and phase {measured.phase}, got {off} off it; "
            "use nearest, kriging or a kernel for scattered bins"
        )
    return lattice, sampled


def _bilinear(plane: hexagonal.Plane, coordinates: hexagonal.Coordinates) -> hexagonal.Values:
    return _spline(plane, coordinates, order=1)


def _bicubic(plane: hexagonal.Plane, coordinates: hexagonal.Coordinates) -> hexagonal.Values:
    return _spline(plane, coordinates, order=3)


def _spline(plane: hexagonal.Plane, coordinates: hexagonal.Coordinates, *, order: int) -> hexagonal.Values:
    # mode "nearest" repeats the edge: held-out rows before the first and after the last sampled one have no second neighbour.
    interpolated: np.ndarray = ndimage.map_coordinates(plane, coordinates, order=order, mode="nearest")
    return interpolated
