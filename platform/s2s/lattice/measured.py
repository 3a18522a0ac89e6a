"""What a method may see of a section (`Measured`) and what it is judged on (`HeldOut`): two types, so that they cannot be mixed up.

Decision: `Measured.expression` is NaN wherever nothing was observed. A method that touches such a bin poisons its own
result, which every test notices; the price is a full grid in memory where a quarter would do.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32

from s2s.lattice.geometry import LatticeShape, to_axial


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The measured part of one section, normalised with constants from its observed bins only.

    Attributes:
        expression: log1p units, float32; NaN where not observed.
        observed: Positions that were measured and lie on tissue.
        tissue: Positions on tissue, measured or not.
        genes: Names, in the order of the first axis.
        stride: Distance of observed positions, in bins.
        phase: `(y, x)` offset of the observed positions; `(y, q)` on a hexagonal grid, see `lattice.geometry`.
        pitch_um: Side of a bin in micrometres; on a hexagonal grid the distance of neighbours.
        lattice: Shape of the grid; a hexagonal one is in offset coordinates, odd rows shifted by half a pitch.
        pieces: Rows and columns of parts that lie far from each other in truth; none where the grid is the section's own.
    """

    expression: Float32[np.ndarray, "gene y x"]
    observed: Bool[np.ndarray, "y x"]
    tissue: Bool[np.ndarray, "y x"]
    genes: tuple[str, ...]
    stride: int
    phase: tuple[int, int]
    pitch_um: float
    lattice: LatticeShape = "square"
    pieces: tuple[tuple[slice, slice], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The truth at positions no method may see.

    Attributes:
        expression: log1p units, float32, on the grid and with the genes of its `Measured`; NaN outside `positions`.
        positions: On tissue and not observed.
    """

    expression: Float32[np.ndarray, "gene y x"]
    positions: Bool[np.ndarray, "y x"]


def without(measured: Measured, hidden: Bool[np.ndarray, "y x"]) -> Measured:
    """Take observed positions away, as if they had never been measured.

    Args:
        measured: What is known.
        hidden: Positions to take away.

    Returns:
        The same section; `hidden` positions are no longer observed and their expression is NaN.
    """
    observed = measured.observed & ~hidden
    expression = np.where(observed, measured.expression, np.float32(np.nan))
    return replace(measured, observed=observed, expression=expression)


def one_gene(measured: Measured, place: int) -> Measured:
    """What a method sees that works on one gene alone.

    Args:
        measured: What is known.
        place: Of the gene on the first axis.
    """
    return replace(measured, expression=measured.expression[place : place + 1], genes=(measured.genes[place],))


def on_axial_grid(measured: Measured) -> Measured:
    """Lay a hexagonal section out as an ordinary array, in which neighbours are neighbours whatever the row.

    Args:
        measured: On any lattice; others are returned as they are.

    Returns:
        The same section in axial coordinates, to be worked on as if it were square: observed positions are those whose row and
        column have the phase. `lattice.geometry.from_axial` takes arrays back.
    """
    if measured.lattice != "hexagonal":
        return measured
    return replace(
        measured,
        expression=axial_array(measured.expression, measured, np.nan),
        observed=axial_array(measured.observed, measured, False),
        tissue=axial_array(measured.tissue, measured, False),
        lattice="square",
        pieces=(),
    )


def axial_array(array: np.ndarray, measured: Measured, blank: float | bool) -> np.ndarray:
    """Lay an array out as `on_axial_grid` lays out its section.

    Args:
        array: `(..., y, x)`, on the grid of `measured`.
        measured: A section on a hexagonal lattice; for any other the array is returned as it is.
        blank: Value of positions that the grid does not have.
    """
    return to_axial(array, blank, measured.stride) if measured.lattice == "hexagonal" else array
