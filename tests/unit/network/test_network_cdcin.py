"""The cascade's behaviour: sizes, what it reads, what it keeps, how it starts and how it is stored."""

import copy
import math
import pickle

import pytest
import torch
from safetensors import torch as safetensors
from torch import Tensor

from s2s.contracts.run import NetworkConfig
from s2s.errors import ShapeError
from s2s.network import CDCIN, fill, predict
from s2s.network.blocks import ChannelBranch, ResidualDenseBlock

SMALL = NetworkConfig(features=8, blocks=2, layers=2, growth=8, window=4, heads=2, cascades=3)
MASKED = SMALL.model_copy(update={"has_mask_inputs": True, "fill": "smooth"})
PLAIN = SMALL.model_copy(update={"has_attention": False})
CONFIGS = [pytest.param(SMALL, id="values-only"), pytest.param(MASKED, id="mask-inputs-smooth"), pytest.param(PLAIN, id="no-attention")]


def build(config: NetworkConfig, seed: int = 0) -> CDCIN:
    return CDCIN(config, torch.Generator().manual_seed(seed))


def windows(batch: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    tissue = torch.rand(batch, 1, height, width, generator=generator) < 0.9
    observed = tissue.clone()
    observed[..., 1::2, :] = False
    observed[..., :, 1::2] = False
    values = torch.rand(batch, 1, height, width, generator=generator)
    return torch.where(observed, values, 0.0), observed, tissue


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(1, 1, id="one-bin"),
        pytest.param(5, 7, id="odd"),
        pytest.param(3, 2, id="below-a-window"),
        pytest.param(16, 16, id="whole-windows"),
        pytest.param(9, 33, id="one-over"),
    ],
)
def test_any_size(config: NetworkConfig, height: int, width: int) -> None:
    sparse, observed, tissue = windows(2, height, width)
    stages = build(config)(sparse, observed, tissue)
    assert stages.shape == (3, 2, 1, height, width)
    assert stages.dtype == torch.float32
    assert stages.isfinite().all()


@pytest.mark.parametrize("config", CONFIGS)
def test_prediction_keeps_samples_and_is_zero_off_tissue(config: NetworkConfig) -> None:
    sparse, observed, tissue = windows(3, 13, 10)
    network = build(config)
    picture = predict(network, sparse, observed, tissue)
    assert torch.equal(picture[observed], sparse[observed])
    assert torch.equal(picture[~tissue], torch.zeros_like(picture[~tissue]))
    rest = tissue & ~observed
    assert torch.equal(picture[rest], network(sparse, observed, tissue)[-1][rest].detach())
    assert not picture.requires_grad


@pytest.mark.parametrize("config", CONFIGS)
def test_unobserved_values_are_never_read(config: NetworkConfig) -> None:
    sparse, observed, tissue = windows(2, 11, 12)
    network = build(config)
    poisoned = torch.where(observed, sparse, math.nan)
    assert torch.equal(network(poisoned, observed, tissue), network(sparse, observed, tissue))


@pytest.mark.parametrize("config", CONFIGS)
def test_every_stage_but_the_first_sees_measured_values_put_back(config: NetworkConfig) -> None:
    sparse, observed, tissue = windows(2, 8, 12)
    network = build(config)
    seen: list[Tensor] = []
    for stage in network.stages:
        torch.nn.init.normal_(stage.last.weight, generator=torch.Generator().manual_seed(1))
        stage.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    stages = network(sparse, observed, tissue)
    assert torch.equal(seen[0][:, :1], fill(sparse, observed, config.fill))
    for previous, inputs in zip(stages, seen[1:], strict=False):
        assert not torch.equal(previous[observed], sparse[observed])
        assert torch.equal(inputs[:, :1][observed], sparse[observed])
        assert torch.equal(inputs[:, :1][~observed], previous[~observed])


