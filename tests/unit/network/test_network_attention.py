"""Index, masks and the caching of window attention; its arithmetic is in tests/numerics."""

import pytest
import torch
from torch.nn import functional

from s2s.network.attention import WindowAttention, attend, relative_position_index, window_mask

CPU = torch.device("cpu")


def test_offsets_of_a_window_of_two() -> None:
    # Positions (0,0) (0,1) (1,0) (1,1); (dy + 1) * 3 + (dx + 1).
    expected = torch.tensor([[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]])
    assert torch.equal(relative_position_index(2), expected)


@pytest.mark.parametrize(("height", "width"), [pytest.param(4, 4, id="square"), pytest.param(2, 8, id="flat")])
def test_whole_unshifted_windows_need_no_mask(height: int, width: int) -> None:
    assert window_mask(height, width, 2, 0, CPU) is None


def test_shifted_windows_do_not_wrap_around() -> None:
    # Rolled by one, rows are 1, 0 and columns 1, 2, 3, 0. Window 0 holds columns 1 and 2, neighbours; window 1 columns 3 and 0, not.
    mask = window_mask(2, 4, 2, 1, CPU)
    pairs = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=torch.bool)
    assert torch.equal(mask, torch.stack([pairs, torch.eye(4, dtype=torch.bool)]))


def test_padding_is_seen_by_padding_only() -> None:
    # One row of three in windows of two: the second row and the fourth column are padding.
    mask = window_mask(1, 3, 2, 0, CPU)
    first = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=torch.bool)
    second = torch.tensor([[1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]], dtype=torch.bool)
    assert torch.equal(mask, torch.stack([first, second]))


def test_a_mask_first_made_for_inference_serves_training() -> None:
    window_mask.cache_clear()
    layer = WindowAttention(4, 2, 4, 2)
    tokens = torch.randn(1, 6, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = layer(tokens)
    after = layer(tokens)
    after.sum().backward()
    assert torch.equal(before, after.detach())
    assert layer.bias_table.grad is not None


def test_masks_and_indices_are_no_weights() -> None:
    layer = WindowAttention(4, 2, 4, 2)
    layer(torch.zeros(1, 5, 5, 4))
    assert set(layer.state_dict()) == {"bias_table", "qkv.weight", "qkv.bias", "proj.weight", "proj.bias"}


def test_written_out_attention_equals_the_fused_kernel() -> None:
    generator = torch.Generator().manual_seed(3)
    query, key, value = torch.randn(3, 2, 6, 16, 5, generator=generator, dtype=torch.float64)
    bias = torch.randn(1, 6, 16, 16, generator=generator, dtype=torch.float64)
    bias[..., 1:, 0] = -torch.inf
    fused = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    torch.testing.assert_close(attend(query, key, value, bias), fused)
