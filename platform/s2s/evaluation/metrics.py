"""How far an estimate is from the truth, gene by gene: pure functions of arrays that know neither sections nor methods.

Decision: sums run in float64 whatever comes in, and a gene is called constant when its deviations are within float32
rounding of its values: otherwise a smoothed constant would get a correlation out of rounding noise.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64
from skimage.metrics import structural_similarity

SSIM_RANGE = 10.0
"""Value range that SSIM assumes, log1p units, the same for every gene, section and method: the default expression scale of the network."""

SSIM_WINDOW = 7
"""Side of SSIM's uniform window in bins; scikit-image's default."""

ROUNDING = 1e-6
"""Relative deviation below which values count as constant: eight units in the last place of float32."""

Bins = Float[np.ndarray, "gene position"]
PerGene = Float64[np.ndarray, " gene"]


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
        that the smallest section has full windows.
    """
    margin = SSIM_WINDOW // 2
    padding = ((0, 0), (margin, margin), (margin, margin))
    pair = (np.pad(values.astype(np.float64), padding) for values in (truth, estimate))
    similarity = structural_similarity(  # type: ignore[no-untyped-call]
        *pair, win_size=SSIM_WINDOW, data_range=SSIM_RANGE, channel_axis=0, full=True
    )[1]
    inner: np.ndarray = similarity[:, margin:-margin, margin:-margin][:, positions].mean(axis=1)
    return inner


def morans_i(values: Float[np.ndarray, "gene y x"], mask: Bool[np.ndarray, "y x"]) -> PerGene:
    """Moran's I per gene with rook neighbours (shared edge, weight 1) where both bins lie in the mask.

    Args:
        values: Any unit; ignored, even NaN, where not `mask`.
        mask: Bins that take part.

    Returns:
        About 0 without spatial structure, towards 1 where neighbours agree; 0 where undefined, that is for a constant
        gene or a mask without neighbours.

    Source:
        Moran 1950.
    """
    deviations = np.zeros(values.shape)
    deviations[:, mask] = _deviations(values[:, mask])
    across = (deviations[:, :, 1:] * deviations[:, :, :-1]).sum(axis=(1, 2))
    down = (deviations[:, 1:] * deviations[:, :-1]).sum(axis=(1, 2))
    num_pairs = int((mask[:, 1:] & mask[:, :-1]).sum() + (mask[1:] & mask[:-1]).sum())
    variance = (deviations**2).sum(axis=(1, 2))
    # Each pair counts twice in numerator and in total weight, so the factor cancels.
    scaled = (across + down) * (int(mask.sum()) / max(num_pairs, 1))
    index: np.ndarray = np.divide(scaled, variance, out=np.zeros_like(variance), where=variance > 0)
    return index


def _deviations(values: Bins) -> Float64[np.ndarray, "gene position"]:
    exact = values.astype(np.float64)
    deviations: np.ndarray = exact - exact.mean(axis=1, keepdims=True)
    is_constant = np.abs(deviations).max(axis=1, initial=0) <= ROUNDING * np.abs(exact).max(axis=1, initial=0)
    deviations[is_constant] = 0
    return deviations
