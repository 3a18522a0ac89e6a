"""What was measured comes back, bit for bit."""

import math

import pytest
import torch

from s2s.errors import ShapeError
from s2s.network import enforce_consistency


def test_measured_bits_win_and_the_rest_stays() -> None:
    tiny = torch.finfo(torch.float32).smallest_normal / 4
    estimate = torch.tensor([[[[1.0, math.nan, 3.0, 4.0]]]])
    measured = torch.tensor([[[[-0.0, tiny, math.nan, 0.1]]]])
    observed = torch.tensor([[[[True, True, False, False]]]])
    result = enforce_consistency(estimate, measured, observed)
    expected = torch.tensor([[[[-0.0, tiny, 3.0, 4.0]]]])
    assert torch.equal(result.view(torch.int32), expected.view(torch.int32))


def test_a_coarser_estimate_does_not_round_what_was_measured() -> None:
    measured = torch.tensor([[[[0.1, 0.2]]]])
    result = enforce_consistency(torch.zeros(1, 1, 1, 2, dtype=torch.bfloat16), measured, torch.tensor([[[[True, False]]]]))
    assert result.dtype == torch.float32
    assert result[0, 0, 0, 0] == measured[0, 0, 0, 0]


def test_no_gradient_at_measured_positions() -> None:
    estimate = torch.zeros(1, 1, 1, 2, requires_grad=True)
    enforce_consistency(estimate, torch.full((1, 1, 1, 2), math.nan), torch.tensor([[[[False, True]]]])).nansum().backward()
    assert torch.equal(estimate.grad, torch.tensor([[[[1.0, 0.0]]]]))


@pytest.mark.parametrize(
    ("estimate", "measured", "observed"),
    [
        pytest.param((1, 1, 4, 4), (1, 1, 4, 4), (1, 1, 4, 5), id="mask-wider"),
        pytest.param((2, 1, 4, 4), (1, 1, 4, 4), (2, 1, 4, 4), id="batch-would-broadcast"),
        pytest.param((1, 2, 4, 4), (1, 2, 4, 4), (1, 2, 4, 4), id="two-channels"),
        pytest.param((4, 4), (4, 4), (4, 4), id="no-batch"),
    ],
)
def test_other_lattices_are_refused(estimate: tuple[int, ...], measured: tuple[int, ...], observed: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected one shape") as caught:
        enforce_consistency(torch.zeros(estimate), torch.zeros(measured), torch.zeros(observed, dtype=torch.bool))
    assert all(str(shape) in str(caught.value) for shape in (estimate, measured, observed))
