"""Noiseless data consistency: what was measured is not for the network to change.

Decision: a selection (`torch.where`), not the textbook's `(1 - m) * estimate + m * measured`. The selection is exact to the bit
and keeps a NaN of one side out of the other; the price is that it cannot express a soft, noise-weighted consistency.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from s2s.errors import ShapeError


def enforce_consistency(
    estimate: Float[Tensor, "batch 1 y x"],
    measured: Float[Tensor, "batch 1 y x"],
    observed: Bool[Tensor, "batch 1 y x"],
) -> Float[Tensor, "batch 1 y x"]:
    """Put measured values back wherever the tissue was measured.

    Args:
        estimate: Output of one cascade stage; log1p expression divided by `expression_scale`.
        measured: Sparse input on the same lattice and scale; ignored where not observed.
        observed: True at measured positions that lie on tissue.

    Returns:
        `estimate` with observed positions equal to `measured`, bit for bit.

    Raises:
        ShapeError: the lattices differ; the message gives the shapes.

    Source:
        Schlemper et al. 2017 (noiseless data consistency), as used by S2S-ST.
    """
    require_same_lattice(estimate=estimate, measured=measured, observed=observed)
    return torch.where(observed, measured, estimate)


def require_same_lattice(**tensors: Tensor) -> None:
    """Check that tensors share one `(batch, 1, y, x)` lattice.

    Args:
        tensors: Name -> tensor; the names appear in the message.

    Raises:
        ShapeError: not four axes, more than one channel, or shapes that differ.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    first = next(iter(shapes.values()))
    if len(first) != 4 or first[1] != 1 or any(shape != first for shape in shapes.values()):
        got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeError(f"expected one shape (batch, 1, y, x) for all, got {got}; cut the values and the masks from the same window")
