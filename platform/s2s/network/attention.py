"""Self-attention inside windows of the grid, with relative position bias; shifted windows connect neighbours.

The grid may have any size: it is padded to whole windows inside, and padded positions are masked, so no result depends on
them. Masks depend on the size only and are cached per size, outside the modules, so that weights files hold weights alone.
Decision: the mask is built for every window although only those at the border need one; it costs as much memory as the
attention scores of one batch item, and keeps one code path.
"""

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional


class WindowAttention(nn.Module):
    """Multi-head self-attention within `window` x `window` positions.

    Source:
        Liu et al. 2021 (Swin Transformer), as used by HAT (Chen et al. 2023).
    """

    def __init__(self, features: int, heads: int, window: int, shift: int) -> None:
        """Lay out the weights.

        Args:
            features: Channels; divisible by `heads`.
            heads: Attention heads.
            window: Side of a window in positions.
            shift: Positions by which the windows are moved down and right; 0 for none.
        """
        super().__init__()
        assert features % heads == 0, f"features {features} not divisible by heads {heads}"
        assert 0 <= shift < window, f"shift {shift} not inside a window of {window}"
        self.heads = heads
        self.window = window
        self.shift = shift
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)
        self.bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.bias_index: Int[Tensor, "query key"]
        self.register_buffer("bias_index", relative_position_index(window), persistent=False)

    def forward(self, tokens: Float[Tensor, "batch y x feature"]) -> Float[Tensor, "batch y x feature"]:
        """Let every position look at the others of its window.

        Args:
            tokens: Normalised features.
        """
        height, width = tokens.shape[1:3]
        windows = self._split(tokens)
        batch, count, area, features = windows.shape
        mask = window_mask(height, width, self.window, self.shift, tokens.device)
        # One head of one window is one "head" of the fused kernel, so that the mask of all windows broadcasts over the batch.
        heads = (batch * count, self.heads) if mask is None else (batch, count * self.heads)
        qkv = self.qkv(windows).view(batch, count, area, 3, self.heads, features // self.heads)
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5).reshape(3, *heads, area, -1)
        mixed = attend(query, key, value, self._bias(mask).to(query.dtype))
        mixed = mixed.view(batch, count, self.heads, area, -1).transpose(2, 3).reshape(windows.shape)
        output: Tensor = self.proj(self._join(mixed, height, width))
        return output

    def _bias(self, mask: Bool[Tensor, "window query key"] | None) -> Float[Tensor, "1 head query key"]:
        bias = self.bias_table[self.bias_index].permute(2, 0, 1)
        if mask is None:
            return bias.unsqueeze(0)
        return torch.where(mask.unsqueeze(1), bias, -torch.inf).flatten(0, 1).unsqueeze(0)

    def _split(self, tokens: Float[Tensor, "batch y x feature"]) -> Float[Tensor, "batch window position feature"]:
        batch, height, width, features = tokens.shape
        side = self.window
        tokens = functional.pad(tokens, (0, 0, 0, -width % side, 0, -height % side))
        if self.shift:
            tokens = tokens.roll((-self.shift, -self.shift), (1, 2))
        rows, columns = tokens.shape[1] // side, tokens.shape[2] // side
        windows = tokens.view(batch, rows, side, columns, side, features).transpose(2, 3)
        return windows.reshape(batch, rows * columns, side * side, features)

    def _join(self, windows: Float[Tensor, "batch window position feature"], height: int, width: int) -> Float[Tensor, "batch y x feature"]:
        batch, _, _, features = windows.shape
        side = self.window
        rows, columns = -(-height // side), -(-width // side)
        tiles = windows.view(batch, rows, columns, side, side, features).transpose(2, 3)
        tokens = tiles.reshape(batch, rows * side, columns * side, features)
        if self.shift:
            tokens = tokens.roll((self.shift, self.shift), (1, 2))
        return tokens[:, :height, :width]


def attend(
    query: Float[Tensor, "batch head query channel"],
    key: Float[Tensor, "batch head key channel"],
    value: Float[Tensor, "batch head key channel"],
    bias: Float[Tensor, "#batch head query key"],
) -> Float[Tensor, "batch head query channel"]:
    """Softmax attention with an additive bias, `-inf` where a key is not to be seen.

    On a GPU the fused kernel; elsewhere the three steps written out, because on a processor torch's fused kernel has no
    gradient for the bias, and its fallback took 2.5 times as long (heads of 4 and 8 channels, 64 positions, bfloat16).

    Args:
        query: Queries, unscaled.
        key: Keys.
        value: Values.
        bias: Added to the scaled scores; at least one key of every query is finite.
    """
    if query.is_cuda:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2)) + bias
    return torch.matmul(scores.softmax(-1), value)


def relative_position_index(window: int) -> Int[Tensor, "query key"]:
    """Number every offset (query minus key) inside a window.

    Args:
        window: Side of a window in positions.

    Returns:
        Row of the bias table for every pair of positions, int64, from 0 to (2 window - 1)^2 - 1.
    """
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    span = 2 * window - 1
    return (y[:, None] - y[None, :] + window - 1) * span + (x[:, None] - x[None, :] + window - 1)


@lru_cache(maxsize=16)
def window_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Bool[Tensor, "window query key"] | None:
    """Say which pairs of positions of each window may see each other, on a grid of any size.

    A pair may when both lie in the same shifted window of the unrolled, unpadded grid. Padded positions see one another only,
    which keeps their softmax finite.

    Args:
        height: Rows of the grid before padding.
        width: Columns of the grid before padding.
        window: Side of a window in positions.
        shift: Positions by which the windows are moved.
        device: Where the mask is kept.

    Returns:
        True where allowed; None when everything is (no shift, no padding).
    """
    if shift == 0 and height % window == 0 and width % window == 0:
        return None
    # A cached tensor made under inference mode could never be used in a training step.
    with torch.inference_mode(mode=False):
        y = _window_numbers(height, window, shift, device)
        x = _window_numbers(width, window, shift, device)
        number = torch.where((y[:, None] < 0) | (x[None, :] < 0), -1, y[:, None] * (width + 1) + x[None, :])
        tiles = number.view(len(y) // window, window, len(x) // window, window).transpose(1, 2).reshape(-1, window * window)
        return tiles[:, :, None] == tiles[:, None, :]


def _window_numbers(length: int, window: int, shift: int, device: torch.device) -> Int[Tensor, " position"]:
    position = torch.arange(length + -length % window, device=device)
    number = torch.where(position < length, (position + window - shift) // window, -1)
    return number.roll(-shift)
