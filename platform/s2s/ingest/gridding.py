"""From coordinates to bins: the arithmetic of the protocol, and refusing a pitch that makes no grid. Pure; reads nothing.

Decision: the grid starts at the smallest coordinate of the section, not at zero. Two sections of one slide therefore have frames of
their own; `origin_um` says where each lies.
"""

import math

import numpy as np
from jaxtyping import Float, Int

from s2s.errors import InputError
from s2s.ingest.binned import Placement

MAX_BINS = 100_000_000
"""Above this a grid is a mistake of unit, not a section: 10,000 x 10,000 bins of 2 um are 2 x 2 cm."""

NICE_STEPS = (1.0, 2.0, 5.0, 10.0)
BINS_ALONG_A_SENSIBLE_SIDE = 100


def bins_of(coordinates_um: Float[np.ndarray, "n 2"], placement: Placement) -> Int[np.ndarray, " n"]:
    """Number of the bin that each point falls into: `floor((coordinate - minimum) / pitch)`, rows from y, columns from x.

    Args:
        coordinates_um: `(x, y)` per point, micrometres.
        placement: The grid; every point lies on it.

    Returns:
        `row * number of columns + column`.

    Source:
        The project's evaluation protocol, step 1.
    """
    columns, rows = np.floor((coordinates_um - np.asarray(placement.origin_um)) / placement.pitch_um).astype(np.int64).T
    return np.asarray(rows * placement.shape[1] + columns)


def place_grid(low_um: Float[np.ndarray, "2"], high_um: Float[np.ndarray, "2"], pitch_um: float, *, where: str) -> Placement:
    """Lay the smallest grid over everything between two corners.

    Args:
        low_um: Smallest `(x, y)`, micrometres.
        high_um: Largest `(x, y)`, micrometres.
        pitch_um: Side of a bin.
        where: The file, for messages.

    Raises:
        InputError: the pitch gives one bin, or more than `MAX_BINS`; the message gives extent and a sensible pitch.
    """
    extent = high_um - low_um
    columns, rows = (math.floor(side / pitch_um) + 1 for side in extent)
    check_grid((rows, columns), (float(extent[1]), float(extent[0])), pitch_um, where=where)
    return Placement(shape=(rows, columns), pitch_um=pitch_um, origin_um=(float(low_um[0]), float(low_um[1])))


def check_grid(shape: tuple[int, int], extent_um: tuple[float, float], pitch_um: float, *, where: str) -> None:
    """Refuse a grid of one bin or of more than `MAX_BINS`.

    Args:
        shape: `(y, x)` bins.
        extent_um: `(y, x)` extent of the section.
        pitch_um: Side of a bin.
        where: The file, for messages.

    Raises:
        InputError: as said.
    """
    num_bins = shape[0] * shape[1]
    if 1 < num_bins <= MAX_BINS:
        return
    wrong = "one bin" if num_bins == 1 else f"{shape[0]} x {shape[1]} = {num_bins:.3g} bins"
    extent = f"{extent_um[0]:.6g} x {extent_um[1]:.6g} um (y, x)"
    if max(extent_um) <= 0:
        raise InputError(f"expected positions that spread over an area, all of {where} lie at one point; check the coordinates")
    raise InputError(
        f"expected a grid of 2 to {MAX_BINS:.0e} bins, a pitch of {pitch_um:g} um over {extent} gives {wrong} in {where}; "
        f"try --pitch-um {sensible_pitch(max(extent_um)):g}, or check --um-per-unit if the extent looks wrong"
    )


def sensible_pitch(extent_um: float) -> float:
    """Round number (1, 2, 5 times a power of ten) that cuts an extent into about a hundred bins."""
    assert extent_um > 0
    target = extent_um / BINS_ALONG_A_SENSIBLE_SIDE
    power = 10.0 ** math.floor(math.log10(target))
    return min((step * power for step in NICE_STEPS), key=lambda pitch: abs(math.log(pitch / target)))