@pytest.mark.parametrize(("config", "channels"), [pytest.param(SMALL, 1, id="values-only"), pytest.param(MASKED, 3, id="mask-inputs")])
def test_masks_reach_every_stage_only_where_asked_for(config: NetworkConfig, channels: int) -> None:
    sparse, observed, tissue = windows(2, 8, 8)
    network = build(config)
    seen: list[Tensor] = []
    for stage in network.stages:
        stage.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network(sparse, observed, tissue)
    assert [inputs.shape[1] for inputs in seen] == [channels] * 3
    for inputs in seen:
        assert torch.equal(inputs[:, 1:], torch.cat([observed, tissue], 1)[:, : channels - 1].float())


@pytest.mark.parametrize("config", CONFIGS)
def test_a_window_does_not_depend_on_its_batch(config: NetworkConfig) -> None:
    sparse, observed, tissue = windows(4, 12, 12)
    network = build(config)
    together = network(sparse, observed, tissue)
    alone = torch.cat([network(sparse[i : i + 1], observed[i : i + 1], tissue[i : i + 1]) for i in range(4)], 1)
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_fresh_network_is_near_the_identity_and_every_weight_learns(config: NetworkConfig) -> None:
    sparse, observed, tissue = windows(2, 16, 16)
    network = build(config)
    for module in network.modules():
        if isinstance(module, ChannelBranch):  # one or two units behind a ReLU: in so small a network they may start dead
            torch.nn.init.ones_(module.squeeze.bias)
    stages = network(sparse, observed, tissue)
    start = fill(sparse, observed, config.fill)
    assert 0 < (stages - start).abs().max() < 0.05
    (stages - 1).square().sum().backward()
    grads = {name: weight.grad for name, weight in network.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None or not grad.isfinite().all() or not grad.any()] == []


def test_the_generator_alone_decides_the_weights() -> None:
    state = torch.random.get_rng_state()
    first, second, other = build(SMALL, 1), build(SMALL, 1), build(SMALL, 2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.stages[0].first.weight, other.stages[0].first.weight)
    assert not torch.equal(first.stages[0].first.weight, first.stages[1].first.weight)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("config", CONFIGS)
def test_bfloat16_keeps_float32_pictures_and_exact_samples(config: NetworkConfig) -> None:
    sparse, observed, tissue = windows(2, 12, 12)
    network = build(config)
    exact = network(sparse, observed, tissue)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(sparse, observed, tissue)
        picture = predict(network, sparse, observed, tissue)
        (mixed - 1).abs().sum().backward()
    assert mixed.dtype == picture.dtype == torch.float32
    assert torch.equal(picture[observed], sparse[observed])
    torch.testing.assert_close(mixed, exact, atol=2e-3, rtol=0)
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize("config", CONFIGS)
def test_weights_survive_safetensors_pickle_and_copy(config: NetworkConfig) -> None:
    sparse, observed, tissue = windows(1, 9, 9)
    network = build(config, seed=5)
    expected = network(sparse, observed, tissue)
    restored = build(config, seed=6)
    assert not torch.equal(restored(sparse, observed, tissue), expected)
    restored.load_state_dict(safetensors.load(safetensors.save(network.state_dict())))
    for twin in (restored, pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):  # noqa: S301
        assert torch.equal(twin(sparse, observed, tissue), expected)


@pytest.mark.parametrize("config", [pytest.param(SMALL, id="attention"), pytest.param(PLAIN, id="no-attention")])
def test_a_block_is_its_dense_layers_fused_and_added(config: NetworkConfig) -> None:
    block = ResidualDenseBlock(config)
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    first = block.dense[0](x).relu()
    second = block.dense[1](torch.cat([x, first], 1)).relu()
    fused = block.fuse(torch.cat([x, first, second], 1))
    for attention in block.attention:
        fused = attention(fused)
    torch.testing.assert_close(block(x), x + fused)
    assert [attention.attention.shift for attention in block.attention] == ([0, 2] if config.has_attention else [])


def test_lattices_that_differ_are_refused() -> None:
    sparse, observed, tissue = windows(1, 8, 8)
    with pytest.raises(ShapeError, match=r"sparse \(1, 1, 8, 8\), observed \(1, 1, 8, 8\), tissue \(1, 1, 8, 7\)"):
        build(SMALL)(sparse, observed, tissue[..., :7])
