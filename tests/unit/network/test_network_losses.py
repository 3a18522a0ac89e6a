"""The terms of the loss on windows of a few bins, worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from s2s.contracts.run import LossWeights, NetworkConfig
from s2s.errors import ShapeError
from s2s.network import CDCIN, TermBatch, forward_terms, term_loss, total_loss

SMALL = NetworkConfig(features=4, blocks=1, layers=1, growth=4, window=4, heads=1, cascades=2)


def term(target: list[list[float]], scored: list[list[int]], loss_scale: float = 1.0) -> TermBatch:
    values = torch.tensor(target)[None, None]
    everywhere = torch.ones_like(values, dtype=torch.bool)
    return TermBatch(
        sparse=torch.zeros_like(values),
        observed=~everywhere,
        tissue=everywhere,
        target=values,
        scored=torch.tensor(scored, dtype=torch.bool)[None, None],
        loss_scale=loss_scale,
    )


def stages_of(*pictures: list[list[float]]) -> Tensor:
    return torch.tensor(pictures)[:, None, None].requires_grad_()


# Two stages, errors at the two scored bins: stage 1 has 1 and 3, stage 2 has 0 and 2; weights 1/2 and 1.
@pytest.mark.parametrize(
    ("kind", "loss_scale", "expected"),
    [
        pytest.param("l1", 1.0, 0.5 * 2.0 + 1.0, id="l1"),
        pytest.param("l1", 10.0, 20.0, id="l1-in-log1p-units"),
        pytest.param("l2", 1.0, 0.5 * 5.0 + 2.0, id="l2"),
        pytest.param("l2", 10.0, 450.0, id="l2-in-log1p-units"),
    ],
)
def test_mean_over_scored_bins_weighted_by_stage(kind: str, loss_scale: float, expected: float) -> None:
    windows = term([[0.0, 0.0, math.nan]], [[1, 1, 0]], loss_scale)
    stages = stages_of([[1.0, -3.0, 100.0]], [[0.0, 2.0, 100.0]])
    loss = term_loss(stages, windows, kind)
    torch.testing.assert_close(loss, torch.tensor(expected))
    loss.backward()
    assert stages.grad.isfinite().all()
    assert not stages.grad[..., 2].any()
    assert stages.grad[0].any()
    assert stages.grad[1].any()


@pytest.mark.parametrize("kind", [pytest.param("l1", id="l1"), pytest.param("l2", id="l2")])
def test_nothing_scored_is_zero_with_a_gradient(kind: str) -> None:
    stages = stages_of([[1.0, 2.0]])
    loss = term_loss(stages, term([[math.nan, math.nan]], [[0, 0]]), kind)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(stages.grad, torch.zeros_like(stages))


def test_a_nan_where_scored_is_not_hidden() -> None:
    assert term_loss(stages_of([[1.0]]), term([[math.nan]], [[1]]), "l1").isnan()


def test_stages_of_another_window_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"stages \(1, 1, 1, 1, 1\), target \(1, 1, 1, 2\)"):
        term_loss(stages_of([[1.0]]), term([[0.0, 0.0]], [[1, 1]]), "l1")


def test_total_is_the_weighted_sum_of_the_terms_present() -> None:
    batch = {"sparser_to_sparse": term([[0.0]], [[1]]), "photo_sparse_to_dense": term([[1.0]], [[1]])}
    stages = {"sparser_to_sparse": stages_of([[2.0]]), "photo_sparse_to_dense": stages_of([[6.0]])}
    loss, parts = total_loss(stages, batch, LossWeights(sparser_to_sparse=3.0, photo_sparse_to_dense=0.5), "l1")
    assert loss.item() == 3.0 * 2.0 + 0.5 * 5.0
    assert {name: part.item() for name, part in parts.items()} == {"sparser_to_sparse": 2.0, "photo_sparse_to_dense": 5.0}
    assert not any(part.requires_grad for part in parts.values())
    loss.backward()
    assert stages["sparser_to_sparse"].grad.item() == 3.0


def random_term(batch: int, side: int, seed: int) -> TermBatch:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(batch, 1, side, side, generator=generator)
    observed = torch.zeros_like(values, dtype=torch.bool)
    observed[..., ::2, ::2] = True
    everywhere = torch.ones_like(observed)
    return TermBatch(sparse=values * observed, observed=observed, tissue=everywhere, target=values, scored=~observed, loss_scale=1.0)


def test_terms_of_one_size_share_a_pass_and_come_back_apart() -> None:
    network = CDCIN(SMALL, torch.Generator().manual_seed(0))
    passes: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _module, inputs: passes.append(tuple(inputs[0].shape)))
    batch = {
        "sparser_to_sparse": random_term(2, 8, 0),
        "sparse_to_dense": random_term(2, 16, 1),
        "photo_sparser_to_sparse": random_term(3, 8, 2),
        "photo_sparse_to_dense": random_term(1, 16, 3),
    }
    joined = forward_terms(network, batch)
    assert sorted(passes) == [(3, 1, 16, 16), (5, 1, 8, 8)]
    for name, windows in batch.items():
        torch.testing.assert_close(joined[name], network(windows.sparse, windows.observed, windows.tissue), atol=1e-6, rtol=1e-5)
