"""The paper's training step written out plainly: the standard of truth for `s2s.training.step`, and the rival of its benchmarks.

Float32, contiguous, one pass through the network per loss term, attention scores of all windows in memory at once, every dense
layer fed the concatenation of all before it. Nothing is fused, cached, batched or cast. It takes the weights of a `CDCIN`
and shares no code with it, so that a fault of the one is not a fault of the other. Grids must be whole windows here.

Source: Fang et al. 2025 (S2S-ST, arXiv 2507.16886); Zhang et al. 2018 (RDN); Chen et al. 2023 (HAT); Liu et al. 2021 (Swin).
"""

import torch
from torch import Tensor
from torch.nn import functional

from s2s.contracts.run import LossWeights, TrainingConfig
from s2s.network import CDCIN, Batch, TermBatch
from s2s.network.attention import WindowAttention
from s2s.network.blocks import ChannelBranch, HybridAttentionBlock, ResidualDenseBlock
from s2s.network.cdcin import Stage


def reference_step(network: CDCIN, optimizer: torch.optim.Optimizer, batch: Batch, training: TrainingConfig) -> float:
    """One optimiser step: all terms forward, their weighted sum backward, the update; returns the loss."""
    optimizer.zero_grad()
    loss = reference_loss(network, batch, training.weights)
    loss.backward()
    if training.clip_norm is not None:
        norm = torch.sqrt(sum(parameter.grad.square().sum() for parameter in network.parameters()))
        for parameter in network.parameters():
            parameter.grad *= min(1.0, training.clip_norm / (float(norm) + 1e-6))
    optimizer.step()
    return float(loss.detach())


def reference_loss(network: CDCIN, batch: Batch, weights: LossWeights) -> Tensor:
    """Mean absolute error at scored positions, of every stage i of n with weight i / n, of every term with its own."""
    total = torch.zeros(())
    for name, term in batch.items():
        pictures = stages(network, term)
        for number, picture in enumerate(pictures, start=1):
            error = (picture - term.target).abs()[term.scored].sum() / term.scored.sum() * term.loss_scale
            total = total + getattr(weights, name) * number / len(pictures) * error
    return total


def stages(network: CDCIN, term: TermBatch) -> list[Tensor]:
    """The picture after every stage; measured values are put back in between."""
    assert network.config.fill == "copy", "the paper starts from copied samples"
    observed, given = term.observed.float(), torch.where(term.observed, term.sparse, 0.0)
    picture = given[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    pictures: list[Tensor] = []
    for stage in network.stages:
        if pictures:
            picture = (1 - observed) * picture + observed * given
        picture = correction(stage, picture) + picture
        pictures.append(picture)
    return pictures


def correction(stage: Stage, picture: Tensor) -> Tensor:
    """The residual dense network of one stage."""
    shallow = conv(stage.first, picture)
    x = conv(stage.second, shallow)
    outputs = []
    for block in stage.blocks:
        x = dense_block(block, x)
        outputs.append(x)
    fused = conv(stage.fuse[1], conv(stage.fuse[0], torch.cat(outputs, 1)))
    return conv(stage.last, fused + shallow)


def dense_block(block: ResidualDenseBlock, x: Tensor) -> Tensor:
    """Dense layers, fusion, two attention blocks, the residual."""
    seen = [x]
    for layer in block.dense:
        seen.append(torch.relu(conv(layer, torch.cat(seen, 1))))
    found = conv(block.fuse, torch.cat(seen, 1))
    for part in block.attention:
        found = attention_block(part, found)
    return found + x


def attention_block(block: HybridAttentionBlock, x: Tensor) -> Tensor:
    """Window attention beside channel attention, then the perceptron."""
    tokens = x.permute(0, 2, 3, 1)
    normed = norm(block.norm_attention, tokens)
    beside = channel_branch(block.channels, normed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    tokens = tokens + window_attention(block.attention, normed) + 0.01 * beside
    hidden = functional.gelu(norm(block.norm_mlp, tokens) @ block.mlp[0].weight.T + block.mlp[0].bias)
    tokens = tokens + hidden @ block.mlp[2].weight.T + block.mlp[2].bias
    return tokens.permute(0, 3, 1, 2)


def channel_branch(branch: ChannelBranch, x: Tensor) -> Tensor:
    """Two convolutions through a bottleneck, each channel weighted by its mean."""
    x = conv(branch.expand, functional.gelu(conv(branch.compress, x)))
    return x * torch.sigmoid(conv(branch.excite, torch.relu(conv(branch.squeeze, x.mean((2, 3), keepdim=True)))))


def window_attention(layer: WindowAttention, tokens: Tensor) -> Tensor:
    """Shift, cut into windows, attend with every score in memory, put together, shift back."""
    batch, height, width, features = tokens.shape
    side, shift, area, channels = layer.window, layer.shift, layer.window**2, features // layer.heads
    assert height % side == 0, "whole windows"
    assert width % side == 0, "whole windows"
    rows, columns = height // side, width // side
    tokens = torch.roll(tokens, (-shift, -shift), (1, 2))
    windows = tokens.view(batch, rows, side, columns, side, features).permute(0, 1, 3, 2, 4, 5).reshape(-1, area, features)
    joint = windows @ layer.qkv.weight.T + layer.qkv.bias
    query, key, value = joint.view(-1, area, 3, layer.heads, channels).permute(2, 0, 3, 1, 4)
    scores = query @ key.transpose(-2, -1) / channels**0.5 + position_bias(layer)
    if shift:
        hidden = unreachable(height, width, side, shift).repeat(batch, 1, 1)
        scores = scores.masked_fill(hidden[:, None], -torch.inf)
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(-1, area, features)
    mixed = mixed @ layer.proj.weight.T + layer.proj.bias
    joined = mixed.view(batch, rows, columns, side, side, features).permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, features)
    return torch.roll(joined, (shift, shift), (1, 2))


def position_bias(layer: WindowAttention) -> Tensor:
    """A number per head and offset, at every pair of positions of a window: `(head, query, key)`."""
    side = layer.window
    places = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
    offsets = places[:, :, None] - places[:, None, :] + side - 1
    return layer.bias_table[offsets[0] * (2 * side - 1) + offsets[1]].permute(2, 0, 1)


def unreachable(height: int, width: int, side: int, shift: int) -> Tensor:
    """Which pairs of a shifted window were neighbours only because the grid was rolled: `(window, query, key)`."""
    region = torch.zeros(height, width)
    edges = (slice(0, -side), slice(-side, -shift), slice(-shift, None))
    for number, (y, x) in enumerate((y, x) for y in edges for x in edges):
        region[y, x] = number
    windows = region.view(height // side, side, width // side, side).permute(0, 2, 1, 3).reshape(-1, side * side)
    return windows[:, :, None] != windows[:, None, :]


def conv(layer: torch.nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution that keeps the size."""
    return functional.conv2d(x, layer.weight, layer.bias, padding=layer.padding)


def norm(layer: torch.nn.LayerNorm, tokens: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the features, then scale and shift."""
    centred = tokens - tokens.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + layer.eps) * layer.weight + layer.bias
