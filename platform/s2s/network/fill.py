"""How a sparse window becomes a picture the network can start from: `x0` of the cascade.

`copy` is the paper's input. `smooth` is ours: a Gaussian average of what was observed near by, from which a network has less
to undo. Decision: the smoothing falls back on a wider one, then on the window's mean, by weight and not by a threshold, so
that the result has no seams and is finite everywhere; the price is a trace (under 1 % on a full lattice) of the wide average.
"""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from s2s.network.consistency import enforce_consistency, require_same_lattice

FillMethod = Literal["copy", "smooth"]

STRIDE = 2
BANDWIDTHS = (5.0, 1.25)
"""Bins, widest first: 1.25 averages about four neighbours of a stride-2 lattice, 5 bridges gaps of some ten bins."""
TRUNCATION = 3.0
"""Bandwidths at which the kernel ends; it has lost 0.3 % of its mass there."""
PRIOR_WEIGHT = 1e-3
"""Weight of the wider average, as kernel mass; a full stride-2 lattice carries 0.25."""


def fill(
    sparse: Float[Tensor, "batch 1 y x"],
    observed: Bool[Tensor, "batch 1 y x"],
    method: FillMethod,
) -> Float[Tensor, "batch 1 y x"]:
    """Give every position a first value.

    Args:
        sparse: Values at observed positions, any unit; ignored elsewhere, even where NaN.
        observed: Measured positions; a stride-2 lattice anchored at (0, 0), possibly with holes.
        method: `copy`: the value at (2i, 2j) fills its 2 x 2 block, 0 where the lattice has a hole. `smooth`: mask-normalised
            Gaussian average, wider where no sample is near; 0 in a window without any.

    Returns:
        Finite values, equal to `sparse` at observed positions, bit for bit.

    Raises:
        ShapeError: the lattices differ.
    """
    require_same_lattice(sparse=sparse, observed=observed)
    values = torch.where(observed, sparse, torch.zeros_like(sparse))
    filled = copy_blocks(values) if method == "copy" else smooth(values, observed)
    return enforce_consistency(filled, sparse, observed)


def copy_blocks(values: Float[Tensor, "batch 1 y x"]) -> Float[Tensor, "batch 1 y x"]:
    """Copy the value at (2i, 2j) to (2i..2i+1, 2j..2j+1); odd sides cut the last block.

    Args:
        values: 0 where the lattice has a hole.
    """
    height, width = values.shape[-2:]
    blocks = values[..., ::STRIDE, ::STRIDE].repeat_interleave(STRIDE, -2).repeat_interleave(STRIDE, -1)
    return blocks[..., :height, :width]


def smooth(values: Float[Tensor, "batch 1 y x"], observed: Bool[Tensor, "batch 1 y x"]) -> Float[Tensor, "batch 1 y x"]:
    """Average observed values with a Gaussian, each bandwidth leaning on the next wider one where samples are far.

    Args:
        values: 0 where not observed.
        observed: Positions that count.

    Source:
        Knutsson and Westin 1993 (normalised convolution), with the wider average as a weak prior.
    """
    # The averages are differences of small numbers far from a sample: bfloat16 would show.
    with torch.autocast(values.device.type, enabled=False):
        mask = observed.to(values.dtype)
        estimate = values.sum((-2, -1), keepdim=True) / mask.sum((-2, -1), keepdim=True).clamp(min=1)
        both = torch.cat([values, mask])
        for bandwidth in BANDWIDTHS:
            numerator, mass = _convolve(both, bandwidth).chunk(2)
            estimate = (numerator + PRIOR_WEIGHT * estimate) / (mass + PRIOR_WEIGHT)
    return estimate


def _convolve(field: Float[Tensor, "batch 1 y x"], bandwidth: float) -> Float[Tensor, "batch 1 y x"]:
    radius = math.ceil(TRUNCATION * bandwidth)
    offsets = torch.arange(-radius, radius + 1, device=field.device, dtype=field.dtype)
    kernel = torch.exp(-0.5 * (offsets / bandwidth) ** 2)
    kernel = kernel / kernel.sum()
    rows = functional.conv2d(field, kernel.view(1, 1, -1, 1), padding=(radius, 0))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, radius))
