"""Shares of a graphics processor, with torch's answers put in: no machine of ours has one."""

import pytest
import torch

from s2s.contracts.run import GpuUse
from s2s.training import gpu
from s2s.training.gpu import CONTEXT_BYTES, fraction_of, share_of
from s2s.training.step import choose_device

TOTAL = 80 * 10**9


class Card:
    """What torch would say of a card."""

    def __init__(self) -> None:
        self.fraction, self.peak, self.log = 1.0, 14 * 10**9, []

    def put_in(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(torch.cuda, "is_initialized", lambda: True)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
        patch.setattr(gpu, "_total_bytes", lambda: TOTAL)
        patch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda fraction: setattr(self, "fraction", fraction))
        patch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: self.fraction)
        patch.setattr(torch.cuda, "max_memory_reserved", lambda: self.peak)
        patch.setattr(torch.cuda, "empty_cache", lambda: self.log.append("emptied"))
        patch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: self.log.append("reset"))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    card = Card()
    card.put_in(monkeypatch)
    return card


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_processor_nothing_is_measured_and_nothing_is_touched() -> None:
    gpu.forget_peak()
    assert gpu.gpu_use() is None
    assert choose_device("float32", gpus=0.25).name == "cpu"
    assert not torch.cuda.is_initialized()


@pytest.mark.parametrize("share", [pytest.param(share, id=str(share)) for share in (1.0, 0.5, 0.25, 0.05)])
def test_a_share_is_told_from_the_fraction_that_torch_was_given(share: float) -> None:
    fraction = fraction_of(share, TOTAL)
    assert share_of(fraction, TOTAL) == pytest.approx(share)
    assert fraction == 1.0 if share == 1 else fraction * TOTAL + CONTEXT_BYTES == pytest.approx(share * TOTAL)


def test_a_share_smaller_than_the_context_leaves_a_little() -> None:
    assert fraction_of(0.001, TOTAL) == 0.01


def test_a_run_with_a_fraction_is_kept_to_it_and_says_what_it_took(card: Card) -> None:
    assert choose_device("auto", gpus=0.25).name == "cuda"
    assert card.fraction * TOTAL == pytest.approx(0.25 * TOTAL - CONTEXT_BYTES)
    use = gpu.gpu_use()
    assert use is not None
    assert use == GpuUse(share=use.share, peak_bytes=card.peak, total_bytes=TOTAL)
    assert use.share == pytest.approx(0.25)
    choose_device("auto", gpus=1)
    assert card.fraction == 1.0, "the next run of this process has the whole of it again"


def test_a_run_is_measured_from_its_own_beginning(card: Card) -> None:
    gpu.forget_peak()
    assert card.log == ["emptied", "reset"]
