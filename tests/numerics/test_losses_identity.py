"""The paper's identity term teaches nothing: a network that changes nothing has no loss in it, and has one in the others."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from s2s.contracts.run import NetworkConfig, TrainingConfig
from s2s.lattice.measured import HeldOut, Measured
from s2s.network import CDCIN, Batch, forward_terms, term_loss
from s2s.streaming.batches import BatchStream
from s2s.streaming.photographs import PhotographPool
from s2s.streaming.sections import DenseWindows, SampledWindows, WindowSource

pytestmark = pytest.mark.usefixtures("one_thread")
Make = Callable[..., tuple[Measured, HeldOut]]
SCALE = 10.0
STAGES = 3
PHASES = [pytest.param((y, x), id=f"phase-{y}{x}") for y in (0, 1) for x in (0, 1)]
KINDS = [pytest.param("l1", id="l1"), pytest.param("l2", id="l2")]


@pytest.fixture(scope="module")
def identity() -> CDCIN:
    """A cascade whose stages correct nothing: it hands on its input, each sample copied to its 2 x 2 block."""
    config = NetworkConfig(features=4, blocks=1, layers=1, growth=4, has_attention=False, cascades=STAGES, fill="copy")
    network = CDCIN(config, torch.Generator().manual_seed(0))
    for stage in network.stages:
        nn.init.zeros_(stage.last.weight)
        nn.init.zeros_(stage.last.bias)
    return network


def step(source: WindowSource, hide_fraction: float) -> Batch:
    training = TrainingConfig(window=16, batch=4, hide_fraction=hide_fraction)
    pool = PhotographPool(tiles=np.random.default_rng(4).random((1, 32, 32), np.float32))
    stream = BatchStream(source=source, photographs=pool, training=training, expression_scale=SCALE, seed=1)
    return next(stream.batches(0))


def losses(network: CDCIN, batch: Batch, kind: str) -> dict[str, float]:
    stages = forward_terms(network, batch)
    return {name: term_loss(stages[name], term, kind).item() for name, term in batch.items()}  # type: ignore[arg-type]


@pytest.fixture
def tissue(expression: np.ndarray) -> np.ndarray:
    """With holes, and samples among them."""
    mask: np.ndarray = np.random.default_rng(9).random(expression.shape[1:]) < 0.9
    return mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", PHASES)
def test_sparse_to_dense_is_exactly_zero_for_the_identity(
    make_measured: Make, expression: np.ndarray, tissue: np.ndarray, identity: CDCIN, phase: tuple[int, int], kind: str
) -> None:
    measured, truth = make_measured(expression, phase, tissue)
    for source in (SampledWindows(measured, SCALE), DenseWindows(measured, truth, SCALE)):
        batch = step(source, 0.0)
        assert batch["sparse_to_dense"].scored.sum() > 100, "a loss over nothing would be zero too"
        found = losses(identity, batch, kind)
        assert found.pop("sparse_to_dense") == 0
        assert min(found.values()) > 1e-3, found


def test_hidden_samples_make_it_a_lesson(make_measured: Make, expression: np.ndarray, identity: CDCIN) -> None:
    measured, _ = make_measured(expression)
    assert losses(identity, step(SampledWindows(measured, SCALE), 0.5), "l1")["sparse_to_dense"] > 0.1


def test_sparser_to_sparse_of_the_identity_is_the_error_of_copying(
    make_measured: Make, expression: np.ndarray, tissue: np.ndarray, identity: CDCIN
) -> None:
    measured, _ = make_measured(expression, (1, 0), tissue)
    batch = step(SampledWindows(measured, SCALE), 0.0)
    term = batch["sparser_to_sparse"]
    copied = term.sparse[..., ::2, ::2].numpy().repeat(2, axis=-1).repeat(2, axis=-2)
    error = np.abs(copied - term.target.numpy())[term.scored.numpy()].mean() * SCALE
    # Every stage hands on the same picture: the weights are 1/3, 2/3 and 1.
    assert losses(identity, batch, "l1")["sparser_to_sparse"] == pytest.approx(2 * error, rel=1e-5)
