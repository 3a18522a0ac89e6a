"""Every annotation of the network, checked while it runs: the modules are imported anew under jaxtyping's hook."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from jaxtyping import TypeCheckError, install_import_hook

from s2s.contracts.run import LossWeights, NetworkConfig

CONFIG = NetworkConfig(features=4, blocks=1, layers=1, growth=4, window=4, heads=2, cascades=2, has_mask_inputs=True, fill="smooth")


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name in [name for name in sys.modules if name == "s2s.network" or name.startswith("s2s.network.")]:
        monkeypatch.delitem(sys.modules, name)
    # The parent package holds the submodule as an attribute too; both are put back.
    monkeypatch.setattr(importlib.import_module("s2s"), "network", None, raising=False)
    with install_import_hook("s2s.network", "beartype.beartype"):
        yield importlib.import_module("s2s.network")
    for name in [name for name in sys.modules if name == "s2s.network" or name.startswith("s2s.network.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.undo()


def test_a_training_pass_and_a_prediction_keep_their_shapes(checked: ModuleType) -> None:
    network = checked.CDCIN(CONFIG, torch.Generator().manual_seed(0))
    batch = {}
    for name, side in (("sparser_to_sparse", 5), ("sparse_to_dense", 9)):
        values = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(side))
        observed = torch.zeros_like(values, dtype=torch.bool)
        observed[..., ::2, ::2] = True
        batch[name] = checked.TermBatch(
            sparse=values, observed=observed, tissue=torch.ones_like(observed), target=values, scored=~observed, loss_scale=10.0
        )
        checked.predict(network, values, observed, torch.ones_like(observed))
    loss, _ = checked.total_loss(checked.forward_terms(network, batch), batch, LossWeights(), "l1")
    loss.backward()
    assert loss.isfinite()


def test_the_check_bites(checked: ModuleType) -> None:
    with pytest.raises(TypeCheckError):
        checked.enforce_consistency(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
