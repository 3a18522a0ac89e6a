"""What a training takes of a worker's memory, before it begins.

Weights, gradients and Adam's moments are counted; what a pass keeps for the way back is measured on one stage and one small window, for it
grows in proportion with bins and stages.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from s2s.contracts.run import NetworkConfig
from s2s.contracts.sharding import MemoryEstimate, Strategy
from s2s.network import CDCIN
from s2s.training.step import choose_device

LIBRARIES_BYTES = 700_000_000
"""Python, torch, Ray, DeepSpeed and the section, roughly."""

NUMBER = 4
"""Bytes of a weight: float32, whatever the precision of the passes."""

FLAT_BYTES = 2_000_000_000
"""Most that DeepSpeed's data parallel training copies gradients into, to reduce them at once."""

BUFFERS_BYTES = 60_000_000
"""Gradients on their way and weights on theirs, as the options that ship for ZeRO bound them."""

LIVE_BYTES = 80_000_000
"""Weights that are whole at a time with ZeRO-3, as its options bound them."""

SIDE = 32
"""Of the window on which is measured: some attention windows each way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a network decides its memory.

    Attributes:
        num_parameters: Of all stages.
        num_stages: In the cascade.
        bytes_per_bin: What one stage keeps of a bin for the way back.
    """

    num_parameters: int
    num_stages: int
    bytes_per_bin: float


def measure_shape(config: NetworkConfig, precision: str) -> Shape:
    """Count the parameters of a network and measure what one of its stages keeps.

    Args:
        config: Size and parts.
        precision: Of the passes, as in a run.
    """
    stage = CDCIN(config.model_copy(update={"cascades": 1}))
    device, sizes = choose_device(precision, 0), dict[int, int]()
    own = {parameter.untyped_storage().data_ptr() for parameter in stage.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # so that no other tensor takes its place
        return tensor

    kept = list[Tensor]()
    values = torch.rand(1, 1, SIDE, SIDE)
    everywhere = torch.ones_like(values, dtype=torch.bool)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), device.autocast():
        stage(values, everywhere, everywhere, values)
    per_stage = sum(parameter.numel() for parameter in stage.parameters())
    return Shape(num_parameters=config.cascades * per_stage, num_stages=config.cascades, bytes_per_bin=sum(sizes.values()) / SIDE**2)


def estimate(shape: Shape, strategy: Strategy, workers: int, *, recompute: bool, bins: int) -> MemoryEstimate:
    """Estimate what one worker takes at most.

    Args:
        shape: Of the network.
        strategy: What the workers share.
        workers: How many.
        recompute: Keep one stage's activations at a time.
        bins: Of a pass on one worker.
    """
    whole = NUMBER * shape.num_parameters
    share = whole // workers
    held = 1 if recompute else shape.num_stages
    activations = int(bins * shape.bytes_per_bin * (held + 1))  # a stage's worth again while its gradients are computed
    weights, gradients, moments, best, buffers = {
        "single": (whole, whole, 2 * whole, whole, 0),
        "data_parallel": (whole, whole, 2 * whole, share, min(whole, FLAT_BYTES)),
        "zero1": (whole, whole + 2 * share, 3 * share, share, BUFFERS_BYTES),
        "zero2": (whole, 2 * share, 3 * share, share, BUFFERS_BYTES),
        "zero3": (share, 3 * share, 3 * share, share, BUFFERS_BYTES + LIVE_BYTES),
    }[strategy]
    total = weights + gradients + moments + best + buffers + activations
    return MemoryEstimate(
        strategy=strategy, workers=workers, recompute=recompute, weights=weights, gradients=gradients, moments=moments, best_weights=best,
        buffers=buffers, activations=activations, total=total,
    )  # fmt: skip
