"""The parts of one cascade stage: channel attention, the hybrid attention block, the residual dense block.

Decision: features travel as `(batch, feature, y, x)` in channels-last memory, so that the step to attention's
`(batch, y, x, feature)` and back is a view; the price is that whoever calls a block with another layout pays for copies.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from s2s.contracts.run import NetworkConfig
from s2s.network.attention import WindowAttention

COMPRESS = 4
SQUEEZE = 8
MLP_RATIO = 4
CHANNEL_SCALE = 0.01
"""Weight of the channel-attention branch beside window attention (HAT's alpha)."""


class ChannelBranch(nn.Module):
    """Two convolutions through a bottleneck, then each channel weighted by what the whole picture holds of it.

    Source:
        Chen et al. 2023 (HAT), the channel-attention block; Zhang et al. 2018 (RCAN), the weighting.
    """

    def __init__(self, features: int) -> None:
        """Lay out the weights.

        Args:
            features: Channels in and out.
        """
        super().__init__()
        narrow, squeezed = max(1, features // COMPRESS), max(1, features // SQUEEZE)
        self.compress = nn.Conv2d(features, narrow, 3, padding=1)
        self.expand = nn.Conv2d(narrow, features, 3, padding=1)
        self.squeeze = nn.Conv2d(features, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, features, 1)

    def forward(self, x: Float[Tensor, "batch feature y x"]) -> Float[Tensor, "batch feature y x"]:
        """Return the weighted branch."""
        x = self.expand(functional.gelu(self.compress(x)))
        weight = self.excite(functional.relu(self.squeeze(x.mean((2, 3), keepdim=True))))
        output: Tensor = x * weight.sigmoid()
        return output


class HybridAttentionBlock(nn.Module):
    """Window attention and channel attention side by side, then a two-layer perceptron at every position.

    Source:
        Chen et al. 2023 (HAT), the hybrid attention block.
    """

    def __init__(self, config: NetworkConfig, shift: int) -> None:
        """Lay out the weights.

        Args:
            config: Gives `features`, `heads`, `window`.
            shift: Positions by which the windows are moved.
        """
        super().__init__()
        features = config.features
        self.norm_attention = nn.LayerNorm(features)
        self.attention = WindowAttention(features, config.heads, config.window, shift)
        self.channels = ChannelBranch(features)
        self.norm_mlp = nn.LayerNorm(features)
        self.mlp = nn.Sequential(nn.Linear(features, MLP_RATIO * features), nn.GELU(), nn.Linear(MLP_RATIO * features, features))

    def forward(self, x: Float[Tensor, "batch feature y x"]) -> Float[Tensor, "batch feature y x"]:
        """Return `x` with both residual branches added."""
        tokens = x.permute(0, 2, 3, 1)
        normed: Tensor = self.norm_attention(tokens)
        channels = self.channels(normed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        tokens = tokens + self.attention(normed) + CHANNEL_SCALE * channels
        output: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return output.permute(0, 3, 1, 2)


class ResidualDenseBlock(nn.Module):
    """Dense layers that each see all before them, fused to the block's width, refined by attention, added to the input.

    Source:
        Zhang et al. 2018 (RDN), with two hybrid attention blocks after the fusion as in S2S-ST.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Lay out the weights.

        Args:
            config: Gives `features`, `layers`, `growth` and, with `has_attention`, what the attention blocks need.
        """
        super().__init__()
        features, growth = config.features, config.growth
        self.dense = nn.ModuleList(nn.Conv2d(features + i * growth, growth, 3, padding=1) for i in range(config.layers))
        self.fuse = nn.Conv2d(features + config.layers * growth, features, 1)
        shifts = (0, config.window // 2) if config.has_attention else ()
        self.attention = nn.Sequential(*(HybridAttentionBlock(config, shift) for shift in shifts))

    def forward(self, x: Float[Tensor, "batch feature y x"]) -> Float[Tensor, "batch feature y x"]:
        """Return `x` plus what the block found."""
        seen = x
        for layer in self.dense:
            seen = torch.cat([seen, functional.relu(layer(seen))], 1)
        found: Tensor = self.attention(self.fuse(seen))
        return found + x
