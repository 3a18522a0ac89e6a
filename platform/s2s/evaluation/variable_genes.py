"""Which genes vary over space, by Moran's I and its normal approximation: called alike in truth and imputation.

Decision: the variance is the one under random permutation of a gene's own values, which knows its skewness; the one under normality
calls sparse genes variable too rarely or too often. The price is a closed form that needs four bins at least.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy import stats

from s2s.evaluation.metrics import morans_i, neighbour_pairs
from s2s.lattice.geometry import NEIGHBOURS, LatticeShape, from_axial, to_axial

FALSE_DISCOVERY_RATE = 0.05


def variable_genes(
    values: Float[np.ndarray, "gene y x"], mask: Bool[np.ndarray, "y x"], lattice: LatticeShape, rate: float = FALSE_DISCOVERY_RATE
) -> Bool[np.ndarray, " gene"]:
    """Call genes whose Moran's I is above what chance gives, at a false discovery rate.

    Args:
        values: Any unit; ignored where not `mask`.
        mask: Bins that take part.
        lattice: Of the grid.
        rate: Level of Benjamini and Hochberg's procedure, over all genes given.
    """
    chance = stats.norm.sf(moran_z(values, mask, lattice))
    called: np.ndarray = stats.false_discovery_control(chance) <= rate
    return called


def moran_z(values: Float[np.ndarray, "gene y x"], mask: Bool[np.ndarray, "y x"], lattice: LatticeShape) -> Float64[np.ndarray, " gene"]:
    """Standard score of Moran's I per gene under random permutation; 0 where undefined.

    Args:
        values: Any unit; ignored where not `mask`.
        mask: Bins that take part; with fewer than four, or no neighbours, nothing is defined.
        lattice: Of the grid.

    Source:
        Cliff and Ord 1981, randomisation.
    """
    index = morans_i(values, mask, lattice)
    degrees = num_neighbours(mask, lattice)[mask].astype(np.float64)
    n, s0 = float(mask.sum()), float(degrees.sum())
    if n < 4 or s0 == 0:
        return np.zeros(len(values))
    # With symmetric weights of 1: half the sum of (w_ij + w_ji)^2, and the sum of (row + column)^2.
    s1, s2 = 2 * s0, 4 * float((degrees**2).sum())
    centred = values[:, mask].astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    second, fourth = (centred**2).mean(axis=1), (centred**4).mean(axis=1)
    kurtosis = np.divide(fourth, second**2, out=np.zeros_like(fourth), where=index != 0)
    expected = -1 / (n - 1)
    first = n * ((n**2 - 3 * n + 3) * s1 - n * s2 + 3 * s0**2)
    last = (n**2 - n) * s1 - 2 * n * s2 + 6 * s0**2
    variance = (first - kurtosis * last) / ((n - 1) * (n - 2) * (n - 3) * s0**2) - expected**2
    is_defined = (index != 0) & (variance > 0)
    scores: np.ndarray = np.divide(index - expected, np.sqrt(np.maximum(variance, 0)), out=np.zeros_like(index), where=is_defined)
    return scores


def num_neighbours(mask: Bool[np.ndarray, "y x"], lattice: LatticeShape) -> np.ndarray:
    """Number of nearest neighbours of each bin inside a mask, int64 `(y, x)`; 0 off the mask.

    Args:
        mask: Bins that take part, offset coordinates.
        lattice: Of the grid.
    """
    grid = to_axial(mask, False) if lattice == "hexagonal" else mask
    count = np.zeros(grid.shape, np.int64)
    for toward in NEIGHBOURS[lattice]:
        here, there = neighbour_pairs(grid.shape, toward)
        both = grid[here] & grid[there]
        count[here] += both
        count[there] += both
    return from_axial(count, mask.shape) if lattice == "hexagonal" else count
