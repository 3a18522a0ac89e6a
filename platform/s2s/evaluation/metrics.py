"""How far an estimate is from the truth, gene by gene: pure functions of arrays that know neither sections nor methods.

Decision: sums run in float64 whatever comes in, and a gene is called constant when its deviations are within float32
rounding of its values: otherwise a smoothed constant would get a correlation out of rounding noise.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64
from skimage.metrics import structural_similarity

from s2s.lattice.geometry import NEIGHBOURS, LatticeShape, to_axial

SSIM_RANGE = 10.0
"""Value range that SSIM assumes, log1p units, the same for every gene, section and method: the default expression scale of the network."""

SSIM_WINDOW = 7
"""Side of SSIM's uniform window in bins; scikit-image's default."""

ROUNDING = 1e-6
"""Relative deviation below which values count as constant: eight units in the last place of float32."""

Bins = Float[np.ndarray, "gene position"]
PerGene = Float64[np.ndarray, " gene"]
Block = tuple[slice, slice]


def pearson(truth: Bins, estimate: Bins) -> PerGene:
    """Pearson correlation per gene; 0 where undefined, that is where either side is constant.

    Args:
        truth: One column per position, any unit.
        estimate: The same positions.

    Returns:
        From -1 to 1.
    """
    a, b = _deviations(truth), _deviations(estimate)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    correlation = np.divide((a * b).sum(axis=1), scale, out=np.zeros_like(scale), where=scale > 0)
    bounded: np.ndarray = np.clip(correlation, -1, 1)
    return bounded


def mean_absolute_error(truth: Bins, estimate: Bins) -> PerGene:
    """Mean absolute error per gene, in the unit of the values."""
    error: np.ndarray = np.abs(np.subtract(estimate, truth, dtype=np.float64)).mean(axis=1)
    return error


def root_mean_squared_error(truth: Bins, estimate: Bins) -> PerGene:
    """Root mean squared error per gene, in the unit of the values."""
    error: np.ndarray = np.sqrt(np.square(np.subtract(estimate, truth, dtype=np.float64)).mean(axis=1))
    return error


def ssim(truth: Float[np.ndarray, "gene y x"], estimate: Float[np.ndarray, "gene y x"], positions: Bool[np.ndarray, "y x"]) -> PerGene:
    """Structural similarity per gene with the fixed range `SSIM_RANGE`, averaged over some positions.

    Args:
        truth: Whole maps, log1p units, 0 off tissue.
        estimate: The same.
        positions: Centres of the windows that are averaged; at least one.

    Returns:
        From -1 to 1; 1 for identical maps.

    Source:
        Wang et al. 2004, as in scikit-image with a uniform 7 x 7 window. Maps are padded with zeros, as off tissue, so
        that the smallest section has full windows. Maps of a hexagonal section are compared in offset coordinates: a window
        then covers a zigzag strip of the same bins in truth and estimate, whose means and variances are as good.
    """
    margin = SSIM_WINDOW // 2
    padding = ((0, 0), (margin, margin), (margin, margin))
    pair = (np.pad(values.astype(np.float64), padding) for values in (truth, estimate))
    similarity = structural_similarity(  # type: ignore[no-untyped-call]
        *pair, win_size=SSIM_WINDOW, data_range=SSIM_RANGE, channel_axis=0, full=True
    )[1]
    inner: np.ndarray = similarity[:, margin:-margin, margin:-margin][:, positions].mean(axis=1)
    return inner


def morans_i(
    values: Float[np.ndarray, "gene y x"], mask: Bool[np.ndarray, "y x"], lattice: LatticeShape = "square", step: int = 1
) -> PerGene:
    """Moran's I per gene with neighbours of weight 1 where both bins lie in the mask.

    Args:
        values: Any unit; ignored, even NaN, where not `mask`.
        mask: Bins that take part.
        lattice: Square bins have four neighbours, those with a shared edge; hexagonal ones, in offset coordinates, six.
        step: Distance of neighbours in bins: 1, or the stride of a sampled lattice.

    Returns:
        About 0 without spatial structure, towards 1 where neighbours agree; 0 where undefined, that is for a constant
        gene or a mask without neighbours.

    Source:
        Moran 1950.
    """
    deviations = np.zeros(values.shape)
    deviations[:, mask] = _deviations(values[:, mask])
    if lattice == "hexagonal":
        deviations, mask = to_axial(deviations, 0), to_axial(mask, False)
    products, num_pairs = np.zeros(len(values)), 0
    for toward in NEIGHBOURS[lattice]:
        here, there = neighbour_pairs(mask.shape, toward, step)
        products += (deviations[:, *there] * deviations[:, *here]).sum(axis=(1, 2))
        num_pairs += int((mask[there] & mask[here]).sum())
    variance = (deviations**2).sum(axis=(1, 2))
    # Each pair counts twice in numerator and in total weight, so the factor cancels.
    scaled = products * (int(mask.sum()) / max(num_pairs, 1))
    index: np.ndarray = np.divide(scaled, variance, out=np.zeros_like(variance), where=variance > 0)
    return index


def neighbour_pairs(shape: tuple[int, int], toward: tuple[int, int], step: int = 1) -> tuple[Block, Block]:
    """Cut an array twice, so that equal places of the cuts are neighbours.

    Args:
        shape: `(y, x)` of the array.
        toward: From a bin to its neighbour, as in `lattice.geometry.NEIGHBOURS`.
        step: Times this many bins.

    Returns:
        The blocks of the bins and of their neighbours.
    """
    blocks = []
    for length, distance in zip(shape, toward, strict=True):
        near, far = slice(0, max(length - step * abs(distance), 0)), slice(step * abs(distance), None)
        blocks.append((near, far) if distance >= 0 else (far, near))
    (here_y, there_y), (here_x, there_x) = blocks
    return (here_y, here_x), (there_y, there_x)


def _deviations(values: Bins) -> Float64[np.ndarray, "gene position"]:
    exact = values.astype(np.float64)
    deviations: np.ndarray = exact - exact.mean(axis=1, keepdims=True)
    is_constant = np.abs(deviations).max(axis=1, initial=0) <= ROUNDING * np.abs(exact).max(axis=1, initial=0)
    deviations[is_constant] = 0
    return deviations
