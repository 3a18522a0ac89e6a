"""First values of a window: grids small enough to work out by hand."""

import math

import pytest
import torch
from torch import Tensor

from s2s.errors import ShapeError
from s2s.network import fill


def lattice(height: int, width: int) -> Tensor:
    observed = torch.zeros(1, 1, height, width, dtype=torch.bool)
    observed[..., ::2, ::2] = True
    return observed


def picture(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows)[None, None]


@pytest.mark.parametrize(
    ("sparse", "expected"),
    [
        pytest.param([[3.0]], [[3.0]], id="one-bin"),
        pytest.param([[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], id="one-block"),
        pytest.param(
            [[1.0, 0.0, 2.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0], [4.0, 0.0, 5.0, 0.0, 6.0]],
            [[1.0, 1.0, 2.0, 2.0, 3.0], [1.0, 1.0, 2.0, 2.0, 3.0], [4.0, 4.0, 5.0, 5.0, 6.0]],
            id="odd-sides-cut-the-last-blocks",
        ),
    ],
)
def test_copy_fills_blocks(sparse: list[list[float]], expected: list[list[float]]) -> None:
    values = picture(sparse)
    assert torch.equal(fill(values, lattice(*values.shape[-2:]), "copy"), picture(expected))


def test_copy_leaves_zero_where_the_lattice_has_a_hole() -> None:
    observed = lattice(2, 4)
    observed[..., 0, 2] = False
    sparse = picture([[7.0, 0.0, math.nan, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(fill(sparse, observed, "copy"), picture([[7.0, 7.0, 0.0, 0.0], [7.0, 7.0, 0.0, 0.0]]))


@pytest.mark.parametrize("method", [pytest.param("copy", id="copy"), pytest.param("smooth", id="smooth")])
def test_nothing_but_observed_values_is_read_and_they_stay(method: str) -> None:
    generator = torch.Generator().manual_seed(0)
    observed = lattice(9, 12) & (torch.rand(1, 1, 9, 12, generator=generator) < 0.7)
    values = torch.randn(1, 1, 9, 12, generator=generator)
    clean = fill(torch.where(observed, values, 0.0), observed, method)
    poisoned = fill(torch.where(observed, values, math.nan), observed, method)
    assert torch.equal(clean, poisoned)
    assert torch.equal(clean[observed], values[observed])
    assert not torch.equal(clean, torch.where(observed, values, 0.0))


@pytest.mark.parametrize(
    ("height", "width"), [pytest.param(64, 64, id="square"), pytest.param(5, 7, id="odd"), pytest.param(1, 3, id="tiny")]
)
def test_smooth_keeps_a_constant(height: int, width: int) -> None:
    observed = lattice(height, width)
    filled = fill(torch.where(observed, 2.5, 0.0), observed, "smooth")
    torch.testing.assert_close(filled, torch.full_like(filled, 2.5))


def test_smooth_spreads_a_lone_sample_over_any_distance() -> None:
    observed = torch.zeros(1, 1, 3, 301, dtype=torch.bool)
    observed[..., 0, 0] = True
    filled = fill(torch.where(observed, 4.0, 0.0), observed, "smooth")
    torch.testing.assert_close(filled, torch.full_like(filled, 4.0))


def test_smooth_of_nothing_is_zero() -> None:
    nothing = torch.full((2, 1, 6, 6), math.nan)
    assert torch.equal(fill(nothing, torch.zeros_like(nothing, dtype=torch.bool), "smooth"), torch.zeros(2, 1, 6, 6))


def test_smooth_is_half_way_between_two_halves() -> None:
    # Columns 0..14 hold 0, columns 16..30 hold 1: by symmetry column 15 is exactly between them.
    observed = lattice(31, 31)
    values = torch.where(observed & (torch.arange(31) > 15), 1.0, 0.0)
    filled = fill(values, observed, "smooth")[0, 0]
    torch.testing.assert_close(filled[15, 15], torch.tensor(0.5), atol=2e-3, rtol=0)
    assert filled[15, 11] < 0.02
    assert filled[15, 19] > 0.98


def test_smooth_does_not_lose_precision_under_autocast() -> None:
    observed = lattice(16, 16)
    values = torch.where(observed, torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)), 0.0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = fill(values, observed, "smooth")
    assert torch.equal(mixed, fill(values, observed, "smooth"))


def test_lattices_that_differ_are_named() -> None:
    with pytest.raises(ShapeError, match=r"expected one shape.*\(1, 1, 4, 4\).*\(1, 1, 4, 5\)"):
        fill(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5, dtype=torch.bool), "copy")
