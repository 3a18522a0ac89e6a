"""Parameter counts, and attention against its definition written out bin by bin."""

import pytest
import torch
from torch import Tensor, nn

from s2s.contracts.loading import read_preset
from s2s.contracts.run import NetworkConfig
from s2s.network import CDCIN
from s2s.network.attention import WindowAttention
from s2s.network.blocks import ChannelBranch, HybridAttentionBlock, ResidualDenseBlock

PAPER = NetworkConfig.model_validate(read_preset("paper")["network"])


def num_parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_paper_preset_has_the_papers_parameters() -> None:
    network = CDCIN(PAPER)
    assert [num_parameters(stage) for stage in network.stages] == [1_103_553] * 3
    assert num_parameters(network) == 3_310_659
    # Nothing beside the parameters would travel in a weights file.
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == 3_310_659


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        pytest.param(WindowAttention(32, 4, 8, 0), (32 * 96 + 96) + (32 * 32 + 32) + 15 * 15 * 4, id="window-attention"),
        pytest.param(ChannelBranch(32), (32 * 8 * 9 + 8) + (8 * 32 * 9 + 32) + (32 * 4 + 4) + (4 * 32 + 32), id="channel-branch"),
        pytest.param(
            HybridAttentionBlock(PAPER, 4), 5_124 + 4_940 + 2 * 64 + (32 * 128 + 128) + (128 * 32 + 32), id="hybrid-attention-block"
        ),
        pytest.param(
            ResidualDenseBlock(PAPER), 9 * 32 * 32 * (1 + 2 + 3 + 4) + 4 * 32 + (160 * 32 + 32) + 2 * 18_544, id="residual-dense-block"
        ),
    ],
)
def test_each_part_has_its_share(module: nn.Module, expected: int) -> None:
    assert num_parameters(module) == expected


def test_mask_inputs_cost_two_more_channels_in_each_first_convolution() -> None:
    masked = CDCIN(PAPER.model_copy(update={"has_mask_inputs": True, "cascades": 1}))
    assert num_parameters(masked) == 1_103_553 + 2 * 9 * 32


def attention_by_definition(layer: WindowAttention, tokens: Tensor) -> Tensor:
    """Every bin attends, head by head, to the bins of its own (shifted) window; no padding, rolling or masks."""
    _, height, width, features = tokens.shape
    window, shift, channels = layer.window, layer.shift, features // layer.heads
    places = [(y, x) for y in range(height) for x in range(width)]

    def window_of(y: int, x: int) -> tuple[int, int]:
        return (y - shift) // window, (x - shift) // window

    query, key, value = layer.qkv(tokens).chunk(3, -1)
    mixed = torch.zeros_like(tokens)
    for y, x in places:
        mates = [place for place in places if window_of(*place) == window_of(y, x)]
        for head in range(layer.heads):
            part = slice(head * channels, (head + 1) * channels)
            rows = [(y - v + window - 1) * (2 * window - 1) + (x - u + window - 1) for v, u in mates]
            keys = torch.stack([key[:, v, u, part] for v, u in mates], 1)
            values = torch.stack([value[:, v, u, part] for v, u in mates], 1)
            scores = torch.einsum("bc,bkc->bk", query[:, y, x, part], keys) / channels**0.5 + layer.bias_table[rows, head]
            mixed[:, y, x, part] = torch.einsum("bk,bkc->bc", scores.softmax(-1), values)
    return layer.proj(mixed)


@pytest.mark.parametrize("shift", [pytest.param(0, id="unshifted"), pytest.param(2, id="half"), pytest.param(1, id="quarter")])
@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(8, 8, id="whole-windows"),
        pytest.param(4, 4, id="one-window"),
        pytest.param(3, 2, id="below-a-window"),
        pytest.param(5, 9, id="one-over"),
        pytest.param(7, 6, id="odd"),
    ],
)
def test_window_attention_is_its_definition(height: int, width: int, shift: int) -> None:
    generator = torch.Generator().manual_seed(height * 10 + width)
    layer = WindowAttention(6, 3, 4, shift).double()
    for weight in layer.parameters():
        nn.init.normal_(weight, generator=generator)
    tokens = torch.randn(2, height, width, 6, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(layer(tokens), attention_by_definition(layer, tokens))


def test_channel_branch_weighs_channels_by_the_picture() -> None:
    branch = ChannelBranch(8).double()
    x = torch.randn(2, 8, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = branch.expand(nn.functional.gelu(branch.compress(x)))
    pooled = before.mean((2, 3))
    hidden = (pooled @ branch.squeeze.weight[:, :, 0, 0].T + branch.squeeze.bias).clamp(min=0)
    weight = 1 / (1 + torch.exp(-(hidden @ branch.excite.weight[:, :, 0, 0].T + branch.excite.bias)))
    torch.testing.assert_close(branch(x), before * weight[:, :, None, None])


def test_hybrid_block_adds_its_branches() -> None:
    block = HybridAttentionBlock(NetworkConfig(features=8, heads=2, window=4), 2).double()
    x = torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tokens = x.movedim(1, -1)
    normed = nn.functional.layer_norm(tokens, (8,))
    tokens = tokens + block.attention(normed) + 0.01 * block.channels(normed.movedim(-1, 1)).movedim(1, -1)
    expanded = nn.functional.gelu(nn.functional.layer_norm(tokens, (8,)) @ block.mlp[0].weight.T + block.mlp[0].bias)
    expected = tokens + expanded @ block.mlp[2].weight.T + block.mlp[2].bias
    torch.testing.assert_close(block(x), expected.movedim(-1, 1))
