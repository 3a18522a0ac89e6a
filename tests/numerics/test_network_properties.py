"""Properties the method rests on: the identity costs nothing in `sparse_to_dense`, the same seed gives the same bits, a step learns."""

import pytest
import torch
from torch import Tensor

from s2s.contracts.run import LossWeights, NetworkConfig
from s2s.network import CDCIN, TermBatch, forward_terms, term_loss, total_loss

SMALL = NetworkConfig(features=8, blocks=2, layers=2, growth=8, window=4, heads=2, cascades=3)
SMOOTH = SMALL.model_copy(update={"has_mask_inputs": True, "fill": "smooth"})


def dense_window(side: int) -> tuple[Tensor, Tensor]:
    """A wavy picture in network units and its stride-2 lattice."""
    y, x = torch.meshgrid(torch.arange(side) / 5, torch.arange(side) / 7, indexing="ij")
    picture = (0.3 + 0.2 * torch.sin(y) * torch.cos(x))[None, None].repeat(2, 1, 1, 1)
    observed = torch.zeros_like(picture, dtype=torch.bool)
    observed[..., ::2, ::2] = True
    return picture, observed


def sparse_to_dense(side: int) -> TermBatch:
    """The paper's term: given the samples, asked for the samples."""
    picture, observed = dense_window(side)
    sparse = torch.where(observed, picture, 0.0)
    target = torch.where(observed, picture, torch.nan)
    return TermBatch(sparse=sparse, observed=observed, tissue=torch.ones_like(observed), target=target, scored=observed, loss_scale=10.0)


def sparser_to_sparse(side: int) -> TermBatch:
    """The term that teaches: given every second sample, asked for all of them."""
    picture, observed = dense_window(side)
    everywhere = torch.ones_like(observed)
    return TermBatch(
        sparse=torch.where(observed, picture, 0.0), observed=observed, tissue=everywhere, target=picture, scored=everywhere, loss_scale=10.0
    )


@pytest.mark.parametrize("kind", [pytest.param("l1", id="l1"), pytest.param("l2", id="l2")])
@pytest.mark.parametrize("config", [pytest.param(SMALL, id="copy"), pytest.param(SMOOTH, id="smooth")])
@pytest.mark.parametrize("side", [pytest.param(64, id="paper-window"), pytest.param(13, id="odd")])
def test_sparse_to_dense_is_exactly_zero_for_the_identity(config: NetworkConfig, side: int, kind: str) -> None:
    network = CDCIN(config, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for stage in network.stages:
            stage.last.weight.zero_()
            stage.last.bias.zero_()
    same, other = sparse_to_dense(side), sparser_to_sparse(side)
    assert term_loss(network(same.sparse, same.observed, same.tissue), same, kind).item() == 0.0
    assert term_loss(network(other.sparse, other.observed, other.tissue), other, kind).item() > 1e-3


def train(seed: int, steps: int) -> tuple[list[float], CDCIN]:
    network = CDCIN(SMOOTH, torch.Generator().manual_seed(seed))
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    batch = {"sparser_to_sparse": sparser_to_sparse(16), "sparse_to_dense": sparse_to_dense(32)}
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss, _ = total_loss(forward_terms(network, batch), batch, LossWeights(), "l1")
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses, network


def test_same_seed_same_bits() -> None:
    first, network = train(seed=3, steps=4)
    second, twin = train(seed=3, steps=4)
    other, _ = train(seed=4, steps=4)
    assert first == second
    assert first != other
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))


def test_training_learns_a_smooth_picture() -> None:
    losses, _ = train(seed=0, steps=40)
    assert losses[-1] < 0.6 * losses[0]
