"""One optimiser step: where it computes, what it returns, and that a step gone wrong changes nothing."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from s2s.contracts.run import LossWeights, TrainingConfig
from s2s.training.step import Device, choose_device, passes, to_device, train_step

L1 = TrainingConfig()
HEAVY = LossWeights(sparser_to_sparse=1e30)
TENSORS = ("sparse", "observed", "tissue", "target", "scored")


def copied(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def moved(network: nn.Module, before: dict[str, torch.Tensor]) -> float:
    """Length of the step from `before`."""
    return math.sqrt(sum(float((tensor - before[name]).square().sum()) for name, tensor in network.state_dict().items()))


@pytest.mark.parametrize("precision", [pytest.param("float32", id="float32"), pytest.param("bfloat16", id="bfloat16")])
def test_an_explicit_precision_is_taken_as_it_is(precision):
    assert choose_device(precision, 0) == Device(name="cpu", precision=precision)


def test_auto_is_bfloat16_only_where_the_processor_multiplies_it(monkeypatch):
    for is_native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("s2s.training.step._cpu_has_bfloat16", lambda is_native=is_native: is_native)
        assert choose_device("auto", 0) == Device(name="cpu", precision=expected)


def test_a_processor_torch_says_nothing_about_computes_in_float32(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert choose_device("auto", 0).precision == "float32"


@pytest.mark.parametrize(
    ("gpus", "has_cuda", "expected"),
    [
        pytest.param(0, True, "cpu", id="not-asked-for"),
        pytest.param(0.5, True, "cuda", id="a-share"),
        pytest.param(1, False, "cpu", id="not-there"),
    ],
)
def test_cuda_is_taken_when_asked_for_and_there(monkeypatch, gpus, has_cuda, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    limited: list[float] = []
    monkeypatch.setattr("s2s.training.step.limit_to_share", limited.append)
    assert choose_device("float32", gpus).name == expected
    assert limited == ([gpus] if expected == "cuda" else [])


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [pytest.param("float32", torch.float32, id="float32"), pytest.param("bfloat16", torch.bfloat16, id="bfloat16")],
)
def test_autocast_changes_products_not_weights(precision, dtype):
    layer = nn.Conv2d(1, 1, 3)
    with Device(name="cpu", precision=precision).autocast():
        assert layer(torch.ones(1, 1, 4, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32


def test_a_step_says_its_losses_and_moves_the_weights(make_network, make_batch, cpu):
    network = make_network(0)
    before = copied(network)
    found = train_step(network, torch.optim.Adam(network.parameters()), to_device(make_batch(), cpu), L1, cpu)
    assert set(found) == {"sparser_to_sparse", "loss", "gradient_norm"}
    assert found["loss"] == found["sparser_to_sparse"] > 0
    assert not any(value.requires_grad for value in found.values())
    assert moved(network, before) > 0


def test_weights_of_the_terms_count(make_network, make_batch, cpu):
    training = TrainingConfig(weights=LossWeights(sparser_to_sparse=3.0))
    network = make_network(0)
    found = train_step(network, torch.optim.Adam(network.parameters()), make_batch(), training, cpu)
    torch.testing.assert_close(found["loss"], 3 * found["sparser_to_sparse"])


def test_bfloat16_steps_stay_near_float32_and_keep_float32_weights(make_network, make_batch, cpu):
    exact, rough = make_network(0), make_network(0)
    losses = [
        train_step(network, torch.optim.Adam(network.parameters()), make_batch(), L1, device)["loss"]
        for network, device in ((exact, cpu), (rough, Device(name="cpu", precision="bfloat16")))
    ]
    torch.testing.assert_close(losses[0], losses[1], rtol=2e-2, atol=0)
    assert all(tensor.dtype == torch.float32 for tensor in rough.state_dict().values())


@pytest.mark.parametrize(
    ("target", "training", "which"),
    [
        pytest.param(math.inf, L1, "loss", id="loss-infinite"),
        pytest.param(math.nan, L1, "loss", id="loss-nan"),
        # The loss fits into float32, the squares that the gradient's norm is made of do not.
        pytest.param(None, TrainingConfig(weights=HEAVY), "gradient_norm", id="gradient-infinite"),
        pytest.param(None, TrainingConfig(weights=HEAVY, clip_norm=1.0), "gradient_norm", id="gradient-infinite-clipped"),
    ],
)
def test_a_step_that_is_not_finite_leaves_everything_as_it_was(make_network, make_batch, cpu, target, training, which):
    network = make_network(0)
    optimizer = torch.optim.Adam(network.parameters())
    before = copied(network)
    found = train_step(network, optimizer, make_batch(target=target), training, cpu)
    assert not torch.isfinite(found[which])
    assert which == "loss" or torch.isfinite(found["loss"])
    assert moved(network, before) == 0
    assert not optimizer.state


def test_clipping_shortens_the_step_to_its_norm_and_reports_the_true_one(make_network, make_batch, cpu):
    lengths = {}
    for clip_norm in (None, 1e-3, 1e3):
        network = make_network(0)
        before = copied(network)
        training = TrainingConfig(clip_norm=clip_norm)
        norm = float(train_step(network, torch.optim.SGD(network.parameters(), lr=1.0), make_batch(), training, cpu)["gradient_norm"])
        lengths[clip_norm] = (moved(network, before), norm)
    assert lengths[1e-3][0] == pytest.approx(1e-3, rel=1e-3)
    assert lengths[1e-3][1] == pytest.approx(lengths[None][1])
    assert lengths[None][1] > 1e-3
    assert lengths[None][0] == pytest.approx(lengths[None][1], rel=1e-4)
    assert lengths[1e3] == lengths[None]


def test_gradients_of_the_step_before_are_gone(make_network, make_batch, cpu):
    network = make_network(0)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 1e6)
    found = train_step(network, torch.optim.SGD(network.parameters(), lr=0.0), make_batch(), L1, cpu)
    assert found["gradient_norm"] < 1e3


@pytest.mark.parametrize(
    ("most_bins", "sizes"),
    [
        pytest.param(10_000, [{"small": 3, "large": 2}], id="all-at-once"),
        pytest.param(3 * 16 + 64, [{"small": 3, "large": 1}, {"large": 1}], id="as-many-as-fit"),
        pytest.param(40, [{"small": 2}, {"small": 1}, {"large": 1}, {"large": 1}], id="a-window-is-never-cut"),
        pytest.param(1, [{"small": 1}, {"small": 1}, {"small": 1}, {"large": 1}, {"large": 1}], id="one-by-one"),
    ],
)
def test_a_batch_is_cut_into_passes(make_batch, most_bins, sizes):
    term = make_batch()["sparser_to_sparse"]
    whole = {"large": term, "small": replace(term, **{name: torch.cat([getattr(term, name)[..., :4, :4]] * 2)[:3] for name in TENSORS})}
    parts = list(passes(whole, most_bins))
    assert [{name: len(part.sparse) for name, part in each.items()} for each in parts] == sizes
    for name, before in whole.items():
        after = [each[name] for each in parts if name in each]
        torch.testing.assert_close(torch.cat([part.target for part in after]), before.target, rtol=0, atol=0)
        assert all(part.whole is before.scored for part in after)


def test_gradients_of_passes_add_up_to_those_of_the_whole(make_network, make_batch, cpu):
    batch = {"sparser_to_sparse": make_batch(0)["sparser_to_sparse"], "photo_sparse_to_dense": make_batch(1)["sparser_to_sparse"]}
    # A part counts by what is scored in it, not by its windows.
    batch["sparser_to_sparse"].scored[0, :, 3:] = False
    found, gradients = {}, {}
    for pass_bins in (64, 10_000):
        network = make_network(0)
        training = TrainingConfig(pass_bins=pass_bins, weights=LossWeights(photo_sparse_to_dense=0.3))
        found[pass_bins] = train_step(network, torch.optim.SGD(network.parameters(), lr=0.0), batch, training, cpu)
        gradients[pass_bins] = [parameter.grad for parameter in network.parameters()]
    torch.testing.assert_close(found[64], found[10_000])
    torch.testing.assert_close(gradients[64], gradients[10_000])
