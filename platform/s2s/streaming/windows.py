"""Which windows a step looks at: gene, place and symmetry, drawn from `(seed, step)` alone.

Decision: the choice of step t does not depend on the steps before it, so a resumed run needs no saved position and any
worker can compute any step; the price is that an epoch is a statistical notion, not an exact pass.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from s2s.errors import InputError
from s2s.lattice.geometry import NUM_SYMMETRIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A choice of windows, one entry each.

    Attributes:
        gene: Index of the gene (or of the photograph).
        y: First row on the grid of the source.
        x: First column.
        symmetry: 0 to 7, an element of the symmetry group of the square.
    """

    gene: Int[np.ndarray, " batch"]
    y: Int[np.ndarray, " batch"]
    x: Int[np.ndarray, " batch"]
    symmetry: Int[np.ndarray, " batch"]


def window_places(tissue: Bool[np.ndarray, "y x"], side: int, min_tissue: float, spacing: int = 2) -> Int[np.ndarray, "place 2"]:
    """List the corners `(y, x)` of all windows that hold enough tissue.

    Args:
        tissue: Mask on the grid that the window is cut from.
        side: Of the window, in positions of that grid.
        min_tissue: Smallest share of tissue.
        spacing: Bins from one position of that grid to the next: 1 on the dense grid, the stride on the sampled lattice.

    Raises:
        InputError: the section is smaller than a window, or no window holds enough tissue; the message says what would fit.
    """
    what = f"{side} x {side} {'bins' if spacing == 1 else 'sampled positions'}"
    if side > min(tissue.shape):
        fits = 8 * (min(tissue.shape) * spacing // 8)
        hint = f"set training.window to {fits} or less" if fits else "choose a smaller pitch"
        raise InputError(
            f"expected a section of at least {what} for training.window {spacing * side}, got {tissue.shape[0]} x {tissue.shape[1]}; {hint}"
        )
    share = tissue_share(tissue, side)
    if not (share >= min_tissue).any():
        raise InputError(
            f"expected a window of {what} with a tissue fraction of {min_tissue:g}, "
            f"the best has {np.floor(100 * share.max()) / 100:g}; lower training.min_tissue or training.window"
        )
    return np.argwhere(share >= min_tissue)


def tissue_share(tissue: Bool[np.ndarray, "y x"], side: int) -> Float64[np.ndarray, "corner_y corner_x"]:
    """Share of tissue in every window, by its corner.

    Args:
        tissue: At least one window large.
        side: Of the window, in positions.
    """
    sums = np.pad(tissue.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    share: np.ndarray = (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2
    return share


def draw_windows(rng: np.random.Generator, num_genes: int, places: Int[np.ndarray, "place 2"], batch: int) -> Windows:
    """Draw windows uniformly over genes, places and symmetries.

    Args:
        rng: Source of randomness, made from `(seed, step)`.
        num_genes: Number of genes (or photographs).
        places: Corners to choose from.
        batch: How many.
    """
    place = places[rng.integers(len(places), size=batch)]
    return Windows(
        gene=rng.integers(num_genes, size=batch), y=place[:, 0], x=place[:, 1], symmetry=rng.integers(NUM_SYMMETRIES, size=batch)
    )
