"""One optimiser step, shared by every loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from s2s.contracts.run import TrainingConfig
from s2s.network import CDCIN, Batch, TermBatch, forward_terms, total_loss
from s2s.training.gpu import limit_to_share

Precision = Literal["float32", "bfloat16"]


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
    """Forward, loss, backward, clip, update.

    Args:
        network: A CDCIN.
        optimizer: Over its parameters.
        batch: Loss term -> windows, on the device.
        training: Loss, weights and clipping.
        device: Precision of the forward pass.

    Returns:
        Each term's loss, `loss`, their weighted sum in loss units, and `gradient_norm`; detached. When one of the two
        last is not finite the weights are left as they were.
    """
    optimizer.zero_grad(set_to_none=True)
    with device.autocast():
        outputs = forward_terms(network, batch)
    loss, parts = total_loss({name: stages.float() for name, stages in outputs.items()}, batch, training.weights, training.loss)
    if not torch.isfinite(loss):
        return {**parts, "loss": loss.detach(), "gradient_norm": loss.detach()}
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm or float("inf"))
    if torch.isfinite(norm):
        optimizer.step()
    return {**parts, "loss": loss.detach(), "gradient_norm": norm.detach()}


def _moved(term: TermBatch, name: str) -> TermBatch:
    if name == "cpu":
        return term
    values: dict[str, Any] = {field.name: getattr(term, field.name) for field in fields(term)}
    moved: dict[str, Any] = {key: value.to(name, non_blocking=True) for key, value in values.items() if isinstance(value, Tensor)}
    return replace(term, **moved)


def _cpu_has_bfloat16() -> bool:
    # torch offers no public question for this; absent ones mean "unknown", and float32 is always right.
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
