"""Shares of a batch: every window once, as many for each worker, and losses that add up to those of the whole."""

import pytest
import torch

from s2s.contracts.run import LossWeights
from s2s.network import total_loss
from s2s.training.world import ALONE, World


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_losses_of_shares_add_up(make_batch, size):
    batch = make_batch()
    stages = {name: torch.rand(2, *term.target.shape) for name, term in batch.items()}
    whole, _ = total_loss(stages, batch, LossWeights(), "l1")
    parts, shapes = [], set()
    for rank in range(size):
        share = World(rank=rank, size=size).share(batch)
        per_worker = {name: -(-len(term.sparse) // size) for name, term in batch.items()}
        where = {name: torch.arange(rank * n, (rank + 1) * n).clamp(max=len(batch[name].sparse) - 1) for name, n in per_worker.items()}
        parts.append(total_loss({name: stages[name][:, where[name]] for name in share}, share, LossWeights(), "l1")[0])
        shapes.add(tuple(term.sparse.shape for term in share.values()))
    torch.testing.assert_close(torch.stack(parts).sum(), whole)
    assert len(shapes) == 1, "all workers go through the network equally often"


def test_one_worker_agrees_with_itself():
    assert ALONE.agree(1.5) == 1.5
    assert not ALONE.any(is_so=False)
