"""Shares of a batch: every window once, as many for each worker, and losses that add up to those of the whole."""

import pytest
import torch

from s2s.contracts.run import LossWeights
from s2s.errors import ConfigError
from s2s.network import total_loss
from s2s.training.world import ALONE, World


def test_losses_of_shares_add_up(make_batch):
    batch = make_batch()
    stages = {name: torch.rand(2, *term.target.shape) for name, term in batch.items()}
    whole, _ = total_loss(stages, batch, LossWeights(), "l1")
    parts = []
    size = min(len(term.sparse) for term in batch.values())
    for rank in range(size):
        share = World(rank=rank, size=size).share(batch)
        some = {name: stages[name][:, rank * len(term.sparse) : (rank + 1) * len(term.sparse)] for name, term in share.items()}
        parts.append(total_loss(some, share, LossWeights(), "l1")[0])
    torch.testing.assert_close(torch.stack(parts).sum(), whole)


def test_windows_that_cannot_be_dealt_out_are_refused(make_batch):
    with pytest.raises(ConfigError, match="multiple of 1009"):
        World(rank=0, size=1009).share(make_batch())


def test_one_worker_agrees_with_itself():
    assert ALONE.agree(1.5) == 1.5
    assert not ALONE.any(is_so=False)
