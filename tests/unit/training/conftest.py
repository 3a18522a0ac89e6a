"""A network of a few hundred weights, and batches for it."""

from collections.abc import Callable, Iterator

import pytest
import torch

from s2s.contracts.run import NetworkConfig
from s2s.network import CDCIN, Batch, TermBatch
from s2s.training.step import Device

TINY = NetworkConfig(features=2, blocks=1, layers=1, growth=2, has_attention=False, cascades=2)
MakeBatch = Callable[..., Batch]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost these small tensors more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cpu() -> Device:
    return Device(name="cpu", precision="float32")


@pytest.fixture
def make_network() -> Callable[[int], CDCIN]:
    """Make a tiny network from a seed."""
    return lambda seed: CDCIN(TINY, torch.Generator().manual_seed(seed))


@pytest.fixture
def make_batch() -> MakeBatch:
    """Make a batch of one term; `target` replaces every value asked for."""

    def make(number: int = 0, target: float | None = None) -> Batch:
        generator = torch.Generator().manual_seed(number)
        values = torch.rand(2, 1, 8, 8, generator=generator)
        everywhere = torch.ones_like(values, dtype=torch.bool)
        given = torch.zeros_like(everywhere)
        given[..., ::2, ::2] = True
        asked = values if target is None else torch.full_like(values, target)
        return {
            "sparser_to_sparse": TermBatch(
                sparse=torch.where(given, values, 0.0), observed=given, tissue=everywhere, target=asked, scored=everywhere, loss_scale=1.0
            )
        }

    return make
