"""What one training step minimises: the four terms of `method.md` section 2, every stage supervised.

Values outside `scored` may be anything, NaN included: they reach neither the loss nor a gradient. Decision: windows of equal
size share one pass through the network whatever their term; the price is that the activations of all of them live until one
backward pass. A part of a batch (`TermBatch.part`) has a part of the loss, so that a step may do one part after the other.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from s2s.contracts.run import LossWeights
from s2s.errors import ShapeError
from s2s.network.batch import TERMS, Batch, TermBatch
from s2s.network.cdcin import CDCIN

LossKind = Literal["l1", "l2"]


def forward_terms(network: CDCIN, batch: Batch) -> dict[str, Float[Tensor, "stage batch 1 y x"]]:
    """Run the network on every term, terms of equal window size in one pass.

    Args:
        network: The network to train.
        batch: The windows of each term.

    Returns:
        Term -> raw stages in network units.
    """
    sizes: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, term in batch.items():
        sizes[tuple(term.sparse.shape[1:])].append(name)
    stages: dict[str, Tensor] = {}
    for names in sizes.values():
        terms = [batch[name] for name in names]
        joined = network(
            torch.cat([term.sparse for term in terms]),
            torch.cat([term.observed for term in terms]),
            torch.cat([term.tissue for term in terms]),
            torch.cat([network.begin(term.sparse, term.observed, term.start) for term in terms]),
        )
        stages.update(zip(names, joined.split([len(term.sparse) for term in terms], 1), strict=True))
    return stages


def term_loss(stages: Float[Tensor, "stage batch 1 y x"], term: TermBatch, kind: LossKind) -> Float[Tensor, ""]:
    """Error of every stage at scored positions, stage i of n weighted i / n.

    Args:
        stages: Raw stages in network units.
        term: The windows the stages were made from.
        kind: `l1`: mean absolute error; `l2`: mean squared error.

    Returns:
        Sum over the stages of weight times mean error, in loss units (squared for `l2`); 0, with a gradient of 0, where
        nothing is scored. Of a part of a term: its share of that mean.

    Raises:
        ShapeError: the stages do not lie on the term's lattice.
    """
    if stages.shape[1:] != term.target.shape:
        got = f"stages {tuple(stages.shape)}, target {tuple(term.target.shape)}"
        raise ShapeError(f"expected stages of shape (stage, *target), got {got}; pass the stages of this very term")
    target = torch.where(term.scored, term.target, torch.zeros_like(term.target))
    error = torch.where(term.scored, stages - target, torch.zeros_like(stages)) * term.loss_scale
    summed = (error.abs() if kind == "l1" else error.square()).flatten(1).sum(1)
    num_stages = len(stages)
    weights = torch.arange(1, num_stages + 1, device=stages.device, dtype=summed.dtype) / num_stages
    whole = term.scored if term.whole is None else term.whole
    return (weights * summed).sum() / whole.sum().clamp(min=1)


def total_loss(
    stages: Mapping[str, Float[Tensor, "stage batch 1 y x"]],
    batch: Batch,
    weights: LossWeights,
    kind: LossKind,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """Weighted sum over the terms of a batch.

    Args:
        stages: Term -> raw stages, as from `forward_terms`.
        batch: The windows of each term; a term whose weight is 0 may be absent.
        weights: Weight per term.
        kind: `l1` or `l2`.

    Returns:
        The loss, and each term's unweighted part of it without gradient.
    """
    assert batch, "a batch without a term has no loss"
    assert set(batch) <= set(TERMS), f"unknown terms {set(batch) - set(TERMS)}"
    assert set(batch) == set(stages), f"stages of {set(stages)} for terms {set(batch)}"
    parts = {name: term_loss(stages[name], batch[name], kind) for name in TERMS if name in batch}
    total = torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum()
    return total, {name: part.detach() for name, part in parts.items()}
