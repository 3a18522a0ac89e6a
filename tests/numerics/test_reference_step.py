"""The training step against the paper's, written out plainly in `reference_step.py`: stages, losses, and what becomes of weights."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from numerics.reference_step import reference_step, stages
from s2s.contracts.run import LossWeights, NetworkConfig, TrainingConfig
from s2s.network import CDCIN, Batch, forward_terms
from s2s.streaming.batches import BatchStream
from s2s.streaming.photographs import PhotographPool
from s2s.streaming.sections import SampledWindows
from s2s.training.step import Device, train_step

pytestmark = pytest.mark.usefixtures("one_thread")
NETWORK = NetworkConfig(features=8, blocks=2, layers=2, growth=4, window=8, heads=2, cascades=3, fill="copy")
TRAINING = TrainingConfig(window=32, batch=3, hide_fraction=0.0, learning_rate=1e-3, clip_norm=None)
PLAIN = Device(name="cpu", precision="float32")
STEPS = 5


@pytest.fixture
def batches(make_measured: Callable, expression: np.ndarray) -> Iterator[Batch]:
    """All four terms, the section with holes in its tissue."""
    tissue = np.random.default_rng(9).random(expression.shape[1:]) < 0.9
    measured, _ = make_measured(expression, (0, 0), tissue)
    pool = PhotographPool(tiles=np.random.default_rng(4).random((2, 64, 64), np.float32))
    source = SampledWindows(measured, 10.0)
    return BatchStream(source=source, photographs=pool, training=TRAINING, expression_scale=10.0, seed=1).batches(0)


def fresh(seed: int = 0) -> CDCIN:
    """Weights far from the identity: a fresh network's last convolutions are nearly zero and would hide a fault."""
    network = CDCIN(NETWORK, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return network


def test_every_stage_of_every_term_is_the_papers(batches: Iterator[Batch]) -> None:
    network, batch = fresh(), next(batches)
    assert len(batch) == 4
    with torch.no_grad():
        ours = forward_terms(network, batch)
        for name, term in batch.items():
            torch.testing.assert_close(ours[name], torch.stack(stages(network, term)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("clip_norm", "rate"), [pytest.param(None, 1e-4, id="as-the-paper"), pytest.param(0.05, 0.1, id="clipped")])
def test_the_weights_go_where_the_papers_go(batches: Iterator[Batch], clip_norm: float | None, rate: float) -> None:
    # Plain gradient descent: Adam would blow the rounding of gradients that are zero (that of a key's bias) up to full steps.
    training = TRAINING.model_copy(update={"clip_norm": clip_norm, "weights": LossWeights(photo_sparse_to_dense=0.5)})
    ours, theirs = fresh(), fresh()
    our_descent, their_descent = (torch.optim.SGD(network.parameters(), lr=rate) for network in (ours, theirs))
    for _ in range(STEPS):
        batch = next(batches)
        loss = reference_step(theirs, their_descent, batch, training)
        assert float(train_step(ours, our_descent, batch, training, PLAIN)["loss"]) == pytest.approx(loss, rel=1e-4)
    for (name, mine), other, before in zip(ours.named_parameters(), theirs.parameters(), fresh().parameters(), strict=True):
        assert (mine - other).norm() <= 1e-3 * (other - before).norm() + 1e-6, name
