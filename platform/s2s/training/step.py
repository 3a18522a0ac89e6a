"""One optimiser step, shared by every loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from s2s.contracts.run import TrainingConfig
from s2s.network import CDCIN, Batch, TermBatch, forward_terms, total_loss
from s2s.training.gpu import limit_to_share

Precision = Literal["float32", "bfloat16"]

PASS_BINS = {"cpu": 2**14, "cuda": 2**17}
"""Bins in a pass where the run does not say: as many as keep the processor busy, for memory grows with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where and how a network computes."""

    name: str
    precision: Precision

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute convolutions and matrix products in the chosen precision; weights stay float32."""
        with torch.autocast(self.name, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
            yield


def choose_device(precision: str, gpus: float) -> Device:
    """Take CUDA when the run asked for a GPU and there is one, bfloat16 where the hardware multiplies it natively.

    Args:
        precision: `auto`, `float32` or `bfloat16`.
        gpus: What the run asked for; with a fraction this process is kept to that part of the GPU's memory.
    """
    name = "cuda" if gpus > 0 and torch.cuda.is_available() else "cpu"
    if name == "cuda":
        limit_to_share(min(1.0, gpus))
    if precision == "auto":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False) if name == "cuda" else _cpu_has_bfloat16()
        return Device(name=name, precision="bfloat16" if is_native else "float32")
    return Device(name=name, precision="bfloat16" if precision == "bfloat16" else "float32")


def to_device(batch: Batch, device: Device) -> dict[str, TermBatch]:
    """Move every tensor of a batch."""
    return {name: _moved(term, device.name) for name, term in batch.items()}


def train_step(
    network: CDCIN, optimizer: torch.optim.Optimizer, batch: Batch, training: TrainingConfig, device: Device
) -> dict[str, Tensor]:
    """Forward, loss and backward, pass by pass; clip, update.

    Args:
        network: A CDCIN.
        optimizer: Over its parameters.
        batch: Loss term -> windows, on the device.
        training: Loss, weights, clipping, and the size of a pass.
        device: Precision of the forward pass.

    Returns:
        Each term's loss, `loss`, their weighted sum in loss units, and `gradient_norm`; detached. When one of the two
        last is not finite the weights are left as they were.
    """
    optimizer.zero_grad(set_to_none=True)
    said = accumulate(network, batch, training, device, lambda loss, is_last: loss.backward())  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm or float("inf"))
    if not torch.isfinite(said["loss"]):
        norm = said["loss"]  # gradients of such a loss may be anything, 0 too
    elif torch.isfinite(norm):
        optimizer.step()
    return {**said, "gradient_norm": norm.detach()}


def accumulate(
    network: CDCIN, batch: Batch, training: TrainingConfig, device: Device, backward: Callable[[Tensor, bool], object]
) -> dict[str, Tensor]:
    """Forward and backward of a batch, pass by pass.

    Args:
        network: A CDCIN.
        batch: Loss term -> windows, on the device.
        training: Loss, weights, and the size of a pass.
        device: Precision of the forward pass.
        backward: Given the loss of a pass, and whether it is the last; adds to the gradients.

    Returns:
        Each term's loss and `loss`, their weighted sum, detached.
    """
    said = {name: torch.zeros((), device=device.name) for name in (*batch, "loss")}
    waiting = list(passes(batch, training.pass_bins or PASS_BINS[device.name]))
    for number, part in enumerate(waiting, start=1):
        with device.autocast():
            outputs = forward_terms(network, part)
        loss, terms = total_loss({name: stages.float() for name, stages in outputs.items()}, part, training.weights, training.loss)
        backward(loss, number == len(waiting))
        for name, value in (*terms.items(), ("loss", loss.detach())):
            said[name] += value
    return said


def passes(batch: Batch, most_bins: int) -> Iterator[dict[str, TermBatch]]:
    """Cut a batch into parts that go through the network one after the other; gradients add up to those of the whole.

    Args:
        batch: Loss term -> windows.
        most_bins: Of a part; one window at least.
    """
    waiting, room = dict[str, TermBatch](), most_bins
    for name, term in sorted(batch.items(), key=lambda item: item[1].sparse[0].numel()):
        start, bins = 0, term.sparse[0].numel()
        while start < len(term.sparse):
            if waiting and room < bins:
                yield waiting
                waiting, room = {}, most_bins
            stop = min(len(term.sparse), start + max(1, room // bins))
            waiting[name] = term.part(slice(start, stop))
            room -= (stop - start) * bins
            start = stop
    yield waiting


def _moved(term: TermBatch, name: str) -> TermBatch:
    if name == "cpu":
        return term
    values: dict[str, Any] = {field.name: getattr(term, field.name) for field in fields(term)}
    moved: dict[str, Any] = {key: value.to(name, non_blocking=True) for key, value in values.items() if isinstance(value, Tensor)}
    return replace(term, **moved)


def _cpu_has_bfloat16() -> bool:
    # torch offers no public question for this; absent ones mean "unknown", and float32 is always right.
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
